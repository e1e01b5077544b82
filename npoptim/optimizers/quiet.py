"""NumPy's warnings, off: for a step or a gradient of two numbers `np.errstate` takes too long."""

from __future__ import annotations

import contextvars
from functools import partial
from typing import Any

import numpy as np


def _found() -> tuple[Any, Any]:
    """NumPy's context variable, and its value under `np.errstate(all="ignore")`.

    Should another NumPy keep its settings elsewhere, they are None.
    """
    before = contextvars.copy_context()
    with np.errstate(all="ignore"):
        after = contextvars.copy_context()
    changed = [v for v in after if v not in before or before[v] is not after[v]]
    return (changed[0], after[changed[0]]) if len(changed) == 1 else (None, None)


VARIABLE, QUIET = _found()


class _Quiet:
    """What `np.errstate(all="ignore")` does, in half the time."""

    __slots__ = ("before",)

    def __enter__(self) -> None:
        self.before = VARIABLE.set(QUIET)

    def __exit__(self, *error: object) -> None:
        VARIABLE.reset(self.before)


def _context(variable: Any) -> Any:
    return _Quiet if variable is not None else partial(np.errstate, all="ignore")


#: `with quiet():` is a block without NumPy's warnings.
quiet = _context(VARIABLE)
