"""Surfaces to walk down: f and ∇f by hand, minima, start and bounds, one short class each.

>>> from npoptim import surfaces
>>> s = surfaces.get("rosenbrock")
>>> s.f([1, 1]).item(), s.grad([-1.2, 1]).round(1).tolist()
(0.0, [-215.6, -88.0])
"""

from __future__ import annotations

import inspect
from typing import Any

from npoptim.optimizers.checks import nearest
from npoptim.surfaces.base import Surface, constant
from npoptim.surfaces.bowls import Booth, Quadratic, RotatedQuadratic
from npoptim.surfaces.factorisation import Factorisation
from npoptim.surfaces.many_minima import (
    Ackley,
    Himmelblau,
    Rastrigin,
    StyblinskiTang,
    ThreeHumpCamel,
)
from npoptim.surfaces.noise import Noisy
from npoptim.surfaces.saddles import MonkeySaddle, Saddle
from npoptim.surfaces.valleys import Beale, Plateau, Ravine, Rosenbrock

__all__ = [
    "Ackley",
    "Beale",
    "Booth",
    "Factorisation",
    "Himmelblau",
    "MonkeySaddle",
    "Noisy",
    "Plateau",
    "Quadratic",
    "Rastrigin",
    "Ravine",
    "Rosenbrock",
    "RotatedQuadratic",
    "Saddle",
    "StyblinskiTang",
    "Surface",
    "ThreeHumpCamel",
    "constant",
    "get",
    "names",
    "noisy",
]

_IN_ORDER: tuple[type[Surface], ...] = (
    *(Quadratic, RotatedQuadratic, Booth),
    *(Rosenbrock, Beale, Ravine, Plateau),
    *(Himmelblau, ThreeHumpCamel, StyblinskiTang, Rastrigin, Ackley),
    *(Saddle, MonkeySaddle),
    Factorisation,
)
_BY_NAME = {surface.name: surface for surface in _IN_ORDER}


def names() -> list[str]:
    """The names that `get` knows, bowls first, the matrix surface last."""
    return list(_BY_NAME)


def get(name: str, **parameters: Any) -> Surface:
    """A surface by name.

    `quadratic` takes condition=, `rotated_quadratic` condition= and angle=, in
    degrees; the others take no parameters.

    Raises ValueError for an unknown name or a parameter out of range, TypeError
    for an unknown parameter.

    >>> get("quadratic", condition=100)
    quadratic(condition=100.0)
    """
    if name not in names():
        raise ValueError(
            f"unknown surface {name!r}.{nearest(str(name), names())} Known: {', '.join(names())}."
        )
    surface = _BY_NAME[name]
    known = list(inspect.signature(surface).parameters)
    for parameter in parameters:
        if parameter not in known:
            raise TypeError(
                f"{name} has no parameter {parameter!r}.{nearest(parameter, known)} "
                f"It has: {', '.join(known) or 'none'}."
            )
    return surface(**parameters)


def noisy(surface: Surface, scale: float = 1.0, seed: int = 0) -> Noisy:
    """`surface` with Gaussian noise in its gradient; see `Noisy`.

    >>> noisy(get("saddle"), scale=0.5)
    noisy(saddle(), scale=0.5, seed=0)
    """
    return Noisy(surface, scale, seed)
