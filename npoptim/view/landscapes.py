"""Maps of where runs end, and f for every lr, as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npoptim import surfaces
from npoptim.extras import need
from npoptim.landscapes import DIVERGED, UNDER_WAY, Basins, Sensitivity
from npoptim.surfaces.base import Surface
from npoptim.view import ground, style, tables
from npoptim.view.heatmap import heatmap
from npoptim.view.lines import Line, draw_curves, margin
from npoptim.view.plots import _heading, _slice

Array = NDArray[Any]

_WIDTH = 5.4  # inches of a map; the key has the rest
_KEY = 3.1
_PIXELS = 900  # of a map's width, at least; its dots and crosses are that fine
_MOST = 9  # minima that have a colour and a number each
_FLOOR = 1e-12  # of the height of the start; below lies rounding
#: Where runs diverge: paper and ink, in light and in dark.
_LOST = {"light": ("#fbe3dd", "#c8553d"), "dark": ("#3a1f1b", "#e2816b")}


def basins(result: Basins, theme: str = "light") -> Any:
    """The start's places coloured by where their runs end, as a matplotlib Figure.

    Every minimum has a colour and a number, also readable in grey; where there
    are too many local ones they are coloured by their height. Starts whose
    runs are still under way are dotted, those that diverge crossed.

    Raises ModuleNotFoundError without matplotlib, ValueError for another theme.
    """
    look, surface = style.theme(theme), result.surface
    name = _name(result.optimizer)
    rows, columns = result.outcome.shape
    words = [repr(result.optimizer), f"{result.steps} steps from each of {columns} × {rows} starts"]
    words += [_random(surface), *_slice(surface)]
    if len(result.minima):
        words.append(f"within {100 * result.tolerance:g} % of the diagonal counts as there")
    title = f"Where {name} ends on {_heading(surface)[0]}"
    size = ground.box(surface, _WIDTH)
    fig, (ax,) = ground.page(
        look, title, _heading(surface)[1], " · ".join(words), [size], right=_KEY
    )
    colours = _colours(result)
    (x0, x1), (y0, y1) = surface.bounds
    picture = _painted(result.outcome, colours, look, -(-_PIXELS // columns))
    ax.imshow(picture, extent=(x0, x1, y0, y1), aspect="auto", interpolation="nearest")
    _contours(ax, surface, look)
    few = len(result.minima) <= _MOST
    for k, point in enumerate(result.minima):
        if few or k < len(surface.minima):
            _mark(ax, look, point, k + 1 if len(result.minima) > 1 and few else None)
    ax.set_xlim(x0, x1)
    ax.set_ylim(y0, y1)
    ground.name_axes(ax, look, *(("x", "y") if surface.shape == (2,) else ("u", "v")))
    _key(fig, ax, look, result, colours)
    return fig


def sensitivity(result: Sensitivity, theme: str = "light") -> Any:
    """f at the end over lr and what else differs, as a matplotlib Figure.

    A heat map with the best cell marked, or a curve for each of several
    optimizers. Height over the minimum on a logarithmic scale; f itself where
    there is no minimum.

    Raises ModuleNotFoundError without matplotlib, ValueError for another theme.
    """
    return (_curves if result.over == "optimizer" else _map)(result, theme)


def _map(result: Sensitivity, theme: str) -> Any:
    surface, over = result.surface, result.over.replace("beta", "β")
    return heatmap(
        _height(result),
        ("lr", result.lrs),
        (over, result.values),
        of=f"{_of(result)} after {'as many' if result.over == 'steps' else result.steps} steps, "
        "from dark, low, to bright, high",
        best=result.best,
        title=f"{_name(result.optimizer)} on {_heading(surface)[0]}: lr × {over}",
        caption=" · ".join(_conditions(result, [f"all else as in {result.optimizer!r}"])),
        theme=theme,
        lost="left the picture",
    )


def _curves(result: Sensitivity, theme: str) -> Any:
    look, surface = style.theme(theme), result.surface
    over, heights = np.log10(result.lrs), _height(result)
    lines = [
        Line(np.stack([over, row], axis=-1), tables.label(name), style.of(name))
        for name, row in zip(result.values, heights, strict=True)
    ]
    words = ["where a curve ends, a larger lr leaves the picture"] * bool(len(surface.minima))
    caption = " · ".join(_conditions(result, ["weight decay 0, all else at its default", *words]))
    title = f"How much the lr matters on {_heading(surface)[0]}"
    of = f"{_of(result)} after {result.steps} steps"
    log = len(surface.minima) > 0
    # without a minimum all curves go on to the largest lr, and have their labels there
    fig, (ax,) = ground.page(
        look, title, _heading(surface)[1], caption, [(6.8, 4.6)], 0.4 if log else margin(lines)
    )
    draw_curves(ax, look, lines, log)
    ax.set_xlim(over.min(), over.max())
    decades = np.arange(np.ceil(over.min()), np.floor(over.max()) + 1)
    ax.set_xticks(decades, [f"$10^{{{k:.0f}}}$" for k in decades])
    ground.name_axes(ax, look, "lr", of)
    return fig


def _height(result: Sensitivity) -> Array:
    """f over the minimum, between its share of rounding and the start; f itself without one."""
    if not len(result.surface.minima):
        return result.f
    top = result.start - result.bottom
    return np.clip(result.f - result.bottom, _FLOOR * top, top)


def _of(result: Sensitivity) -> str:
    if not len(result.surface.minima):
        return "f"
    low = result.bottom
    return f"f {'−' if low > 0 else '+'} {abs(low):.4g}" if abs(low) > 1e-9 else "f"


def _conditions(result: Sensitivity, words: Sequence[str]) -> list[str]:
    surface = result.surface
    start = ", ".join(f"{x:g}" for x in surface.project(surface.start)).replace("-", "−")
    own = [f"from ({start})", _random(surface), *words]
    if len(surface.minima):
        return [*own, "higher than the start is shown as high as the start"]
    return [*own, "a run ends where it leaves the picture"]


def _random(surface: Surface) -> str:
    return f"seed {surface.seed}" if isinstance(surface, surfaces.Noisy) else "nothing random"


def _name(optimizer: Any) -> str:
    return type(optimizer).__name__


def _colours(result: Basins) -> Array:
    """A colour for every end, (k, 3): even steps of grey too."""
    shades = need("matplotlib", extra="plot").colormaps["cividis"]
    n, own = len(result.ends), len(result.surface.minima)
    if n <= _MOST:
        at = np.linspace(0.05, 0.98, n) if n > 1 else np.array([0.55])
    else:
        local = result.heights[own:]
        share = (local - local.min()) / (np.ptp(local) or 1.0)
        at = np.concatenate([np.zeros(own), 0.35 + 0.65 * share])
    return np.asarray(shades(at))[:, :3]


def _painted(outcome: Array, colours: Array, look: style.Theme, fine: int) -> Array:
    """Numbers of ends, (rows, columns) from below, as an image of `fine` pixels a cell."""
    rgb = need("matplotlib.colors", extra="plot").to_rgb
    cells = np.repeat(np.repeat(outcome[::-1], fine, axis=0), fine, axis=1)
    image: Array = colours[np.maximum(cells, 0)]
    i, j = np.indices(cells.shape)
    dots = (i % 8 < 2) & ((j + 4 * (i // 8)) % 8 < 2)
    crosses = ((i + j) % 10 < 2) | ((i - j) % 10 < 2)
    for which, pattern, (paper, ink) in (
        (UNDER_WAY, dots, (look.paper, look.quiet)),
        (DIVERGED, crosses, _LOST[look.name]),
    ):
        here = cells == which
        image[here], image[here & pattern] = rgb(paper), rgb(ink)
    return image


def _contours(ax: Any, surface: Surface, look: style.Theme) -> None:
    (x0, x1), (y0, y1) = surface.bounds
    x, y = np.linspace(x0, x1, 201), np.linspace(y0, y1, 201)
    heights = surface.f(surface.lift(np.stack(np.meshgrid(x, y), axis=-1)))
    levels = ground.contour_levels(surface, heights)
    pale = {"linewidths": 0.5, "linestyles": "solid", "alpha": 0.35}
    ax.contour(x, y, heights, levels, colors=style.LIGHT.quiet, **pale)


def _mark(ax: Any, look: style.Theme, point: Array, number: int | None) -> None:
    effects = need("matplotlib.patheffects", extra="plot")
    star = {"marker": "*", "ms": 15, "color": look.ink, "mec": look.paper, "mew": 1.2}
    ax.plot(*point, linestyle="none", zorder=ground.MARKS, **star)
    if number is not None:
        text = ax.annotate(
            str(number), point, (9, 5), textcoords="offset points", size=11, weight="bold",
            color=look.ink, family=ground.FONT, zorder=ground.MARKS, annotation_clip=True,
        )  # fmt: skip
        text.set_path_effects([effects.withStroke(linewidth=3, foreground=look.paper)])


def _key(fig: Any, ax: Any, look: style.Theme, result: Basins, colours: Array) -> None:
    """What the colours mean, with the share of the starts, beside the map."""
    width, height = fig.get_size_inches()
    left, top = ax.get_position().x1 * width + 0.25, ax.get_position().y1 * height
    text = {"size": 10.5, "color": look.ink, "family": ground.FONT, "va": "center"}
    fig.text(left / width, (top - 0.1) / height, "★ minimum" * bool(len(result.minima)), **text)
    top -= 0.3 * bool(len(result.minima))
    for row, (outcomes, name, share) in enumerate(_entries(result)):
        y = top - 0.3 * row - 0.22
        box = fig.add_axes((left / width, y / height, 0.3 / width, 0.2 / height))
        tile = _painted(np.array([outcomes]), colours, look, 48 // len(outcomes))[:32]
        box.imshow(tile, aspect="auto", interpolation="nearest")
        box.set(xticks=[], yticks=[])
        for spine in box.spines.values():
            spine.set_color(look.quiet)
            spine.set_linewidth(0.6)
        fig.text((left + 0.4) / width, (y + 0.1) / height, name, **text)
        percent = f"{100 * share:.3g} %" if share == 0 or share >= 0.001 else "< 0.1 %"
        fig.text(1 - 0.15 / width, (y + 0.1) / height, percent, ha="right", **text)


def _entries(result: Basins) -> list[tuple[list[int], str, float]]:
    """Rows of the key: numbers of ends, their name, their share; local minima as one if many."""
    shares, own = result.shares, len(result.surface.minima)
    names = list(enumerate(result.ends))
    numbered = 1 < len(result.minima) <= _MOST
    found: list[tuple[list[int], str, float]] = []
    if len(result.ends) > _MOST:
        local = names[own:]
        steps = [local[i][0] for i in np.linspace(0, len(local) - 1, 6).astype(int)]
        found.append((steps, "local, low to high", sum(shares.get(n, 0.0) for _, n in local)))
        names = names[:own]
    found[:0] = [
        ([k], f"{k + 1}  {name}" if numbered else name, shares.get(name, 0.0)) for k, name in names
    ]
    others = ((UNDER_WAY, "still under way"), (DIVERGED, "diverged"))
    found += [([k], name, shares[name]) for k, name in others if name in shares]
    return found
