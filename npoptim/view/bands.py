"""The ground of a page: the bands of a surface as SVG, found in NumPy alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from npoptim.surfaces.base import Surface
from npoptim.view.ground import contour_levels
from npoptim.view.isolines import regions, thinned

Array = NDArray[Any]

GRID = 2000  # units of a picture, both ways; as in picture.js
_POINTS = 501  # of the grid on which heights are taken, both ways; as in `ground`


def bands(surface: Surface) -> str:
    """A square of 2000 units: the low ground, and on it the regions above each level.

    The levels are those of the pictures; see `ground.contour_levels`.
    """
    (x0, x1), (y0, y1) = surface.bounds
    share = np.arange(-1, _POINTS + 1) / (_POINTS - 1)  # with a ring outside, where lines close
    u = np.stack(np.meshgrid(x0 + (x1 - x0) * share, y0 + (y1 - y0) * share), axis=-1)
    heights = surface.f(surface.lift(u))
    levels = contour_levels(surface, heights[1:-1, 1:-1])
    if len(surface.minima):  # between the points of the grid the root is straighter than f
        bottom = surface.f(surface.minima[0])
        heights = np.sqrt(np.maximum(heights - bottom, 0))
        levels = np.sqrt(levels - bottom)
    drawn = [f'<rect width="{GRID}" height="{GRID}"/>']
    for k, level in enumerate(levels):
        percent = 100 * (k + 1) / len(levels)
        colour = f"color-mix(in srgb,var(--high) {percent:.3g}%,var(--low))"
        lines = "".join(map(_path, regions(heights, float(level))))
        drawn.append(f'<path style="fill:{colour}" d="{lines}"/>')
    return "".join(drawn)


def _path(line: Array) -> str:
    """A closed line of (column, row) in whole units, thinned to what can be seen."""
    points = (line - 1) * (GRID / (_POINTS - 1))
    points[:, 1] = GRID - points[:, 1]
    corners = np.rint(thinned(points, 1.2)).astype(int)
    moves = np.diff(corners, axis=0)
    moves = moves[moves.any(axis=1)]
    if len(moves) < 2:
        return ""
    numbers = " ".join(map(str, moves.ravel().tolist())).replace(" -", "-")
    return f"M{corners[0, 0]} {corners[0, 1]}l{numbers}z"
