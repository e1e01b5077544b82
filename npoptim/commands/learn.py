"""`npoptim learn`: the tutorials, copied to a folder of your own and opened in JupyterLab."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "copy the tutorials to a folder of your own and open them in JupyterLab"


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments of `npoptim learn`."""
    from npoptim.cli import folder

    parser.add_argument(
        "--to", type=folder, default="npoptim-tutorials", metavar="FOLDER",
        help="default: npoptim-tutorials; what is there already stays as it is",
    )  # fmt: skip
    parser.add_argument(
        "--no-browser", action="store_true", help="start JupyterLab without opening a browser"
    )


def run(args: argparse.Namespace) -> int:
    """Copy what is not there yet, and open the first tutorial."""
    from npoptim.extras import need
    from npoptim.view.files import writable

    sources = tutorials()
    folder = writable(args.to)
    lab = need("jupyterlab.labapp", extra="notebooks")
    copied = copy(sources, folder)
    kept = len(sources) - len(copied)
    print(f"{folder}: {len(copied)} tutorials copied, {kept} there already and kept.", flush=True)
    lab.main([str(folder / sources[0].name), *["--no-browser"] * args.no_browser])
    return 0


def tutorials() -> list[Path]:
    """The tutorials in order: in an installed package, or beside it in a clone.

    Raises FileNotFoundError where there are none.

    >>> tutorials()[0].name
    '00_what_is_an_optimizer.ipynb'
    """
    import npoptim

    package = Path(npoptim.__file__).parent
    for folder in (package / "notebooks", package.parent / "notebooks"):
        if found := sorted(folder.glob("[0-9][0-9]_*.ipynb")):
            return found
    raise FileNotFoundError("this installation of npoptim holds no tutorials.")


def copy(sources: list[Path], folder: Path) -> list[Path]:
    """Copy files into a folder, made if need be; returns the new ones, what is there stays."""
    from npoptim.view.files import save_text

    targets = [(source, folder / source.name) for source in sources]
    return [
        save_text(source.read_text(encoding="utf-8"), target)
        for source, target in targets
        if not target.exists()
    ]
