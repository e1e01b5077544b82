"""A rule on a surface, watched: every line's numbers at every step, from several starts."""

from __future__ import annotations

import copy
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from npoptim import surfaces
from npoptim.extras import callable_module
from npoptim.optimizers.checks import NonFiniteError
from npoptim.optimizers.driver import Driver
from npoptim.trace import Line, trace
from npoptim.trace.lines import Part, canonical, known_names
from npoptim.trajectory import run

Array = NDArray[Any]

#: Where in a picture runs begin beside the surface's own start, as shares of width and height:
#: Halton points, which spread without lying on an axis of symmetry.
_OTHERS = ((0.75, 0.11), (0.25, 0.67), (0.125, 0.44), (0.625, 0.78), (0.875, 0.56), (0.375, 0.22))
_STARTS = 5  # at most, unless they are given
_APART = 0.12  # least distance of two of them, and to a minimum, as a share of the picture
_NUMBERS = 66_000  # of all rules and starts: what a page of 400 KB has room for
_LARGEST = 16  # elements of an array that is shown


@dataclass(eq=False)
class Row:
    """A line of code, and what it made at every step of every run."""

    number: int | None  #: its line of the box
    pseudocode: str  #: that line
    code: str  #: the source; empty for what the driver does
    #: name -> one array for every run, (n, …), NaN where the line did not run; the names are
    #: the box's where it has one for it
    values: dict[str, list[Array]]


@dataclass(eq=False)
class Run:
    """One optimizer from one start, as far as it went: n steps."""

    x: Array  #: points, (n + 1, …); the first is the start
    f: Array  #: values of f, (n + 1,)
    gradient: Array  #: in the plane of the picture, (n, 2)
    momentum: Array  #: what is remembered of gradients, downhill, in that plane; (n, 2) or (0, 2)
    note: str  #: why it ended before its time, if it did

    @property
    def steps(self) -> int:
        """n, the number of steps it took."""
        return len(self.x) - 1


@dataclass(eq=False)
class Watched:
    """One optimizer: its lines, and its runs from every start."""

    optimizer: Driver  #: before its first step
    label: str  #: what sets it apart from the others
    rows: list[Row]
    momentum: str  #: the slot of its momentum, signed as what leads downhill: "-m"; or empty
    runs: list[Run]

    @property
    def name(self) -> str:
        """The name of the rule's class."""
        return type(self.optimizer._rule("p")).__name__


@dataclass(eq=False)
class Exploration:
    """What `explore` found: a page to save, or to look at in a notebook."""

    surface: surfaces.Surface
    steps: int  #: steps asked for
    starts: Array  #: points, (B, …); the first is the one to show first
    watched: list[Watched]  #: one for every optimizer

    @cached_property
    def html(self) -> str:
        """The page, whole: it needs no network and no other file."""
        from npoptim.view import player

        return player.page(self)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page to a file; folders are made."""
        from npoptim.view.files import save_text

        return save_text(self.html, path)

    def _repr_html_(self) -> str:
        from npoptim.view import player

        return player.frame(self)

    def __repr__(self) -> str:
        names = ", ".join(watched.label for watched in self.watched)
        starts = "1 start" if len(self.starts) == 1 else f"{len(self.starts)} starts"
        return f"<Exploration: {names} on {self.surface.name}, {self.steps} steps from {starts}>"


def explore(surface: Any, opt: Any, start: Any = None, steps: int = 500) -> Exploration:
    """Watch an optimizer on a surface: a page with its path, and its box with all the numbers.

    `surface` is a surface or its name; `opt` an optimizer or a list of them,
    side by side, and each runs as a fresh copy. `start` is the point to show
    first, by default the surface's own; some more over the picture are there
    to choose from, as many as 400 KB have room for. An array (B, 2) of points
    means these and no others. A run that diverges ends there, and says so.

    >>> from npoptim import AdamW
    >>> page = explore("booth", AdamW(lr=0.3), start=[[0.0, 0.0]], steps=20)
    >>> page
    <Exploration: AdamW on booth, 20 steps from 1 start>
    >>> row = page.watched[0].rows[-1]
    >>> row.pseudocode, row.values["p"][0].shape
    ('θ ← θ − lr m̂ / (√v̂ + ε) − lr λ θ', (20, 2))

    `page.save("adamw.html")` writes it; in Jupyter it shows itself.

    Raises TypeError or ValueError for anything that is no surface, optimizer,
    point or number of steps, OSError for an optimizer whose source Python has
    not kept.
    """
    surface = surfaces.get(surface) if isinstance(surface, str) else surface
    optimizers = list(opt) if isinstance(opt, Sequence) else [opt]
    if not optimizers:
        raise ValueError("opt must hold at least one optimizer. Got none.")
    for one in optimizers:
        run(surface, one, start, steps=0)  # says what is wrong with these three
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1:
        raise ValueError(f"steps must be an int in the range [1, inf). Got {steps!r} instead.")
    starts = np.array(surface.start if start is None else start, dtype=float)
    given = starts.ndim > len(surface.shape)
    starts = starts if given else _spread(surface, starts)
    room = np.inf if given else _NUMBERS
    found: list[list[_Recording]] = [[] for _ in optimizers]
    for x in starts:
        recorded = [_record(surface, one.fresh(), x, int(steps)) for one in optimizers]
        if found[0] and sum(r.size for r in recorded) > room:
            break
        room -= sum(r.size for r in recorded)
        for runs, recording in zip(found, recorded, strict=True):
            runs.append(recording)
    watched = [
        Watched(one.fresh(), label, _rows(runs), runs[0].momentum, [r.run for r in runs])
        for one, label, runs in zip(optimizers, _labels(optimizers), found, strict=True)
    ]
    return Exploration(surface, int(steps), starts[: len(found[0])], watched)


def _spread(surface: Any, first: Array) -> Array:
    """`first`, and some points spread over the picture."""
    low, high = np.array(surface.bounds).T
    starts, taken = [first], [surface.project(first)]
    taken += list(surface.project(surface.minima)) if len(surface.minima) else []
    for share in np.array(_OTHERS):
        u = np.round(low + share * (high - low), 2)
        apart = min(np.hypot(*((u - v) / (high - low))) for v in taken)
        if len(starts) < _STARTS and apart > _APART:
            taken.append(u)
            starts.append(surface.lift(u))
    return np.array(starts)


def _labels(optimizers: list[Driver]) -> list[str]:
    """The names of the rules, with the hyper-parameters in which those of one class differ."""
    rules = [opt._rule("p") for opt in optimizers]
    labels = []
    for rule in rules:
        kin = [other.hyper() for other in rules if type(other) is type(rule)]
        own = {k: v for k, v in rule.hyper().items() if any(other[k] != v for other in kin)}
        values = ", ".join(f"{k} {f'{v:g}' if isinstance(v, float) else v}" for k, v in own.items())
        labels.append(f"{type(rule).__name__} {values}".strip())
    return labels


class _Recording(NamedTuple):
    """One optimizer from one start: the run, and the trace of it step by step."""

    run: Run
    parts: list[Part]
    momentum: str

    @property
    def size(self) -> int:
        """About how many numbers change from step to step."""
        last = self.parts[-1].lines if self.parts else []
        lines = [x for x in last if not x.pseudocode.startswith(("given", "t ←"))]
        return self.run.steps * (7 + sum(np.size(v) for x in lines for v in x.values.values()))


def _record(surface: Any, opt: Driver, x: Array, steps: int) -> _Recording:
    p, source = x.copy(), copy.deepcopy(surface)
    gradients: list[Array] = []

    def grad(p: Array) -> Array:
        gradients.append(source.grad(p))
        return gradients[-1]

    slot, sign = _momentum(opt, p)
    note = ""
    try:
        parts = trace(opt, p, grad, steps).parts
    except NonFiniteError as error:
        parts = error.trace.parts[: opt.t]  # type: ignore[attr-defined]
        note = f"Diverged at step {opt.t + 1}: {error}"
    points = np.array([x, *(part.outcome["p"] for part in parts)])
    remembered = [sign * part.outcome[slot] for part in parts] if slot else []
    gradient = _in_plane(surface, gradients[: len(parts)])
    with np.errstate(all="ignore"):
        f = surface.f(points)
    run = Run(points, f, gradient, _in_plane(surface, remembered), note)
    return _Recording(run, parts, f"{'-' if sign < 0 else ''}{slot}")


# A line by what tells it from the others of a step: number, pseudocode, code, line in the file,
# how many such came before it.
_Key = tuple[int | None, str, str, int | None, int]


def _rows(recordings: list[_Recording]) -> list[Row]:
    """The lines of all steps of all runs; one that only some came to stands where they did."""
    keys: list[_Key] = []
    found: dict[_Key, dict[str, list[dict[int, Array]]]] = {}  # key -> name -> run -> t -> value
    for k, recording in enumerate(recordings):
        for part in recording.parts:
            known, at = known_names(part.box), len(keys)
            for key, line in reversed(list(_keyed(part.lines))):
                if key not in found:
                    keys.insert(at, key)
                    found[key] = {}
                at = keys.index(key)
                for name, value in line.values.items():
                    numbers = _numbers(value)
                    if numbers is not None:
                        name = canonical(name, line.roles, known)
                        runs = found[key].setdefault(name, [{} for _ in recordings])
                        runs[k][part.step] = numbers
    steps = [recording.run.steps for recording in recordings]
    return [
        Row(*key[:3], {name: _dense(runs, steps) for name, runs in found[key].items()})
        for key in keys
    ]


def _keyed(lines: list[Line]) -> Iterator[tuple[_Key, Line]]:
    seen: Counter[Any] = Counter()
    for line in lines:
        key = line.number, line.pseudocode, line.code, line.lineno
        seen[key] += 1
        yield (*key, seen[key]), line


def _numbers(value: Any) -> Array | None:
    """A value as an array; None for what is none, or too large to be shown."""
    with suppress(TypeError, ValueError):
        numbers: Array = np.asarray(value, dtype=float)
        return numbers if numbers.size <= _LARGEST else None
    return None


def _dense(runs: list[dict[int, Array]], steps: list[int]) -> list[Array]:
    """For every run t -> value as one array, NaN where there is none of the usual shape."""
    shape = next(x for by_step in runs for x in by_step.values()).shape
    dense = [np.full((n, *shape), np.nan) for n in steps]
    for numbers, by_step in zip(dense, runs, strict=True):
        for t, value in by_step.items():
            if value.shape == shape:
                numbers[t - 1] = value
    return dense


def _momentum(opt: Driver, p: Array) -> tuple[str, int]:
    """The slot that turns with the gradient, and the sign that points it downhill.

    Tried out on a step up and a step down from 0, so that no name need be known.
    """
    zero, one = np.zeros_like(p), np.ones_like(p)
    # a student's code may raise anything here; it is the trace that shows it
    with suppress(Exception), np.errstate(all="ignore"):
        rule = opt._rule("p").fresh().at(1)
        init, update = rule.form(zero)
        up, down = (update(zero, sign * one, 1, **init(zero))[1] for sign in (1, -1))
        for slot, x in up.items():
            if np.shape(x) == p.shape and np.all(x) and np.array_equal(x, -down[slot]):
                return slot, -int(np.sign(x.flat[0]))
    return "", 0


def _in_plane(surface: Any, vectors: list[Array]) -> Array:
    """Vectors, not points, in the plane of the picture."""
    if not vectors:
        return np.empty((0, 2))
    directions = surface.plane[1].reshape(2, -1)
    flat: Array = np.array(vectors).reshape(len(vectors), -1) @ directions.T
    return flat


callable_module(__name__, explore)
