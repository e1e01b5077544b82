"""`npoptim bench`: how fast a step is, against other libraries."""

from __future__ import annotations

import argparse

HELP = "time steps against other libraries, in the same run"

QUESTIONS = ("toy", "loop", "many", "large")


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments of `npoptim bench`."""
    from npoptim.cli import positive

    parser.add_argument(
        "questions", nargs="*", metavar="QUESTION",
        help=f"{', '.join(QUESTIONS)}: two numbers, a run on Rosenbrock, a thousand runs at once, "
        "ten million numbers; default: the first three",
    )  # fmt: skip
    parser.add_argument("--rules", help="names, separated by commas; default: all")
    parser.add_argument("--rounds", type=positive, help="turns that everyone takes")
    parser.add_argument("--threads", type=positive, default=2, help="for large; default: 2")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def run(args: argparse.Namespace) -> int:
    """Measure and print the tables."""
    import json

    from npoptim import bench
    from npoptim.cli import chosen_optimizers

    questions = args.questions or QUESTIONS[:3]
    for name in questions:
        if name not in QUESTIONS:
            raise ValueError(f"a question is one of {', '.join(QUESTIONS)}. Got {name!r} instead.")
    rules = chosen_optimizers(args.rules) if args.rules else list(bench.PEERS)
    more = {"rounds": args.rounds} if args.rounds else {}
    ask = {
        "toy": lambda: bench.toy(rules, **more),
        "loop": lambda: bench.loop(rules, **more),
        "many": lambda: bench.many(**more),
        "large": lambda: bench.large(rules, count=args.threads, **more),
    }
    tables = []
    if not args.json:
        print(f"{bench.setting()}. Medians and quartiles.")
    for name in questions:
        tables.append(ask[name]())
        if not args.json:
            print(f"\n{tables[-1].markdown()}", flush=True)
    if args.json:
        print(json.dumps({"setting": bench.setting(), "tables": [vars(t) for t in tables]}))
    return 0
