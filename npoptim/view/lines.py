"""Paths and curves, each with its label beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npoptim.extras import need
from npoptim.view.ground import FONT, MARKS
from npoptim.view.labels import lengths, place, spread
from npoptim.view.style import Style, Theme

Array = NDArray[Any]

_MANY = 14  # lines; more stay without labels
_DECADES = 12  # of a logarithmic axis; below lies rounding
_LOST = 1e4  # times the first value; higher a curve need not be followed
_SIZE = 10.5  # points, of a label
_TANGLED = 8  # times across the picture; a line that long is drawn thin


@dataclass(frozen=True)
class Line:
    """One line of a picture: its points (n, 2), its label and its looks."""

    points: Array
    label: str
    style: Style

    @property
    def finite(self) -> Array:
        """The points without a NaN or an infinity."""
        return self.points[np.isfinite(self.points).all(axis=-1)]


def draw_paths(ax: Any, theme: Theme, lines: Sequence[Line]) -> None:
    """Paths in the plane, labelled where there is room."""
    frame = _frame(ax)
    drawn = []
    for i, line in enumerate(lines):
        pixels = _clipped(ax.transData.transform(line.finite), frame)
        tangled = lengths(pixels)[-1] > _TANGLED * np.hypot(
            frame[2] - frame[0], frame[3] - frame[1]
        )
        _draw(ax, theme, line, line.finite, _marks(pixels, i, len(lines)), 3 + i / 100, tangled)
        drawn.append((line, pixels))
    if len(lines) <= _MANY:
        marks = [_around(ax, artist) for artist in ax.lines if artist.get_zorder() == MARKS]
        _label_inside(ax, theme, drawn, marks, late=len(lines) == 1)


def margin(lines: Sequence[Line]) -> float:
    """Inches that labels at the ends of curves need."""
    letters = max((len(row) for line in lines for row in line.label.split("\n")), default=0)
    return 0.62 + 0.104 * letters


def draw_curves(
    ax: Any, theme: Theme, lines: Sequence[Line], log: bool, goal: float | None = None
) -> None:
    """Curves over x, labelled at their ends; one that ends early where there is room.

    Jagged ones are drawn pale, under their running median. `goal` is a level
    to mark.
    """
    finite = [line.finite for line in lines]
    smooth = [running_median(points) if jagged(points) else points for points in finite]
    _limits(ax, smooth, log)
    (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
    if goal is not None:
        ax.axhline(goal, color=theme.quiet, lw=1, dashes=(4, 3), zorder=1)
        words = {"size": 9.5, "color": theme.quiet, "family": FONT, "va": "bottom", "zorder": 9}
        text = ax.annotate("target", (x0, goal), (4, 2), textcoords="offset points", **words)
        text.set_path_effects(_halo(theme))
    frame = _frame(ax)
    ends: list[tuple[Line, Array]] = []
    early: list[tuple[Line, Array]] = []
    for i, (line, raw, points) in enumerate(zip(lines, finite, smooth, strict=True)):
        if not len(points):
            continue
        lowest = y0 / 10 if log else -np.inf
        raw, points = (np.maximum(each, (-np.inf, lowest)) for each in (raw, points))
        if len(raw) != len(points) or (raw != points).any():
            ax.plot(*raw.T, color=line.style.colour(theme), lw=0.7, alpha=0.4, zorder=2)
        pixels = _clipped(ax.transData.transform(points), frame)
        steady = pixels * (1, 0)  # markers at equal distances in x
        _draw(ax, theme, line, points, _marks(steady, i, len(lines)), 3 + i / 100)
        reaches = points[-1, 0] >= x1 - 1e-9 * (x1 - x0) and y0 <= points[-1, 1] <= y1
        (ends if reaches else early).append((line, pixels))
    if len(lines) <= _MANY:
        _label_ends(ax, theme, ends, frame)
        _label_inside(ax, theme, early, more=[pixels for _, pixels in ends], late=True)


def jagged(points: Array) -> bool:
    """Whether a curve turns up or down at more than a seventh of its points."""
    slope = np.diff(points[:, 1])
    return len(slope) > 40 and float(np.mean(slope[1:] * slope[:-1] < 0)) > 1 / 7


def running_median(points: Array) -> Array:
    """The median over a fortieth of a curve, at no more than about 2000 places.

    The window shrinks towards the ends, which stay what they are.
    """
    y, n = points[:, 1], len(points)
    half = max(n // 80, 1)
    middle = np.lib.stride_tricks.sliding_window_view(y, 2 * half + 1)
    places = np.unique(np.append(np.arange(0, n, max(n // 2000, 1)), n - 1))
    medians = np.array(
        [
            np.median(middle[i - half] if half <= i < n - half else y[i - near : i + near + 1])
            for i, near in zip(places, np.minimum(places, n - 1 - places), strict=True)
        ]
    )
    # where a curve jumps to and fro between two values, so does its median
    medians[1:-1] = (medians[:-2] + 2 * medians[1:-1] + medians[2:]) / 4
    return np.stack([points[places, 0], medians], axis=-1)


def _limits(ax: Any, curves: Sequence[Array], log: bool) -> None:
    x = np.concatenate([[0.0], *(c[:, 0] for c in curves)])
    y = np.concatenate([np.empty(0), *(c[:, 1] for c in curves)])
    ax.set_xlim(x.min(), max(x.max(), x.min() + 1))
    if log:
        y = y[y > 0] if (y > 0).any() else np.ones(1)
        begin = max((float(c[0, 1]) for c in curves if len(c)), default=1.0)
        # not the heights of a run that diverged
        high = min(float(y.max()), max(begin, float(y.min())) * _LOST)
        low = max(float(y.min()), high * 10.0**-_DECADES)
        ax.set_yscale("log")
        ax.set_ylim(low / 2, high * 2)
    elif len(y):
        pad = 0.05 * max(float(np.ptp(y)), 1e-9)
        ax.set_ylim(y.min() - pad, y.max() + pad)


def _label_ends(
    ax: Any, theme: Theme, ends: Sequence[tuple[Line, Array]], frame: tuple[float, ...]
) -> None:
    """Labels in the margin, in the order of the ends."""
    if not ends:
        return
    _, y0, x1, y1 = frame
    gap = 1.5 * _SIZE * ax.figure.dpi / 72
    heights = [pixels[-1, 1] for _, pixels in ends]
    to_data = ax.transData.inverted().transform
    for (line, pixels), y in zip(ends, spread(heights, gap, y0, y1), strict=True):
        inch = ax.figure.dpi
        text = _text(ax, theme, line)
        text.set(position=to_data((x1 + 0.33 * inch, y)), ha="left")
        knee = [(pixels[-1, 0], pixels[-1, 1]), (x1 + 0.1 * inch, y), (x1 + 0.22 * inch, y)]
        _leader(ax, theme, line, to_data(knee), mark_end=True)


def _label_inside(
    ax: Any, theme: Theme, drawn: Sequence[tuple[Line, Array]], *where: Any, **options: Any
) -> None:
    """Labels within the picture; `where` and `options` are those of `place`."""
    texts = [_text(ax, theme, line) for line, _ in drawn]
    sizes = [_extent(ax, text) for text in texts]
    spots = place([pixels for _, pixels in drawn], sizes, _frame(ax), *where, **options)
    to_data = ax.transData.inverted().transform
    for (line, _), text, size, (anchor, centre) in zip(drawn, texts, sizes, spots, strict=True):
        text.set_position(to_data(centre))
        _leader(ax, theme, line, to_data([anchor, _border(anchor, centre, size)]))


def _draw(
    ax: Any,
    theme: Theme,
    line: Line,
    points: Array,
    marks: list[int],
    z: float,
    thin: bool = False,
) -> None:
    colour, look = line.style.colour(theme), line.style
    (artist,) = ax.plot(
        *points.T,
        color=colour,
        lw=0.9 if thin else 1.7,
        marker=look.marker,
        ms=6.5,
        markevery=marks,
        mec=theme.paper,
        mew=0.7,
        zorder=z,
        solid_joinstyle="round",
        dash_joinstyle="round",
    )
    if look.dashes and not thin:
        artist.set_dashes(look.dashes)
    artist.set_path_effects(_halo(theme))


def _halo(theme: Theme) -> list[Any]:
    """Paper around a line or a text, so that what crosses it does not blur it."""
    effects = need("matplotlib.patheffects", extra="plot")
    return [effects.withStroke(linewidth=3, foreground=theme.paper)]


def _text(ax: Any, theme: Theme, line: Line) -> Any:
    text = ax.text(
        *(0, 0),
        line.label,
        size=_SIZE,
        weight="bold",
        family=FONT,
        ha="center",
        va="center",
        color=line.style.colour(theme),
        zorder=8,
    )
    text.set_path_effects(_halo(theme))
    return text


def _leader(ax: Any, theme: Theme, line: Line, points: Any, mark_end: bool = False) -> None:
    """From a line to its label, with the line's marker at one of its ends."""
    points = np.asarray(points)
    colour = line.style.colour(theme)
    ax.plot(*points.T, color=colour, lw=0.9, zorder=7, clip_on=False)
    at = points[-1 if mark_end else 0]
    ax.plot(
        *at,
        color=colour,
        marker=line.style.marker,
        ms=8,
        mec=theme.paper,
        mew=0.9,
        zorder=7.5,
        linestyle="none",
        clip_on=False,
    )


def _marks(pixels: Array, i: int, n: int) -> list[int]:
    """Points to carry markers: at most 14, 110 pixels apart, elsewhere on every line."""
    length = lengths(pixels)
    every = max(length[-1] / 14, 110.0)
    wanted = np.arange((i + 1) / (n + 1) * every, length[-1], every)
    return sorted({int(k) for k in np.searchsorted(length, wanted) if k < len(pixels)})


def _frame(ax: Any) -> tuple[float, float, float, float]:
    (x0, y0), (x1, y1) = ax.get_window_extent().get_points()
    return float(x0), float(y0), float(x1), float(y1)


def _clipped(pixels: Array, frame: tuple[float, ...]) -> Array:
    """Far away points brought near, so that lengths stay sensible."""
    low, high = np.array(frame[:2]), np.array(frame[2:])
    return np.clip(pixels, low - (high - low), high + (high - low))


def _extent(ax: Any, text: Any) -> tuple[float, float]:
    box = text.get_window_extent(ax.figure.canvas.get_renderer())
    return float(box.width), float(box.height)


def _around(ax: Any, artist: Any) -> tuple[float, float, float, float]:
    """The box of a mark."""
    (x, y), r = ax.transData.transform(artist.get_xydata()[0]), 0.08 * ax.figure.dpi
    return float(x - r), float(y - r), float(x + r), float(y + r)


def _border(anchor: Array, centre: Array, size: tuple[float, float]) -> Array:
    """Where the way from the anchor to the centre of a label meets its border."""
    way = centre - anchor
    share = np.min((np.array(size) / 2 + 1) / np.maximum(np.abs(way), 1e-9))
    return np.asarray(centre - min(share, 1.0) * way)
