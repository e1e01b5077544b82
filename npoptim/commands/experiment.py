"""`npoptim experiment`: a paper's claim put to the test at toy scale."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

HELP = "put a paper's claim to the test at toy scale; without NAME, list the claims"


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments of `npoptim experiment`."""
    from npoptim.cli import count, folder

    parser.add_argument("name", nargs="?", metavar="NAME", help="lion, memory, …, or all of them")
    parser.add_argument("--quick", action="store_true", help="seconds only, to see how it works")
    parser.add_argument(
        "--seed", type=count, default=0, metavar="S", help="the first of the seeds; default: 0"
    )
    parser.add_argument("--theme", choices=("light", "dark"), default="light")
    parser.add_argument(
        "--out", type=folder, metavar="DIR",
        help="folder of the pictures; default: npoptim-out, with --markdown none",
    )  # fmt: skip
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the results as JSON")
    form.add_argument("--markdown", action="store_true", help="print a section of a page, or all")


def run(args: argparse.Namespace) -> int:
    """Run one experiment or all: table, picture and verdict of each."""
    import json

    from npoptim import experiments
    from npoptim.experiments import report

    if args.name is None:
        return _list(experiments.claims(), args.json)
    names = experiments.names() if args.name == "all" else [experiments.known(args.name)]
    folder = _pictures(args)
    if args.markdown and args.name == "all":
        print(report.HEAD)
    found = []
    for name in names:
        result = experiments.run(name, quick=args.quick, seed=args.seed)
        if args.json:
            found.append({**result.summary(), "files": _drawn(result, folder, args.theme)})
        elif args.markdown:
            print(report.markdown(result, *_drawn(result, folder, args.theme)), flush=True)
        else:
            print(f"{result}\n", flush=True)
            print(f"picture: {_drawn(result, folder, args.theme)[0]}\n", flush=True)
    if args.json:
        print(json.dumps(found if args.name == "all" else found[0], allow_nan=False))
    return 0


def _list(claims: dict[str, str], as_json: bool) -> int:
    import json
    import textwrap

    if as_json:
        print(json.dumps(claims))
        return 0
    for name, claim in claims.items():
        print(f"{name}\n{textwrap.fill(claim, 88, initial_indent='  ', subsequent_indent='  ')}")
    return 0


def _pictures(args: argparse.Namespace) -> Path | None:
    """The folder for the pictures, once it is sure that they can be made."""
    from npoptim.extras import need
    from npoptim.view.files import writable

    if args.out is None and args.markdown:
        return None
    need("matplotlib.figure", extra="plot")
    return writable(args.out or "npoptim-out")


def _drawn(result: Any, folder: Path | None, theme: str) -> list[str]:
    """The file with the picture, if there is to be one."""
    from npoptim.view.files import save_figure

    if folder is None:
        return []
    file = save_figure(result.plot(theme), folder / f"experiment_{result.name}.png")
    return [file.as_posix()]
