"""Heat maps: a colour and a number for every point of a grid; and a curve where it has one axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from npoptim.extras import need
from npoptim.view import ground, style

if TYPE_CHECKING:
    from npoptim.sweeps import Sweep

Array = NDArray[Any]

_CELL = 0.72, 0.42  # inches of a cell; where there are too many they shrink and lose their numbers
_MOST = 8.0, 6.0  # inches of all cells
_RATIO = 50  # of the largest to the smallest positive value, above which scales are logarithmic
_COLOURS = "cividis"  # rises evenly in greyscale and under colour blindness


def sweep(
    result: Sweep,
    key: str,
    *,
    x: str | None = None,
    y: str | None = None,
    largest: bool = False,
    title: str = "",
    caption: str = "",
    theme: str = "light",
) -> Any:
    """One result of a sweep over its grid, the best point marked, as a matplotlib Figure.

    The first two axes with more than one value are drawn, or those called `x`
    and `y`; over the others the best value is shown: the lowest, or with
    `largest` the largest. A grid with one such axis gives a curve.

    Raises ValueError for a sweep over a list of points, and names that are no axes.
    """
    if not result.axes:
        raise ValueError("a sweep over a list of points has no axes to draw.")
    for name in (x, y):
        if name is not None and name not in result.axes:
            raise ValueError(
                f"x and y must be axes: {', '.join(result.axes)}. Got {name!r} instead."
            )
    free = [n for n, v in result.axes.items() if n not in (x, y) and len(v) > 1]
    x = x or (free.pop(0) if free else next(n for n in result.axes if n != y))
    y = y or (free.pop(0) if free else None)
    names = list(result.axes)
    kept = [name for name in (y, x) if name is not None]
    order = [names.index(n) for n in [*kept, *(n for n in names if n not in kept)]]
    values = result.array(key).astype(float).transpose(order)
    values = _best(values.reshape(*values.shape[: len(kept)], -1), largest)
    notes = [caption, *(f"{n} {_short(v[0])}" for n, v in result.axes.items() if len(v) == 1)]
    notes += [f"the {'largest' if largest else 'lowest'} over {', '.join(free)}"] * bool(free)
    pages = {"of": key, "title": title, "caption": " · ".join(filter(None, notes)), "theme": theme}
    found = np.where(np.isfinite(values), -values if largest else values, np.inf)
    best = np.unravel_index(int(np.argmin(found)), found.shape) if np.isfinite(found).any() else ()
    place = tuple(map(int, best)) or None
    if y is None:
        return curve(values, (x, result.axes[x]), best=place and place[0], **pages)
    return heatmap(values, (x, result.axes[x]), (y, result.axes[y]), best=place, **pages)  # type: ignore[arg-type]


def heatmap(
    values: Any,
    x: tuple[str, Sequence[Any]],
    y: tuple[str, Sequence[Any]],
    *,
    of: str = "",
    best: tuple[int, int] | None = None,
    title: str = "",
    caption: str = "",
    theme: str = "light",
    lost: str = "no finite number",
) -> Any:
    """Numbers on a grid as coloured cells, as a matplotlib Figure.

    `values` are (rows, columns); `x` is the name and the values of the
    columns, `y` of the rows, the first at the bottom. `best` marks a cell by
    (row, column). A cell without a finite number is crossed out; `lost` says
    why it has none.

    Raises ValueError where `values` have another shape.
    """
    cells = np.asarray(values, dtype=float)
    if cells.shape != (len(y[1]), len(x[1])):
        raise ValueError(
            f"values must have shape {(len(y[1]), len(x[1]))}, a row for every {y[0]}. "
            f"Got {cells.shape} instead."
        )
    look = style.theme(theme)
    columns, rows = [_short(v) for v in x[1]], [_short(v) for v in y[1]]
    width, height = (
        min(max(n, 4) * one, most)
        for n, one, most in zip(cells.shape[::-1], _CELL, _MOST, strict=True)
    )
    left = 0.6 + 0.085 * max(map(len, rows))
    finite = cells[np.isfinite(cells)]
    log = _log(finite)
    notes = [caption, f"{'logarithmic ' * log}colours from {_ends(finite)}" if len(finite) else ""]
    notes += [f"crossed out: {lost}"] * bool(len(finite) < cells.size)
    fig, (ax,) = ground.page(
        look, title, of, " · ".join(filter(None, notes)), [(width, height)], left=left
    )
    share = _share(cells, log)
    colours = need("matplotlib", extra="plot").colormaps[_COLOURS]
    ax.pcolormesh(np.ma.masked_invalid(share), cmap=colours, vmin=0, vmax=1)
    for i, j in np.argwhere(~np.isfinite(cells)):
        ax.plot([j, j + 1], [i, i + 1], color=look.quiet, lw=0.8)
        ax.plot([j, j + 1], [i + 1, i], color=look.quiet, lw=0.8)
    _ticks(ax.xaxis, columns, width, 0.1 * max(map(len, columns)) + 0.1)
    _ticks(ax.yaxis, rows, height, 0.2)
    ax.tick_params(length=0)
    if width / len(columns) >= 0.6 and height / len(rows) >= 0.25:
        for i, j in np.argwhere(np.isfinite(cells)):
            ink = style.LIGHT.ink if share[i, j] > 0.5 else style.LIGHT.paper
            _write(ax, j + 0.5, i + 0.5, _short(float(cells[i, j])), ink)
    if best is not None:
        (i, j), shape = best, need("matplotlib.patches", extra="plot").Rectangle
        for color, lw in ((look.paper, 5), (look.ink, 2.2)):
            ax.add_patch(shape((j, i), 1, 1, fill=False, ec=color, lw=lw, zorder=4, clip_on=False))
    ground.name_axes(ax, look, x[0], y[0])
    return fig


def curve(
    values: Any,
    x: tuple[str, Sequence[Any]],
    *,
    of: str = "",
    best: int | None = None,
    title: str = "",
    caption: str = "",
    theme: str = "light",
) -> Any:
    """Numbers over one axis, at equal distances, as a matplotlib Figure; `best` marks one."""
    y = np.asarray(values, dtype=float)
    look, names = style.theme(theme), [_short(v) for v in x[1]]
    width = min(max(len(names), 6) * _CELL[0], _MOST[0])
    lost = ["×: no finite number"] * bool(not np.isfinite(y).all())
    notes = " · ".join(filter(None, [caption, *lost]))
    fig, (ax,) = ground.page(look, title, "", notes, [(width, 3.6)], left=0.95)
    at = np.arange(len(y))
    ax.plot(at, y, color=look.ink, lw=1.6, marker="o", ms=5)
    if _log(y[np.isfinite(y)]):
        ax.set_yscale("log")
    bottom = ax.get_xaxis_transform()
    for i in at[~np.isfinite(y)]:
        ax.plot(i, 0.03, "x", color=look.quiet, transform=bottom)
    if best is not None:
        ax.plot(best, y[best], "o", ms=13, mfc="none", mec=look.ink, mew=1.8)
        ax.annotate(
            _short(float(y[best])), (best, y[best]), (0, 11), textcoords="offset points",
            ha="center", size=10, color=look.ink, family=ground.FONT,
        )  # fmt: skip
    ax.margins(0.06, 0.14)
    _ticks(ax.xaxis, names, width, 0.1 * max(map(len, names)) + 0.1, 0.0)
    ground.name_axes(ax, look, x[0], of)
    return fig


def _best(values: Array, largest: bool) -> Array:
    """The lowest or largest finite number along the last axis, NaN where there is none."""
    worst = -np.inf if largest else np.inf
    known = np.where(np.isfinite(values), values, worst)
    best = known.max(axis=-1) if largest else known.min(axis=-1)
    return np.where(np.isfinite(best), best, np.nan)


def _log(finite: Array) -> bool:
    return len(finite) > 0 and bool(finite.min() > 0 and finite.max() > _RATIO * finite.min())


def _share(cells: Array, log: bool) -> Array:
    """Where each number lies between the smallest, 0, and the largest, 1."""
    finite = np.where(np.isfinite(cells), cells, np.nan)
    height = np.log(finite) if log else finite
    if np.isnan(height).all():
        return height
    low, high = np.nanmin(height), np.nanmax(height)
    return np.asarray((height - low) / (high - low if high > low else 1.0))


def _ends(finite: Array) -> str:
    return f"{_short(float(finite.min()))} to {_short(float(finite.max()))}"


def _ticks(axis: Any, names: list[str], room: float, each: float, first: float = 0.5) -> None:
    """Every name, or every second, third …, where they take `each` of `room` inches."""
    step = math.ceil(len(names) * each / room)
    axis.set_ticks(np.arange(len(names))[::step] + first, names[::step])


def _write(ax: Any, x: float, y: float, words: str, ink: str) -> None:
    ax.text(x, y, words, color=ink, ha="center", va="center", size=9, family=ground.FONT)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
