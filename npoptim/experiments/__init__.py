"""The papers' claims at toy scale: one file each, found by lying in this folder.

>>> from npoptim import experiments
>>> result = experiments.run("idle", quick=True, progress=False)
>>> result.verdict
'reproduced'
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from npoptim.experiments.base import Part, Result
from npoptim.optimizers.checks import nearest

__all__ = ["Part", "Result", "claims", "known", "names", "run"]

_MACHINERY = {"base", "figures", "report"}


def names() -> list[str]:
    """The names that `run` knows."""
    return sorted({module.name for module in pkgutil.iter_modules(__path__)} - _MACHINERY)


def claims() -> dict[str, str]:
    """The claim that each experiment puts to the test, in a sentence."""
    return {name: import_module(f"{__name__}.{name}").CLAIM for name in names()}


def known(name: str) -> str:
    """The name itself, if there is such an experiment.

    Raises ValueError otherwise, with the nearest names.
    """
    if name not in names():
        raise ValueError(
            f"unknown experiment {name!r}.{nearest(str(name), names())} "
            f"Known: {', '.join(names())}."
        )
    return name


def run(name: str, quick: bool = False, seed: int = 0, progress: bool = True) -> Result:
    """Put a claim to the test: the table, the picture and the verdict.

    `quick` shortens the runs to seconds; their verdict then means little,
    unless the claim is exact. `seed` is the first of the seeds. Runs one after
    the other in this process, on one thread.

    Raises ValueError for an unknown name, and ModuleNotFoundError, naming the
    extra, where a package is missing.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be an int in the range [0, inf). Got {seed!r} instead.")
    return Result.of(known(name), bool(quick), seed, progress)
