"""The gallery: a page of pictures, and the players that they lead to."""

from __future__ import annotations

import functools
import io
import time
from html import escape
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

import npoptim as npo
from npoptim import models, recipes
from npoptim.data import load
from npoptim.experiments import batch, memory
from npoptim.experiments.base import best, fit, vertex, where
from npoptim.explore import explore
from npoptim.race import Race, race
from npoptim.view import style
from npoptim.view.bands import GRID, bands
from npoptim.view.files import save_text
from npoptim.view.ground import box
from npoptim.view.isolines import thinned

STEPS = 150  # of the paths: what a player of ten rules can hold in 200 KB
SOURCES = Path(npo.__file__).parent
SEEDS = 3  # of the training runs

#: Rule, surface, what is to be seen. The lr is the best of the race above on that surface.
BASINS = [
    ("sgd", "himmelblau", "the borders are nearly those of steepest descent"),
    ("momentum", "himmelblau", "speed carries runs over the border into another basin"),
    ("adam", "himmelblau", "large first steps fold the borders"),
    ("lamb", "himmelblau", "a step in proportion to ‖x‖ is short near the origin and long far out"),
    (
        "sgd",
        "three_hump_camel",
        "its lr is too large for the curvature of the outer dips: no run stays",
    ),
    ("momentum", "three_hump_camel", "runs roll through the outer dips"),
    ("adam", "rastrigin", "few starts end in the lowest of 121 dips"),
    ("momentum", "monkey_saddle", "three ways down, and a level middle"),
    ("sgd", "factorisation", "runs stay in the plane and end at the nearest mark"),
    ("adamw", "factorisation", "runs leave the plane; the colour is the nearest mark"),
]
SENSITIVITY = [
    ("sgd", "the large lr that would be fast leave the picture"),
    ("momentum", "the larger the momentum, the smaller the lr it stands"),
    ("adam", "good lr lie in the last decade before runs leave the picture"),
    ("lars", "lr far above 1, for each is multiplied by a trust coefficient of 0.001"),
]
CURVES = ("rosenbrock", "himmelblau", "ravine")


def write(folder: Path) -> None:
    """Write the page, its pictures and players, unless they are newer than the source."""
    page = folder / "gallery.md"
    source = [*SOURCES.rglob("*.py"), *SOURCES.rglob("assets/*"), Path(__file__)]
    if page.exists() and page.stat().st_mtime > max(file.stat().st_mtime for file in source):
        return
    begin, files = time.time(), folder / "extra"
    races = {name: race(name, steps=STEPS) for name in npo.surfaces.names()}
    for name, result in races.items():
        racers = sorted((e.optimizer for e in result.entries), key=_place)
        player = explore(result.surface, racers, [result.surface.start], STEPS)
        save_text(player.html, files / "players" / f"{name}.html")
    picture = functools.partial(_picture, files / "gallery")
    save_text(_page(races, picture), page)
    print(f"gallery: {time.time() - begin:.0f} s")


def _place(optimizer: Any) -> int:
    return list(npo.optimizers()).index(type(optimizer).__name__.lower())


def _page(races: dict[str, Race], picture: Any) -> str:
    parts = [
        "# Gallery",
        f"All rules on all surfaces, {STEPS} steps each at the best of "
        f"{len(races['booth'].grid)} lr, from the ring; stars are minima. **Every path and map "
        "leads to its player**, in which the run goes on step by step beside the box with its "
        "numbers. `npoptim race SURFACE` makes such a player, `npoptim explore RULE SURFACE` "
        "one from other starts; `npoptim race SURFACE --gif` writes a moving picture for slides.",
        _raw(f"<style>{_css()}</style>"),
        "## Paths",
        *(part for result in races.values() for part in _paths(result)),
        "## Which minimum from which start",
        f"The colour of a start is where its run ends after {STEPS} steps. "
        "`npoptim basins RULE SURFACE` draws such a map.",
        _raw(_basins(races, picture)),
        "## How much the lr matters",
        f"f after {STEPS} steps on the Rosenbrock valley for every lr and a second number; dark "
        "is low, and the best cell is framed. `npoptim sensitivity RULE SURFACE` draws such a map.",
        _raw(_sensitivity(picture)),
        "The same over the lr alone, all rules side by side: `npoptim sensitivity all SURFACE`.",
        _raw(_curves(picture)),
        "## Loss against memory",
        "What a rule remembers of each parameter, and what it makes of it.",
        _raw(_memory(picture)),
        "## Large batches",
        "The best lr and the loss it reaches, at equally many epochs.",
        _raw(_batches(picture)),
    ]
    return "\n\n".join(parts) + "\n"


def _raw(html: str) -> str:
    return f"```{{raw}} html\n{html}\n```"


# ---------------------------------------------------------------- paths, drawn by the browser


def _css() -> str:
    """Colours by the theme of the site; those of the rules are the package's."""
    light, dark = (
        "".join(f"--{k}:{getattr(look, k)};" for k in ("paper", "ink", "contour", "low", "high"))
        for look in (style.LIGHT, style.DARK)
    )
    names = list(npo.optimizers())
    rules = [f".{n}{{--own:{style.of(n).light}}}" for n in names]
    rules += [f"html[data-theme=dark] .{n}{{--own:{style.of(n).dark}}}" for n in names]
    return (
        f".gallery{{{light}display:grid;gap:10px;margin:0 0 1.5rem;"
        "grid-template-columns:repeat(auto-fill,minmax(min(112px,45%),1fr))}"
        f"html[data-theme=dark] .gallery{{{dark}}}"
        ".gallery.wide{grid-template-columns:repeat(auto-fill,minmax(min(360px,100%),1fr))}"
        ".gallery a{color:inherit;text-decoration:none;font-size:.8rem;line-height:1.3}"
        ".gallery a:hover span,.gallery a:focus-visible span{text-decoration:underline}"
        ".gallery a svg{display:block;width:100%;border:1px solid var(--contour);border-radius:4px}"
        ".gallery b{color:var(--own)}.gallery figure{margin:0}.gallery img{width:100%;height:auto}"
        ".gallery figcaption{font-size:.85rem}"
        ".ground path{stroke:var(--contour);stroke-width:.6;vector-effect:non-scaling-stroke}"
        ".ground rect{fill:var(--low)}.ground path{fill-rule:evenodd}"
        ".path{fill:none;stroke:var(--own);stroke-width:1.8;vector-effect:non-scaling-stroke;"
        "stroke-linejoin:round}.halo{stroke:var(--paper);stroke-width:4;opacity:.8}"
        ".mark{fill:var(--ink);stroke:var(--paper);stroke-width:1;"
        "vector-effect:non-scaling-stroke}"
        ".ring{fill:var(--paper);stroke:var(--ink);stroke-width:1.6;"
        "vector-effect:non-scaling-stroke}"
    ) + "".join(rules)


def _paths(result: Race) -> list[str]:
    """A heading, and a small picture for every rule."""
    surface = result.surface
    _, share = box(surface, 1.0)
    height = round(GRID * share)
    ground = (
        '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>'
        f'<g id="ground-{surface.name}" class="ground" transform="scale(1,{share:.4f})">'
        f"{bands(surface)}</g></defs></svg>"
    )
    stars = [_star(*_place_of(surface, u, height)) for u in surface.project(surface.minima)]
    x, y = _place_of(surface, surface.project(surface.start), height)
    marks = "".join(stars) + f'<circle class="ring" cx="{x:.0f}" cy="{y:.0f}" r="60"/>'
    panels = []
    for entry in sorted(result.entries, key=lambda e: _place(e.optimizer)):
        line = np.array(
            [_place_of(surface, u, height) for u in surface.project(entry.trajectory.x)]
        )
        drawn = _line(line)
        lr = f"lr {entry.lr:g}"
        end = f"{entry.steps} steps" if entry.steps else f"f {entry.f:.2g}".replace("-", "−")
        long = f"{end} to the target" if entry.steps else f"{end} at the end"
        alt = f"{entry.label} on {_title(surface.name)}, {lr}: {long}"
        panels.append(
            f'<a class="{entry.name}" href="../players/{surface.name}.html#{entry.name}">'
            f'<svg viewBox="0 0 {GRID} {height}" role="img" aria-label="{escape(alt)}">'
            f'<use href="#ground-{surface.name}"/><path class="path halo" d="{drawn}"/>'
            f'<path class="path" d="{drawn}"/>{marks}</svg>'
            f"<span><b>{entry.label}</b><br>{lr} · {end}</span></a>"
        )
    about = f"f = {surface.formula}. Below: the steps until f ≤ {result.target:.3g}, or the last f."
    if surface.shape != (2,):
        about += " Seen in the plane of its minima."
    return [
        f"### {_title(surface.name)}",
        about.replace("≤ -", "≤ −"),
        _raw(f'<div class="gallery">{ground}{"".join(panels)}</div>'),
    ]


def _place_of(surface: Any, u: Any, height: int) -> tuple[float, float]:
    """A point of the plane in units of a picture, the second axis downwards."""
    (x0, x1), (y0, y1) = surface.bounds
    return float((u[0] - x0) / (x1 - x0) * GRID), float((y1 - u[1]) / (y1 - y0) * height)


def _line(points: Any) -> str:
    corners = np.rint(thinned(points, 4.0)).astype(int)
    moves = np.diff(corners, axis=0).ravel().tolist()
    first = f"M{corners[0, 0]} {corners[0, 1]}"
    return first + "l" + " ".join(map(str, moves)).replace(" -", "-") if moves else first


def _star(x: float, y: float) -> str:
    turn = np.pi * np.arange(10) / 5
    r = np.where(np.arange(10) % 2, 45, 110)
    points = np.rint(np.stack([x + r * np.sin(turn), y - r * np.cos(turn)], axis=-1)).astype(int)
    return f'<path class="mark" d="M{"L".join(f"{a} {b}" for a, b in points)}z"/>'


def _title(name: str) -> str:
    return name.replace("_", " ").title()


# ---------------------------------------------------------------- pictures of the package


def _picture(folder: Path, name: str, draw: Any, alt: str, words: str, link: str = "") -> str:
    """A figure in light and in dark, of which a reader sees one, in few colours."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    images = []
    for theme in ("light", "dark"):
        file = io.BytesIO()
        draw(theme).savefig(file, format="png", dpi=80)
        with Image.open(file) as image:
            size = image.size
            few = image.convert("RGB").quantize(160, dither=Image.Dither.NONE)
            few.save(folder / f"{name}_{theme}.png", optimize=True)
        images.append(
            f'<img class="only-{theme}" src="../gallery/{name}_{theme}.png" alt="{escape(alt)}" '
            f'width="{size[0]}" height="{size[1]}" loading="lazy">'
        )
    inner = "".join(images)
    inner = f'<a href="{link}">{inner}</a>' if link else inner
    return f"<figure>{inner}<figcaption>{escape(words)}</figcaption></figure>"


def _wide(figures: list[str]) -> str:
    return f'<div class="gallery wide">{"".join(figures)}</div>'


def _basins(races: dict[str, Race], picture: Any) -> str:
    found = []
    for rule, surface, words in BASINS:
        opt = next(e.optimizer for e in races[surface].entries if e.name == rule)
        result = npo.basins(surface, opt, steps=STEPS, columns=32 if rule == "lamb" else 120)
        name, title = type(opt).__name__, _title(surface)
        shares = ", ".join(
            f"{end} {share:.0%}"
            for end, share in sorted(result.shares.items(), key=lambda s: -s[1])[:4]
        )
        alt = f"Where {name} ends on {title} from every start: {shares}"
        link = f"../players/{surface}.html#{rule}"
        words = f"{name} on {title}: {words}."
        found.append(picture(f"basins_{rule}_{surface}", result.plot, alt, words, link))
    return _wide(found)


def _sensitivity(picture: Any) -> str:
    found = []
    for rule, words in SENSITIVITY:
        result = npo.sensitivity("rosenbrock", npo.get_optimizer(rule), steps=STEPS)
        name, (row, column) = type(result.optimizer).__name__, result.best
        alt = (
            f"f after {STEPS} steps of {name} on Rosenbrock over lr and {result.over}; lowest at "
            f"lr {result.lrs[column]:g}, {result.over} {result.values[row]:g}"
        )
        link = f"../players/rosenbrock.html#{rule}"
        found.append(picture(f"sensitivity_{rule}", result.plot, alt, f"{name}: {words}.", link))
    return _wide(found)


def _curves(picture: Any) -> str:
    found = []
    for surface in CURVES:
        result = npo.sensitivity(surface, "all", steps=STEPS)
        lowest = result.values[result.best[0]]
        alt = (
            f"f after {STEPS} steps on {_title(surface)} over the lr, a curve for each of the ten "
            f"rules; the lowest is that of {npo.optimizers()[lowest].__name__}"
        )
        words = f"{_title(surface)}: how wide each rule's range of good lr is."
        link = f"../players/{surface}.html"
        found.append(picture(f"lr_{surface}", result.plot, alt, words, link))
    return _wide(found)


def _shown(draw: Any, title: str, about: str, rows: Any, conditions: list[str]) -> Any:
    """An experiment's own drawing, of the shorter runs that are made here."""
    result = SimpleNamespace(
        title=title, verdict=about, rows=rows, conditions=conditions, quick=False
    )
    return lambda theme: draw(result, theme)


def _memory(picture: Any) -> str:
    """Ten rules on an MLP, at the rates of the recipes."""
    data, steps, rows = load("digits"), 300, []
    model = models.MLP(batch.SIZES)
    params = model.init(np.random.default_rng(0))
    size = sum(p.size * 4 for p in params.values())
    for name, rule in npo.optimizers().items():
        losses = []
        for seed in range(SEEDS):
            opt = rule(**recipes.rate("mlp", name, steps))
            losses.append(fit(model, data, opt, steps=steps, batch=64, seed=seed)[memory.LOSS])
        share = opt.state_nbytes / size
        rows.append(
            {"optimizer": rule.__name__, "of the parameters": share}
            | {memory.LOSS: float(np.mean(losses)), "least": min(losses), "most": max(losses)}
        )
    conditions = [
        f"digits, MLP {'-'.join(map(str, batch.SIZES))} in float32, {steps} steps of 64",
        f"the package's own rates, the best of grids; bars: seeds 0 to {SEEDS - 1}",
    ]
    title = "Held-out loss against the optimizer's memory"
    about = "none in a run as short as this; npoptim experiment memory puts it to the test"
    low = min(rows, key=lambda row: row[memory.LOSS])
    alt = (
        "Held-out loss of ten rules against the bytes they remember per byte of parameters, from 0 "
        f"(SGD) to 2 (Adam); the lowest is that of {low['optimizer']}"
    )
    draw = _shown(memory.draw, title, about, rows, conditions)
    words = "Adafactor and CAME remember rows and columns of each matrix, not its elements."
    return _wide([picture("memory", draw, alt, words)])


def _batches(picture: Any) -> str:
    """The experiment of that name with fewer epochs, sizes and seeds."""
    data, model, epochs = load("digits"), models.MLP(batch.SIZES), 20
    full = len(data.x_train)
    runs, rows = [], []
    for name, size in product(batch.GRIDS, (64, 256, full)):
        steps = epochs * -(-full // size)
        for lr in batch.GRIDS[name]:
            peak = npo.schedules.linear(lr, steps, warmup=steps // 10)
            opt = npo.get_optimizer(name, lr=peak)
            own = {"weight_decay": 0.0} if "weight_decay" in opt.hyper() else {}
            losses = fit(model, data, opt.replace(**own), steps=steps, batch=size, seed=0)
            runs.append({"optimizer": name, "batch": size, "lr": lr, "seed": 0, **losses})
        mine = where(runs, optimizer=name, batch=size)
        won = best(mine, "lr", batch.LOSS)
        rows.append(
            {"optimizer": name, "batch": size, "between": vertex(mine, "lr", batch.LOSS), **won}
        )
    conditions = [
        f"digits, MLP {'-'.join(map(str, batch.SIZES))} in float32, {epochs} epochs",
        "a tenth of the steps warm-up, then linear to 0; weight decay 0; seed 0",
    ]
    about = "none in a run as short as this; npoptim experiment batch puts it to the test"
    draw = _shown(batch.draw, batch.TITLE, about, rows, conditions)
    found = {name: where(rows, optimizer=name) for name in batch.GRIDS}
    changes = ", ".join(
        f"{name} {mine[0]['between']:.2g} to {mine[-1]['between']:.2g}"
        for name, mine in found.items()
    )
    alt = (
        f"Best lr and held-out loss against batch sizes from 64 to {full}; the best lr changes "
        f"from {changes}"
    )
    words = "The dashed line is the law of the root, which the best lr is said to follow."
    return _wide([picture("batches", draw, alt, words)])
