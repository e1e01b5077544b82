"""A state_dict, checked whole and made into a memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from npoptim.optimizers import checks
from npoptim.optimizers.advance import compute_dtype, fresh_state
from npoptim.optimizers.driver import Driver, Memory

PARTS = ("optimizer", "t", "layout", "state")


def restored(driver: Driver, saved: Mapping[str, Any]) -> Memory:
    """The memory that `saved` describes; errors unless `driver` could have made it."""
    if not isinstance(saved, Mapping):
        raise TypeError(f"a state must be a dict. Got {type(saved).__name__} instead.")
    checks.same_names(saved, PARTS, "not the state of an optimizer")
    if saved["optimizer"] != driver._kind():
        raise ValueError(
            f"the state is of {saved['optimizer']}, this optimizer is {driver._kind()}."
        )
    memory = Memory()
    t = saved["t"]
    if not isinstance(t, int) or isinstance(t, bool) or t < 0:
        raise ValueError(f"t in the state must be an int in the range [0, inf). Got {t!r} instead.")
    memory.t = t
    for part in ("layout", "state"):
        if not isinstance(saved[part], Mapping):
            raise TypeError(f"{part} in the state must be a dict by name of parameter.")
    layout = {name: _layout(name, entry) for name, entry in saved["layout"].items()}
    own = driver._memory.layout
    if own:
        checks.same_names(layout, own, "the state is of other parameters")
        for name, (shape, _) in own.items():
            if layout[name][0] != shape:
                raise ValueError(
                    f"parameter {name!r} has shape {shape}, the state is of {layout[name][0]}."
                )
    memory.layout = dict(own) or layout
    checks.same_names(saved["state"], layout, "the state must have the names of its layout")
    for name, (shape, dtype) in memory.layout.items():
        rule = driver._rule(name).at(max(t, 1))
        memory.state[name] = _slots(name, saved["state"][name], rule, shape, compute_dtype(dtype))
    return memory


def _layout(name: str, entry: Any) -> tuple[tuple[int, ...], Any]:
    try:
        shape, dtype = tuple(int(n) for n in entry[0]), np.dtype(entry[1])
    except (TypeError, ValueError, IndexError, KeyError):
        raise ValueError(f"layout of {name!r} must be (shape, dtype). Got {entry!r}.") from None
    if dtype.kind != "f" or any(n < 0 for n in shape):
        raise ValueError(f"layout of {name!r} must be of a floating dtype. Got {entry!r}.")
    return shape, dtype


def _slots(name: str, saved: Any, rule: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    fresh = fresh_state(rule, np.zeros(shape, dtype))
    if not isinstance(saved, Mapping):
        raise TypeError(f"state of {name!r} must be a dict slot -> array.")
    checks.same_names(saved, fresh, f"state of {name!r} in {type(rule).__name__}")
    return {
        slot: _exact(saved[slot], like, f"state {slot!r} of {name!r}")
        for slot, like in fresh.items()
    }


def _exact(x: Any, like: Any, what: str) -> Any:
    """A copy of `x` in the dtype of `like`, if it has its shape and nothing is lost."""
    checks.array(x, what)
    if x.shape != like.shape:
        raise ValueError(f"{what} must have shape {like.shape}. Got {x.shape} instead.")
    if x.dtype.kind != "f":
        raise ValueError(f"{what} must be of dtype {like.dtype}. Got {x.dtype} instead.")
    checks.all_finite(x, what)
    with np.errstate(over="ignore", under="ignore"):
        copy = x.astype(like.dtype)
    if not np.array_equal(copy.astype(x.dtype), x):
        raise ValueError(f"{what} is {x.dtype} and cannot be held exactly in {like.dtype}.")
    return copy
