"""One minimum and no other place to stop: what conditioning alone does."""

from __future__ import annotations

import math

from npoptim.optimizers.checks import FINITE, Range, number
from npoptim.surfaces.base import Array, Surface, constant

AT_LEAST_ONE = Range("[1, inf)", lambda x: 1 <= x < math.inf)


class Quadratic(Surface):
    """A bowl whose two curvatures are 1 and `condition`, κ.

    f(x, y) = ½ (x² + κ y²)

    Gradient descent with the best fixed step multiplies the distance by
    (κ − 1)/(κ + 1): Nocedal & Wright, Numerical Optimization, 2nd edition,
    Springer 2006, section 3.3; Goh, Why Momentum Really Works, Distill 2017,
    https://distill.pub/2017/momentum/.

    Raises ValueError or TypeError when condition is not a float ≥ 1.

    >>> Quadratic(condition=100).grad([1, 1])
    array([  1., 100.])
    """

    name = "quadratic"
    formula = "½ (x² + κ y²)"
    minima = constant([[0, 0]])
    start = constant([-1.8, 0.9])
    bounds = (-2.2, 2.2), (-1.4, 1.4)

    def __init__(self, condition: float = 10.0) -> None:
        self.condition: float = number(condition, "condition", AT_LEAST_ONE)
        self.formula = self.formula.replace("κ", f"{self.condition:g}")

    def height(self, x: Array, y: Array) -> Array:
        return (x**2 + self.condition * y**2) / 2

    def slope(self, x: Array, y: Array) -> tuple[Array, Array]:
        return x, self.condition * y
