"""`npoptim trace`: a rule's steps line by line, in the terminal or as a page."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "show a rule's steps line by line: box, code, numbers"


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments of `npoptim trace`."""
    from npoptim.cli import count, positive, shape

    parser.add_argument("rule", metavar="RULE", help="adamw, came, …")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--steps", type=positive, metavar="N", help="default: 2")
    which.add_argument("--step", type=positive, metavar="N", help="show the N-th step alone")
    parser.add_argument(
        "--shape", type=shape, metavar="M,N", help="default: 2,3 for Adafactor and CAME, else 3"
    )
    parser.add_argument("--lr", type=float, help="by default the class's own")
    parser.add_argument("--seed", type=count, default=0, help="of parameter and gradients")
    parser.add_argument("--json", action="store_true", help="print the trace as JSON")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page to step through")


def run(args: argparse.Namespace) -> int:
    """Trace the steps on random numbers; print them, or write a page."""
    import sys

    import numpy as np

    import npoptim as npo
    from npoptim.trace import Trace
    from npoptim.view import stepper, terminal
    from npoptim.view.files import save_text, writable

    if args.html is not None:
        writable(args.html.parent)
    opt = npo.get_optimizer(args.rule, **({} if args.lr is None else {"lr": args.lr}))
    shape = args.shape or ((2, 3) if opt.scope == "matrix" else (3,))
    rng = np.random.default_rng(args.seed)
    # few digits, so that they can be followed by hand
    p = rng.normal(size=shape).round(1)
    gradients = [rng.normal(size=shape).round(1) for _ in range(args.step or args.steps or 2)]
    found = npo.trace(opt, p, gradients)
    if args.step:
        parts = [part for part in found.parts if part.step == args.step]
        found = Trace(found.optimizer, parts, found.params)
    if args.html is not None:
        save_text(stepper.page(found), args.html)
    if args.json:
        print(found.to_json())
        return 0
    print(terminal.table(found, colour=terminal.wants_colour(sys.stdout)))
    if args.html is not None:
        print(f"\npage: {args.html}")
    return 0
