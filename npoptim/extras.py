"""What is missing, and what is called: optional packages, and modules that are functions too."""

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any


def need(module: str, extra: str) -> Any:
    """Import and return `module`, or say which extra brings it.

    >>> need("no_such_module", extra="plot")
    Traceback (most recent call last):
        ...
    ModuleNotFoundError: no_such_module is missing; pip install 'npoptim[plot]' brings it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise ModuleNotFoundError(
            f"{package} is missing; pip install 'npoptim[{extra}]' brings it.", name=package
        ) from None


def callable_module(name: str, function: Callable[..., Any]) -> None:
    """Let the module `name` be called like the function that bears its name.

    `npoptim.optimizers` is a folder and `npoptim.optimizers()` a function:
    whichever is imported first, both work.
    """
    module = sys.modules[name]
    body = {"__call__": staticmethod(function), "__doc__": module.__doc__}
    module.__class__ = type("CallableModule", (ModuleType,), body)
