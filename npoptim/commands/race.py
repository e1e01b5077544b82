"""`npoptim race`: every optimizer on a surface, each at its own best lr."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from npoptim.race import Race

HELP = "race optimizers on a surface, each at its own best lr"


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments of `npoptim race`."""
    from npoptim.cli import count, folder, positive

    parser.add_argument("surface", metavar="SURFACE", help="rosenbrock, ravine, …")
    parser.add_argument("--optimizers", metavar="A,B,…", help="names; by default all there are")
    parser.add_argument("--steps", type=positive, default=500, metavar="N", help="default: 500")
    parser.add_argument("--noise", type=float, metavar="SD", help="noise of the gradient, its SD")
    parser.add_argument("--seed", type=count, metavar="S", help="seed of the noise; default: 0")
    parser.add_argument("--gif", action="store_true", help="write a moving picture for slides too")
    parser.add_argument("--theme", choices=("light", "dark"), default="light")
    parser.add_argument(
        "--out", type=folder, default="npoptim-out", metavar="DIR", help="folder of the pictures"
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def run(args: argparse.Namespace) -> int:
    """Race, print the table, draw the paths and the loss curves, write the player."""
    import json

    from npoptim import surfaces
    from npoptim.cli import UsageError, chosen_optimizers
    from npoptim.extras import need
    from npoptim.race import race
    from npoptim.view import animation, plots, tables
    from npoptim.view.files import save_figure, writable

    surface = surfaces.get(args.surface)
    names = None if args.optimizers is None else chosen_optimizers(args.optimizers)
    if args.noise is not None:
        surface = surfaces.noisy(surface, args.noise, args.seed or 0)
    elif args.seed is not None:
        raise UsageError("--seed is the seed of the noise, and there is none. Add --noise SD.")
    out = writable(args.out)
    need("matplotlib.figure", extra="plot")
    bar = need("tqdm.auto", extra="plot").tqdm

    result = race(
        surface,
        names,
        steps=args.steps,
        progress=lambda field: bar(field, unit=" optimizers", leave=False, disable=None),
    )
    pictures = {"paths": plots.race, "loss": plots.loss}
    files = [
        save_figure(draw(result, args.theme), out / f"race_{surface.name}_{what}.png")
        for what, draw in pictures.items()
    ]
    files.append(_player(result, out))
    if args.gif:
        files.append(animation.race(result, out / f"race_{surface.name}.gif", args.theme))
    if args.json:
        print(json.dumps({**result.summary(), "files": list(map(str, files))}, allow_nan=False))
        return 0
    print(f"{surface!r}: f = {surface.formula}\n\n{tables.race(result)}\n")
    kinds = {".png": "picture", ".html": "player", ".gif": "moving picture"}
    print("\n".join(f"{kinds[file.suffix]}: {file}" for file in files))
    return 0


def _player(result: Race, out: Path) -> Path:
    """The page on which the race runs again, every line with its numbers."""
    from npoptim.explore import explore
    from npoptim.view.files import save_text

    racers = [entry.optimizer for entry in result.entries]
    page = explore(result.surface, racers, [result.surface.start], result.steps)
    return save_text(page.html, out / f"race_{result.surface.name}.html")
