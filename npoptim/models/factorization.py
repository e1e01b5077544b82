"""Matrix factorization: a rating is the product of a row's and a column's embedding.

The numbers in parentheses are those of docs/derivations/factorization.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from npoptim.models import checks
from npoptim.models.base import Array, Arrays, Cache, Model
from npoptim.models.layers import gathered, half_square


@dataclass(frozen=True)
class MatrixFactorization(Model):
    """Matrix factorization: z = u·v + b, for the embeddings u of a row and v of a column.

    x is (n, 2) of (row, column) indices, y (n,) of ratings; b is a bias of the
    row plus one of the column plus one of all. A row that no pair of the batch
    names gets a gradient of exact zeros, which says different things to
    different optimizers: momentum moves it on, Lion by its full step.

    Koren, Bell & Volinsky, Matrix Factorization Techniques for Recommender
    Systems, 2009, https://doi.org/10.1109/MC.2009.263.

    >>> model = MatrixFactorization(rows=3, columns=2, rank=1)
    >>> params = model.init(np.random.default_rng(0))
    >>> loss, grads = model.loss_and_grads(params, np.array([[2, 0]]), np.array([5.0]))
    >>> np.flatnonzero(grads["row.embedding"])
    array([2])
    """

    rows: int
    columns: int
    rank: int

    task = "rating"

    def __post_init__(self) -> None:
        for name in ("rows", "columns", "rank"):
            checks.size(name, getattr(self, name))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {
            "row.embedding": (self.rows, self.rank),
            "column.embedding": (self.columns, self.rank),
            "row.b": (self.rows,),
            "column.b": (self.columns,),
            "all.b": (1,),
        }

    def std(self, name: str) -> float:
        return float(self.rank**-0.5)

    def forward(self, params: Arrays, x: Array) -> tuple[Array, Cache]:
        row, column = x[:, 0], x[:, 1]
        u = params["row.embedding"][row]  # u = U[row]  (1)
        v = params["column.embedding"][column]  # v = V[column]  (2)
        b = params["row.b"][row] + params["column.b"][column] + params["all.b"]  # b  (3)
        z = np.sum(u * v, axis=1) + b  # z = u·v + b  (4)
        return z, (row, column, u, v)

    def criterion(self, z: Array, y: Array) -> tuple[Array, Array]:
        return half_square(z, y)  # ∂L/∂z = (z − y) / n  (5)

    def backward(self, params: Arrays, cache: Cache, dz: Array) -> Arrays:
        row, column, u, v = cache
        dz = dz[:, None]
        drow = gathered(row, dz, self.rows)[:, 0]  # ∂L/∂row.b = Σ ∂L/∂z  (6)
        dcolumn = gathered(column, dz, self.columns)[:, 0]  # ∂L/∂column.b = Σ ∂L/∂z  (7)
        dall = np.sum(dz, axis=0)  # ∂L/∂all.b = Σ ∂L/∂z  (8)
        dV = gathered(column, dz * u, self.columns)  # ∂L/∂V = Σ ∂L/∂z u  (9)
        dU = gathered(row, dz * v, self.rows)  # ∂L/∂U = Σ ∂L/∂z v  (10)
        return {
            "row.embedding": dU,
            "column.embedding": dV,
            "row.b": drow,
            "column.b": dcolumn,
            "all.b": dall,
        }

    def decide(self, z: Array) -> Array:
        return z

    def check_x(self, x: Array, dtype: np.dtype[Any]) -> Array:
        checks.indices("x", x)
        if x.ndim != 2 or x.shape[1] != 2:
            raise ValueError(f"x must have shape (n, 2). Got {x.shape} instead.")
        checks.within("x[:, 0]", x[:, 0], 0, self.rows - 1)
        checks.within("x[:, 1]", x[:, 1], 0, self.columns - 1)
        return x

    def check_y(self, y: Array, x: Array) -> None:
        checks.numbers(y, len(x))
