"""The problem that every implementation solves: g_t(p) = H p + noise_t.

A quadratic with another curvature for every coordinate, plus noise that is fixed for each step.
Every implementation computes its own gradient from its own parameters, in NumPy, float64 and
element by element, so that an error feeds back and cannot hide, and nothing but the optimizer
can make a difference.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

SHAPES = {"W": (7, 5), "b": (5,), "K": (4, 3, 2, 2)}
STEPS = 60

# Kept: the first ten, where starting values, bias corrections and warm-up show; then every fifth
# up to the last. A departure in between is still there at the next kept step, since it feeds back.
KEPT = (*range(1, 11), *range(15, STEPS + 1, 5))

Arrays = dict[str, np.ndarray]

# RandomState's stream is frozen for good (Generator's is not), and uniform numbers need no libm:
# the problem is the same to the last bit on every machine.
_random = np.random.RandomState(20230815)


def _uniform(shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
    return low + (high - low) * _random.random_sample(shape)


# b is small, so that Adafactor's lower bound of RMS(θ) is reached for it and for nothing else.
_START = {
    name: {"W": 1.5, "b": 0.1, "K": 1.0}[name] * _uniform(shape, -1, 1)
    for name, shape in SHAPES.items()
}
_CURVATURE = {name: _uniform(shape, 0.1, 1.5) for name, shape in SHAPES.items()}
_NOISE = {name: _uniform((STEPS, *shape), -1, 1) for name, shape in SHAPES.items()}

# Warm-up, then the square of a line, as in the LARS paper: no two steps share a rate, so a rate
# taken one step early, or kept inside a buffer where it does not belong, is seen.
_LINE = [1 - (t - 1) / (STEPS + 20) for t in range(1, STEPS + 1)]
_RATE = [min(1.0, t / 5) * x * x for t, x in enumerate(_LINE, start=1)]


def start() -> Arrays:
    """The parameters before the first step; new arrays at every call."""
    return {name: p.copy() for name, p in _START.items()}


def gradient(name: str, p: np.ndarray, t: int) -> np.ndarray:
    """The gradient of the parameter `name` at `p` in step `t`, which starts at 1."""
    return _CURVATURE[name] * p + _NOISE[name][t - 1]


@dataclass(frozen=True)
class Rate:
    """The learning rate as a function of the step, which starts at 1."""

    peak: float

    def __repr__(self) -> str:
        return f"Rate({self.peak})"

    def __call__(self, t: int) -> float:
        return self.peak * _RATE[t - 1]


def fingerprint() -> str:
    """A digest of all numbers of the problem: golden numbers of another problem are worthless."""
    digest = hashlib.sha256(repr(KEPT).encode())
    for arrays in (_START, _CURVATURE, _NOISE):
        for name, array in arrays.items():
            digest.update(name.encode() + array.astype("<f8").tobytes())
    digest.update(np.array(_RATE, "<f8").tobytes())
    return digest.hexdigest()[:16]


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """The largest relative difference of two trajectories: max |a - b| / max |b| at each step."""
    steps = (len(b), -1)
    error = np.abs(a - b).reshape(steps).max(axis=1) / np.abs(b).reshape(steps).max(axis=1)
    return float(error.max())
