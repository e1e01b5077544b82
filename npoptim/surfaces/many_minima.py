"""Several minima: which one is found depends on the start and on the optimizer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from npoptim.surfaces.base import Array, Surface, constant, polynomial

TAU = 2 * math.pi


class Himmelblau(Surface):
    """Four minima, all of them global, around one hill.

        f(x, y) = (x² + y − 11)² + (x + y² − 7)²

    Himmelblau, Applied Nonlinear Programming, McGraw-Hill 1972.

    >>> Himmelblau().f(Himmelblau.minima).round(20)
    array([0., 0., 0., 0.])
    """

    name = "himmelblau"
    formula = "(x² + y − 11)² + (x + y² − 7)²"
    minima = constant(
        [
            [3, 2],
            [-2.805118086952745, 3.131312518250573],
            [-3.779310253377747, -3.283185991286170],
            [3.584428340330492, -1.848126526964404],
        ]
    )
    start = constant([-0.6, -1])
    bounds = (-5.0, 5.0), (-5.0, 5.0)

    def height(self, x: Array, y: Array) -> Any:
        return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2

    @polynomial
    def slope(self, x: Array, y: Array) -> tuple[Any, Any]:
        a, b = x * x + y - 11, x + y * y - 7
        return 4 * x * a + 2 * b, 2 * a + 4 * y * b


class Rastrigin(Surface):
    """A bowl under a grid of 1 × 1 dimples, each with a minimum of its own.

        f(x, y) = 20 + x² − 10 cos 2πx + y² − 10 cos 2πy

    Rastrigin, Systems of Extremal Control, Nauka 1974; Mühlenbein, Schomisch &
    Born, The Parallel Genetic Algorithm as Function Optimizer, Parallel
    Computing 17, 1991, https://doi.org/10.1016/S0167-8191(05)80052-3.

    >>> Rastrigin().f([[0, 0], [1, 0], [0.5, 0]])
    array([ 0.  ,  1.  , 20.25])
    """

    name = "rastrigin"
    formula = "20 + x² − 10 cos 2πx + y² − 10 cos 2πy"
    minima = constant([[0, 0]])
    start = constant([-3.4, 2.6])
    bounds = (-5.12, 5.12), (-5.12, 5.12)

    def height(self, x: Array, y: Array) -> Any:
        return 20 + x**2 - 10 * np.cos(TAU * x) + y**2 - 10 * np.cos(TAU * y)

    def slope(self, x: Array, y: Array) -> tuple[Any, Any]:
        return 2 * x + 10 * TAU * np.sin(TAU * x), 2 * y + 10 * TAU * np.sin(TAU * y)


class Ackley(Surface):
    """A nearly flat, dimpled plain around one deep funnel.

        f(x, y) = 20 + e − 20 exp(−r/5) − exp(½ cos 2πx + ½ cos 2πy),  r² = ½ (x² + y²)

    At the minimum f has a kink; the gradient there is said to be 0. Ackley, A
    Connectionist Machine for Genetic Hillclimbing, Kluwer 1987,
    https://doi.org/10.1007/978-1-4613-1997-9.

    >>> Ackley().f([[0, 0], [1, 0]]).round(4)
    array([0.    , 2.6375])
    """

    name = "ackley"
    formula = "20 + e − 20 exp(−r/5) − exp(½ cos 2πx + ½ cos 2πy), r² = ½ (x² + y²)"
    minima = constant([[0, 0]])
    start = constant([-2.6, 1.7])
    bounds = (-4.0, 4.0), (-4.0, 4.0)

    def height(self, x: Array, y: Array) -> Any:
        r, wave = self._parts(x, y)
        # expm1 makes f exactly 0 at the minimum, and nowhere below it
        return -20 * np.expm1(-r / 5) - math.e * np.expm1(wave - 1)

    def slope(self, x: Array, y: Array) -> tuple[Any, Any]:
        r, wave = self._parts(x, y)
        funnel = 2 * np.exp(-r / 5) / np.where(r == 0, 1, r)
        dimples = math.pi * np.exp(wave)
        dx = funnel * x + dimples * np.sin(TAU * x)
        dy = funnel * y + dimples * np.sin(TAU * y)
        return dx, dy

    def _parts(self, x: Array, y: Array) -> tuple[Any, Any]:
        r = np.sqrt((x**2 + y**2) / 2)
        return r, (np.cos(TAU * x) + np.cos(TAU * y)) / 2


class StyblinskiTang(Surface):
    """Four basins of unequal depth; −78.332 at the bottom of the deepest.

        f(x, y) = ½ (x⁴ − 16x² + 5x + y⁴ − 16y² + 5y)

    Styblinski & Tang, Experiments in Nonconvex Optimization, Neural Networks
    3(4), 1990, https://doi.org/10.1016/0893-6080(90)90029-K.

    >>> StyblinskiTang().f(StyblinskiTang.minima).round(6)
    array([-78.332331])
    """

    name = "styblinski_tang"
    formula = "½ (x⁴ − 16x² + 5x + y⁴ − 16y² + 5y)"
    minima = constant([[-2.903534027771177, -2.903534027771177]])
    start = constant([-0.3, 4.2])
    bounds = (-4.5, 4.5), (-4.5, 4.5)

    def height(self, x: Array, y: Array) -> Any:
        return (x**2 * (x**2 - 16) + 5 * x + y**2 * (y**2 - 16) + 5 * y) / 2

    @polynomial
    def slope(self, x: Array, y: Array) -> tuple[Any, Any]:
        return 2 * x * (x * x - 8) + 2.5, 2 * y * (y * y - 8) + 2.5


class ThreeHumpCamel(Surface):
    """Three dips in a row; the middle one is the lowest.

        f(x, y) = 2x² − 1.05x⁴ + x⁶/6 + xy + y²

    Jamil & Yang, A Literature Survey of Benchmark Functions for Global
    Optimisation Problems, IJMMNO 4(2), 2013, https://arxiv.org/abs/1308.4008.

    >>> ThreeHumpCamel().f([[0, 0], [-1.7476, 0.8738]]).round(4)
    array([0.    , 0.2986])
    """

    name = "three_hump_camel"
    formula = "2x² − 1.05x⁴ + x⁶/6 + xy + y²"
    minima = constant([[0, 0]])
    start = constant([2, 1.6])
    bounds = (-2.4, 2.4), (-2.0, 2.0)

    def height(self, x: Array, y: Array) -> Any:
        return x**2 * (2 - x**2 * (1.05 - x**2 / 6)) + x * y + y**2

    @polynomial
    def slope(self, x: Array, y: Array) -> tuple[Any, Any]:
        return x * (4 - x * x * (4.2 - x * x)) + y, x + 2 * y
