"""The command `npoptim`: finds the commands, reads the arguments, says what went wrong."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from npoptim import __version__

INTERRUPTED = 130  # as shells say it: 128 + SIGINT
BROKEN_PIPE = 141  # 128 + SIGPIPE


class UsageError(ValueError):
    """What was asked for cannot be done; shown as one line."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `npoptim` with these arguments and return the exit status.

    0 is success, 1 a check that failed, 2 one line on stderr that says what
    cannot be done (with a traceback if the environment has NPOPTIM_DEBUG), 130
    an interrupt.

    >>> main(["--version"])
    npoptim 0.1.0
    0
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # consoles without × or −, as in old Windows
            stream.reconfigure(errors="replace")
    try:
        argv = sys.argv[1:] if argv is None else argv
        args = _parser(argv).parse_args(argv)
        status: int = args.run(args)
        sys.stdout.flush()
        return status
    except SystemExit as done:  # --help and --version
        return int(done.code or 0)
    except KeyboardInterrupt:
        return _failed("interrupted.", INTERRUPTED)
    except BrokenPipeError:
        _forget_stdout()
        return BROKEN_PIPE
    except ModuleNotFoundError as error:
        if "npoptim[" not in str(error):  # a fault of the program, not of the installation
            raise
        return _failed(str(error))
    except RuntimeError as error:
        from npoptim.backend import BackendUnavailable

        if not isinstance(error, BackendUnavailable):
            raise
        return _failed(str(error))
    except MemoryError as error:
        return _failed(str(error) or "not enough memory.")
    except (ValueError, OSError) as error:
        if "NPOPTIM_DEBUG" in os.environ:
            raise
        return _failed(str(error))


def _failed(message: str, status: int = 2) -> int:
    print(f"npoptim: {' '.join(message.split())}", file=sys.stderr)
    return status


def _forget_stdout() -> None:
    """Whoever read stdout is gone; the interpreter's last flush must not fail again."""
    with contextlib.suppress(OSError, ValueError):  # a stdout without a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message.rstrip('.')}. See {self.prog} --help.")


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="npoptim", allow_abbrev=False,
        description="Optimizer papers, executable: race, train and look inside optimizers.",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"npoptim {__version__}")
    known = _commands()
    if argv and not argv[0].startswith("-") and argv[0] not in known:
        from npoptim.optimizers.checks import nearest

        raise UsageError(
            f"unknown command {argv[0]!r}.{nearest(argv[0], known)} Known: {', '.join(known)}."
        )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, module in known.items():
        about = {"help": module.HELP, "description": f"{module.HELP[0].upper()}{module.HELP[1:]}."}
        sub = commands.add_parser(name, allow_abbrev=False, **about)
        module.add(sub)
        sub.set_defaults(run=module.run)
    return parser


def _commands() -> dict[str, ModuleType]:
    """Every command by name: the modules that lie in `npoptim/commands/`."""
    from npoptim import commands

    names = sorted(m.name for m in pkgutil.iter_modules(commands.__path__))
    return {n.replace("_", "-"): importlib.import_module(f"npoptim.commands.{n}") for n in names}


def count(text: str) -> int:
    """An int ≥ 0, as the type of an argument."""
    return _integer(text, 0)


def positive(text: str) -> int:
    """An int ≥ 1, as the type of an argument."""
    return _integer(text, 1)


def _integer(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(
            f"must be an int in the range [{least}, inf). Got {text} instead"
        )
    return value


def shape(text: str) -> tuple[int, ...]:
    """Positive ints with commas between them, as the type of an argument."""
    try:
        sizes = tuple(int(part) for part in text.rstrip(",").split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise argparse.ArgumentTypeError(
            f"must be ints in the range [1, inf) with commas between, as 4096,4096. "
            f"Got {text!r} instead"
        )
    return sizes


def folder(text: str) -> Path:
    """A folder to write to, as the type of an argument; see `npoptim.view.files.writable`."""
    return Path(text)


def chosen_optimizers(names: str) -> list[str]:
    """The optimizers in a comma-separated list.

    Raises ValueError for an unknown name, with the nearest known ones.

    >>> chosen_optimizers("Adam, lion")
    ['adam', 'lion']
    """
    from npoptim import get_optimizer

    return [type(get_optimizer(name.strip())).__name__.lower() for name in names.split(",")]
