"""A surface seen through noise, as a loss is through mini-batches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from npoptim.optimizers.checks import NON_NEGATIVE, number
from npoptim.surfaces.base import Array, Surface


class Noisy(Surface):
    """A surface with Gaussian noise in its gradient; f stays exact.

    Every call of `grad` draws one error, of standard deviation `scale` in each
    coordinate, and adds it at all points of the call. So a batch of runs
    equals the single runs, and optimizers that each get a copy of the surface
    meet the same noise. A copy goes on from where the original stands, on its own.

    Raises TypeError or ValueError unless surface is a Surface, scale a float
    ≥ 0 and seed an int ≥ 0.

    >>> from npoptim.surfaces import Saddle
    >>> g = Noisy(Saddle(), scale=0.1).grad([[1, 0], [1, 0]])
    >>> bool((g[0] == g[1]).all()), bool((g[0] == [2, 0]).any())
    (True, False)
    """

    def __init__(self, surface: Surface, scale: float = 1.0, seed: int = 0) -> None:
        if not isinstance(surface, Surface):
            raise TypeError(f"surface must be a Surface, as get returns. Got {surface!r} instead.")
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
            raise TypeError(f"seed must be an int in the range [0, inf). Got {seed!r} instead.")
        if seed < 0:
            raise ValueError(f"seed must be an int in the range [0, inf). Got {seed} instead.")
        self.surface, self.seed = surface, int(seed)
        self.scale: float = number(scale, "scale", NON_NEGATIVE)
        self.name = f"noisy_{surface.name}"
        self.formula = f"{surface.formula}, noise of {self.scale:g} in ∇f"
        self.minima, self.start, self.bounds = surface.minima, surface.start, surface.bounds
        self.shape, self.plane = surface.shape, surface.plane
        self._rng = np.random.default_rng(self.seed)

    def height(self, x: Array, y: Array) -> Any:
        return self.surface.height(x, y)

    def slope(self, x: Array, y: Array) -> tuple[Any, Any]:
        dx, dy = self.surface.slope(x, y)
        ex, ey = (self.scale * self._rng.standard_normal(self.shape)).astype(x.dtype)
        return dx + ex[..., None], dy + ey[..., None]

    def distance(self, x: ArrayLike) -> Any:
        return self.surface.distance(x)

    def project(self, x: ArrayLike) -> Array:
        return self.surface.project(x)

    def lift(self, u: ArrayLike) -> Array:
        return self.surface.lift(u)

    def __repr__(self) -> str:
        return f"noisy({self.surface!r}, scale={self.scale!r}, seed={self.seed!r})"
