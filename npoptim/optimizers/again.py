"""One more step of small arrays: what the driver does, in as few operations as can be.

A step of two numbers takes NumPy a microsecond or two, and looking at everything once more would
take longer than that. So what the driver has seen is only recognized here; whatever is unusual
is left to the driver, which finds out what it is and says so.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Mapping
from itertools import starmap
from operator import setitem
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from npoptim.optimizers import checks
from npoptim.optimizers.advance import NATIVE
from npoptim.optimizers.quiet import QUIET, VARIABLE

if TYPE_CHECKING:
    from npoptim.optimizers.base import Optimizer
    from npoptim.optimizers.driver import Driver

SMALL = 2**14  #: bytes of a parameter up to which looking again would be felt

Look = tuple[Any, tuple[int, ...], Any]  # slot, shape, dtype
#: parameter -> itself (weakly), shape, dtype, all it remembers, whether these are few numbers
#: each, and the method that updates it
Seen = dict[str, tuple[Any, tuple[int, ...], Any, list[Look], bool, str]]


def recognizable(
    rules: Iterable[Optimizer],
    params: Mapping[str, Any],
    state: Mapping[str, Mapping[str, Any]],
) -> Seen:
    """What to know the arrays of this step by at the next, if all are computed in as they are."""
    seen: Seen = {}
    for rule, (name, p) in zip(rules, params.items(), strict=True):
        if type(p) is not ndarray or p.dtype not in NATIVE:
            return {}
        slots = [(k, x.shape, x.dtype) for k, x in state[name].items()]
        axes = {p.ndim, *(len(wide) for _, wide, _ in slots)}
        few = p.size <= checks.FEW and axes == {1}
        seen[name] = weakref.ref(p), p.shape, p.dtype, slots, few, "update" + rule._box(p)
    return seen


def small(params: Mapping[str, Any]) -> bool:
    """Whether to take the next step here."""
    return VARIABLE is not None and all(p.ndim > 0 and p.nbytes <= SMALL for p in params.values())


def again(driver: Driver, params: Mapping[str, Any], grads: Mapping[str, Any]) -> bool:
    """Take a step, if these are the arrays of the last one and nothing is unusual."""
    memory = driver._memory
    seen, held, t, own = memory.seen, memory.state, memory.t + 1, memory.__dict__
    if not len(seen) == len(params) == len(grads):
        return False
    state: dict[str, Any] = {}
    numbers: list[Any] = []  # if their sum is finite, so are they
    changes: list[tuple[Any, Any, Any]] = [(own, "t", t), (own, "state", state)]
    every = zip(driver._rules(seen, t), seen.items())  # noqa: B905  # `strict` takes time
    before = VARIABLE.set(QUIET)
    try:
        for rule, (name, (ref, shape, dtype, looks, few, update)) in every:
            p, g, slots = params.get(name), grads.get(name), held.get(name)
            if (
                p is None
                or p is not ref()
                or p.shape != shape
                or p.dtype is not dtype
                or not p.flags.writeable
                or type(g) is not ndarray
                or g.shape != shape
                or g.dtype is not dtype
                or slots is None
            ):
                return False
            new, after = getattr(rule, update)(p, g, t, **slots)
            if type(new) is not ndarray or new.shape != shape or new.dtype is not dtype:
                return False
            if len(after) != len(looks):
                return False
            numbers += g.tolist() + new.tolist() if few else (np.vdot(g, g), np.vdot(new, new))
            for slot, wide, kind in looks:
                x = after.get(slot)
                if type(x) is not ndarray or x.shape != wide or x.dtype is not kind:
                    return False
                if x.base is not None or x is p or x is g:  # somebody else's memory
                    return False
                numbers += x.tolist() if few else (np.vdot(x, x),)
            changes.append((p, ..., new))
            state[name] = after
        if not math.isfinite(sum(numbers)):
            return False
    finally:
        VARIABLE.reset(before)
    any(starmap(setitem, changes))  # `write`, without the time of a call
    return True


def write(changes: Iterable[tuple[Any, Any, Any]]) -> None:
    """`target[key] = value` for all of them, with no line of Python for a signal to come in."""
    any(starmap(setitem, changes))
