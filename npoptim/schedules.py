"""Schedules: t -> value, for any hyper-parameter; t counts steps from 1.

Each is a frozen dataclass with a readable repr, and can be pickled and stored
in a checkpoint. With `warmup`, the value rises linearly from peak / warmup at
t = 1 to peak at t = warmup. `total` counts the warm-up; from t = total on the
last value stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from npoptim.optimizers.adafactor import relative_step

__all__ = [
    "constant",
    "cosine",
    "inverse_sqrt",
    "join",
    "linear",
    "one_cycle",
    "polynomial",
    "relative_step",
    "step",
    "wsd",
]


def _value(name: str, x: object) -> None:
    if isinstance(x, bool) or not isinstance(x, (int, float)):
        raise TypeError(f"{name} must be a float in the range [0, inf). Got {x!r} instead.")
    if not 0 <= x < math.inf:
        raise ValueError(f"{name} must be a float in the range [0, inf). Got {x} instead.")


def _count(name: str, n: object, least: int) -> None:
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"{name} must be an int in the range [{least}, inf). Got {n!r} instead.")
    if n < least:
        raise ValueError(f"{name} must be an int in the range [{least}, inf). Got {n} instead.")


@dataclass(frozen=True)
class _Warmup:
    """A peak reached after `warmup` steps, and what follows."""

    peak: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name in ("total", "warmup", "every", "decay"):
                _count(name, value, least=0 if name == "warmup" else 1)
            else:
                _value(name, value)
        total, warmup = getattr(self, "total", math.inf), getattr(self, "warmup", 0)
        if warmup > total:
            raise ValueError(f"warmup must be at most total = {total}. Got {warmup} instead.")

    def __call__(self, t: int) -> float:
        warmup: int = getattr(self, "warmup", 0)
        return self.peak * t / warmup if t < warmup else self._after(t)

    def _after(self, t: int) -> float:
        return self.peak

    def _progress(self, t: int) -> float:
        """0 at the end of the warm-up, 1 from `total` on."""
        total: int = self.total  # type: ignore[attr-defined]
        warmup: int = self.warmup  # type: ignore[attr-defined]
        return min(1.0, (t - warmup) / (total - warmup)) if t < total else 1.0


@dataclass(frozen=True)
class constant(_Warmup):
    """The same value at every step, after a warm-up if one is wanted.

    >>> constant(0.1)(1), constant(0.1, warmup=10)(5)
    (0.1, 0.05)
    """

    warmup: int = 0


@dataclass(frozen=True)
class linear(_Warmup):
    """A straight line from peak at the end of the warm-up to `end` at `total`.

    >>> [linear(1.0, total=4, warmup=2)(t) for t in (1, 2, 3, 4, 5)]
    [0.5, 1.0, 0.5, 0.0, 0.0]
    """

    total: int
    warmup: int = 0
    end: float = 0.0

    def _after(self, t: int) -> float:
        return self.end + (self.peak - self.end) * (1 - self._progress(t))


@dataclass(frozen=True)
class polynomial(_Warmup):
    """A power of the straight line: LARS was published with power 2.

    >>> polynomial(1.0, total=4)(2)
    0.25
    """

    total: int
    warmup: int = 0
    power: float = 2.0
    end: float = 0.0

    def _after(self, t: int) -> float:
        return self.end + (self.peak - self.end) * math.pow(1 - self._progress(t), self.power)


@dataclass(frozen=True)
class cosine(_Warmup):
    """Half a cosine from peak at the end of the warm-up to `end` at `total`.

    Loshchilov & Hutter, SGDR, ICLR 2017, https://arxiv.org/abs/1608.03983.

    >>> round(cosine(1.0, total=4)(2), 6), cosine(1.0, total=4)(4)
    (0.5, 0.0)
    """

    total: int
    warmup: int = 0
    end: float = 0.0

    def _after(self, t: int) -> float:
        wave = (1 + math.cos(math.pi * self._progress(t))) / 2
        return self.end + (self.peak - self.end) * wave


@dataclass(frozen=True)
class step(_Warmup):
    """A staircase: `factor` times less (or more) after every `every` steps.

    >>> [round(step(1.0, every=2, factor=0.1)(t), 4) for t in (1, 2, 3, 5)]
    [1.0, 1.0, 0.1, 0.01]
    """

    every: int
    factor: float = 0.1
    warmup: int = 0

    def _after(self, t: int) -> float:
        return self.peak * self.factor ** (max(t - 1 - self.warmup, 0) // self.every)


@dataclass(frozen=True)
class inverse_sqrt(_Warmup):
    """peak · √(warmup / t) after the warm-up, the Transformer's schedule.

    Vaswani et al., Attention Is All You Need, NeurIPS 2017,
    https://arxiv.org/abs/1706.03762. Without warm-up, peak / √t:

    >>> inverse_sqrt(1.0)(4), inverse_sqrt(1.0, warmup=100)(400)
    (0.5, 0.5)
    """

    warmup: int = 0

    def _after(self, t: int) -> float:
        return self.peak * math.sqrt(max(self.warmup, 1) / t)


@dataclass(frozen=True)
class wsd(_Warmup):
    """Warm-up, stable, decay: peak until the last `decay` steps, then a line to `end`.

    Hu et al., MiniCPM, 2024, https://arxiv.org/abs/2404.06395.

    >>> [wsd(1.0, total=10, decay=4)(t) for t in (1, 6, 8, 10)]
    [1.0, 1.0, 0.5, 0.0]
    """

    total: int
    decay: int
    warmup: int = 0
    end: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.warmup + self.decay > self.total:
            raise ValueError(
                f"warmup + decay must be at most total = {self.total}. "
                f"Got {self.warmup} + {self.decay} instead."
            )

    def _after(self, t: int) -> float:
        left = min(1.0, max(0.0, (self.total - t) / self.decay))
        return self.end + (self.peak - self.end) * left


@dataclass(frozen=True)
class one_cycle(_Warmup):
    """Up to peak and down again on half cosines: peak / start_factor, peak, peak / end_factor.

    Smith & Topin, Super-Convergence, 2018, https://arxiv.org/abs/1708.07120.

    >>> [round(one_cycle(1.0, total=100, warmup=30)(t), 4) for t in (1, 30, 100)]
    [0.0426, 1.0, 0.0001]
    """

    total: int
    warmup: int = 1
    start_factor: float = 25.0
    end_factor: float = 1e4

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("start_factor", "end_factor"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1. Got {getattr(self, name)} instead.")

    def __call__(self, t: int) -> float:
        rising = t < self.warmup
        low = self.peak / (self.start_factor if rising else self.end_factor)
        part = t / self.warmup if rising else 1 - self._progress(t)
        return low + (self.peak - low) * (1 - math.cos(math.pi * part)) / 2


@dataclass(frozen=True)
class join:
    """One schedule after another: number i holds up to and with step `until[i]`.

    Each counts its own steps from 1.

    >>> s = join((constant(1.0), linear(0.5, total=5)), until=(10,))
    >>> s(10), s(11), s(15)
    (1.0, 0.4, 0.0)

    Raises ValueError unless there is one boundary less than schedules and
    they rise.
    """

    schedules: tuple[Callable[[int], float], ...]
    until: tuple[int, ...] = field(default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "schedules", tuple(self.schedules))
        object.__setattr__(self, "until", tuple(self.until))
        for i, schedule in enumerate(self.schedules):
            if not callable(schedule):
                raise TypeError(f"schedules[{i}] must be a schedule t -> value. Got {schedule!r}.")
        for i, n in enumerate(self.until):
            _count(f"until[{i}]", n, least=1)
        rising = all(a < b for a, b in zip(self.until, self.until[1:], strict=False))
        if len(self.until) != len(self.schedules) - 1 or not rising:
            raise ValueError(
                f"until must hold {len(self.schedules) - 1} rising step numbers. "
                f"Got {self.until} instead."
            )

    def __call__(self, t: int) -> float:
        i = sum(t > n for n in self.until)
        return self.schedules[i](t - (self.until[i - 1] if i else 0))
