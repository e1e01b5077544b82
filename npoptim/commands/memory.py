"""`npoptim memory`: what every optimizer remembers of one parameter."""

from __future__ import annotations

import argparse

HELP = "bytes of state that every optimizer keeps for a parameter"


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments of `npoptim memory`."""
    from npoptim.cli import folder, shape

    parser.add_argument(
        "--shape", type=shape, default="4096,4096", metavar="M,N", help="default: 4096,4096"
    )
    parser.add_argument("--dtype", choices=("float16", "float32", "float64"), default="float32")
    parser.add_argument("--theme", choices=("light", "dark"), default="light")
    parser.add_argument(
        "--out", type=folder, default="npoptim-out", metavar="DIR", help="folder of the picture"
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the table, draw the bars."""
    import json

    from npoptim.extras import need
    from npoptim.race import memory
    from npoptim.view import plots, tables
    from npoptim.view.files import save_figure, writable

    out = writable(args.out)
    need("matplotlib.figure", extra="plot")
    result = memory(args.shape, args.dtype)
    name = f"memory_{'x'.join(map(str, result.shape))}_{result.dtype}.png"
    file = save_figure(plots.memory(result, args.theme), out / name)
    if args.json:
        print(json.dumps({**vars(result), "against_adam": result.against(), "files": [str(file)]}))
        return 0
    print(f"{tables.memory(result)}\n\npicture: {file}")
    return 0
