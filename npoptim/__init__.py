"""npoptim: optimizer papers, executable.

Ten optimizers in pure NumPy, each the lines of its paper's box.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from npoptim import (
        data,
        gradients,
        homework,
        libraries,
        models,
        parallel,
        schedules,
        surfaces,
        sweeps,
    )
    from npoptim.backend import BackendUnavailable, to_device, to_host, use_backend
    from npoptim.checkpoint import CheckpointError, load, save
    from npoptim.contract import ContractError, check_optimizer
    from npoptim.explore import explore
    from npoptim.gradients import check_gradients, clip_by_global_norm, clip_by_value
    from npoptim.history import History
    from npoptim.landscapes import basins, sensitivity
    from npoptim.libraries import equivalent
    from npoptim.optimizers import get_optimizer, optimizers
    from npoptim.optimizers.adafactor import Adafactor
    from npoptim.optimizers.adam import Adam
    from npoptim.optimizers.adamw import AdamW
    from npoptim.optimizers.base import Optimizer
    from npoptim.optimizers.box import pseudocode
    from npoptim.optimizers.came import CAME
    from npoptim.optimizers.checks import NonFiniteError
    from npoptim.optimizers.groups import Groups
    from npoptim.optimizers.lamb import LAMB
    from npoptim.optimizers.lars import LARS
    from npoptim.optimizers.lion import Lion
    from npoptim.optimizers.momentum import Momentum
    from npoptim.optimizers.nesterov import Nesterov
    from npoptim.optimizers.sgd import SGD
    from npoptim.parallel import DataParallel
    from npoptim.sweeps import sweep
    from npoptim.trace import Trace, first_difference, trace
    from npoptim.training import train
    from npoptim.trajectory import Trajectory, run

__version__ = "0.1.0"

# public name -> where it lives; imported when first asked for, so that
# `import npoptim` costs next to nothing
_HOME = {
    "DataParallel": "parallel",
    "BackendUnavailable": "backend",
    "CheckpointError": "checkpoint",
    "ContractError": "contract",
    "Groups": "optimizers.groups",
    "History": "history",
    "NonFiniteError": "optimizers.checks",
    "Optimizer": "optimizers.base",
    "Trajectory": "trajectory",
    "basins": "landscapes",
    "check_gradients": "gradients",
    "check_optimizer": "contract",
    "clip_by_global_norm": "gradients",
    "clip_by_value": "gradients",
    "equivalent": "libraries",
    "explore": "explore",
    "first_difference": "trace",
    "get_optimizer": "optimizers",
    "load": "checkpoint",
    "pseudocode": "optimizers.box",
    "run": "trajectory",
    "save": "checkpoint",
    "sensitivity": "landscapes",
    "sweep": "sweeps",
    "to_device": "backend",
    "to_host": "backend",
    "Trace": "trace",
    "train": "training",
    "use_backend": "backend",
}
_MODULES = (
    "data",
    "gradients",
    "homework",
    "libraries",
    "models",
    "optimizers",
    "parallel",
    "schedules",
    "surfaces",
    "sweeps",
    "trace",
)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f"npoptim.{_HOME[name]}"), name)
    elif name in _MODULES:
        return import_module(f"npoptim.{name}")
    else:
        rules = import_module("npoptim.optimizers")
        if name.startswith("_") or name.lower() not in rules.modules():
            raise AttributeError(f"module 'npoptim' has no attribute {name!r}")
        value = rules.rule_class(name.lower())
        if value.__name__ != name:
            raise AttributeError(f"npoptim has no {name!r}. Did you mean {value.__name__!r}?")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


__all__ = [
    "CAME",
    "LAMB",
    "LARS",
    "SGD",
    "Adafactor",
    "Adam",
    "AdamW",
    "BackendUnavailable",
    "CheckpointError",
    "ContractError",
    "DataParallel",
    "Groups",
    "History",
    "Lion",
    "Momentum",
    "Nesterov",
    "NonFiniteError",
    "Optimizer",
    "Trace",
    "Trajectory",
    "basins",
    "check_gradients",
    "check_optimizer",
    "clip_by_global_norm",
    "clip_by_value",
    "data",
    "equivalent",
    "explore",
    "first_difference",
    "get_optimizer",
    "gradients",
    "homework",
    "libraries",
    "load",
    "models",
    "optimizers",
    "parallel",
    "pseudocode",
    "run",
    "save",
    "schedules",
    "sensitivity",
    "surfaces",
    "sweep",
    "sweeps",
    "to_device",
    "to_host",
    "trace",
    "train",
    "use_backend",
]
