"""`npoptim sensitivity`: f after so many steps, for every lr and a second number."""

from __future__ import annotations

import argparse
from typing import Any

HELP = "map how f at the end depends on lr and a second number of a rule"


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments of `npoptim sensitivity`."""
    from npoptim.commands.basins import add_common

    parser.add_argument(
        "rule", metavar="RULE", help="adamw, …; curves of several with commas between, or of all"
    )
    add_common(parser)
    parser.add_argument(
        "--over", metavar="NAME", help="the second number: beta2, eps, …, or steps; for one rule"
    )
    parser.add_argument("--values", type=_values, metavar="A,B,…", help="what it takes")


def run(args: argparse.Namespace) -> int:
    """Run at every point, print the best one, draw the map or the curves."""
    from npoptim.cli import UsageError, chosen_optimizers
    from npoptim.commands.basins import begin, end, finish
    from npoptim.landscapes import sensitivity
    from npoptim.optimizers import optimizers
    from npoptim.race import racers

    names = list(optimizers()) if args.rule == "all" else chosen_optimizers(args.rule)
    several = len(names) > 1
    if several and (args.over or args.values):
        raise UsageError("--over and --values are for one rule; several are curves over lr.")
    if args.values and not args.over:
        raise UsageError("--values are those of --over NAME; add it.")
    if args.over == "steps" and not all(isinstance(n, int) for n in args.values or []):
        raise UsageError(f"--values of steps must be ints. Got {args.values} instead.")
    surfaces, bar = begin(args)
    opt: Any = names if several else racers(names)[0][1]
    stem = "all" if args.rule == "all" else "_".join(names)
    found = []
    for surface in surfaces:
        result = sensitivity(
            surface, opt, args.over, args.values, steps=args.steps,
            progress=lambda rows: bar(rows, unit=" rows"),
        )  # fmt: skip
        found.append(finish(args, result, f"sensitivity_{stem}", _said(result)))
    return end(args, found)


def _said(result: Any) -> list[str]:
    """The best lr, of each optimizer or with the other number."""
    import numpy as np

    if result.over == "optimizer":
        rows = zip(result.values, result.f, strict=True)
        return [
            f"{name:10}  best lr {result.lrs[np.nanargmin(f)]:<8g}  f {np.nanmin(f):.3g}"
            if np.isfinite(f).any()
            else f"{name:10}  leaves the picture at every lr"
            for name, f in rows
        ]
    if result.best is None:
        return [f"{result.optimizer!r}", "leaves the picture everywhere"]
    row, column = result.best
    best = f"best: lr {result.lrs[column]:g}, {result.over} {result.values[row]:g}"
    return [f"{result.optimizer!r}", f"{best}, f {result.f[row, column]:.3g}"]


def _values(text: str) -> list[float]:
    """Numbers with commas between, as the type of an argument."""
    try:
        return [int(part) if part.strip().isdigit() else float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be numbers with commas between, as 0.5,0.9. Got {text!r} instead"
        ) from None
