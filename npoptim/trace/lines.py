"""What a traced step consists of: lines, the steps of one parameter, the whole trace."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, overload

from npoptim.optimizers.box import DRIVER_LINES
from npoptim.trace.maths import compute
from npoptim.trace.notation import NotationError, parse, targets
from npoptim.trace.recorder import Event
from npoptim.trace.substitute import substituted
from npoptim.trace.values import as_json


@dataclass(frozen=True, eq=False)
class Line:
    """One line of a step as it ran."""

    step: int  #: the optimizer's t
    param: str  #: name of the parameter
    number: int | None  #: its line of the box; None for code that belongs to none
    pseudocode: str  #: that line of the box
    code: str  #: the source; empty for what the driver does
    substituted: str  #: the code with its numbers put in
    values: dict[str, Any]  #: name -> what the line made of it, copied
    before: dict[str, Any] = field(default_factory=dict, repr=False)  #: all values before it ran
    lineno: int | None = field(default=None, repr=False)  #: where the code stands in its file
    tagged: bool = field(default=False, repr=False)  #: whether the code says the number itself
    failed: bool = field(default=False, repr=False)  #: whether an exception ended it
    roles: Mapping[str, str] = field(default_factory=dict, repr=False)  # own name -> driver's

    def to_json(self) -> dict[str, Any]:
        """The line for JSON: large arrays summarised; of `before` only what it changed."""
        return {
            "step": self.step,
            "param": self.param,
            "number": self.number,
            "pseudocode": self.pseudocode,
            "code": self.code,
            "substituted": self.substituted,
            "before": {k: as_json(self.before[k]) for k in self.values if k in self.before},
            "values": {k: as_json(v) for k, v in self.values.items()},
        }


@dataclass(frozen=True, eq=False)
class Part:
    """What one step did to one parameter."""

    step: int
    param: str
    box: dict[int, str]
    lines: list[Line]
    outcome: dict[str, Any]  # "p" and the slots as `update` returned them; empty if it did not


class Trace(Sequence[Line]):
    """The lines of some steps, one by one, with their values.

    A sequence of `Line`; `str()` is a table, `to_json()` what a page needs.
    """

    def __init__(self, optimizer: str, parts: list[Part], params: dict[str, Any]) -> None:
        self.optimizer = optimizer  #: its repr
        self.parts = parts  #: the lines by step and parameter
        self.params = params  #: name -> the parameter after the last step, copied
        self.lines = [line for part in parts for line in part.lines]  #: every line in order

    def __len__(self) -> int:
        return len(self.lines)

    @overload
    def __getitem__(self, index: int) -> Line: ...
    @overload
    def __getitem__(self, index: slice) -> list[Line]: ...
    def __getitem__(self, index: int | slice) -> Line | list[Line]:
        return self.lines[index]

    def __iter__(self) -> Iterator[Line]:
        return iter(self.lines)

    @property
    def boxes(self) -> dict[str, dict[int, str]]:
        """The box that holds for each parameter: name -> line number -> text."""
        return {part.param: part.box for part in self.parts}

    def __repr__(self) -> str:
        steps = len({part.step for part in self.parts})
        return f"<Trace of {self.optimizer}: {steps} step{'s' * (steps != 1)}, {len(self)} lines>"

    def __str__(self) -> str:
        from npoptim.view.terminal import table

        return table(self)

    def _repr_html_(self) -> str:
        from npoptim.view.stepper import html

        return str(html(self))

    def to_json(self) -> str:
        """The trace as JSON: optimizer, boxes, final parameters and lines.

        A value is a number, {"shape", "data"} for an array of up to 16
        elements, {"shape", "dtype", "norm", "min", "max", "head"} for a
        larger one, or a list or dict of these; nan and inf are strings.
        """
        content = {
            "optimizer": self.optimizer,
            "boxes": {
                name: [[number, text] for number, text in box.items()]
                for name, box in self.boxes.items()
            },
            "params": {name: as_json(p) for name, p in self.params.items()},
            "lines": [line.to_json() for line in self.lines],
        }
        return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def lines_of(
    step: int, param: str, box: dict[int, str], events: list[Event], given: list[Any]
) -> list[Line]:
    """The lines of one parameter's step, those of the driver among them.

    `events` are those of `init` and `update`; `given` what `update` got as p, g and t.
    """
    said = {event.source.init for event in events if event.unit.numbers}
    made: list[Line] = []
    lines: list[Line] = []
    known = known_names(box)
    for event in events:
        names = {k: canonical(k, event.source.roles, known) for k in event.values}
        by_name = event.source.init not in said
        numbers = _by_name(event, names, box) if by_name else event.unit.numbers
        target = made if event.source.init else lines
        target.extend(_expanded(step, param, box, event, numbers, names))
    _insert(lines, made)
    if len(given) > 2:
        done = ({"t": given[2]}, {"g": given[1]})
        before: tuple[dict[str, Any], ...] = ({"t": given[2] - 1}, {})
        for number, text in box.items():
            if text in DRIVER_LINES:
                which = DRIVER_LINES.index(text)
                line = Line(step, param, number, text, "", "", done[which], before[which])
                _insert(lines, [line])
    return lines


def known_names(box: Mapping[int, str]) -> set[str]:
    """The names in code of all letters that a box gives or assigns."""
    return {name for text in box.values() for name in targets(text)}


def canonical(name: str, roles: Mapping[str, str], known: set[str]) -> str:
    """The box's name for a name of the code: itself, or what it stands for."""
    return name if name in known else roles.get(name, name.removeprefix("self."))


def in_paper(values: Mapping[str, Any], roles: Mapping[str, str]) -> dict[str, Any]:
    """Values under the driver's names too, where the code has its own."""
    return {**{role: values[own] for own, role in roles.items() if own in values}, **values}


@lru_cache(maxsize=1024)
def is_start(text: str) -> bool:
    """Whether a line of a box does nothing but set values at the start: m ← 0, v ← 0."""
    try:
        formulas = parse(text)
    except NotationError:
        return False
    return bool(formulas) and all(f.tree.kind == "number" for f in formulas)


def _insert(lines: list[Line], new: list[Line]) -> None:
    """Put lines where their number belongs; unnumbered code stays with the line it leads to."""
    number = max((line.number or 0 for line in new), default=0)
    at = next((i for i, line in enumerate(lines) if (line.number or 0) > number), len(lines))
    while at and lines[at - 1].number is None:
        at -= 1
    lines[at:at] = new


def _by_name(event: Event, names: Mapping[str, str], box: Mapping[int, str]) -> tuple[int, ...]:
    """The lines of the box that assign what an event assigned."""
    found = []
    for name in names.values():
        lines = [k for k, text in box.items() if name in targets(text) and text not in DRIVER_LINES]
        starts = [k for k in lines if is_start(box[k])]
        found += starts[:1] if event.source.init else [k for k in lines if k not in starts][-1:]
    return tuple(sorted(set(found)))


def _expanded(
    step: int,
    param: str,
    box: Mapping[int, str],
    event: Event,
    numbers: tuple[int, ...],
    names: Mapping[str, str],
) -> Iterator[Line]:
    """An event as lines: one for every line of the box that it carries.

    What the code never forms, v in `u = over_root(g, R, C)`, is computed from the box.
    """
    unit, source = event.unit, event.source
    text = substituted(unit, event.before, source.function.__globals__)
    before, rest = event.before, event.values
    for number in numbers or (None,):
        pseudocode = box.get(number, "") if number else ""
        values = rest
        if number and number != numbers[-1]:
            assigned = targets(pseudocode)
            values = {k: v for k, v in rest.items() if names[k] in assigned}
            if not values and not event.failed:
                values = _computed(pseudocode, in_paper(before, source.roles))
        yield Line(
            step=step,
            param=param,
            number=number,
            pseudocode=pseudocode,
            code=unit.code,
            substituted=text,
            values=values,
            before=before,
            lineno=unit.lineno,
            tagged=bool(unit.numbers),
            failed=event.failed,
            roles=source.roles,
        )
        rest = {k: v for k, v in rest.items() if k not in values}
        before = {**before, **values}


def _computed(pseudocode: str, env: Mapping[str, Any]) -> dict[str, Any]:
    """What a line of the box assigns; nothing if it cannot be known."""
    try:
        return dict(compute(formula, env) for formula in parse(pseudocode))
    except NotationError:
        return {}
