"""Pictures for a projector, a phone and a greyscale print."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npoptim.race import Entry, Memory, Race
from npoptim.surfaces.base import Surface
from npoptim.trajectory import Trajectory
from npoptim.view import ground, style, tables
from npoptim.view.lines import Line, draw_curves, draw_paths, jagged, margin

Array = NDArray[Any]

_CURVES = 5.6, 4.6  # inches


def race(result: Race, theme: str = "light") -> Any:
    """The paths of a race on the contours of its surface, as a matplotlib Figure.

    `theme` is "light" or "dark". Optimizers with one and the same path share
    a label.

    Raises ModuleNotFoundError without matplotlib, ValueError for another theme.
    """
    look, surface = style.theme(theme), result.surface
    caption = " · ".join([*result.conditions, *_slice(surface)])
    fig, (ax,) = ground.page(look, *_heading(surface), caption, [ground.box(surface)])
    ground.draw(ax, surface, look)
    draw_paths(
        ax,
        look,
        [
            Line(surface.project(group[0].trajectory.x), _name(group), style.of(group[0].name))
            for group in result.alike
        ],
    )
    return fig


def loss(result: Race, theme: str = "light") -> Any:
    """f over the steps of a race, as a matplotlib Figure.

    Its distance to the minimum on a logarithmic axis; f itself where there is
    no minimum.

    Raises ModuleNotFoundError without matplotlib, ValueError for another theme.
    """
    look, surface = style.theme(theme), result.surface
    lines = [
        _over_steps(group[0].trajectory, _name(group), style.of(group[0].name))
        for group in result.alike
    ]
    caption = " · ".join([*result.conditions, *_smoothed(lines)])
    fig, (ax,) = ground.page(look, *_heading(surface), caption, [_CURVES], margin(lines))
    _descent(ax, look, surface, lines, result.target)
    return fig


def trajectory(traj: Trajectory, theme: str = "light") -> Any:
    """The path of a run on the contours, and f over t, as a matplotlib Figure.

    Several runs are labelled by the hyper-parameters, or by the starts, in
    which they differ.

    Raises ModuleNotFoundError without matplotlib, ValueError for another theme.
    """
    look, surface = style.theme(theme), traj.surface
    several = traj.f.ndim > 1
    runs = [traj[i] for i in range(traj.f.shape[1])] if several else [traj]
    name = type(runs[0].optimizer).__name__
    names = _differences(runs) if several else [name]
    looks = [style.nth(i) if several else style.of(name) for i in range(len(runs))]
    caption = [f"{name}, {len(runs)} runs" if several else repr(traj.optimizer)]
    curves = [_over_steps(*each) for each in zip(runs, names, looks, strict=True)]
    paths = [surface.project(run.x) for run in runs]
    size = ground.box(surface, 5.2)
    fig, (left, right) = ground.page(
        look,
        f"{name} on {_heading(surface)[0]}",
        _heading(surface)[1],
        " · ".join([*caption, f"{traj.steps} steps", *_slice(surface), *_smoothed(curves)]),
        [size, (3.6, size[1])],
        margin(curves),
    )
    ground.draw(left, surface, look, traj.x[0])
    draw_paths(left, look, list(map(Line, paths, names, looks)))
    _descent(right, look, surface, curves)
    return fig


def memory(result: Memory, theme: str = "light") -> Any:
    """The state of every optimizer as a bar on a logarithmic axis, as a matplotlib Figure.

    Raises ModuleNotFoundError without matplotlib, ValueError for another theme.
    """
    look = style.theme(theme)
    shares = result.against()
    fig, (ax,) = ground.page(
        look,
        "What an optimizer remembers",
        f"state for one {result.dtype} parameter of shape {' × '.join(map(str, result.shape))}",
        "logarithmic axis · % of Adam's · dashed: the parameter itself",
        [(5.2, 0.4 * len(shares) + 0.1)],
        right=2.0,
        left=1.15,
    )
    some = [n for n in [*result.nbytes.values(), result.parameter_nbytes] if n]
    low, high = min(some) / 4, max(some) * 1.6
    text = {"size": 11, "color": look.ink, "family": ground.FONT}
    text |= {"ha": "right", "va": "center_baseline"}
    for row, (name, n) in enumerate(result.nbytes.items()):
        colour = style.of(name).colour(look)
        ax.barh(row, max(n - low, 0), left=low, height=0.68, color=colour, linewidth=0)
        for x, words in ((1.18, tables.size(n)), (1.36, f"{100 * shares[name]:.3g} %")):
            ax.text(x, row, words, transform=ax.get_yaxis_transform(), **text)
    ax.axvline(result.parameter_nbytes, color=look.ink, lw=1.2, dashes=(4, 3))
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    ax.set_ylim(len(shares) - 0.4, -0.6)
    ax.set_yticks(range(len(shares)), list(map(tables.label, shares)))
    ax.tick_params(axis="y", labelsize=11, labelcolor=look.ink, length=0)
    ax.set_xlabel("bytes", size=11, color=look.quiet, family=ground.FONT)
    return fig


def curves(
    histories: Mapping[str, Any], *, theme: str = "light", title: str = "", caption: str = ""
) -> Any:
    """Loss and accuracy of training runs over their steps, as a matplotlib Figure.

    `histories` is name -> History; a name begins with that of an optimizer,
    which gives the colour: "adam", "Adam, lr 0.1". Without an accuracy the
    loss on the test part takes its place, where there is one.

    Raises ModuleNotFoundError without matplotlib, ValueError for another theme.
    """
    look = style.theme(theme)
    panels: dict[str, list[Line]] = {"loss of the batch": [], "loss on the test part": []}
    panels["accuracy on the test part"] = []
    for name, history in histories.items():
        label, own = tables.label(name), style.of(re.split(r"\W", name)[0])
        tested = np.asarray(history.eval_step, dtype=float)
        all_steps = np.arange(1.0, len(history.loss) + 1)
        numbers = (all_steps, history.loss), (tested, history.test_loss), (tested, history.accuracy)
        for lines, (x, y) in zip(panels.values(), numbers, strict=True):
            if np.isfinite(y).any():
                lines.append(Line(np.stack([x, y], axis=-1), label, own))
    if panels["accuracy on the test part"]:
        del panels["loss on the test part"]
    smoothed = _smoothed(panels["loss of the batch"])
    shown = {what: lines for i, (what, lines) in enumerate(panels.items()) if lines or i == 0}
    room = [margin(lines) for lines in shown.values()]
    fig, axes = ground.page(
        look,
        title,
        " and ".join(shown),
        " · ".join([caption, *smoothed]),
        [(4.6, 4.2)] * len(shown),
        room[-1],
        gap=0.75 + room[0],
    )
    for ax, (what, lines) in zip(axes, shown.items(), strict=True):
        draw_curves(ax, look, lines, log="loss" in what)
        ground.name_axes(ax, look, "step", what)
    return fig


def _heading(surface: Surface) -> tuple[str, str]:
    variables = "x, y" if surface.shape == (2,) else "X"
    return surface.name.replace("_", " ").title(), f"f({variables}) = {surface.formula}"


def _slice(surface: Surface) -> list[str]:
    return [] if surface.shape == (2,) else ["seen in the plane of its minima"]


def _smoothed(lines: list[Line]) -> list[str]:
    return ["jagged curves: running median over pale values"] * any(
        jagged(line.finite) for line in lines
    )


def _name(group: list[Entry]) -> str:
    """The label of those with one path: names and lr, a line for each lr."""
    names: dict[float | None, list[str]] = {}
    for entry in group:
        names.setdefault(entry.lr, []).append(entry.label)
    return "\n".join(
        ", ".join(who) + ("" if lr is None else f"  lr {lr:g}") for lr, who in names.items()
    )


def _differences(runs: Sequence[Trajectory]) -> list[str]:
    """What sets each run apart: hyper-parameters, or else the start."""
    hyper = [run.optimizer.hyper() for run in runs]
    keys = [key for key in hyper[0] if any(h[key] != hyper[0][key] for h in hyper)]
    if keys:
        return [", ".join(f"{key} {_short(h[key])}" for key in keys) for h in hyper]
    starts = [run.surface.project(run.x[0]) for run in runs]
    return [f"({', '.join(f'{x:.3g}' for x in start)})" for start in starts]


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _over_steps(run: Trajectory, name: str, look: style.Style) -> Line:
    bottom = run.surface.f(run.surface.minima[0]) if len(run.surface.minima) else 0.0
    return Line(np.stack([np.arange(len(run.f)), run.f - bottom], axis=-1), name, look)


def _descent(
    ax: Any, look: style.Theme, surface: Surface, lines: list[Line], target: float | None = None
) -> None:
    """f over the steps, and the target as a quiet line."""
    log = len(surface.minima) > 0
    bottom = float(surface.f(surface.minima[0])) if log else 0.0
    draw_curves(ax, look, lines, log, None if target is None else target - bottom)
    above = f" {'−' if bottom > 0 else '+'} {abs(bottom):.4g}" if abs(bottom) > 1e-9 else ""
    ground.name_axes(ax, look, "step", f"f{above}")
