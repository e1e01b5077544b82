"""No minimum: the gradient vanishes where f still has a way down."""

from __future__ import annotations

from typing import Any

import numpy as np

from npoptim.surfaces.base import Array, Surface, constant, polynomial

NOWHERE = constant(np.empty((0, 2)))


class Saddle(Surface):
    """Up along x, down along y, level at the origin.

        f(x, y) = x² − y²

    The start is almost on the way that ends at the origin. Dauphin et al.,
    Identifying and Attacking the Saddle Point Problem in High-Dimensional
    Non-Convex Optimization, NeurIPS 2014, https://arxiv.org/abs/1406.2572.

    >>> Saddle().grad([0, 0])
    array([ 0., -0.])
    """

    name = "saddle"
    formula = "x² − y²"
    minima = NOWHERE
    start = constant([-1.8, 0.01])
    bounds = (-2.0, 2.0), (-2.0, 2.0)

    def height(self, x: Array, y: Array) -> Any:
        return x**2 - y**2

    @polynomial
    def slope(self, x: Array, y: Array) -> tuple[Any, Any]:
        return 2 * x, -2 * y


class MonkeySaddle(Surface):
    """Three ways down, two for the legs and one for the tail; flat at the origin.

        f(x, y) = x³ − 3xy²

    All second derivatives vanish at the origin, so that curvature does not tell
    where to go. Hilbert & Cohn-Vossen, Geometry and the Imagination, Springer
    1932; https://mathworld.wolfram.com/MonkeySaddle.html.

    >>> MonkeySaddle().f([[-1, 0], [0.5, 0.75**0.5], [0.5, -(0.75**0.5)]]).round(12)
    array([-1., -1., -1.])
    """

    name = "monkey_saddle"
    formula = "x³ − 3xy²"
    minima = NOWHERE
    start = constant([1.3, 0.01])
    bounds = (-1.5, 1.5), (-1.5, 1.5)

    def height(self, x: Array, y: Array) -> Any:
        return x * (x**2 - 3 * y**2)

    @polynomial
    def slope(self, x: Array, y: Array) -> tuple[Any, Any]:
        return 3 * (x * x - y * y), -6 * x * y
