"""One minimum, and a long way to it: curved floors, steep walls, flat ground."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from npoptim.surfaces.base import Array, Surface, constant, polynomial


class Rosenbrock(Surface):
    """A curved valley: its floor is soon found, its lowest point is far.

        f(x, y) = (1 − x)² + 100 (y − x²)²

    Rosenbrock, An Automatic Method for Finding the Greatest or Least Value of
    a Function, The Computer Journal 3(3), 1960, with its starting point,
    https://doi.org/10.1093/comjnl/3.3.175.

    >>> Rosenbrock().f([[-1.2, 1], [1, 1]])
    array([24.2,  0. ])
    """

    name = "rosenbrock"
    formula = "(1 − x)² + 100 (y − x²)²"
    minima = constant([[1, 1]])
    start = constant([-1.2, 1])
    bounds = (-2.0, 2.0), (-1.0, 3.0)

    def height(self, x: Array, y: Array) -> Any:
        return (1 - x) ** 2 + 100 * (y - x**2) ** 2

    @polynomial
    def slope(self, x: Array, y: Array) -> tuple[Any, Any]:
        gap = y - x * x
        return 2 * (x - 1) - 400 * x * gap, 200 * gap


class Beale(Surface):
    """A flat cross with steep corners; the minimum lies at the end of one arm.

        f(x, y) = (1.5 − x + xy)² + (2.25 − x + xy²)² + (2.625 − x + xy³)²

    Beale, On an Iterative Method for Finding a Local Minimum of a Function of
    More than One Variable, Princeton 1958; start as in Moré, Garbow &
    Hillstrom, Testing Unconstrained Optimization Software, ACM TOMS 7(1), 1981,
    problem 5, https://doi.org/10.1145/355934.355936.

    >>> Beale().f([[1, 1], [3, 0.5]])
    array([14.203125,  0.      ])
    """

    name = "beale"
    formula = "(1.5 − x + xy)² + (2.25 − x + xy²)² + (2.625 − x + xy³)²"
    minima = constant([[3, 0.5]])
    start = constant([1, 1])
    bounds = (-0.5, 4.5), (-1.5, 1.5)

    def height(self, x: Array, y: Array) -> Any:
        a, b, c = self._residuals(x, y)
        return a**2 + b**2 + c**2

    @polynomial
    def slope(self, x: Array, y: Array) -> tuple[Any, Any]:
        a, b, c = self._residuals(x, y)
        dx = 2 * (a * (y - 1) + b * (y * y - 1) + c * (y * (y * y) - 1))
        dy = 2 * x * (a + 2 * b * y + 3 * c * (y * y))
        return dx, dy

    def _residuals(self, x: Array, y: Array) -> tuple[Any, Any, Any]:
        return 1.5 - x * (1 - y), 2.25 - x * (1 - y * y), 2.625 - x * (1 - y * (y * y))


class Ravine(Surface):
    """A winding, narrow valley, 400 times steeper across than along at its end.

        f(x, y) = x²/20 + 5 (y − sin x)²

    The floor, y = sin x, turns twice on the way from the start: no fixed scaling
    of the coordinates straightens it. Shaped after the ravines for which
    Gelfand & Tsetlin, Doklady AN SSSR 137, 1961, invented the forerunner of
    Nesterov's method: Attouch & Fadili 2022, https://arxiv.org/abs/2201.11643.

    >>> Ravine().f([0, 0]).item()
    0.0
    """

    name = "ravine"
    formula = "x²/20 + 5 (y − sin x)²"
    minima = constant([[0, 0]])
    start = constant([-6, 2])
    bounds = (-7.0, 2.0), (-3.0, 3.0)

    def height(self, x: Array, y: Array) -> Any:
        return x**2 / 20 + 5 * (y - np.sin(x)) ** 2

    def slope(self, x: Array, y: Array) -> tuple[Any, Any]:
        gap = y - np.sin(x)
        return x / 10 - 10 * gap * np.cos(x), 10 * gap


class Plateau(Surface):
    """The loss of one saturated neuron: flat ground, a cliff, a basin.

        f(x, y) = ½ (tanh(x + y) − ½)² + ½ (tanh(x − y) − ½)²

    A tanh neuron with weight x and bias y learns to answer ½ to the input 1
    and −½ to −1. It starts surely wrong, where its gradient all but vanishes:
    Nielsen, Neural Networks and Deep Learning, 2015, chapter 3,
    http://neuralnetworksanddeeplearning.com/chap3.html.

    >>> s = Plateau()
    >>> s.f([s.start, s.minima[0]]).round(3), np.abs(s.grad(s.start)).max().round(3)
    (array([2.223, 0.   ]), np.float64(0.053))
    """

    name = "plateau"
    formula = "½ (tanh(x + y) − ½)² + ½ (tanh(x − y) − ½)²"
    minima = constant([[math.atanh(0.5), 0]])
    start = constant([-3.0, 0.6])
    bounds = (-4.0, 3.0), (-3.0, 3.0)

    def height(self, x: Array, y: Array) -> Any:
        p, q = np.tanh(x + y), np.tanh(x - y)
        return ((p - 0.5) ** 2 + (q - 0.5) ** 2) / 2

    def slope(self, x: Array, y: Array) -> tuple[Any, Any]:
        p, q = np.tanh(x + y), np.tanh(x - y)
        dp, dq = (p - 0.5) * (1 - p**2), (q - 0.5) * (1 - q**2)
        return dp + dq, dp - dq
