"""`npoptim basins`: which minimum a rule reaches from which start."""

from __future__ import annotations

import argparse
from typing import Any

HELP = "map which minimum a rule reaches from which start"


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments of `npoptim basins`."""
    from npoptim.cli import positive

    parser.add_argument("rule", metavar="RULE", help="adamw, …; several with commas between")
    add_common(parser)
    parser.add_argument("--lr", help="a number, or 'default' for the class's own; else the best")
    parser.add_argument(
        "--columns", type=positive, metavar="N",
        help="columns of starts; default: 160, or 32 for a rule that sees whole tensors",
    )  # fmt: skip


def add_common(parser: argparse.ArgumentParser) -> None:
    """The arguments that the maps share."""
    from npoptim.cli import count, folder, positive

    parser.add_argument("surface", metavar="SURFACE", help="rosenbrock, ravine, …, or all of them")
    parser.add_argument("--steps", type=positive, default=500, metavar="N", help="default: 500")
    parser.add_argument("--noise", type=float, metavar="SD", help="noise of the gradient, its SD")
    parser.add_argument("--seed", type=count, metavar="S", help="seed of the noise; default: 0")
    parser.add_argument("--theme", choices=("light", "dark"), default="light")
    parser.add_argument(
        "--out", type=folder, default="npoptim-out", metavar="DIR", help="folder of the pictures"
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def run(args: argparse.Namespace) -> int:
    """Run from every start, print the shares, draw the map."""
    from npoptim.cli import chosen_optimizers
    from npoptim.commands.explore import tuned
    from npoptim.landscapes import basins

    names = chosen_optimizers(args.rule)
    surfaces, bar = begin(args)
    found = []
    for surface in surfaces:
        for name, opt in zip(names, tuned(args, surface, names), strict=True):
            result = basins(
                surface, opt, steps=args.steps, columns=args.columns,
                progress=lambda parts: bar(parts, unit=" batches"),
            )  # fmt: skip
            rows = [f"{100 * share:6.2f} %  {end}" for end, share in _most(result.shares)]
            found.append(finish(args, result, f"basins_{name}", [f"{opt!r}", *rows]))
    return end(args, found)


def _most(shares: dict[str, float], rows: int = 12) -> list[tuple[str, float]]:
    """The largest shares; what is left of a long list is one more."""
    ranked = sorted(shares.items(), key=lambda item: -item[1])
    rest = sum(share for _, share in ranked[rows:])
    return [*ranked[:rows], *[(f"at {len(ranked) - rows} others", rest)] * (len(ranked) > rows)]


def begin(args: argparse.Namespace) -> tuple[list[Any], Any]:
    """The surfaces, and a progress bar, once it is sure that all can be done."""
    from npoptim import surfaces
    from npoptim.cli import UsageError
    from npoptim.extras import need
    from npoptim.view.files import writable

    chosen = surfaces.names() if args.surface == "all" else [args.surface]
    found: list[Any] = [surfaces.get(name) for name in chosen]
    if args.noise is not None:
        found = [surfaces.noisy(surface, args.noise, args.seed or 0) for surface in found]
    elif args.seed is not None:
        raise UsageError("--seed is the seed of the noise, and there is none. Add --noise SD.")
    writable(args.out)
    need("matplotlib.figure", extra="plot")
    bar = need("tqdm.auto", extra="plot").tqdm
    return found, lambda todo, **options: bar(todo, leave=False, disable=None, **options)


def finish(args: argparse.Namespace, result: Any, stem: str, lines: list[str]) -> dict[str, Any]:
    """Draw the picture, print what there is to say; the same as plain values."""
    from npoptim.view.files import save_figure

    surface = result.surface
    file = save_figure(result.plot(args.theme), args.out / f"{stem}_{surface.name}.png")
    if not args.json:
        about = f"{surface!r}: f = {surface.formula}"
        print("\n".join([about, *lines, f"picture: {file}", ""]), flush=True)
    return {**result.summary(), "files": [str(file)]}


def end(args: argparse.Namespace, found: list[dict[str, Any]]) -> int:
    """Print all as JSON if asked: a list where there are several."""
    import json

    if args.json:
        print(json.dumps(found if len(found) > 1 else found[0], allow_nan=False))
    return 0
