"""One step in two traces, side by side: which value of the second is which line of the first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from npoptim.trace.agreement import apart
from npoptim.trace.lines import Line, Part, canonical, known_names

#: Values agree within this part of the larger.
RTOL = 1e-9


@dataclass(eq=False)
class Write:
    """A value that a line gave to a name, by its name in the box."""

    number: int | None  # the line of the box that the code says it is
    name: str
    value: Any
    line: Line


@dataclass(eq=False)
class Entry(Write):
    """What the first trace wrote, and what of the second trace it is compared with."""

    match: Write | None = None
    claimed: bool = False  # whether the code of the second trace says that this is the line

    @property
    def given(self) -> bool:
        """Whether it is a hyper-parameter."""
        return self.line.pseudocode.startswith("given")

    @property
    def right(self) -> bool:
        """Whether the second trace has the same value."""
        return self.match is not None and self.agrees(self.match)

    def agrees(self, write: Write) -> bool:
        return agree(self.value, write.value, self.line.before.get(self.name))

    def is_named(self, write: Write) -> bool:
        return write.name == self.name

    def fits(self, write: Write) -> bool:
        return self.is_named(write) and self.agrees(write)


class Alignment:
    """One step of one parameter in two traces.

    `entries` is what the first wrote, in order, each with its match;
    `writes` what the second wrote; `free` those of them without a number
    that are no match.
    """

    def __init__(self, a: Part, b: Part) -> None:
        self.a, self.b = a, b
        self.box = a.box or b.box
        self.known = known_names(self.box) | {"p", "g", "t"}
        written = {(w.number, w.name): w for w in self._writes(a) if w.number or not a.box}
        self.entries = [Entry(w.number, w.name, w.value, w.line) for w in written.values()]
        self.writes = list(self._writes(b))
        self.place = {id(w): i for i, w in enumerate(self.writes)}
        self.free = [w for w in self.writes if w.number is None]
        for entry in self.entries:
            self._claim(entry)
        for test, which in ((Entry.fits, -1), (Entry.agrees, 0), (Entry.is_named, -1)):
            for entry in self.entries:
                matches = [w for w in self.free if entry.match is None and test(entry, w)]
                if matches:
                    self._match(entry, matches[which])
        self._match_by_place()

    def _writes(self, part: Part) -> Iterator[Write]:
        for line in part.lines:
            number = line.number if part is self.a else self._said(line)
            for name, value in line.values.items():
                yield Write(number, canonical(name, line.roles, self.known), value, line)

    def _said(self, line: Line) -> int | None:
        """The line of the first trace's box that the code of the second says it is."""
        if line.code and not line.tagged:
            return None
        same = [n for n, text in self.box.items() if text == line.pseudocode]
        return line.number if not same or line.number in same else same[0]

    def _claim(self, entry: Entry) -> None:
        """Match a line that the second trace has by number: by name, else by value, else the last.

        Where a line of the box gives values to several names, only by name.
        """
        claims = [w for w in self.writes if w.number == entry.number is not None]
        named = [w for w in claims if entry.is_named(w)]
        if len({e.name for e in self.entries if e.number == entry.number}) == 1:
            named = named or [w for w in claims if entry.agrees(w)] or claims
        if named:
            entry.match, entry.claimed = named[-1], True

    def _match(self, entry: Entry, write: Write) -> None:
        entry.match = write
        self.free = [w for w in self.free if w is not write]

    def _match_by_place(self) -> None:
        """Match what is left between two neighbours to what is left between their matches."""
        gaps: dict[tuple[float, float], list[Entry]] = {}
        for at, entry in enumerate(self.entries):
            if entry.match is None and entry.line.code and not entry.given:
                before = [self.place[id(e.match)] for e in self.entries[:at] if e.match]
                after = [self.place[id(e.match)] for e in self.entries[at:] if e.match]
                gap = max(before, default=-1.0), min(after, default=float("inf"))
                gaps.setdefault(gap, []).append(entry)
        for (start, stop), entries in gaps.items():
            writes = [w for w in self.free if start < self.place[id(w)] < stop]
            if len(writes) == len(entries):
                for entry, write in zip(entries, writes, strict=True):
                    self._match(entry, write)


def comparable(a: Any, b: Any) -> bool:
    """Whether two values are arrays or numbers of one shape, apart from lengths of 1."""
    numbers = [x for x in (a, b) if np.asarray(x).dtype.kind in "biufc"]
    shapes = {tuple(n for n in np.shape(x) if n != 1) for x in numbers}
    return len(numbers) == 2 and len(shapes) == 1


def agree(a: Any, b: Any, beside: Any = None) -> bool:
    """Whether two values are the same up to rounding; `beside` is what they were computed from."""
    if not comparable(a, b):
        return isinstance(a, (dict, tuple)) and type(a) is type(b) and repr(a) == repr(b)
    b = np.reshape(b, np.shape(a))
    same = beside is not None and np.shape(beside) == np.shape(a)
    return apart(a, b, RTOL, beside if same else 0.0) is None
