"""The page and the ground of a picture: paper, axes, contours, start and minima."""

from __future__ import annotations

import functools
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npoptim.extras import need
from npoptim.surfaces.base import Surface
from npoptim.view.style import Theme

Array = NDArray[Any]

FONT = "DejaVu Sans"  # comes with matplotlib and has the letters of every formula
MARKS = 6  # the layer of start and minima, which labels keep off
_DPI = 160
_WIDTH = 8.0  # inches, as all lengths of a page
_TOP, _LEFT = 0.95, 0.75
_TITLE = 0.34  # below the upper edge
_BANDS = 14


def page(
    theme: Theme,
    title: str,
    subtitle: str,
    caption: str,
    boxes: list[tuple[float, float]],
    right: float = 0.3,
    left: float = _LEFT,
    gap: float = 0.85,
) -> tuple[Any, list[Any]]:
    """A figure with title and caption, and axes of the given (width, height) side by side.

    All lengths are in inches; `left` and `right` are margins. Nothing global
    is touched: neither pyplot nor the settings of matplotlib.
    """
    figures = need("matplotlib.figure", extra="plot")
    agg = need("matplotlib.backends.backend_agg", extra="plot")
    width = left + sum(w for w, _ in boxes) + gap * (len(boxes) - 1) + right
    lines = _wrapped(caption, int((width - left - 0.3) * 13.2))
    bottom = 0.68 + 0.18 * len(lines)
    height = _TOP + max(h for _, h in boxes) + bottom
    fig = figures.Figure(figsize=(width, height), dpi=_DPI, facecolor=theme.paper)
    agg.FigureCanvasAgg(fig)
    # Jupyter shows a figure that pyplot does not know by its own method only
    fig._repr_png_ = functools.partial(_png, fig)
    text = functools.partial(fig.text, family=FONT, ha="left")
    x = left / width
    text(x, 1 - _TITLE / height, title, size=16, weight="bold", color=theme.ink, va="center")
    text(x, 1 - 0.66 / height, subtitle, size=11, color=theme.quiet, va="center")
    words = "\n".join(lines)
    text(
        x, (bottom - 0.55) / height, words, size=9.5, color=theme.quiet, va="top", linespacing=1.35
    )
    axes = []
    for w, h in boxes:
        ax = fig.add_axes((left / width, bottom / height, w / width, h / height))
        _bare(ax, theme)
        axes.append(ax)
        left += w + gap
    return fig, axes


def _png(fig: Any) -> bytes:
    file = io.BytesIO()
    fig.savefig(file, format="png")
    return file.getvalue()


def _wrapped(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` letters, broken at its dots only."""
    lines = [""]
    for part in text.split(" · "):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += (" · " if lines[-1] else "") + part
    return lines


def _bare(ax: Any, theme: Theme) -> None:
    ax.set_facecolor(theme.paper)
    for spine in ax.spines.values():
        spine.set_color(theme.contour)
        spine.set_linewidth(0.8)
    ax.tick_params(
        which="both", colors=theme.quiet, labelsize=10, labelfontfamily=FONT, width=0.8, length=3
    )
    ax.grid(False)


def name_axes(ax: Any, theme: Theme, x: str, y: str) -> None:
    """Say what the axes are."""
    ax.set_xlabel(x, size=11, color=theme.quiet, family=FONT, labelpad=3)
    ax.set_ylabel(y, size=11, color=theme.quiet, family=FONT, labelpad=3)


def box(surface: Surface, width: float = _WIDTH - _LEFT - 0.3) -> tuple[float, float]:
    """Width and height of a picture of a surface: equal scales, unless that is too long."""
    (x0, x1), (y0, y1) = surface.bounds
    return width, float(np.clip(width * (y1 - y0) / (x1 - x0), 0.55 * width, 0.9 * width))


def draw(ax: Any, surface: Surface, theme: Theme, starts: Array | None = None) -> None:
    """The contours of a surface, its minima (stars) and starts (rings), by default its own."""
    need("matplotlib.contour", extra="plot")
    (x0, x1), (y0, y1) = surface.bounds
    x, y = np.linspace(x0, x1, 501), np.linspace(y0, y1, 501)
    heights = surface.f(surface.lift(np.stack(np.meshgrid(x, y), axis=-1)))
    levels = contour_levels(surface, heights)
    ax.contourf(x, y, heights, levels, colors=_ramp(theme, len(levels) + 1), extend="both")
    ax.contour(x, y, heights, levels, colors=theme.contour, linewidths=0.7, linestyles="solid")
    ax.set_xlim(x0, x1)
    ax.set_ylim(y0, y1)
    plane = ("x", "y") if surface.shape == (2,) else ("u", "v")
    name_axes(ax, theme, *plane)
    marks = {"clip_on": True, "linestyle": "none", "zorder": MARKS}
    for point in surface.project(surface.minima) if len(surface.minima) else []:
        ax.plot(*point, marker="*", ms=17, color=theme.ink, mec=theme.paper, mew=1.2, **marks)
    own = surface.project(surface.start if starts is None else starts)
    points = np.unique(own.reshape(-1, 2), axis=0)
    size = 10 if len(points) == 1 else 7
    for point in points:
        ax.plot(*point, marker="o", ms=size, mfc=theme.paper, mec=theme.ink, mew=size / 5, **marks)
    key = "○ start" + ("   ★ minimum" if len(surface.minima) else "")
    right = ax.get_position().x1
    height = ax.figure.get_figheight()
    text = {"ha": "right", "va": "center", "size": 10.5, "color": theme.ink, "family": FONT}
    ax.figure.text(right, 1 - _TITLE / height, key, **text)


def contour_levels(surface: Surface, heights: Array) -> Array:
    """Levels in equal ratios above the minimum, or without one at equal distances."""
    finite = heights[np.isfinite(heights)]
    if len(surface.minima):
        bottom = float(surface.f(surface.minima[0]))
        gaps = np.sort(finite.ravel() - bottom)
        low, high = gaps[len(gaps) // 300], gaps[-1]
        return bottom + np.geomspace(max(low, high * 1e-9), high, _BANDS + 1)[:-1]
    side = np.abs(finite).max() * np.arange(1, _BANDS // 2) / (_BANDS // 2)
    return np.concatenate([-side[::-1], [0.0], side])


def _ramp(theme: Theme, n: int) -> list[Any]:
    """n colours from low ground to high."""
    colours = need("matplotlib.colors", extra="plot")
    low, high = np.array(colours.to_rgb(theme.low)), np.array(colours.to_rgb(theme.high))
    return [tuple(low + share * (high - low)) for share in np.linspace(0, 1, n)]
