"""Optimizers side by side: a race at everyone's best lr, and what each has to remember."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npoptim import surfaces
from npoptim.optimizers import get_optimizer
from npoptim.optimizers import optimizers as registered
from npoptim.optimizers.advance import compute_dtype, fresh_state
from npoptim.optimizers.base import Optimizer
from npoptim.surfaces.base import Surface
from npoptim.trajectory import Trajectory, run

Array = NDArray[Any]

#: The lr that everyone may try, four to a decade. Wide, for an lr means another thing to each:
#: a factor of the gradient (SGD), a length (Lion), a share of the parameter (LAMB, Adafactor).
GRID: tuple[float, ...] = tuple(float(f"{10 ** (k / 4):.2g}") for k in range(-20, 13))

#: Without a minimum f falls for ever; the bottom is then this share of the way from the start to
#: the lowest point of the picture.
_WITHOUT_MINIMUM = 0.75


@dataclass(frozen=True, eq=False)
class Entry:
    """One optimizer's race, at its best lr."""

    name: str  #: as `get_optimizer` takes it
    optimizer: Optimizer  #: at its best lr, before its first step
    trajectory: Trajectory  #: the run at that lr, as far as it is in the picture
    tried: Array  #: the last f in the picture at every lr of the grid
    edge: bool  #: whether the best lr is the grid's smallest or largest
    steps: int | None  #: steps until f is at the target for good; None if never
    state_nbytes: int  #: bytes of state for the surface's point
    us_per_step: float  #: µs of a plain `opt.step`, gradient not counted

    @property
    def label(self) -> str:
        """The name of the optimizer's class."""
        return type(self.optimizer).__name__

    @property
    def lr(self) -> float | None:
        """The best lr; None for an optimizer without one."""
        value = self.optimizer.hyper().get("lr")
        return value if isinstance(value, float) else None

    @property
    def f(self) -> float:
        """f at the end of the run."""
        return float(self.trajectory.f[-1])

    @property
    def distance(self) -> float:
        """Distance of the end to the nearest minimum; NaN if there is none."""
        return float(self.trajectory.distance[-1])


@dataclass(frozen=True, eq=False)
class Race:
    """The outcome of a race: entries in the order of arrival."""

    surface: Surface
    steps: int
    grid: tuple[float, ...]
    target: float  #: the f to reach
    entries: list[Entry]

    @property
    def seed(self) -> int | None:
        """The seed of the noise; None without noise."""
        return self.surface.seed if isinstance(self.surface, surfaces.Noisy) else None

    @property
    def alike(self) -> list[list[Entry]]:
        """The entries, those together whose paths no eye could tell apart."""
        low, high = np.array(self.surface.bounds).T
        groups: list[tuple[Array, list[Entry]]] = []
        for entry in self.entries:
            path = self.surface.project(entry.trajectory.x)
            for other, group in groups:
                if path.shape == other.shape and (np.abs(path - other) < (high - low) / 1000).all():
                    group.append(entry)
                    break
            else:
                groups.append((path, [entry]))
        return [group for _, group in groups]

    @property
    def conditions(self) -> list[str]:
        """What was the same for everyone, in a few words each."""
        start = ", ".join(f"{x:g}" for x in self.surface.project(self.surface.start))
        start = start.replace("-", "−")
        random = "nothing random" if self.seed is None else f"seed {self.seed}"
        return [
            f"{self.steps} steps from ({start})",
            random,
            f"each at the best lr of {len(self.grid)} tried, {self.grid[0]:g} to {self.grid[-1]:g}",
            "a run ends where it leaves the picture",
            "weight decay 0, all else at its default",
        ]

    def summary(self) -> dict[str, Any]:
        """The race in plain numbers, lists and strings; None stands for what does not exist."""
        return {
            "surface": repr(self.surface),
            "formula": self.surface.formula,
            "steps": self.steps,
            "seed": self.seed,
            "grid": list(self.grid),
            "target": self.target,
            "conditions": self.conditions,
            "optimizers": [
                {
                    "name": entry.name,
                    "optimizer": repr(entry.optimizer),
                    "lr": entry.lr,
                    "lr_at_edge": entry.edge,
                    "f": _plain(entry.f),
                    "distance": _plain(entry.distance),
                    "steps_to_target": entry.steps,
                    "steps_in_picture": entry.trajectory.steps,
                    "state_nbytes": entry.state_nbytes,
                    "us_per_step": round(entry.us_per_step, 2),
                    "f_tried": [_plain(f) for f in entry.tried],
                }
                for entry in self.entries
            ],
        }


def race(
    surface: Surface | str,
    optimizers: Sequence[str | Optimizer] | None = None,
    *,
    steps: int = 500,
    grid: Sequence[float] = GRID,
    tolerance: float = 1e-3,
    progress: Callable[[list[Any]], Iterable[Any]] | None = None,
) -> Race:
    """Race optimizers on a surface, each at the best lr of the same grid.

    `optimizers` are names, by default of all there are, or optimizers with
    hyper-parameters of their own. Named ones have their defaults but for the
    weight decay, which is 0: the minimum of a surface is not at 0, and decay
    would only move it. `progress` may wrap the list of what is to be done,
    as `tqdm` does.

    A run ends where it leaves the picture, `surface.bounds`: a path that nobody
    sees, over ground that nobody meant, wins nothing. The best lr is the
    fastest of those whose last f is the lowest, within `tolerance` of the
    height of the start over the minimum: where several lr reach the bottom
    the last digits of f say nothing, the steps it took do. The last f counts,
    not the best, for it is the last that an optimizer hands out.

    On a surface without a minimum the bottom is three quarters of the way to
    the lowest point of the picture.

    Raises TypeError or ValueError for anything that is no surface, optimizer,
    number of steps or grid.

    >>> result = race("quadratic", ["momentum", "sgd"])
    >>> [(entry.label, entry.lr, entry.steps) for entry in result.entries]
    [('SGD', 0.18, 17), ('Momentum', 0.032, 60)]
    """
    surface = surfaces.get(surface) if isinstance(surface, str) else surface
    if not isinstance(surface, Surface):
        raise TypeError(f"surface must be a Surface or its name. Got {surface!r} instead.")
    grid = tuple(float(lr) for lr in grid)
    if not grid or not all(a < b for a, b in pairwise((0.0, *grid, math.inf))):
        raise ValueError(f"grid must hold rising lr in the range (0, inf). Got {grid} instead.")
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance must be in the range (0, 1). Got {tolerance!r} instead.")
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1:
        raise ValueError(f"steps must be an int in the range [1, inf). Got {steps!r} instead.")
    field = racers(optimizers)
    start, bottom = float(surface.f(surface.start)), lowest(surface)
    slack = tolerance * max(start - bottom, 0)
    entries = []
    for name, rule in progress(field) if progress else field:
        known = "lr" in rule.hyper()
        candidates = [rule.replace(lr=lr) for lr in grid] if known else [rule.fresh()]
        runs = run(surface, candidates, steps=steps)
        f = scored(runs)
        last = np.where(np.isfinite(f[-1]), f[-1], np.inf)
        settled = _settled(f, max(float(last.min()), bottom) + slack)
        best = int(np.lexsort((last, settled))[0])
        path = _inside(runs[best])
        steps_to_target = int(_settled(f[:, [best]], bottom + slack)[0])
        entries.append(
            Entry(
                name,
                candidates[best],
                path,
                last,
                known and best in (0, len(grid) - 1),
                steps_to_target if steps_to_target <= steps else None,
                *_costs(candidates[0], surface),
            )
        )
    entries.sort(key=lambda e: (math.inf if e.steps is None else e.steps, e.f))
    return Race(surface, int(steps), grid, bottom + slack, entries)


def racers(optimizers: Sequence[str | Optimizer] | None = None) -> list[tuple[str, Optimizer]]:
    """Name and rule of everyone in a race; by default all there are.

    >>> racers(["adamw"])
    [('adamw', AdamW(lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0))]
    """
    if isinstance(optimizers, str):
        raise TypeError(f"optimizers must be a list, of names too. Got {optimizers!r} instead.")
    found: list[tuple[str, Optimizer]] = []
    for item in list(registered()) if optimizers is None else optimizers:
        if isinstance(item, Optimizer):
            name, rule = type(item).__name__.lower(), item.fresh()
        else:
            rule = get_optimizer(item)
            name = item.lower()
            if "weight_decay" in rule.hyper():
                rule = rule.replace(weight_decay=0.0)
        if name in dict(found):
            raise ValueError(f"optimizers must differ. Got {name!r} twice.")
        found.append((name, rule))
    if not found:
        raise ValueError("optimizers must name at least one. Got none.")
    return found


def lowest(surface: Surface) -> float:
    """f at the minimum, or what stands for it where there is none."""
    if len(surface.minima):
        return float(surface.f(surface.minima[0]))
    axes = [np.linspace(low, high, 201) for low, high in surface.bounds]
    least = surface.f(surface.lift(np.stack(np.meshgrid(*axes), axis=-1))).min()
    start = surface.f(surface.start)
    return float(start + _WITHOUT_MINIMUM * (least - start))


def outside(path: Trajectory) -> Array:
    """For every point whether the run has left the picture by then, (T + 1, …)."""
    low, high = np.array(path.surface.bounds).T
    u = path.surface.project(path.x)
    gone = ~((u >= low) & (u <= high)).all(axis=-1)
    return np.logical_or.accumulate(gone, axis=0)


def scored(runs: Trajectory) -> Array:
    """f over t, (T + 1, B), that stays where it was last inside the picture."""
    last = np.maximum((~outside(runs)).sum(axis=0) - 1, 0)
    t = np.minimum(np.arange(len(runs.f))[:, None], last)
    return np.take_along_axis(runs.f, t, axis=0)


def _inside(path: Trajectory) -> Trajectory:
    """The part of one run in the picture."""
    n = max(int((~outside(path)).sum()), 1)
    states = {slot: x[: n - 1] for slot, x in path.states.items()}
    x, f, g = path.x[:n], path.f[:n], path.g[: n - 1]
    return Trajectory(path.surface, path.optimizer, x, f, g, states)


def _settled(f: Array, level: float) -> Array:
    """The step from which on f is never above `level`, (B,); T + 1 if there is none."""
    stays = np.logical_and.accumulate((f <= level)[::-1], axis=0)
    return np.asarray(len(f) - stays.sum(axis=0))


def _costs(rule: Optimizer, surface: Surface) -> tuple[int, float]:
    """Bytes of state, and µs of a step: the fastest of five loops of a hundred."""
    g = copy.deepcopy(surface).grad(surface.start)  # not to use up noise that is a racer's
    fastest = math.inf
    for _ in range(5):
        opt, x = rule.fresh(), np.array(surface.start)
        opt.step(x, g)
        begin = time.perf_counter()
        for _ in range(100):
            opt.step(x, g)
        fastest = min(fastest, time.perf_counter() - begin)
    return opt.state_nbytes, fastest * 1e4


def _plain(x: float) -> float | None:
    return float(x) if math.isfinite(x) else None


@dataclass(frozen=True)
class Memory:
    """Bytes of state that optimizers keep for one parameter."""

    shape: tuple[int, ...]  #: of the parameter
    dtype: str  #: of the parameter; the state of float16 is float32
    parameter_nbytes: int  #: bytes of the parameter itself
    nbytes: dict[str, int]  #: bytes of state by optimizer, fewest first

    def against(self, other: str = "adam") -> dict[str, float]:
        """Every optimizer's bytes as a multiple of another's."""
        return {k: n / self.nbytes[other] for k, n in self.nbytes.items()}


def memory(shape: Sequence[int], dtype: str = "float32") -> Memory:
    """The exact bytes of state of every optimizer for a parameter of `shape`.

    They are counted on the state that the first step makes, not estimated.

    Raises ValueError for an empty or negative shape or a dtype that is not
    float16, float32 or float64.

    >>> memory((1024, 768)).nbytes["adafactor"]
    7168
    """
    shape = tuple(int(n) for n in shape)
    if not shape or min(shape) < 1:
        raise ValueError(f"shape must hold ints in the range [1, inf). Got {shape} instead.")
    if dtype not in ("float16", "float32", "float64"):
        raise ValueError(f"dtype must be float16, float32 or float64. Got {dtype!r} instead.")
    zero = np.zeros((), compute_dtype(np.dtype(dtype))).view(_Weightless)
    p = np.broadcast_to(zero, shape, subok=True)
    nbytes = {
        name: sum(x.nbytes for x in fresh_state(cls(), p).values())
        for name, cls in registered().items()
    }
    size = math.prod(shape) * np.dtype(dtype).itemsize
    return Memory(shape, dtype, size, dict(sorted(nbytes.items(), key=lambda kv: kv[1])))


class _Weightless(np.ndarray[Any, Any]):
    """Zeros of any shape in the memory of one, also when made or summed from such."""

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function is np.zeros_like and args[1:] == () and not kwargs:
            return args[0]
        if function is np.sum and set(kwargs) <= {"axis"}:
            axis = kwargs["axis"] if kwargs else args[1]
            zero = self[(0,) * self.ndim + (...,)]
            return np.broadcast_to(zero, np.delete(self.shape, axis), subok=True)
        return super().__array_function__(function, types, args, kwargs)
