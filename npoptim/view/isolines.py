"""Level sets as closed lines, by marching squares, in NumPy alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def regions(heights: Array, level: float) -> list[Array]:
    """The outlines of where heights are at or above a level: closed lines of (column, row).

    `heights` are on a grid, (rows, columns), and lie below the level outside
    it. Filled by the even-odd rule the outlines are the region; the values on
    the edge of the grid should lie beyond what is shown.

    >>> y, x = np.mgrid[-4:5, -4:5]
    >>> [hole] = regions(np.hypot(x, y) * (np.hypot(x, y) < 4), 2.0)[1:]
    >>> np.hypot(*(hole - 4).T).round(1)
    array([2., 2., 2., 2., 2., 2., 2., 2., 2., 2., 2., 2.])
    """
    heights = np.where(np.isnan(heights), -np.inf, heights)
    inside = np.zeros(heights.shape, dtype=bool)
    inside[1:-1, 1:-1] = heights[1:-1, 1:-1] >= level
    places, neighbours = _crossings(heights, inside, level), _neighbours(inside)
    left = dict.fromkeys(neighbours)  # in order, unlike a set: the same lines in every run
    lines = []
    while left:
        edge = start = next(iter(left))
        line: list[tuple[float, float]] = []
        before = -1
        while edge != start or not line:
            del left[edge]
            line.append(places[edge])
            a, b = neighbours[edge]
            before, edge = edge, (b if a == before else a)
        lines.append(np.array(line))
    return lines


def _crossings(heights: Array, inside: Array, level: float) -> dict[int, tuple[float, float]]:
    """Where the level crosses the edges of the grid, by the number of the edge."""
    places: dict[int, tuple[float, float]] = {}
    columns, size = heights.shape[1], heights.size
    for axis in (0, 1):
        one, other = (_part(axis, slice(None, -1)), _part(axis, slice(1, None)))
        i, j = np.nonzero(inside[one] != inside[other])
        a, b = heights[one][i, j], heights[other][i, j]
        with np.errstate(all="ignore"):
            share = (level - a) / (b - a)
        share = np.where(np.isfinite(share), np.clip(share, 0, 1), 0.5)
        # at the edge of the grid, where the height alone would not end the region
        share = np.where((a >= level) & (b >= level), inside[one][i, j], share)
        x, y = (j, i + share) if axis == 0 else (j + share, i)
        edges = size * axis + columns * i + j
        places |= zip(edges.tolist(), zip(x.tolist(), y.tolist(), strict=True), strict=True)
    return places


def _part(axis: int, which: slice) -> tuple[slice, ...]:
    return (which,) if axis == 0 else (slice(None), which)


def _neighbours(inside: Array) -> dict[int, tuple[int, int]]:
    """For every crossed edge the two that follow it, one in either cell beside it."""
    columns, size = inside.shape[1], inside.size
    a, b, c, d = inside[:-1, :-1], inside[:-1, 1:], inside[1:, :-1], inside[1:, 1:]
    i, j = np.nonzero((a != b) | (a != c) | (a != d))
    corner = columns * i + j
    # the edges of a cell: left and right are crossed down a column, top and bottom along a row
    left, right, top, bottom = corner, corner + 1, size + corner, size + corner + columns
    crossed = [(a != c)[i, j], (b != d)[i, j], (a != b)[i, j], (c != d)[i, j]]
    found: dict[int, list[int]] = {}
    for edges, here, corner_in in zip(
        np.stack([left, right, top, bottom], axis=1).tolist(),
        np.stack(crossed, axis=1).tolist(),
        a[i, j].tolist(),
        strict=True,
    ):
        met = [edge for edge, is_crossed in zip(edges, here, strict=True) if is_crossed]
        if len(met) == 4:  # a saddle: the two corners inside are taken to be apart
            lft, rgt, tp, btm = met
            pairs = [(lft, tp), (rgt, btm)] if corner_in else [(lft, btm), (rgt, tp)]
        else:
            pairs = [(met[0], met[1])]
        for p, q in pairs:
            found.setdefault(p, []).append(q)
            found.setdefault(q, []).append(p)
    return {edge: (ends[0], ends[1]) for edge, ends in found.items()}


def thinned(line: Array, tolerance: float) -> Array:
    """A line less the points that lie within `tolerance` of it all the same.

    Douglas & Peucker, Algorithms for the Reduction of the Number of Points
    Required to Represent a Digitized Line or its Caricature, 1973.

    >>> thinned(np.array([[0, 0], [1, 0.01], [2, 0], [2, 2]]), 0.1)
    array([[0., 0.],
           [2., 0.],
           [2., 2.]])
    """
    kept = {0, len(line) - 1}
    todo = [(0, len(line) - 1)]
    while todo:
        first, last = todo.pop()
        if last - first < 2:
            continue
        chord, spokes = line[last] - line[first], line[first + 1 : last] - line[first]
        length = np.hypot(*chord)
        away = np.hypot(*spokes.T)
        if length > 0:
            away = np.abs(chord[0] * spokes[:, 1] - chord[1] * spokes[:, 0]) / length
        farthest = int(np.argmax(away))
        if away[farthest] > tolerance:
            middle = first + 1 + farthest
            kept.add(middle)
            todo += [(first, middle), (middle, last)]
    return line[sorted(kept)]
