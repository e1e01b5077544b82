"""The minima that a surface does not list: those that are not the lowest."""

from __future__ import annotations

import numpy as np

from npoptim.surfaces.base import Array, Surface
from npoptim.surfaces.noise import Noisy

_GRID = 201  # points a side, between which no two minima of a picture should lie
_NEWTON = 12  # steps; from so near four or five are enough


def local_minima(surface: Surface) -> Array:
    """Local minima in the picture, in its plane, (n, 2), by height; global ones are left out.

    Low points of a grid, sharpened by Newton's method on ∇f.

    >>> from npoptim.surfaces import ThreeHumpCamel
    >>> local_minima(ThreeHumpCamel()).round(3).tolist()
    [[1.748, -0.874], [-1.748, 0.874]]
    """
    exact = surface.surface if isinstance(surface, Noisy) else surface
    low, high = np.array(surface.bounds).T
    axes = [np.linspace(a, b, _GRID) for a, b in zip(low, high, strict=True)]
    u = np.stack(np.meshgrid(*axes), axis=-1)
    f = exact.f(exact.lift(u))
    around = np.lib.stride_tricks.sliding_window_view(f, (3, 3)).min(axis=(-2, -1))
    found = _newton(exact, u[1:-1, 1:-1][f[1:-1, 1:-1] <= around], high - low)
    found = found[((found > low) & (found < high)).all(axis=-1)]
    near = 1e-3 * float(np.hypot(*(high - low)))
    known = list(surface.project(surface.minima)) if len(surface.minima) else []
    kept: list[Array] = []
    for point in found[np.lexsort((-found[:, 0], exact.f(exact.lift(found)).round(9)))]:
        if all(np.hypot(*(point - other)) > near for other in [*known, *kept]):
            kept.append(point)
    return np.reshape(kept, (-1, 2))


def _newton(surface: Surface, u: Array, size: Array) -> Array:
    """The minima to which Newton's method leads from the points u; others are dropped."""
    h = 1e-6 * size.max()
    dx, dy = h * np.eye(2)

    def grad(u: Array) -> Array:
        return surface.project(surface.grad(surface.lift(u)))

    with np.errstate(all="ignore"):
        for _ in range(_NEWTON):
            fxx, fxy = ((grad(u + dx) - grad(u - dx)) / (2 * h)).T
            fyx, fyy = ((grad(u + dy) - grad(u - dy)) / (2 * h)).T
            gx, gy = grad(u).T
            det = fxx * fyy - fxy * fyx
            steps = np.stack([fyy * gx - fxy * gy, fxx * gy - fyx * gx], axis=-1) / det[:, None]
            u = u - steps
    settled = (np.abs(steps) < 1e-6 * size).all(axis=-1)
    return np.asarray(u[settled & (det > 0) & (fxx > 0)])
