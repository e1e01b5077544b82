"""Two traces compared: the first line of the box that came out differently."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product, zip_longest
from typing import Any

import numpy as np

from npoptim.trace.agreement import apart
from npoptim.trace.align import Alignment, Entry, Write, agree, comparable
from npoptim.trace.lines import Line, Part, Trace, canonical, is_start
from npoptim.trace.maths import compute
from npoptim.trace.notation import NotationError, parse, reads
from npoptim.trace.values import short, summary

_GIVES = "should be EXPECTED, but CODE gives GOT"


@dataclass(frozen=True, eq=False)
class Difference:
    """Where two traces part: a line of the box, a name, and both values; str() is a sentence."""

    number: int | None  #: line of the box
    pseudocode: str  #: that line
    step: int  #: the optimizer's t
    param: str  #: name of the parameter
    name: str  #: of the value, in code
    expected: Any  #: the first trace's value; None where it has none
    got: Any  #: the second trace's value; None where it has none
    line: Line | None  #: the second trace's line; the first's where it lacks one
    what: str  # the sentence's verb
    other: Line | None = None  # the other trace's line

    def turned(self) -> Difference:
        """The same difference between the traces in the other order."""
        return replace(
            self,
            expected=self.got,
            got=self.expected,
            line=self.other,
            other=self.line,
            what=_GIVES,
        )

    def __str__(self) -> str:
        where = f"step {self.step}, {self.param}"
        if self.number is not None:
            where += f", line {self.number}, {self.pseudocode}".removesuffix(", ")
        code = f"`{self.line.code}`" if self.line and self.line.code else "the code"
        sentence = f"{where}: {self.name} {self.what}.".replace("CODE", code)
        for value, word in ((self.expected, "EXPECTED"), (self.got, "GOT")):
            sentence = sentence.replace(word, "nothing" if value is None else summary(value))
        return sentence + self._index()

    def _index(self) -> str:
        """Where in an array the values are farthest apart, in as many digits as it takes."""
        both = self.expected, self.got
        numbers = all(isinstance(x, (np.ndarray, np.number, float, int)) for x in both)
        if not numbers or np.shape(self.expected) != np.shape(self.got):
            return ""
        at = apart(self.expected, self.got, 0.0)
        if at is None or (np.size(self.got) < 2 and short(self.got) != short(self.expected)):
            return ""
        pair = [float(np.asarray(x)[at]) for x in both]
        texts = ([f"{x:.{digits}g}" for x in pair] for digits in (4, 7, 10, 17))
        right, wrong = next((t for t in texts if t[0] != t[1]), map(str, pair))
        return f" {f'At {list(at)}' if at else 'That is'}: {right}, not {wrong}."


def first_difference(tr_a: Trace, tr_b: Trace) -> Difference | None:
    r"""The first line of the box where the second trace is not the first; None if there is none.

    Lines are aligned by the numbers they carry (`# line 5`), otherwise by
    the names they assign, otherwise by their values; values agree within
    1e-9, relatively. Code without numbers, and what it calls its own, counts
    only in what comes of it: in other orders of operations, in place or with
    other intermediate values the same step is no difference. Where the
    outcome differs, a line that is missing, or a name that something else
    was put into, is the difference if it explains what follows.

    >>> import numpy as np
    >>> from npoptim import Adam, trace
    >>> class Wrong(Adam):
    ...     def update(self, p, g, t, m, v):
    ...         m = 0.9 * m + 0.1 * g
    ...         v = 0.999 * v + 0.001 * g
    ...         m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
    ...         return p - self.lr * m_hat / (np.sqrt(v_hat) + self.eps), {"m": m, "v": v}
    >>> traces = [trace(opt, np.ones(1), np.full(1, 2.0)) for opt in (Adam(), Wrong())]
    >>> print(str(first_difference(*traces)).replace(", but", ",\nbut"))
    step 1, p, line 6, v ← β₂ v + (1 − β₂) g²: v should be [0.004],
    but `v = 0.999 * v + 0.001 * g` gives [0.002].

    """
    for a, b in zip_longest(tr_a.parts, tr_b.parts):
        if a is None or b is None:
            part = a or b
            line = next((x for x in part.lines if x.code), part.lines[0])
            name, value = next(iter(line.values.items()), ("the step", None))
            expected, got = (value, None) if b is None else (None, value)
            what = "should be EXPECTED, but the trace gives GOT"
            at = line.number, line.pseudocode, part.step, part.param, name
            return Difference(*at, expected, got, line, what)
        turn = _numbered(b) and not _numbered(a)  # the box is followed where there are numbers
        found = _Verdict(Alignment(b, a) if turn else Alignment(a, b)).first()
        if found:
            return found.turned() if turn else found
    return None


def _numbered(part: Part) -> bool:
    """Whether the code of `update` says which lines of the box it is."""
    return any(line.tagged and not is_start(line.pseudocode) for line in part.lines)


@dataclass
class _Finding:
    """Something at an entry that is not as in the first trace."""

    at: int  # index of the entry
    write: Write | None
    what: str
    proof: bool  # a value that differs, rather than a way to get it


class _Verdict:
    """What is to be said of one step of one parameter in two traces."""

    def __init__(self, both: Alignment) -> None:
        self.both = both
        self.entries, self.writes = both.entries, both.writes
        a, b = both.a.outcome, both.b.outcome
        self.off = [k for k in a if (k in b or k == "p") and not (k in b and agree(a[k], b[k]))]

    def first(self) -> Difference | None:
        findings = sorted(self._findings(), key=lambda f: f.at)
        proofs = [f for f in findings if f.proof]
        if not proofs and not self.off:
            return None
        causes = [f for f in findings if not f.proof and (not proofs or f.at < proofs[0].at)]
        causes = [f for f in causes if not self._harmless(f.at)]
        if proofs:
            explained = causes and self._follows(self.entries[proofs[0].at]) is not False
            return self._report(causes[0] if explained else proofs[0])
        return self._stored() or (self._report(causes[0]) if causes else self._unexplained())

    # ------------------------------------------------------------ findings

    def _findings(self) -> Iterator[_Finding]:
        for at, entry in enumerate(self.entries):
            write = entry.match
            if write is None:
                if entry.line.code and (not entry.given or self._missed(entry)):
                    yield self._lack(at, entry)
            elif not entry.agrees(write):
                named = entry.is_named(write) or self._final(entry)
                sure = entry.claimed or (named if self.off else self._taken_for(at))
                proof = sure and comparable(entry.value, write.value)
                yield _Finding(at, write, _GIVES, proof)
            elif write.name != entry.name and write.name in self.both.known:
                what = f"should be EXPECTED, but CODE gives that to {write.name}"
                yield _Finding(at, write, what, False)
        for write in self.both.free:  # right at first, then something else was put over it
            own = [at for at, entry in enumerate(self.entries) if entry.name == write.name]
            match = self.entries[own[-1]].match if own else None
            if match and self.both.place[id(match)] < self.both.place[id(write)]:
                what = "should stay EXPECTED, but CODE makes it GOT"
                yield _Finding(own[-1], write, what, False)

    def _lack(self, at: int, entry: Entry) -> _Finding:
        """The finding that a line is missing, or failed."""
        for line in self.both.b.lines:
            if line.failed and line.number in (entry.number, None):
                write = Write(entry.number, entry.name, None, line)
                return _Finding(at, write, "should be EXPECTED, but CODE fails", False)
        return _Finding(at, None, "should be EXPECTED, but nothing gives it", False)

    def _missed(self, entry: Entry) -> bool:
        """Whether a given that the second trace does without was meant to be there."""
        own = {e.name for e in self.entries if e.number == entry.number}
        strays = {w.name for w in self.writes if w.number == entry.number} & self.both.known - own
        return bool(strays) or any(
            line.number == entry.number
            or (entry.name not in line.before and re.search(rf"\b{entry.name}\b", line.code))
            for line in self.both.b.lines
            if line.failed
        )

    def _final(self, entry: Entry) -> bool:
        """Whether the value is the last of its name, and what `update` returned of it is off."""
        last = [e for e in self.entries if e.name == entry.name][-1]
        return entry is last and entry.name in self.off

    # ------------------------------------------------------------ what follows from what

    def _readers(self, at: int) -> list[Entry]:
        """The later lines of the box that read what an entry gives."""
        name = self.entries[at].name
        return [e for e in self.entries[at + 1 :] if name in reads(e.line.pseudocode)]

    def _harmless(self, at: int) -> bool:
        """Whether all that came of an entry came out right, and nothing was said of it itself."""
        entry, readers = self.entries[at], self._readers(at)
        wrong = entry.claimed and not entry.right
        return bool(readers) and not wrong and all(reader.right for reader in readers)

    def _taken_for(self, at: int) -> bool:
        """Whether the second trace goes on with its value as the box does with the letter."""
        readers = self._readers(at)
        return bool(readers) and all(self._follows(reader) is True for reader in readers)

    def _follows(self, entry: Entry) -> bool | None:
        """Whether a value is what the box gives for what was there before its line.

        A letter without a line of its own may be any of its stand-ins. None
        if what was there does not even fit the box.
        """
        if entry.match is None:
            return None
        text, write = entry.line.pseudocode, entry.match
        first = self._first_of(write)
        env = self._before(entry, first)
        missing = sorted(reads(text) - env.keys())
        follows: bool | None = None
        for values in product(*(self._stand_ins(name, env) for name in missing)):
            guess = env | dict(zip(missing, values, strict=True))
            try:
                results = dict(compute(formula, guess) for formula in parse(text))
            except NotationError:
                continue
            if entry.name not in results:
                return None
            follows = agree(results[entry.name], write.value, first.before.get(write.name))
            if follows:
                return True
        return follows

    def _before(self, entry: Entry, first: Line) -> dict[str, Any]:
        """All values before a line of the second trace, by their names in the box."""
        earlier = [e for e in self.entries[: self.entries.index(entry)] if e.match]
        own = [e for e in earlier if e.match and e.match.name not in self.both.known]
        named = {canonical(k, first.roles, self.both.known): v for k, v in first.before.items()}
        return (
            {e.name: e.value for e in self.entries if e.given}
            | {e.name: e.match.value for e in earlier if e.match}
            | named
            | {e.name: e.match.value for e in own if e.match}
        )

    def _stand_ins(self, name: str, env: Mapping[str, Any]) -> list[Any]:
        """What may stand for a letter without a line of its own.

        What the box gives for it, where other lines have it in them; where
        it was left out, nothing, or what its line reads.
        """
        found: list[Any] = [1.0, 0.0]
        for entry in self.entries:
            if entry.name == name:
                text = entry.line.pseudocode
                near = [env[k] for k in reads(text) if k in env]
                found += [x for x in near if comparable(x, entry.value)]
                with suppress(NotationError):
                    found += [compute(formula, env)[1] for formula in parse(text)]
        return found

    def _first_of(self, write: Write) -> Line:
        """The first of the lines that made a value step by step, in place or under one number."""
        matched = [id(e.match) for e in self.entries if e.match is not write]
        for earlier in reversed(self.writes[: self.both.place[id(write)]]):
            goes_on = (earlier.number or earlier.name) == (write.number or write.name)
            if not goes_on or id(earlier) in matched:
                break
            write = earlier
        return write.line

    # ------------------------------------------------------------ reports

    def _stored(self) -> Difference | None:
        """A value that was right where it was made, and is not what `update` returned."""
        b = self.both.b.outcome
        for name in self.off:
            own = [e for e in self.entries if e.name == name]
            match = own[-1].match if own and own[-1].right else None
            if name not in b or match is None:
                continue
            later = self.writes[self.both.place[id(match)] + 1 :]
            last = [match, *(w for w in later if agree(b[name], w.value))][-1]
            of_last = [e for e in self.entries if e.match is last or e.number == last.number]
            return self._returned((of_last or own)[-1], name, last.line)
        return None

    def _unexplained(self) -> Difference:
        """The outcome differs, and no line does."""
        lines = self.both.b.lines
        return self._returned(None, self.off[0], lines[-1] if lines else None)

    def _returned(self, entry: Entry | None, name: str, line: Line | None) -> Difference:
        a, b = self.both.a, self.both.b
        number, text = (entry.number, entry.line.pseudocode) if entry else (None, "")
        values = a.outcome.get(name), b.outcome.get(name)
        what = "should be returned as EXPECTED, but is returned as GOT"
        other = entry.line if entry else None
        return Difference(number, text, a.step, a.param, name, *values, line, what, other)

    def _report(self, finding: _Finding) -> Difference:
        a, entry, write = self.both.a, self.entries[finding.at], finding.write
        return Difference(
            number=entry.number,
            pseudocode=entry.line.pseudocode,
            step=a.step,
            param=a.param,
            name=entry.name,
            expected=entry.value,
            got=write.value if write else None,
            line=write.line if write else entry.line,
            what=finding.what,
            other=entry.line,
        )
