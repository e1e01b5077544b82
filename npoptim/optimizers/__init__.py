"""The rules, one file each: a rule is registered by lying in this folder."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Any

from npoptim.extras import callable_module

if TYPE_CHECKING:
    from npoptim.optimizers.base import Optimizer

_MACHINERY = {
    "advance",
    "again",
    "base",
    "blocks",
    "box",
    "checks",
    "driver",
    "fused",
    "groups",
    "kernels",
    "lazy",
    "quiet",
    "restore",
    "threads",
}


def modules() -> list[str]:
    """The names of the files with a rule in them; nothing is imported."""
    return sorted({m.name for m in pkgutil.iter_modules(__path__)} - _MACHINERY)


def rule_class(module: str) -> type[Optimizer]:
    """The rule in a file: the optimizer class that bears its name."""
    for name, value in vars(import_module(f"{__name__}.{module}")).items():
        if name.lower() == module and isinstance(value, type):
            return value
    raise ImportError(f"npoptim/optimizers/{module}.py holds no class {module!r} (in any case).")


def optimizers() -> dict[str, type[Optimizer]]:
    """Every rule by its lower-case name, from the shortest box to the longest.

    >>> list(optimizers())[:3], list(optimizers())[-1]
    (['sgd', 'momentum', 'nesterov'], 'came')
    """
    from npoptim.optimizers.box import boxes

    found = {name: rule_class(name) for name in modules()}
    length = {name: max(map(max, boxes(cls)), default=0) for name, cls in found.items()}
    return {name: found[name] for name in sorted(found, key=lambda name: (length[name], name))}


def get_optimizer(name: str, **hyper: Any) -> Optimizer:
    """A rule by name, in any case.

    >>> get_optimizer("adamw", lr=0.5)
    AdamW(lr=0.5, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.01)

    Raises ValueError for an unknown name, with the nearest known ones.
    """
    from npoptim.optimizers.checks import nearest

    if not isinstance(name, str):
        raise TypeError(f"the name of an optimizer must be a string. Got {name!r} instead.")
    known = modules()
    if name.lower() not in known:
        raise ValueError(
            f"unknown optimizer {name!r}.{nearest(name.lower(), known)} Known: {', '.join(known)}."
        )
    return rule_class(name.lower())(**hyper)


callable_module(__name__, optimizers)
