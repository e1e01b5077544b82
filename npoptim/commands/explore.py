"""`npoptim explore`: a page that plays a rule on a surface, with all its numbers."""

from __future__ import annotations

import argparse
from typing import Any

HELP = "write a page that plays a rule on a surface, with the numbers of every line"


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments of `npoptim explore`."""
    from npoptim.cli import folder, positive

    parser.add_argument("rule", metavar="RULE", help="adamw, …; several with commas between")
    parser.add_argument("surface", metavar="SURFACE", help="rosenbrock, ravine, …")
    parser.add_argument("--steps", type=positive, default=500, metavar="N", help="default: 500")
    parser.add_argument("--lr", help="a number, or 'default' for the class's own; else the best")
    parser.add_argument(
        "--start", type=_point, metavar="X,Y", help="where to begin; write --start=-1.5,2"
    )
    parser.add_argument(
        "--out", type=folder, default="npoptim-out", metavar="PATH", help="folder or .html file"
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def run(args: argparse.Namespace) -> int:
    """Record the runs, write the page."""
    import json

    from npoptim import surfaces
    from npoptim.cli import chosen_optimizers
    from npoptim.explore import explore
    from npoptim.view.files import writable

    surface, names = surfaces.get(args.surface), chosen_optimizers(args.rule)
    page = args.out
    if page.suffix != ".html":
        page /= f"explore_{'_'.join(names)}_{surface.name}.html"
    writable(page.parent)
    optimizers = tuned(args, surface, names)
    start = None if args.start is None else surface.lift(args.start)
    found = explore(surface, optimizers, start=start, steps=args.steps)
    found.save(page)
    if args.json:
        ends = [float(watched.runs[0].f[-1]) for watched in found.watched]
        notes = [watched.runs[0].note for watched in found.watched]
        content = {
            "surface": repr(surface),
            "optimizers": [repr(one) for one in optimizers],
            "steps": [watched.runs[0].steps for watched in found.watched],
            "f": [f if abs(f) < float("inf") else None for f in ends],
            "notes": notes,
            "starts": surface.project(found.starts).tolist(),
            "files": [str(page)],
        }
        print(json.dumps(content, allow_nan=False))
        return 0
    for watched in found.watched:
        first = watched.runs[0]
        print(f"{watched.optimizer!r}: f {first.f[0]:.3g} -> {first.f[-1]:.3g}")
        if first.note:
            print(f"  {first.note}")
    print(f"page: {page}")
    return 0


def _point(text: str) -> list[float]:
    """Two numbers with a comma between, as the type of an argument."""
    try:
        x, y = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be two numbers with a comma between, as 0.5,2. Got {text!r} instead"
        ) from None
    return [x, y]


def tuned(args: argparse.Namespace, surface: Any, names: list[str]) -> list[Any]:
    """The rules at the lr asked for, by default the best of a race on the surface."""
    import npoptim as npo
    from npoptim.race import race

    if args.lr is None:
        entries = race(surface, [npo.get_optimizer(n) for n in names], steps=args.steps).entries
        best = {entry.name: entry.optimizer for entry in entries}
        return [best[name] for name in names]
    if args.lr == "default":
        return [npo.get_optimizer(name) for name in names]
    try:
        lr = float(args.lr)
    except ValueError:
        raise ValueError(f"--lr must be a number or 'default'. Got {args.lr!r} instead.") from None
    return [npo.get_optimizer(name, lr=lr) for name in names]
