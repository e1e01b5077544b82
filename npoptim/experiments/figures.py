"""The pictures of experiments: curves over logarithmic axes, labelled at their ends."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from npoptim.experiments.base import Result
from npoptim.extras import need
from npoptim.view import style
from npoptim.view.ground import FONT, name_axes
from npoptim.view.ground import page as blank
from npoptim.view.labels import place, spread

_SIZE = 10.5  # points, of a label


@dataclass(frozen=True)
class Series:
    """One curve: its points, its label, and the ends of bars around them."""

    x: Sequence[float]
    y: Sequence[float]
    label: str
    look: style.Style | None = None  #: by default that of the optimizer the label begins with
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    best: bool = False  #: ring the lowest point

    @property
    def style(self) -> style.Style:
        """How it is drawn."""
        return self.look or style.of(self.label.split(",")[0].split(" ")[0])


def page(
    result: Result,
    theme: str,
    *panels: Sequence[Series],
    size: tuple[float, float] = (4.4, 3.9),
) -> tuple[Any, list[Any], style.Theme]:
    """A figure headed by the experiment, with axes of `size` inches for every panel of curves."""
    look = style.theme(theme)
    room = [_margin(lines) for lines in panels]
    caption = [*result.conditions]
    caption += ["too short to say anything that is not exact"] if result.quick else []
    fig, axes = blank(
        look,
        result.title,
        f"verdict: {result.verdict}",
        " · ".join(caption),
        [size] * len(panels),
        right=room[-1],
        gap=max([*room[:-1], 0.0]) + 0.75,
    )
    return fig, axes, look


def draw(
    ax: Any,
    theme: style.Theme,
    lines: Sequence[Series],
    x: str,
    y: str,
    *,
    top: float = math.inf,
    ticks: Sequence[float] = (),
) -> None:
    """Curves on logarithmic axes with their labels in the margin.

    What is above `top` runs out of the picture; `ticks` are those of x, where
    powers of ten would not do.
    """
    ax.set_xscale("log")
    ax.set_yscale("log")
    for line in lines:
        _curve(ax, theme, line, top)
    xs = np.array([v for line in lines for v in line.x])
    ys = np.array([v for line in lines for v in _known(line.y, line.low, line.high)])
    ys = ys[np.isfinite(ys) & (ys <= top)]
    if len(ys):
        ax.set_xlim(*_padded(xs))
        ax.set_ylim(*_padded(ys))
        _name_ticks(ax.xaxis, xs, ticks)
        _name_ticks(ax.yaxis, ys)
    name_axes(ax, theme, x, y)
    _label_ends(ax, theme, lines)


def _padded(values: Any) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    room = max((high / low) ** 0.06, 1.1)
    return low / room, high * room


def _name_ticks(axis: Any, values: Any, ticks: Sequence[float] = ()) -> None:
    """Ticks at 1, 2 and 5, at 1 and 3, or at powers of ten, by the room there is."""
    ticker = need("matplotlib.ticker", extra="plot")
    span = math.log10(values.max() / values.min())
    between = (1, 2, 5) if span < 1.5 else (1, 3) if span < 2.5 else (1,)
    fixed = ticker.FixedLocator(ticks)
    axis.set_major_locator(fixed if ticks else ticker.LogLocator(10, between))
    axis.set_major_formatter(ticker.FuncFormatter(lambda v, _: _tick(v)))
    axis.set_minor_formatter(ticker.NullFormatter())
    if ticks:
        axis.set_minor_locator(ticker.NullLocator())


def _tick(v: float) -> str:
    """A number as it is, but for far powers of ten.

    >>> _tick(0.002), _tick(1438), _tick(1e-06)
    ('0.002', '1438', '$10^{-6}$')
    """
    power = math.log10(v)
    return f"{v:g}" if -3.5 < power < 4 else f"$10^{{{power:.0f}}}$"


def _known(*values: Sequence[float] | None) -> list[float]:
    return [v for group in values if group is not None for v in group]


def _curve(ax: Any, theme: style.Theme, line: Series, top: float) -> None:
    x, y = np.asarray(line.x, float), np.asarray(line.y, float)
    y = np.where(np.isfinite(y), y, 1e30 if math.isfinite(top) else np.nan)
    look, colour = line.style, line.style.colour(theme)
    if line.low is not None and line.high is not None:
        high = np.where(np.isfinite(line.high), line.high, 1e30)
        ax.vlines(x, line.low, high, color=colour, lw=1, alpha=0.6, zorder=2)
    (artist,) = ax.plot(
        x, y, color=colour, lw=1.8, marker=look.marker, ms=6.5, mec=theme.paper, mew=0.7, zorder=3
    )
    if look.dashes:
        artist.set_dashes(look.dashes)
    if line.best and np.isfinite(y).any():
        i = int(np.nanargmin(y))
        ax.plot(x[i], y[i], "o", ms=13, mfc="none", mec=colour, mew=1.4, zorder=4)


def guide(ax: Any, theme: style.Theme, x: Sequence[float], y: Sequence[float], label: str) -> None:
    """A quiet dashed line with a word at its end: a law, or a level."""
    ax.plot(x, y, color=theme.quiet, lw=1, dashes=(4, 3), zorder=1, scalex=False, scaley=False)
    ax.annotate(
        label, (x[-1], y[-1]), (-3, 4), textcoords="offset points", ha="right", va="bottom",
        size=9.5, color=theme.quiet, family=FONT, zorder=1,
    )  # fmt: skip


def _margin(lines: Sequence[Series]) -> float:
    """Inches that labels in the margin need."""
    letters = max((len(row) for line in lines for row in line.label.split("\n")), default=0)
    return 0.45 + 0.098 * letters


def _label_ends(ax: Any, theme: style.Theme, lines: Sequence[Series]) -> None:
    """Each label in the margin, at the height where its curve leaves the picture."""
    if not lines:
        return
    inch, frame = ax.figure.dpi, ax.get_window_extent()
    ends = [_end(ax, line) for line in lines]
    rows = max(line.label.count("\n") + 1 for line in lines)
    gap = 1.35 * rows * _SIZE * inch / 72
    heights = spread([end[1] for end in ends], gap, frame.y0, frame.y1)
    back = ax.transData.inverted().transform
    for line, end, height in zip(lines, ends, heights, strict=True):
        colour = line.style.colour(theme)
        knee = back([end, (frame.x1 + 0.08 * inch, height), (frame.x1 + 0.2 * inch, height)])
        ax.plot(
            *knee.T, color=colour, lw=0.8, alpha=0.7, zorder=2, clip_on=False,
            scalex=False, scaley=False,
        )  # fmt: skip
        ax.text(
            *back((frame.x1 + 0.26 * inch, height)), line.label, size=_SIZE, weight="bold",
            color=colour, family=FONT, va="center", ha="left",
        )  # fmt: skip


def _end(ax: Any, line: Series) -> tuple[float, float]:
    """In pixels: the last point in the picture, or where the curve leaves it."""
    frame = ax.get_window_extent()
    points = ax.transData.transform(np.column_stack([line.x, np.nan_to_num(line.y, posinf=1e30)]))
    x, y = points[-1]
    return float(x), float(np.clip(y, frame.y0, frame.y1))


def number(x: float) -> str:
    """Three digits, or ∞.

    >>> number(0.12345), number(math.inf)
    ('0.123', '∞')
    """
    return f"{x:.3g}" if math.isfinite(x) else "∞"


def dots_page(result: Result, theme: str, names: Sequence[str]) -> tuple[Any, Any, style.Theme]:
    """A figure with one row for every name."""
    look = style.theme(theme)
    left = 0.4 + 0.098 * max(map(len, names))
    fig, (ax,) = blank(
        look,
        result.title,
        f"verdict: {result.verdict}",
        " · ".join(result.conditions),
        [(6.2, 0.34 * len(names) + 0.1)],
        right=0.5,
        left=left,
    )
    return fig, ax, look


def dots(
    ax: Any,
    theme: style.Theme,
    names: Sequence[str],
    values: Mapping[str, Sequence[float]],
    what: str,
) -> None:
    """A row of dots for every name on a logarithmic axis; 0 and ∞ stand at its ends."""
    known = [v for group in values.values() for v in group if 0 < v < math.inf]
    room = 4 if any(v == 0 for group in values.values() for v in group) else 1
    low = 10.0 ** (math.floor(math.log10(min(known))) - room)
    high = 10.0 ** (math.ceil(math.log10(max(known))) + 1)
    ax.set_xscale("log")
    ax.set_xlim(low / 3, high * 3)
    ax.set_ylim(len(names) - 0.5, -0.5)
    for i, name in enumerate(names):
        colour = style.of(name.split(",")[0]).colour(theme)
        ax.axhline(i, color=theme.contour, lw=0.6, zorder=1)
        for j, group in enumerate(values.values()):
            x, ring = min(max(group[i], low), high), j > 0
            ax.plot(
                x, i, "o", ms=13 if ring else 8, color=colour, mfc="none" if ring else colour,
                mew=1.6, zorder=3 + j,
            )  # fmt: skip
            if group[i] != x:
                words, side = ("exactly 0", 11) if group[i] < low else ("∞", -11)
                ax.annotate(
                    words, (x, i), (side, 0), textcoords="offset points", va="center",
                    ha="left" if side > 0 else "right", size=9.5, color=colour, family=FONT,
                )  # fmt: skip
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(axis="y", labelsize=_SIZE, labelcolor=theme.ink, length=0)
    filled, hollow = values
    name_axes(ax, theme, f"{what}   (● {filled}, ○ {hollow})", "")


def points(
    ax: Any, theme: style.Theme, lines: Sequence[Series], x: str, y: str, ticks: Sequence[float]
) -> None:
    """Single points with the bars around them, each with its label beside it."""
    for line in lines:
        _curve(ax, theme, line, math.inf)
    values = np.array([v for line in lines for v in _known(line.y, line.low, line.high)])
    values = values[np.isfinite(values)]
    room = 0.1 * (np.ptp(values) or 1.0)
    ax.set_ylim(values.min() - room, values.max() + room)
    ax.set_xlim(min(ticks) - 0.25, max(ticks) + 0.55)
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    name_axes(ax, theme, x, y)
    canvas, frame = ax.figure.canvas.get_renderer(), ax.get_window_extent()
    known = [line for line in lines if np.isfinite(line.y[0])]
    texts = [
        ax.text(
            0, 0, line.label, size=_SIZE, weight="bold", color=line.style.colour(theme),
            family=FONT, va="center", ha="center",
        )
        for line in known
    ]  # fmt: skip
    boxes = [text.get_window_extent(canvas) for text in texts]
    bars = [[(line.x[0], v) for v in _known(line.low, line.y, line.high)] for line in known]
    spots = place(
        [ax.transData.transform(bar) for bar in bars],
        [(box.width, box.height) for box in boxes],
        (frame.x0, frame.y0, frame.x1, frame.y1),
    )
    back = ax.transData.inverted().transform
    for line, text, box, (_, centre) in zip(known, texts, boxes, spots, strict=True):
        text.set_position(back(centre))
        point = ax.transData.transform((line.x[0], line.y[0]))
        half = min(box.width / 2 + 3, abs(centre[0] - point[0]))
        ends = back([point, np.add(centre, (half if centre[0] < point[0] else -half, 0))])
        ax.plot(*ends.T, color=line.style.colour(theme), lw=0.7, alpha=0.7, zorder=1)
