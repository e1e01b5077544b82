"""What a homework is tried on: numbers under which every known mistake shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npoptim.optimizers.base import Optimizer

Array = NDArray[Any]

PUBLIC = ((3,), (2, 3))
HIDDEN = ((4,), (3, 5), (2, 4, 3))

#: Where the hyper-parameters are drawn from: far from the defaults, under which
#: many a mistake is smaller than the digits one looks at.
BETWEEN: dict[str, tuple[float, float]] = {
    "lr": (0.05, 0.2),
    "betas": (0.6, 0.9),
    "momentum": (0.5, 0.9),
    "eps": (5e-3, 2e-2),
    "weight_decay": (0.05, 0.2),
    "trust_coefficient": (0.05, 0.2),
    "decay": (0.5, 0.9),
    "clip": (0.5, 0.8),
}


@dataclass(frozen=True)
class Case:
    """A parameter, a gradient for each step (its signs change), and hyper-parameters."""

    hyper: dict[str, Any]
    p: Array
    g: list[Array]


def cases(rule: type[Optimizer], seed: int, hidden: bool) -> Iterator[Case]:
    """The cases of a rule: the same for the same seed, others for another."""
    rng = np.random.default_rng([seed, int(hidden)])
    for shape in HIDDEN if hidden else PUBLIC:
        size = rng.normal(size=shape)
        g = [np.round((-1) ** t * size + 0.5 * rng.normal(size=shape), 2) for t in range(3)]
        yield Case(drawn(rule, rng), np.round(rng.normal(size=shape), 2), g)


def drawn(rule: type[Optimizer], rng: np.random.Generator) -> dict[str, Any]:
    """Hyper-parameters of a rule, drawn at random and rounded to be read."""
    hyper: dict[str, Any] = {}
    for name, default in rule().at(1).hyper().items():
        low, high = BETWEEN.get(name, (0.5, 1.5))
        n = len(default) if isinstance(default, tuple) else 1
        # falling, so that no two are alike: β₁ for β₂ must show
        values = sorted((float(v) for v in np.round(rng.uniform(low, high, n), 4)), reverse=True)
        hyper[name] = tuple(values) if isinstance(default, tuple) else values[0]
    return hyper
