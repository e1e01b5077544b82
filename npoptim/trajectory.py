"""Runs on surfaces, and what they leave behind: arrays over t."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

from npoptim import surfaces
from npoptim.optimizers.advance import fresh_state, updated
from npoptim.optimizers.base import Optimizer, State
from npoptim.optimizers.checks import finite
from npoptim.optimizers.driver import Driver
from npoptim.optimizers.quiet import quiet

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Trajectory:
    """What a run on a surface leaves behind.

    Shapes are for one run of T steps on a surface of points of shape (2,); B
    runs at once put B after T. From the step at which a run diverges (a NaN
    or an infinity in the gradient, the point or the state) all its numbers
    are NaN.
    """

    surface: Any  #: the surface
    optimizer: Any  #: the optimizer, before its first step; a list where B differ
    x: Array  #: points, (T + 1, 2); the first is the start
    f: Array  #: values of f, (T + 1,)
    g: Array  #: gradients, (T, 2); g[t - 1] is step t's
    states: State  #: slot -> what was remembered after each step, (T, …)

    @property
    def steps(self) -> int:
        """T, the number of steps asked for."""
        return len(self.g)

    @property
    def diverged(self) -> Any:
        """The step at which the run diverged, 0 if it did not; (B,) for B runs."""
        lost = np.isnan(self.x).any(axis=tuple(range(self.f.ndim, self.x.ndim)))
        first = np.argmax(lost, axis=0)
        return int(first) if first.ndim == 0 else first

    @property
    def distance(self) -> Array:
        """Distance to the nearest minimum, (T + 1,); NaN where the surface has none."""
        return self.surface.distance(self.x)  # type: ignore[no-any-return]

    def __getitem__(self, run: int) -> Trajectory:
        """One of B runs."""
        if self.f.ndim == 1:
            raise TypeError("this trajectory is of one run; only several can be indexed.")
        optimizer = self.optimizer[run] if isinstance(self.optimizer, list) else self.optimizer
        states = {slot: x[:, run] for slot, x in self.states.items()}
        return Trajectory(
            self.surface, optimizer, self.x[:, run], self.f[:, run], self.g[:, run], states
        )

    def __repr__(self) -> str:
        runs = f"{self.f.shape[1]} runs of " if self.f.ndim > 1 else ""
        end = "" if self.f.ndim > 1 else f", f {self.f[0]:.3g} -> {self.f[-1]:.3g}"
        if self.f.ndim == 1 and self.diverged:
            end = f", diverged at step {self.diverged}"
        who = self.optimizer[0] if isinstance(self.optimizer, list) else self.optimizer
        return f"<Trajectory: {runs}{self.steps} steps of {who!r} on {self.surface.name}{end}>"

    def plot(self, **options: Any) -> Any:
        """The path on the contours, and f over t; see `npoptim.view.plots.trajectory`."""
        from npoptim.view import plots

        return plots.trajectory(self, **options)


def run(surface: Any, opt: Any, start: Any = None, steps: int = 500) -> Trajectory:
    """Run an optimizer on a surface and record every step.

    `surface` is a surface or its name. `start` is a point, by default the
    surface's own, or an array (B, 2) of B points; `opt` is an optimizer, or a
    list of B that differ only in numbers. B runs of an element rule advance
    together in one array, and give bit for bit what they give one by one.
    The optimizer given is not changed: every run uses a fresh copy.

    >>> from npoptim import SGD
    >>> run("booth", SGD(lr=0.05), steps=100)
    <Trajectory: 100 steps of SGD(lr=0.05) on booth, f 482 -> 2.26e-08>

    Raises TypeError or ValueError for anything that is no surface, optimizer,
    point or number of steps. A run that diverges is recorded, not raised.
    """
    surface = surfaces.get(surface) if isinstance(surface, str) else surface
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)):
        raise TypeError(f"steps must be an int in the range [0, inf). Got {steps!r} instead.")
    if steps < 0:
        raise ValueError(f"steps must be an int in the range [0, inf). Got {steps} instead.")
    rules = list(opt) if isinstance(opt, Sequence) else None
    for rule in rules if rules is not None else [opt]:
        if not isinstance(rule, Driver):
            raise TypeError(f"opt must be an optimizer or a list of them. Got {rule!r} instead.")
    x = _start(surface, start)
    if rules is None and x.shape == surface.shape:
        return _advance(surface, opt, x, int(steps))
    if rules is not None:
        if not rules or len({type(rule) for rule in rules}) > 1:
            raise ValueError("a list of optimizers must hold at least one, all of one class.")
        if x.shape == surface.shape:
            x = np.repeat(x[None], len(rules), axis=0)
        if len(x) != len(rules):
            raise ValueError(f"{len(rules)} optimizers need as many starts. Got {len(x)} instead.")
    first = rules[0] if rules else opt
    together = getattr(first, "scope", "") == "element"
    return (_advance if together else _one_by_one)(surface, rules or opt, x, int(steps))


def _start(surface: Any, start: Any) -> Array:
    x = np.array(surface.start if start is None else start, dtype=float)
    k = len(surface.shape)
    if x.shape[-k:] != surface.shape or x.ndim > k + 1 or x.size == 0:
        raise ValueError(
            f"start must have shape {surface.shape} or (B, {str(surface.shape)[1:-1]}). "
            f"Got {x.shape} instead."
        )
    if not np.isfinite(x).all():
        raise ValueError(f"start must be finite. Got {x.tolist()} instead.")
    return x


def _empty(surface: Any, opt: Any, x: Array, steps: int) -> Trajectory:
    """A trajectory of NaNs that begins at `x`."""
    points = np.full((steps + 1, *x.shape), np.nan)
    values = np.full((steps + 1, *x.shape[: x.ndim - len(surface.shape)]), np.nan)
    points[0], values[0] = x, surface.f(x)
    return Trajectory(surface, opt, points, values, np.full((steps, *x.shape), np.nan), {})


def _one_by_one(surface: Any, opt: Any, x: Array, steps: int) -> Trajectory:
    rules = opt if isinstance(opt, list) else [opt] * len(x)
    paths = [_advance(surface, rule, start, steps) for rule, start in zip(rules, x, strict=True)]
    x, f, g = (np.stack([getattr(p, part) for p in paths], axis=1) for part in "xfg")
    states = {k: np.stack([p.states[k] for p in paths], axis=1) for k in paths[0].states}
    return Trajectory(surface, _fresh(opt), x, f, g, states)


def _advance(surface: Any, opt: Any, x: Array, steps: int) -> Trajectory:
    """A run, or B runs of an element rule as one array."""
    source = copy.deepcopy(surface)
    path = _empty(surface, _fresh(opt), x, steps)
    many = isinstance(opt, list)
    rules = path.optimizer if many else [path.optimizer._rule("p")]
    at = partial(_stacked, rules, x.ndim) if many else rules[0].at
    changes = any(rule.at(1) is not rule for rule in rules)  # by schedules
    rule = at(1)
    update, state = rule.form(x)[1], fresh_state(rule, x)
    path.states.update({k: np.full((steps, *v.shape), np.nan) for k, v in state.items()})
    records, slots = list(path.states.items()), path.states.keys()
    points, gradients, grad, shape = path.x, path.g, source.grad, x.shape
    with quiet():
        for t in range(1, steps + 1):
            if changes:
                update = at(t).form(x)[1]
            g = grad(x)
            x, state = updated(update, x, g, t, state)
            if x.shape != shape or state.keys() != slots:
                raise TypeError(
                    f"{type(rule).__name__}.update returned a point of shape {x.shape} with the "
                    f"state {sorted(state)}; they must stay {shape} and {sorted(slots)}."
                )
            gradients[t - 1], points[t] = g, x
            for slot, record in records:
                record[t - 1] = state[slot]
    with quiet():
        path.f[1:] = surface.f(path.x[1:])
    _blank(path)
    return path


def _blank(path: Trajectory) -> None:
    """NaN for every number of a run from the step at which it diverged on."""
    arrays = [path.x[1:], path.g, *path.states.values()]
    if all(map(finite, arrays)):
        return
    bad = np.zeros(path.f[1:].shape, dtype=bool)
    for a in arrays:
        bad |= ~np.isfinite(a).all(axis=tuple(range(bad.ndim, a.ndim)))
    lost = np.logical_or.accumulate(bad, axis=0)
    for a in [*arrays, path.f[1:]]:
        a[lost] = np.nan


def _fresh(opt: Any) -> Any:
    return [rule.fresh() for rule in opt] if isinstance(opt, list) else opt.fresh()


def _stacked(rules: list[Optimizer], ndim: int, t: int) -> Optimizer:
    """A rule whose numbers at step `t` are those of all `rules`, one for each row of the points."""

    def stack(values: tuple[Any, ...]) -> Any:
        if isinstance(values[0], tuple):
            return tuple(map(stack, zip(*values, strict=True)))
        same = all(v == values[0] for v in values)
        return values[0] if same else _Numbers(values, ndim)

    now = [rule.at(t).hyper() for rule in rules]
    return rules[0].replace(**{k: stack(tuple(h[k] for h in now)) for k in now[0]})


class _Numbers(NDArrayOperatorsMixin):
    """B hyper-parameters at once, in arithmetic with arrays of B rows and `ndim` axes.

    Powers are taken one by one: Python's and NumPy's may differ in the last bit.
    """

    def __init__(self, values: Sequence[float], ndim: int) -> None:
        self.values = np.reshape(values, (-1, *[1] * (ndim - 1)))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if ufunc is np.power:
            a, b = (x.values if isinstance(x, _Numbers) else x for x in inputs)
            pairs = np.broadcast(a, b)
            return np.array([float(x) ** float(y) for x, y in pairs]).reshape(pairs.shape)
        plain = (x.values if isinstance(x, _Numbers) else x for x in inputs)
        return getattr(ufunc, method)(*plain, **kwargs)
