"""Where runs end: the minimum reached from every start, and f for every lr.

>>> from npoptim import SGD
>>> found = basins("booth", SGD(lr=0.05), columns=8, steps=100)
>>> found.ends, found.shares
(('(1, 3)',), {'(1, 3)': 1.0})
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npoptim import surfaces
from npoptim.optimizers.base import Optimizer
from npoptim.optimizers.checks import nearest
from npoptim.race import GRID, lowest, outside, racers, scored
from npoptim.surfaces.base import Surface
from npoptim.surfaces.local import local_minima
from npoptim.trajectory import Trajectory, run

Array = NDArray[Any]
Progress = Callable[[list[Any]], Iterable[Any]]

#: What a start has in the place of the number of an end.
UNDER_WAY, DIVERGED = -1, -2

_COLUMNS = 160, 32  # of starts; the fewer for rules whose runs go one by one
_AT_ONCE = 500_000  # steps of all runs that are kept at the same time, about 50 MB
_SIDES = "left", "right", "bottom", "top"
_SHARES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999)  # of a memory kept by a step


@dataclass(frozen=True, eq=False)
class Basins:
    """Where an optimizer ends, from a grid of starts over the picture."""

    surface: Surface
    optimizer: Any  #: before its first step
    steps: int
    tolerance: float  #: of being at a minimum, as a share of the picture's diagonal
    x: Array  #: first coordinates of the starts in the plane of the picture, (columns,), rising
    y: Array  #: second coordinates, (rows,), rising
    outcome: Array  #: (rows, columns) numbers of `ends`, or UNDER_WAY, or DIVERGED
    end: Array  #: the last point of every run, (rows, columns, …)
    ends: tuple[str, ...]  #: the minima, or without one the sides by which runs leave the picture
    minima: Array  #: in the plane, (k, 2): the surface's own first, then local ones by height
    heights: Array  #: f at the minima, (k,)

    @property
    def shares(self) -> dict[str, float]:
        """The share of the starts that end at each of the ends, where it is not 0."""
        names = [*enumerate(self.ends), (UNDER_WAY, "still under way"), (DIVERGED, "diverged")]
        found = {name: float(np.mean(self.outcome == k)) for k, name in names}
        return {name: share for name, share in found.items() if share}

    def plot(self, theme: str = "light") -> Any:
        """The map; see `npoptim.view.landscapes.basins`."""
        from npoptim.view import landscapes

        return landscapes.basins(self, theme)

    def summary(self) -> dict[str, Any]:
        """The map in plain numbers, lists and strings."""
        return {
            "surface": repr(self.surface),
            "optimizer": repr(self.optimizer),
            "steps": self.steps,
            "tolerance": self.tolerance,
            "starts": list(self.outcome.shape),
            "minima": self.minima.tolist(),
            "heights": self.heights.tolist(),
            "shares": self.shares,
        }


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """f at the end of runs over lr × one other thing."""

    surface: Surface
    optimizer: Any  #: before its first step; a list where the rows are optimizers
    steps: int
    lrs: tuple[float, ...]  #: of the columns
    over: str  #: what differs between rows: a hyper-parameter, "steps" or "optimizer"
    values: tuple[Any, ...]  #: of the rows; names where they are optimizers
    #: (rows, columns); NaN where the run left the picture, on a surface with a minimum
    f: Array
    start: float  #: f at the start
    bottom: float  #: f at the minimum, or what stands for it without one, as in a race

    @property
    def best(self) -> tuple[int, int] | None:
        """Row and column of the lowest f; None if every run left the picture."""
        if np.isnan(self.f).all():
            return None
        row, column = np.unravel_index(np.nanargmin(self.f), self.f.shape)
        return int(row), int(column)

    def plot(self, theme: str = "light") -> Any:
        """A heat map, or curves of several optimizers; see `npoptim.view.landscapes`."""
        from npoptim.view import landscapes

        return landscapes.sensitivity(self, theme)

    def summary(self) -> dict[str, Any]:
        """The map in plain numbers, lists and strings; None where a run left the picture."""
        return {
            "surface": repr(self.surface),
            "optimizer": repr(self.optimizer),
            "steps": self.steps,
            "lr": list(self.lrs),
            "over": self.over,
            "values": list(self.values),
            "f": [[None if np.isnan(f) else float(f) for f in row] for row in self.f],
            "start": self.start,
            "bottom": self.bottom,
            "best": self.best,
        }


def basins(
    surface: Any,
    opt: Any,
    *,
    steps: int = 500,
    columns: int | None = None,
    tolerance: float = 0.02,
    progress: Progress | None = None,
) -> Basins:
    """Which minimum an optimizer reaches from which start.

    The starts are the centres of a grid of `columns` over `surface.bounds`,
    and of as many rows as make its cells square: by default 160, and 32 for a
    rule whose runs go one by one. Every run is that of `npo.run`, bit for bit.

    A run has reached the minimum nearest to its end if it is within
    `tolerance` of it, a share of the diagonal of the picture. Else it is still
    under way, or has diverged: its numbers became infinite, or it ends outside
    the picture and higher than it began. Local minima in the picture, which
    `surface.minima` does not list, are found and count too. Where minima are
    no single points, as on the factorisation surface, a run at any of them
    counts for the nearest that is listed. On a surface without a minimum runs
    end where they leave the picture, on one of its four sides.

    `progress` may wrap the list of what is to be done, as `tqdm` does.

    Raises TypeError or ValueError for anything that is no surface, optimizer,
    number of steps or columns, or tolerance.

    >>> from npoptim import Momentum
    >>> list(basins("himmelblau", Momentum(lr=0.001), columns=8).shares)
    ['(3, 2)', '(−2.81, 3.13)', '(−3.78, −3.28)', '(3.58, −1.85)']
    """
    surface = _surface(surface)
    run(surface, opt, steps=0)  # says what is wrong with an optimizer
    steps = _positive("steps", steps)
    if isinstance(opt, Sequence):
        raise TypeError(f"opt must be one optimizer. Got a list of {len(opt)} instead.")
    if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float)):
        raise TypeError(f"tolerance must be a float in the range (0, 1). Got {tolerance!r}.")
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance must be a float in the range (0, 1). Got {tolerance} instead.")
    together = getattr(opt, "scope", "") == "element"
    columns = _positive("columns", _COLUMNS[not together] if columns is None else columns)
    (x0, x1), (y0, y1) = surface.bounds
    x, y = _centres(x0, x1, columns), _centres(y0, y1, round(columns * (y1 - y0) / (x1 - x0)) or 1)
    starts = surface.lift(np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2))
    each = max(_AT_ONCE // (steps + 1), 1) if together else columns
    parts = [starts[i : i + each] for i in range(0, len(starts), each)]
    minima, ends = _minima(surface)
    own = len(surface.minima)
    reach = tolerance * float(np.hypot(x1 - x0, y1 - y0))
    found, last = [], []
    for part in progress(parts) if progress else parts:
        path = run(surface, opt, part, steps)
        last.append(path.x[-1])
        found.append(_reached(path, minima, own, reach) if own else _left(path))
    outcome = np.concatenate(found).reshape(len(y), len(x))
    end = np.concatenate(last).reshape(len(y), len(x), *surface.shape)
    heights = surface.f(minima) if own else np.empty(0)
    marks = surface.project(minima) if own else np.empty((0, 2))
    return Basins(surface, opt.fresh(), steps, tolerance, x, y, outcome, end, ends, marks, heights)


def sensitivity(
    surface: Any,
    opt: Any,
    over: str | None = None,
    values: Sequence[Any] | None = None,
    *,
    lrs: Sequence[float] = GRID,
    steps: int = 500,
    progress: Progress | None = None,
) -> Sensitivity:
    """f after `steps` steps over lr × a second hyper-parameter, from the surface's start.

    `over` is the name of a number of the optimizer (beta1, beta2, … for
    betas) or "steps"; by default the first that says how long something is
    remembered, or else the first beside lr, or else "steps". `values` are
    what it takes. A list of optimizers or their names gives a row for each,
    the names with weight decay 0 as in a race.

    f and not the distance to the minimum: every surface has f, and it is what
    an optimizer lowers. As in a race a run ends where it leaves the picture:
    then f is that of its last point inside on a surface without minimum, where
    the way down leads out, and NaN on the others.

    `progress` may wrap the list of what is to be done, as `tqdm` does.

    Raises TypeError or ValueError for anything that is no surface, optimizer,
    name, value, number of steps or lr.

    >>> from npoptim import SGD
    >>> found = sensitivity("quadratic", SGD(), "steps", [10, 100], lrs=[0.01, 0.1, 1])
    >>> found.f.round(2)
    array([[1.82, 0.2 ,  nan],
           [0.22, 0.  ,  nan]])
    """
    surface, steps = _surface(surface), _positive("steps", steps)
    lrs = tuple(float(lr) for lr in lrs)
    if not lrs or not all(0 < lr < np.inf for lr in lrs):
        raise ValueError(f"lrs must hold numbers in the range (0, inf). Got {lrs} instead.")
    if isinstance(opt, Sequence):
        if over is not None or values is not None:
            raise ValueError("over and values are for one optimizer; several are rows themselves.")
        field = racers(None if opt == "all" else opt)
        over, values = "optimizer", tuple(name for name, _ in field)
        rows = [rule for _, rule in field]
    else:
        run(surface, opt, steps=0)
        over, values = _second(opt, over, values, steps)
        many = over != "steps"
        rows = [_with(opt, over, value) for value in values] if many else [opt]
        steps = steps if many else max(values)
    for rule in rows:
        if "lr" not in _hyper(rule):
            raise ValueError(f"opt must have an lr to vary. Got {rule!r} instead.")
    times = list(values) if over == "steps" else [steps]
    f = []
    for rule in progress(rows) if progress else rows:
        path = run(surface, [rule.replace(lr=lr) for lr in lrs], steps=steps)
        f.extend(_ended(path, times))
    start = float(surface.f(surface.start))
    shown = [rule.fresh() for rule in rows] if over == "optimizer" else opt.fresh()
    return Sensitivity(
        surface, shown, steps, lrs, over, tuple(values), np.array(f), start, lowest(surface)
    )


def numbers(rule: Any) -> dict[str, tuple[str, int | None]]:
    """What can be varied of a rule: name -> field, and which of several numbers.

    >>> from npoptim import Lion
    >>> list(numbers(Lion()))
    ['lr', 'beta1', 'beta2', 'weight_decay']
    """
    found: dict[str, tuple[str, int | None]] = {}
    for field, value in _hyper(rule).items():
        if isinstance(value, tuple):
            stem = "beta" if field == "betas" else field
            found |= {f"{stem}{i + 1}": (field, i) for i in range(len(value))}
        else:
            found[field] = (field, None)
    return found


def _hyper(rule: Any) -> dict[str, Any]:
    return rule.hyper() if isinstance(rule, Optimizer) else {}


def _value(rule: Any, name: str) -> Any:
    field, i = numbers(rule)[name]
    value = _hyper(rule)[field]
    return value if i is None else value[i]


def _with(rule: Any, name: str, value: float) -> Any:
    """The rule with another number, which is checked."""
    field, i = numbers(rule)[name]
    old = _hyper(rule)[field]
    new = value if i is None else (*old[:i], value, *old[i + 1 :])
    changed = rule.replace(**{field: new})
    changed.at(1)
    return changed


def _allowed(rule: Any, name: str, value: float) -> bool:
    try:
        _with(rule, name, value)
    except (TypeError, ValueError):
        return False
    return True


def _second(
    rule: Any, over: str | None, values: Sequence[Any] | None, steps: int
) -> tuple[str, tuple[Any, ...]]:
    """Name and values of what differs between rows, checked or chosen."""
    others = [name for name in numbers(rule) if name != "lr"]
    if over is None:
        plain = [name for name in others if isinstance(_value(rule, name), float)]
        memories = [name for name in plain if _is_memory(rule, name)]
        over = next(iter([*memories, *plain, "steps"]))
    if over not in [*others, "steps"]:
        raise ValueError(
            f"over must be {', '.join([*others, 'steps'])}. Got {over!r} instead."
            f"{nearest(str(over), [*others, 'steps'])}"
        )
    if values is not None and not len(values):
        raise ValueError("values must hold at least one. Got none.")
    if over == "steps":
        rising = np.unique(np.geomspace(1, steps, 12).round().astype(int)).tolist()
        return over, tuple(_positive("values", n) for n in (rising if values is None else values))
    if values is not None:
        return over, tuple(float(v) for v in values)
    now = _value(rule, over)
    if not isinstance(now, float):
        raise ValueError(f"values must be given for {over}, which is {now!r}.")
    likely = _SHARES if _is_memory(rule, over) else [(now or 1e-3) * 4.0**k for k in range(-5, 5)]
    return over, tuple(float(f"{v:.3g}") for v in likely if _allowed(rule, over, v))


def _is_memory(rule: Any, name: str) -> bool:
    """Whether a number is a share below 1, as momentum and β are."""
    now = _value(rule, name)
    return isinstance(now, float) and 0.5 <= now < 1 and not _allowed(rule, name, 1.0)


def _ended(path: Trajectory, times: Sequence[int]) -> list[Array]:
    """f after so many steps, (B,) each."""
    f, out = scored(path), outside(path)
    if len(path.surface.minima):
        f = np.where(out, np.nan, f)
    return [f[t] for t in times]


def _reached(path: Trajectory, minima: Array, own: int, reach: float) -> Array:
    """The number of the minimum at the end of every run, (B,)."""
    surface, end = path.surface, path.x[-1]
    low, high = np.array(surface.bounds).T
    u = surface.project(end)
    with np.errstate(all="ignore"):
        gaps = (end[:, None] - minima).reshape(len(end), len(minima), -1)
        apart = np.linalg.norm(gaps, axis=-1)
    number = np.argmin(np.nan_to_num(apart, nan=np.inf), axis=1)
    away = np.take_along_axis(apart, number[:, None], axis=1)[:, 0]
    away = np.where(number < own, surface.distance(end), away)
    # comparisons that are False for NaN
    inside = ((u >= low) & (u <= high)).all(axis=-1)
    lost = ~(inside | (path.f[-1] <= path.f[0]))
    return np.where(away <= reach, number, np.where(lost, DIVERGED, UNDER_WAY))


def _left(path: Trajectory) -> Array:
    """The number of the side by which every run leaves the picture, (B,)."""
    out = outside(path)
    first = np.argmax(out, axis=0)
    u = path.surface.project(path.x[first, np.arange(len(first))])
    low, high = np.array(path.surface.bounds).T
    beyond = np.stack([low - u, u - high], axis=-1) / (high - low)[:, None]
    lost = np.isnan(u).any(axis=-1)
    side = np.argmax(np.where(lost[:, None], 0, beyond.reshape(-1, 4)), axis=1)
    return np.where(lost, DIVERGED, np.where(out[-1], side, UNDER_WAY))


def _minima(surface: Surface) -> tuple[Array, tuple[str, ...]]:
    """All minima in the picture, the surface's own first, and what they are called."""
    if not len(surface.minima):
        return surface.minima, tuple(f"leaves at the {side}" for side in _SIDES)
    own, local = surface.project(surface.minima), local_minima(surface)
    words = [
        f"({', '.join(f'{round(c, 2) + 0:g}' for c in u)})".replace("-", "−")
        + " local" * (k >= len(own))
        for k, u in enumerate(np.concatenate([own, local]))
    ]
    return np.concatenate([surface.minima, surface.lift(local)]), tuple(words)


def _centres(low: float, high: float, n: int) -> Array:
    """The centres of n equal cells; of a symmetric interval exactly symmetric."""
    return np.asarray((low + high) / 2 + (high - low) / 2 * ((2 * np.arange(n) + 1 - n) / n))


def _surface(surface: Any) -> Surface:
    surface = surfaces.get(surface) if isinstance(surface, str) else surface
    if not isinstance(surface, Surface):
        raise TypeError(f"surface must be a Surface or its name. Got {surface!r} instead.")
    return surface


def _positive(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an int in the range [1, inf). Got {value!r} instead.")
    if value < 1:
        raise ValueError(f"{name} must be an int in the range [1, inf). Got {value} instead.")
    return int(value)
