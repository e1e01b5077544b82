"""One minimum and no other place to stop: what conditioning alone does."""

from __future__ import annotations

import math
from typing import Any

from npoptim.optimizers.checks import FINITE, Range, number
from npoptim.surfaces.base import Array, Surface, constant, polynomial

AT_LEAST_ONE = Range("[1, inf)", lambda x: 1 <= x < math.inf)


class Quadratic(Surface):
    """A bowl with the curvatures 1 and `condition`, κ.

        f(x, y) = ½ (x² + κ y²)

    Gradient descent at its best fixed step still keeps (κ − 1)/(κ + 1) of the
    distance: Nocedal & Wright, Numerical Optimization, 2nd edition, Springer
    2006, section 3.3; Goh, Why Momentum Really Works, Distill 2017,
    https://distill.pub/2017/momentum/.

    Raises ValueError unless condition is at least 1.

    >>> Quadratic(condition=100).grad([1, 1])
    array([  1., 100.])
    """

    name = "quadratic"
    minima = constant([[0, 0]])
    start = constant([-1.8, 0.9])
    bounds = (-2.2, 2.2), (-1.4, 1.4)

    def __init__(self, condition: float = 10.0) -> None:
        self.condition: float = number(condition, "condition", AT_LEAST_ONE)
        self.formula = f"½ (x² + {self.condition:g} y²)"

    def height(self, x: Array, y: Array) -> Any:
        return (x**2 + self.condition * y**2) / 2

    @polynomial
    def slope(self, x: Array, y: Array) -> tuple[Any, Any]:
        return x, self.condition * y


class RotatedQuadratic(Quadratic):
    """The quadratic bowl, turned counter-clockwise by `angle` degrees.

        f(x, y) = ½ (u² + κ v²),  u = x cos α + y sin α,  v = y cos α − x sin α

    Gradient descent takes the same path, turned; optimizers that scale every
    coordinate on its own do not, and lose most at 45°: Wilson et al., The
    Marginal Value of Adaptive Gradient Methods, NeurIPS 2017,
    https://arxiv.org/abs/1705.08292.

    Raises ValueError unless condition is at least 1 and angle is finite.

    >>> turned, straight = RotatedQuadratic(angle=90), Quadratic()
    >>> bool(turned.f([0, 1]).round(12) == straight.f([1, 0]))
    True
    """

    name = "rotated_quadratic"
    start = constant([-1.8, -0.2])
    bounds = (-2.2, 2.2), (-1.6, 1.6)

    def __init__(self, condition: float = 10.0, angle: float = 30.0) -> None:
        super().__init__(condition)
        self.angle: float = number(angle, "angle", FINITE)
        self.formula += f", turned by {self.angle:g}°"
        self._cos, self._sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))

    def height(self, x: Array, y: Array) -> Any:
        cos, sin = self._cos, self._sin
        return super().height(cos * x + sin * y, cos * y - sin * x)

    @polynomial
    def slope(self, x: Array, y: Array) -> tuple[Any, Any]:
        cos, sin = self._cos, self._sin
        du, dv = super().slope(cos * x + sin * y, cos * y - sin * x)
        return cos * du - sin * dv, sin * du + cos * dv


class Booth(Surface):
    """A shallow bowl along the diagonal, condition number 9.

        f(x, y) = (x + 2y − 7)² + (2x + y − 5)²

    Jamil & Yang, A Literature Survey of Benchmark Functions for Global
    Optimisation Problems, IJMMNO 4(2), 2013, https://arxiv.org/abs/1308.4008.

    >>> Booth().f([1, 3]).item()
    0.0
    """

    name = "booth"
    formula = "(x + 2y − 7)² + (2x + y − 5)²"
    minima = constant([[1, 3]])
    start = constant([-8, 2])
    bounds = (-10.0, 10.0), (-10.0, 10.0)

    def height(self, x: Array, y: Array) -> Any:
        return (x + 2 * y - 7) ** 2 + (2 * x + y - 5) ** 2

    @polynomial
    def slope(self, x: Array, y: Array) -> tuple[Any, Any]:
        a, b = x + 2 * y - 7, 2 * x + y - 5
        return 2 * a + 4 * b, 4 * a + 2 * b
