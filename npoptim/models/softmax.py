"""Softmax regression: a straight line per class, and the softmax of the lines.

The numbers in parentheses are those of docs/derivations/softmax.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from npoptim.models import checks
from npoptim.models.base import Array, Arrays, Cache, Model
from npoptim.models.layers import cross_entropy


@dataclass(frozen=True)
class SoftmaxRegression(Model):
    """Softmax regression: a straight line per class, and the softmax of the lines.

    x is (n, inputs), y (n,) of class indices. Before it has learned anything
    it gives every class the same probability:

    >>> model = SoftmaxRegression(inputs=64, classes=10)
    >>> params = {name: np.zeros(shape) for name, shape in model.shapes.items()}
    >>> loss, grads = model.loss_and_grads(params, np.ones((5, 64)), np.arange(5))
    >>> round(loss, 4), round(np.log(10), 4)
    (2.3026, np.float64(2.3026))
    """

    inputs: int
    classes: int

    task = "classification"

    def __post_init__(self) -> None:
        checks.size("inputs", self.inputs)
        checks.size("classes", self.classes, least=2)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"0.W": (self.inputs, self.classes), "0.b": (self.classes,)}

    def forward(self, params: Arrays, x: Array) -> tuple[Array, Cache]:
        z = x @ params["0.W"] + params["0.b"]  # z = x W + b  (1)
        return z, (x,)

    def criterion(self, z: Array, y: Array) -> tuple[Array, Array]:
        return cross_entropy(z, y)  # ∂L/∂z = (p − e) / n  (2)

    def backward(self, params: Arrays, cache: Cache, dz: Array) -> Arrays:
        (x,) = cache
        db = np.sum(dz, axis=0)  # ∂L/∂b = Σ ∂L/∂z  (3)
        dW = x.T @ dz  # ∂L/∂W = xᵀ ∂L/∂z  (4)
        return {"0.W": dW, "0.b": db}

    def check_x(self, x: Array, dtype: np.dtype[Any]) -> Array:
        return checks.features(x, self.inputs, dtype)

    def check_y(self, y: Array, x: Array) -> None:
        checks.labels(y, len(x), self.classes)
