"""One step of one parameter: dtypes, large arrays, and a look at what comes of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from npoptim.optimizers import checks, fused, kernels
from npoptim.optimizers.blocks import BLOCK, update_in_blocks

if TYPE_CHECKING:
    from npoptim.optimizers.base import Array, Optimizer, State

#: dtypes that are computed in as they are
NATIVE = (np.dtype(np.float32), np.dtype(np.float64))


def compute_dtype(dtype: Any) -> Any:
    """The dtype of arithmetic and state: native, and float32 for float16."""
    return np.dtype(np.float32) if dtype.itemsize < 4 else dtype.newbyteorder("=")


def fresh_state(rule: Optimizer, p: Any) -> State:
    """The memory of `p` before its first step."""
    state: Any = rule.form(p)[0](p)
    if not isinstance(state, dict):
        raise TypeError(
            f"{type(rule).__name__}.init must return a dict slot -> array. Got {state!r} instead."
        )
    return {k: _array(x) for k, x in state.items()}


def updated(update: Any, p: Any, g: Any, t: int, slots: State) -> tuple[Any, State]:
    """What a rule's `update` returns, if it is a parameter and a memory."""
    result: Any = update(p, g, t, **slots)
    if type(result) is tuple and len(result) == 2 and isinstance(result[1], dict):
        return result
    name = getattr(update, "__qualname__", "update").rpartition("<locals>.")[2]
    what = type(result).__name__ if result is not None else None
    raise TypeError(f"{name} must return p and a dict of the state. Got {what} instead.")


def ready(
    rule: Optimizer, name: str, p: Any, g: Any, slots: State | None
) -> tuple[Any, Any, State]:
    """Parameter and gradient in the dtype of arithmetic, and the memory."""
    if not checks.finite(g):
        checks.not_finite(g, f"gradient of {name!r}")
    if p.dtype is not g.dtype or p.dtype not in NATIVE:
        dtype = compute_dtype(p.dtype)
        p, g = p.astype(dtype, copy=False), g.astype(dtype, copy=False)
        if not checks.finite(g):
            checks.not_finite(g, f"gradient of {name!r}", f" as {dtype}")
    if slots is None:
        slots = fresh_state(rule, p)
    elif slots and type(p) is not type(next(iter(slots.values()))):
        slots = _moved(slots, name, fresh_state(rule, p))
    return p, g, slots


def advance(
    rule: Optimizer, p: Any, g: Any, t: int, slots: State, check: Check
) -> tuple[Any, State]:
    """One step of one parameter, into new arrays."""
    if fast := _fused(rule, p, g, t, slots, check):
        return fast
    update = rule.form(p)[1]
    if _blockwise(rule, p, slots):
        new, after = np.empty_like(p), {k: np.empty_like(p) for k in slots}
        update_in_blocks(update, p, g, t, slots, new, after, check)
        return new, after
    new, after = updated(update, p, g, t, slots)
    if p.ndim == 0:  # NumPy turns arrays without axes into scalars
        new, after = _array(new), {k: _array(x) for k, x in after.items()}
    check(new, after, p, slots)
    return new, {slot: _own(x, p, g) for slot, x in after.items()}


def advance_in_place(
    rule: Optimizer, p: Any, g: Any, t: int, slots: State, check: Check
) -> State | None:
    """One step of one large parameter, block by block; None, with nothing done, if that cannot be.

    What a block has become is seen by `check`, the first before it is written.
    """
    if fast := _fused(rule, p, g, t, slots, check, in_place=True):
        return fast[1]
    if not _blockwise(rule, p, slots):
        return None
    slots = {k: _like(x, p) for k, x in slots.items()}
    update_in_blocks(rule.form(p)[1], p, g, t, slots, p, slots, check)
    return slots


def _own(x: Any, p: Any, g: Any) -> Any:
    """State that nobody else writes to."""
    return x.copy() if x is p or x is g or getattr(x, "base", None) is not None else x


def _fused(
    rule: Optimizer, p: Any, g: Any, t: int, slots: State, check: Check, in_place: bool = False
) -> tuple[Any, State] | None:
    """One step of one large parameter, if its lines can be recorded."""
    if p.nbytes < fused.LARGE or fused.PLAIN.get():
        return None
    if type(p) in kernels.MAKERS:
        return kernels.advance(rule.form(p), p, g, t, slots, in_place)
    return fused.advance(rule.form(p), p, g, t, slots, partial(check.block, p.shape), in_place)


class Check:
    """Errors unless a rule kept shapes, dtypes and slots, and all it returned is finite."""

    __slots__ = ("begun", "in_place", "name", "rule")

    def __init__(
        self, rule: Optimizer, name: str, begun: bool = False, in_place: bool = False
    ) -> None:
        self.rule, self.name, self.in_place = rule, name, in_place
        self.begun = begun  # whether anything may have been written

    def __call__(self, new: Any, after: State, p: Any, before: State, *where: Any) -> None:
        """`where` a block lies: elements before it, shape of the whole, order."""
        if not _alike(new, p):
            _changed(new, p, f"{self._who} returned {self.name!r}")
        self._finite(None, new, *where)
        if after.keys() != before.keys():
            checks.same_names(after, before, f"{self._who} must return the state it was given")
        for slot, x in after.items():
            if not _alike(x, before[slot]):
                _changed(x, before[slot], f"{self._who} returned state {slot!r}")
            self._finite(slot, x, *where)
        self.begun |= self.in_place

    def block(self, shape: Any, results: dict[str | None, Any], first: int | None) -> None:
        """The same for results known to be alike: whole, or blocks from element `first` on."""
        for slot, x in results.items():
            self._finite(slot, x, first or 0, x.shape if first is None else shape)
        self.begun |= self.in_place and first is not None

    def _finite(
        self, slot: str | None, x: Any, before: int = 0, shape: Any = None, order: Any = "C"
    ) -> None:
        if not checks.finite(x):
            what = repr(self.name) if slot is None else f"state {slot!r} of {self.name!r}"
            why = ": the gradient or lr is too large, or eps too small"
            checks.not_finite(x, f"{what} after the step", why, before, shape, order, self.begun)

    @property
    def _who(self) -> str:
        return f"{type(self.rule).__name__}.update"


def _alike(x: Any, like: Any) -> bool:
    return type(x) is type(like) and x.shape == like.shape and x.dtype == like.dtype


def _changed(x: Any, like: Any, what: str) -> NoReturn:
    got = f"{x.dtype}{list(x.shape)}" if hasattr(x, "dtype") else type(x).__name__
    raise TypeError(f"{what} as {got}; it must stay {like.dtype}{list(like.shape)}.")


def cast(name: str, new: Any, p: Any, begun: bool = False) -> Any:
    """`new` in the parameter's own dtype."""
    if new.dtype == p.dtype:
        return new
    new = new.astype(p.dtype)
    if not checks.finite(new):
        checks.not_finite(new, f"{name!r} after the step", f" as {p.dtype}", begun=begun)
    return new


def _like(x: Any, p: Any) -> Any:
    """`x` in the memory layout of `p`, so that blocks of both are views."""
    if p.flags.forc and x.strides == p.strides:
        return x
    y = np.empty_like(p)  # without p's gaps, its axes in p's order
    if x.strides == y.strides:
        return x
    y[...] = x
    return y


def _blockwise(rule: Optimizer, p: Array, slots: State) -> bool:
    return (
        rule.scope == "element"
        and p.nbytes > BLOCK
        and isinstance(p, np.ndarray)
        and all(x.shape == p.shape for x in slots.values())
    )


def _moved(slots: State, name: str, there: Any) -> State:
    """State from the host, as after loading, on the device of its parameter."""
    for slot, x in slots.items():
        if not hasattr(there[slot], "set"):
            raise TypeError(
                f"parameter {name!r} is on the host, its state on a {type(x).__module__} device: "
                f"move the parameter with npoptim.to_device."
            )
        there[slot].set(x)
    return there  # type: ignore[no-any-return]


def _array(x: Any) -> Any:
    return np.asarray(x) if isinstance(x, np.generic) else x
