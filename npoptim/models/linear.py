"""Linear regression, and ridge: the same with a pull of the weights towards 0.

The numbers in parentheses are those of docs/derivations/linear.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from npoptim.models import checks
from npoptim.models.base import Array, Arrays, Cache, Model
from npoptim.models.layers import half_square


@dataclass(frozen=True)
class LinearRegression(Model):
    """Linear regression: ½ (x·w + b − y)², a mean over the batch.

    x is (n, inputs), y (n,). Where w and b are 0 the prediction is 0 and the
    loss half the mean square of y:

    >>> model = LinearRegression(inputs=2)
    >>> params = {"0.W": np.zeros(2), "0.b": np.zeros(1)}
    >>> model.loss_and_grads(params, np.eye(2), np.array([2.0, 4.0]))
    (5.0, {'0.W': array([-1., -2.]), '0.b': array([-3.])})
    """

    inputs: int

    task = "regression"

    def __post_init__(self) -> None:
        checks.size("inputs", self.inputs)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"0.W": (self.inputs,), "0.b": (1,)}

    def forward(self, params: Arrays, x: Array) -> tuple[Array, Cache]:
        z = x @ params["0.W"] + params["0.b"]  # z = x w + b  (1)
        return z, (x,)

    def criterion(self, z: Array, y: Array) -> tuple[Array, Array]:
        return half_square(z, y)  # ∂L/∂z = (z − y) / n  (2)

    def backward(self, params: Arrays, cache: Cache, dz: Array) -> Arrays:
        (x,) = cache
        db = np.sum(dz, keepdims=True)  # ∂L/∂b = Σ ∂L/∂z  (3)
        dw = dz @ x  # ∂L/∂w = xᵀ ∂L/∂z  (4)
        return {"0.W": dw, "0.b": db}

    def decide(self, z: Array) -> Array:
        return z

    def check_x(self, x: Array, dtype: np.dtype[Any]) -> Array:
        return checks.features(x, self.inputs, dtype)

    def check_y(self, y: Array, x: Array) -> None:
        checks.numbers(y, len(x))


@dataclass(frozen=True)
class Ridge(LinearRegression):
    """Ridge regression: the loss of linear regression plus ½ `penalty` ‖w‖².

    The bias is not pulled. scikit-learn sums over the batch where this
    averages: its alpha is `penalty` times the number of rows.

    Hoerl & Kennard, Ridge Regression, Technometrics 1970,
    https://doi.org/10.1080/00401706.1970.10488634.

    >>> params = {"0.W": np.array([3.0, 4.0]), "0.b": np.zeros(1)}
    >>> Ridge(inputs=2, penalty=0.1).loss(params, np.zeros((1, 2)), np.zeros(1))
    1.25
    """

    penalty: float = 1e-2  #: λ

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number("penalty", self.penalty)

    def loss(self, params: Arrays, x: Array, y: Array) -> float:
        w = params["0.W"]
        return super().loss(params, x, y) + float(0.5 * self.penalty * (w @ w))

    def loss_and_grads(self, params: Arrays, x: Array, y: Array) -> tuple[float, Arrays]:
        loss, grads = super().loss_and_grads(params, x, y)
        w = params["0.W"]
        loss = loss + float(0.5 * self.penalty * (w @ w))  # L = … + ½ λ ‖w‖²  (5)
        grads["0.W"] = grads["0.W"] + self.penalty * w  # ∂L/∂w = xᵀ ∂L/∂z + λ w  (6)
        return loss, grads
