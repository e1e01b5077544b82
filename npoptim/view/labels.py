"""Labels at the lines: where each fits without hiding a line or another label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_CELL = 3.0  # pixels; the page is seen as a grid of such cells
_TURNS = np.linspace(0, 2 * np.pi, 24, endpoint=False)
_REACH = np.array([15.0, 24.0, 40.0, 65.0, 95.0, 130.0, 180.0])  # pixels from line to label
_SWEEPS = 4


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> Array:
    """Positions at least `gap` apart, as near to the wanted ones as can be, from low to high.

    Where there is not enough room the gap shrinks.

    >>> spread([0, 0, 5], gap=1, low=-1, high=9)
    array([-0.5,  0.5,  5. ])
    """
    x = np.asarray(wanted, dtype=float)
    n = len(x)
    gap = min(gap, (high - low) / max(n - 1, 1))
    order = np.argsort(x, kind="stable")
    steps = gap * np.arange(n)
    # apart by `gap` means sorted once the steps are taken off: isotonic regression, by pooling
    pools: list[list[float]] = []  # sum, count
    for value in x[order] - steps:
        pools.append([value, 1])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] >= pools[-1][0] / pools[-1][1]:
            total, count = pools.pop()
            pools[-1][0] += total
            pools[-1][1] += count
    level = np.concatenate([np.full(int(count), total / count) for total, count in pools])
    placed = np.empty(n)
    placed[order] = np.clip(level, low, max(high - steps[-1], low)) + steps
    return placed


def place(
    paths: Sequence[Array],
    sizes: Sequence[tuple[float, float]],
    frame: tuple[float, float, float, float],
    taken: Sequence[tuple[float, float, float, float]] = (),
    more: Sequence[Array] = (),
    late: bool = False,
) -> list[tuple[Array, Array]]:
    """For every path the point to be labelled and the centre of its label.

    All in pixels: paths (n, 2), sizes of the labels (width, height), `frame`
    and boxes already `taken` as (x0, y0, x1, y1); `more` are lines not to hide.
    `late` asks for the ends of the paths.
    """
    x0, y0, x1, y1 = frame
    shape = int((x1 - x0) / _CELL) + 2, int((y1 - y0) / _CELL) + 2
    inked = [_ink(path, frame, shape) for path in paths]
    total = np.zeros(shape, dtype=int)
    for ink in [*inked, *(_ink(path, frame, shape) for path in more)]:
        total += ink
    options = [
        _options(path, size, total - ink, ink, frame, late)
        for path, size, ink in zip(paths, sizes, inked, strict=True)
    ]
    chosen: list[tuple[Array, Array] | None] = [None] * len(paths)
    hardest_first = sorted(range(len(paths)), key=lambda i: -options[i][2].min())
    for _ in range(_SWEEPS):
        for i in hardest_first:
            anchors, centres, cost = options[i]
            cost = cost.copy()
            half = np.array(sizes[i]) / 2
            for box in map(np.array, taken):
                cost += 8 * _overlaps(centres, half, box)
                cost += 3 * _overlaps(anchors, np.full(2, 8.0), box)
            for j, other in enumerate(chosen):
                if other is None or j == i:
                    continue
                reach = np.array(sizes[j]) / 2 + 2
                box = np.concatenate([other[1] - reach, other[1] + reach])
                cost += 8 * _overlaps(centres, half, box)
                cost += 2 * _crossings(anchors, centres, *other)
            best = int(np.argmin(cost))
            chosen[i] = anchors[best], centres[best]
    return [choice for choice in chosen if choice is not None]


def _ink(path: Array, frame: tuple[float, ...], shape: tuple[int, int]) -> Array:
    """The cells that a path covers."""
    cells = np.zeros(shape, dtype=bool)
    dense = _along(path, _CELL / 2)
    i, j = ((dense - frame[:2]) / _CELL).astype(int).T
    seen = (i >= 0) & (j >= 0) & (i < shape[0]) & (j < shape[1])
    cells[i[seen], j[seen]] = True
    return cells


def lengths(path: Array) -> Array:
    """How far it is along a path to each of its points."""
    return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])


def _along(path: Array, every: float, most: int = 20_000) -> Array:
    """Points along a path at equal distances."""
    length = lengths(path)
    n = int(min(length[-1] / every, most)) + 2
    where = np.linspace(0, length[-1], n)
    return np.stack([np.interp(where, length, axis) for axis in path.T], axis=-1)


def _options(
    path: Array,
    size: tuple[float, float],
    others: Array,
    own: Array,
    frame: tuple[float, ...],
    late: bool,
) -> tuple[Array, Array, Array]:
    """Anchors, centres and costs of every place that the label of a path may take."""
    low, high = np.array(frame[:2]), np.array(frame[2:])
    points = _along(path, 8.0, most=160)
    inside = ((points >= low) & (points <= high)).all(axis=-1)
    points = points[inside] if inside.any() else np.clip(points[:1], low, high)
    half = np.array(size) / 2
    turn = np.stack([np.cos(_TURNS), np.sin(_TURNS)], axis=-1)
    # from the line to the border of the label in that direction, then to its centre
    border = np.min(half / np.maximum(np.abs(turn), 1e-9), axis=-1)
    offsets = (turn[:, None] * (border[:, None] + _REACH)[..., None]).reshape(-1, 2)
    reach = np.tile(_REACH, len(_TURNS))
    anchors = np.repeat(points, len(offsets), axis=0)
    centres = anchors + np.tile(offsets, (len(points), 1))
    cost = np.tile(reach, len(points)) / 60
    cost += 1.5 * np.repeat(_crowd(points, others, low), len(offsets))
    cost += late * np.repeat(np.linspace(3, 0, len(points)), len(offsets))
    cost += 10 * ((centres - half < low) | (centres + half > high)).any(axis=-1)
    area = (2 * half / _CELL).prod()
    cost += 14 * _covered(others, centres, half, low) / area**0.5
    cost += 9 * _covered(own, centres, half, low) / area**0.5
    for share in (0.25, 0.5, 0.75):  # a leader across other lines misleads
        i, j = _cells(anchors + share * (centres - anchors), low, others.shape)
        cost += 0.5 * (others[i, j] > 0)
    return anchors, centres, cost


def _cells(points: Array, low: Array, shape: tuple[int, ...]) -> Any:
    at = ((points - low) / _CELL).astype(int)
    return np.clip(at, 0, np.array(shape) - 1).T


def _crowd(points: Array, others: Array, low: Array) -> Array:
    """How near other lines are to each point: 1 on top of them, 0 far away."""
    cells = np.argwhere(others > 0) * _CELL + low
    if not len(cells):
        return np.zeros(len(points))
    cells = cells[:: max(len(cells) // 3000, 1)]
    gaps = np.hypot(*(points[:, None] - cells[None]).transpose(2, 0, 1)).min(axis=1)
    return np.asarray(1 / (1 + gaps / 8))


def _covered(cells: Array, centres: Array, half: Array, low: Array) -> Array:
    """The number of marked cells under a box at each centre."""
    sums = np.zeros((cells.shape[0] + 1, cells.shape[1] + 1), dtype=int)
    sums[1:, 1:] = (cells > 0).cumsum(axis=0).cumsum(axis=1)
    i0, j0 = _cells(centres - half - 2, low, sums.shape)
    i1, j1 = _cells(centres + half + 2 + _CELL, low, sums.shape)
    return np.asarray(sums[i1, j1] - sums[i0, j1] - sums[i1, j0] + sums[i0, j0])


def _overlaps(centres: Array, half: Array, box: Array) -> Array:
    apart = (centres + half < box[:2]) | (centres - half > box[2:])
    return np.asarray(~apart.any(axis=-1))


def _crossings(a: Array, b: Array, c: Array, d: Array) -> Array:
    """Whether the segments a–b cross the segment c–d."""

    def side(p: Array, q: Array, r: Array) -> Array:
        u, v = q - p, r - p
        return np.asarray(u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0])

    return (side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0)
