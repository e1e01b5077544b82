"""The matrix surface: what optimizers that factor their memory see, and vectors do not show."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from npoptim.surfaces.base import Array, Surface, constant, real


class Factorisation(Surface):
    """Half of a matrix factorisation: X, 2 × 3, with X Xᵀ as near to A as can be.

        f(X) = ¼ ‖X Xᵀ − A‖²,  A = 4 a aᵀ + ¼ b bᵀ = M Mᵀ,  M = 2 a cᵀ + ½ b dᵀ

    with a, b orthonormal in ℝ² and c, d in ℝ³. Every M Q with an orthogonal Q
    is a minimum, so `distance` is that of orthogonal Procrustes, min ‖X − M Q‖:
    Schönemann 1966, https://doi.org/10.1007/BF02289451; Tu et al., Low-rank
    Solutions of Linear Matrix Equations via Procrustes Flow, ICML 2016,
    https://arxiv.org/abs/1507.03566.

    Points have shape (..., 2, 3). Pictures show the plane X = u a cᵀ + v b dᵀ,
    where f = ¼ (u² − 4)² + ¼ (v² − ¼)²: a hill at 0, four of the minima, four
    saddles between them. Gradient descent never leaves it; an optimizer that
    scales every element on its own does, and ends at some M Q beside the marks.

    >>> s = Factorisation()
    >>> s.project(s.minima).round(12)
    array([[ 2. ,  0.5],
           [-2. ,  0.5],
           [ 2. , -0.5],
           [-2. , -0.5]])
    >>> bool(s.f(s.lift([1, 0.5])).round(12) == (1 - 4)**2 / 4)
    True
    """

    name = "factorisation"
    formula = "¼ ‖X Xᵀ − A‖²"
    shape = (2, 3)
    plane = (
        constant(np.zeros((2, 3))),
        constant(
            [
                np.outer([24, 7], [2, 1, 2]) / (25 * 3),  # a cᵀ
                np.outer([-7, 24], [1, 2, -2]) / (25 * 3),  # b dᵀ
            ]
        ),
    )
    minima = constant(
        np.einsum("kp,pij->kij", [[2, 0.5], [-2, 0.5], [2, -0.5], [-2, -0.5]], plane[1])
    )
    start = constant(np.einsum("p,pij->ij", [0.3, 1.2], plane[1]))
    bounds = (-2.6, 2.6), (-1.7, 1.7)

    def height(self, x: Array, y: Array) -> Any:
        xx, xy, yy = self._gap(x, y)
        return (xx**2 + 2 * xy**2 + yy**2) / 4

    def slope(self, x: Array, y: Array) -> tuple[Any, Any]:
        xx, xy, yy = self._gap(x, y)
        return xx * x + xy * y, xy * x + yy * y  # the rows of (X Xᵀ − A) X

    def _gap(self, x: Array, y: Array) -> tuple[Any, Any, Any]:
        """The elements of X Xᵀ − A, where x and y are the rows of X, shape (3, points)."""
        return _dot(x, x) - 3.706, _dot(x, y) - 1.008, _dot(y, y) - 0.544

    def distance(self, x: ArrayLike) -> Any:
        x, minimum = real(x, self.shape).copy(), self.minima[0]  # contiguous, for equal bits
        with np.errstate(over="ignore", invalid="ignore"):
            product = minimum.T @ x
            known = np.isfinite(product).all(axis=(-2, -1), keepdims=True)
            u, _, vt = np.linalg.svd(np.where(known, product, 0))
            return np.linalg.norm(x - minimum @ (u @ vt), axis=(-2, -1)).astype(x.dtype)[()]

    def project(self, x: ArrayLike) -> Array:
        x = real(x, self.shape)
        u: Array = np.einsum("...ij,pij->...p", x, self.plane[1].astype(x.dtype))
        return u

    def lift(self, u: ArrayLike) -> Array:
        u = real(u, (2,), "u")
        x: Array = np.einsum("...p,pij->...ij", u, self.plane[1].astype(u.dtype))
        return x


def _dot(a: Array, b: Array) -> Any:
    # np.sum and @ leave the order of summation to the library, which may choose it by the shape
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
