"""Logistic regression: one straight line, and the probability on its positive side.

The numbers in parentheses are those of docs/derivations/logistic.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from npoptim.models import checks, layers
from npoptim.models.base import Array, Arrays, Cache, Model


@dataclass(frozen=True)
class LogisticRegression(Model):
    """Logistic regression: the probability of class 1 is σ(x·w + b).

    x is (n, inputs), y (n,) of 0 and 1. Cox, The Regression Analysis of Binary
    Sequences, 1958, https://doi.org/10.1111/j.2517-6161.1958.tb00292.x.

    >>> model = LogisticRegression(inputs=1)
    >>> params = {"0.W": np.array([2.0]), "0.b": np.array([-1.0])}
    >>> model.predict(params, np.array([[0.4], [0.6]]))
    array([0, 1])
    """

    inputs: int

    task = "classification"

    def __post_init__(self) -> None:
        checks.size("inputs", self.inputs)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"0.W": (self.inputs,), "0.b": (1,)}

    def forward(self, params: Arrays, x: Array) -> tuple[Array, Cache]:
        z = x @ params["0.W"] + params["0.b"]  # z = x w + b  (1)
        return z, (x,)

    def criterion(self, z: Array, y: Array) -> tuple[Array, Array]:
        return layers.logistic(z, y)  # ∂L/∂z = (σ(z) − y) / n  (2)

    def backward(self, params: Arrays, cache: Cache, dz: Array) -> Arrays:
        (x,) = cache
        db = np.sum(dz, keepdims=True)  # ∂L/∂b = Σ ∂L/∂z  (3)
        dw = dz @ x  # ∂L/∂w = xᵀ ∂L/∂z  (4)
        return {"0.W": dw, "0.b": db}

    def decide(self, z: Array) -> Array:
        return (z > 0).astype(np.int64)

    def check_x(self, x: Array, dtype: np.dtype[Any]) -> Array:
        return checks.features(x, self.inputs, dtype)

    def check_y(self, y: Array, x: Array) -> None:
        checks.labels(y, len(x), 2)
