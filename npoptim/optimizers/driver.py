"""The step: check everything, then compute, then write; shared by single rules and Groups."""

from __future__ import annotations

import signal
import threading
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from npoptim.optimizers import checks, fused
from npoptim.optimizers.again import NATIVE, Seen, again, recognizable, small, write
from npoptim.optimizers.blocks import BLOCK, update_in_blocks

if TYPE_CHECKING:
    from npoptim.optimizers.base import Array, Optimizer, State

#: Up to this many bytes of parameters and state a step happens whole or not at
#: all; above, one parameter at a time, so that memory does not double.
ATOMIC = 32 * 2**20


class Memory:
    """What an optimizer remembers between steps."""

    def __init__(self) -> None:
        self.t = 0
        self.state: dict[str, State] = {}
        self.layout: dict[str, tuple[tuple[int, ...], Any]] = {}  # name -> shape, dtype
        self.broken = ""  # why no further step may be taken, if so
        self.forget()

    def forget(self) -> None:
        """Drop what only saves work: it is found again at the next step."""
        self.checked: tuple[Any, ...] = ()  # hyper-parameters seen valid
        self.schedules: list[str] = []  # those that are schedules
        self.seen: Seen = {}  # the parameters of the last step
        self.small = False  # whether all of them are

    def __getstate__(self) -> dict[str, Any]:
        kept = ("t", "state", "layout", "broken")
        return {k: v for k, v in vars(self).items() if k in kept}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        vars(self).update(kept)
        self.forget()


class Driver:
    """An optimizer seen from outside: `step`, the memory, and copies of it."""

    @cached_property
    def _memory(self) -> Memory:
        return Memory()

    @abstractmethod
    def _rule(self, name: str) -> Optimizer:
        """The rule for the parameter `name`."""

    @property
    def t(self) -> int:
        """Steps taken."""
        return self._memory.t

    @t.setter
    def t(self, value: int) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ValueError(f"t must be an int in the range [0, inf). Got {value!r} instead.")
        self._memory.t = value

    @property
    def state(self) -> dict[str, State]:
        """What is remembered: parameter name -> slot -> array."""
        return self._memory.state

    @property
    def state_nbytes(self) -> int:
        """Bytes of state in memory: 0 before the first step."""
        return sum(x.nbytes for slots in self.state.values() for x in slots.values())

    def step(self, params: Any, grads: Any) -> None:
        """Take one step: change `params` in place against `grads`.

        `params` is a dict name -> array, or one array (named "p"); `grads` is
        of the same form and shapes and is never written to. Names, shapes and
        dtypes are fixed at the first step. float16 parameters are computed in
        float32, with float32 state.

        Whatever is wrong is raised before anything has changed. Above 32 MiB
        of parameters and state the step goes one parameter at a time; should
        one fail there, the error names it, and the optimizer goes no further
        until a state is loaded.

        Raises TypeError or ValueError for input of another kind, name, shape
        or dtype, for parameters that share memory or are read-only and for
        hyper-parameters out of range, and NonFiniteError (a ValueError) for a
        gradient or a result with a NaN or an infinity.
        """
        memory = self._memory
        if memory.broken:
            raise RuntimeError(memory.broken)
        if type(params) is type(grads) is np.ndarray:
            params, grads = {"p": params}, {"p": grads}
        elif not type(params) is type(grads) is dict:
            params, grads = checks.named(params, "params"), checks.named(grads, "grads")
        if memory.small and again(self, params, grads):
            return
        self._check(params, grads)
        if np.memmap in map(type, params.values()):
            params = {name: np.asarray(p) for name, p in params.items()}  # the same memory
        t = memory.t + 1
        rules = self._rules(params, t)
        with np.errstate(all="ignore"):
            work = [
                (name, p, *_ready(rules[name], name, p, grads[name], memory.state.get(name)))
                for name, p in params.items()
            ]
            if _above(work, ATOMIC):
                self._step_one_by_one(work, rules, t)
                return
            targets, values, state = [], [], {}
            for name, p, q, g, slots in work:
                new, state[name] = _advance(rules[name], name, q, g, t, slots)
                targets.append(p)
                values.append(new if new.dtype is p.dtype else _cast(name, new, p))
        layout, seen = memory.layout or _layout(params), recognizable(params, state)
        own, whole = vars(memory), [...] * len(targets)
        news = {"t": t, "state": state, "layout": layout, "seen": seen}
        news["small"] = bool(seen) and small(params)
        write([*targets, *[own] * len(news)], [*whole, *news], [*values, *news.values()])

    def _check(self, params: dict[str, Any], grads: dict[str, Any]) -> None:
        """Errors unless everything about both dicts is in order."""
        memory = self._memory
        if not params:
            raise ValueError("params is empty: there is nothing to optimize.")
        for name, p in params.items():
            checks.parameter(name, p)
        if memory.layout:
            checks.layout(params, memory.layout)
        if not all(k in memory.seen and memory.seen[k][0]() is p for k, p in params.items()):
            checks.no_overlap(params)
        if grads.keys() != params.keys():
            checks.same_names(grads, params, "grads must have the names of params")
        for name, p in params.items():
            checks.gradient(name, grads[name], p)

    def _rules(self, names: Iterable[str], t: int) -> dict[str, Optimizer]:
        """The rule of every parameter at step `t`, schedules resolved once each."""
        found = {name: self._rule(name) for name in names}
        at = {id(rule): rule.at(t) for rule in {id(r): r for r in found.values()}.values()}
        return {name: at[id(rule)] for name, rule in found.items()}

    def _step_one_by_one(self, work: list[Any], rules: dict[str, Optimizer], t: int) -> None:
        memory = self._memory
        done: list[str] = []
        work = [(*rest, _apart(g, work), slots) for *rest, g, slots in work]
        with interrupts_wait():
            for name, p, q, g, slots in work:
                rule = rules[name]
                check = _Check(rule, name, in_place=True, begun=bool(done))
                try:
                    if q is p and (fast := _fused(rule, p, g, t, slots, check, in_place=True)):
                        _, slots = fast
                    elif q is p and _blockwise(rule, p, slots):
                        slots = {k: _like(x, p) for k, x in slots.items()}
                        update_in_blocks(rule.form(p)[1], p, g, t, slots, p, slots, check)
                    else:
                        new, slots = _advance(rule, name, q, g, t, slots)
                        p[...] = _cast(name, new, p)
                except BaseException as error:
                    if check.begun:
                        memory.broken = (
                            f"step {t} failed at parameter {name!r} after writing had begun: "
                            f"{done or 'none'} are at step {t}, {name!r} may be half-written, the "
                            f"others are at step {t - 1}. Load parameters and a state to go on."
                        )
                        error.add_note(memory.broken)
                    raise
                memory.state[name] = slots
                done.append(name)
            memory.t = t
            memory.layout = memory.layout or _layout({name: p for name, p, *_ in work})

    def state_dict(self) -> dict[str, Any]:
        """A copy of the memory, in NumPy: optimizer, t, layout and state by parameter name."""
        memory = self._memory
        return {
            "optimizer": self._kind(),
            "t": memory.t,
            "layout": {k: (shape, dtype.str) for k, (shape, dtype) in memory.layout.items()},
            "state": {
                name: {slot: _on_host(x) for slot, x in slots.items()}
                for name, slots in memory.state.items()
            },
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take over a copy of a memory, checked whole before anything changes.

        Parameters are matched by name. State of another dtype is taken if
        nothing is lost. Raises TypeError or ValueError when `saved` is not
        the memory of such an optimizer over such parameters.
        """
        from npoptim.optimizers.restore import restored

        self.__dict__["_memory"] = restored(self, saved)

    def _kind(self) -> Any:
        return type(self).__name__


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


def updated(rule: Optimizer, p: Any, g: Any, t: int, slots: State) -> tuple[Any, State]:
    """What `update` returns, if it is a parameter and a memory."""
    result: Any = rule.form(p)[1](p, g, t, **slots)
    if type(result) is tuple and len(result) == 2 and isinstance(result[1], dict):
        return result
    what = type(result).__name__ if result is not None else None
    raise TypeError(
        f"{type(rule).__name__}.update must return p and a dict of the state. Got {what} instead."
    )


def _ready(
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


def _advance(rule: Optimizer, name: str, p: Any, g: Any, t: int, slots: State) -> tuple[Any, State]:
    """One step of one parameter into new arrays."""
    check = _Check(rule, name)
    if fast := _fused(rule, p, g, t, slots, check):
        return fast
    update = rule.form(p)[1]
    if _blockwise(rule, p, slots):
        new, after = np.empty_like(p), {k: np.empty_like(p) for k in slots}
        update_in_blocks(update, p, g, t, slots, new, after, check)
        return new, after
    new, after = updated(rule, p, g, t, slots)
    if p.ndim == 0:  # NumPy turns arrays without axes into scalars
        new, after = _array(new), {k: _array(x) for k, x in after.items()}
    check(new, after, p, slots)
    return new, {slot: _own(x, p, g) for slot, x in after.items()}


def _apart(g: Any, work: list[Any]) -> Any:
    """A gradient that stays as it is while the parameters are written."""
    if isinstance(g, np.ndarray) and any(np.may_share_memory(g, p) for _, p, *_ in work):
        return g.copy()
    return g


def _own(x: Any, p: Any, g: Any) -> Any:
    """State that nobody else writes to."""
    return x.copy() if x is p or x is g or getattr(x, "base", None) is not None else x


def _fused(
    rule: Optimizer, p: Any, g: Any, t: int, slots: State, check: _Check, in_place: bool = False
) -> tuple[Any, State] | None:
    """One step of one large parameter, if its lines can be recorded."""
    if p.nbytes < fused.LARGE or fused.PLAIN.get():
        return None
    return fused.advance(rule.form(p), p, g, t, slots, partial(check.block, p.shape), in_place)


class _Check:
    """Errors unless a rule kept shapes, dtypes and slots, and all it returned is finite."""

    __slots__ = ("begun", "in_place", "name", "rule")

    def __init__(
        self, rule: Optimizer, name: str, in_place: bool = False, begun: bool = False
    ) -> None:
        self.rule, self.name, self.in_place = rule, name, in_place
        self.begun = begun  # whether anything may have been written

    def __call__(self, new: Any, after: State, p: Any, before: State) -> None:
        if not _alike(new, p):
            _changed(new, p, f"{self._who} returned {self.name!r}")
        self._finite(None, new)
        if after.keys() != before.keys():
            checks.same_names(after, before, f"{self._who} must return the state it was given")
        for slot, x in after.items():
            if not _alike(x, before[slot]):
                _changed(x, before[slot], f"{self._who} returned state {slot!r}")
            self._finite(slot, x)
        self.begun |= self.in_place

    def block(self, shape: Any, results: dict[str | None, Any], first: int | None) -> None:
        """The same for results known to be alike: whole, or blocks from element `first` on."""
        for slot, x in results.items():
            self._finite(slot, x, first or 0, x.shape if first is None else shape)
        self.begun |= self.in_place and first is not None

    def _finite(self, slot: str | None, x: Any, before: int = 0, shape: Any = None) -> None:
        if not checks.finite(x):
            what = repr(self.name) if slot is None else f"state {slot!r} of {self.name!r}"
            why = ": the gradient or lr is too large, or eps too small"
            checks.not_finite(x, f"{what} after the step", why, before, shape, self.begun)

    @property
    def _who(self) -> str:
        return f"{type(self.rule).__name__}.update"


def _alike(x: Any, like: Any) -> bool:
    return type(x) is type(like) and x.shape == like.shape and x.dtype == like.dtype


def _changed(x: Any, like: Any, what: str) -> NoReturn:
    got = f"{x.dtype}{list(x.shape)}" if hasattr(x, "dtype") else type(x).__name__
    raise TypeError(f"{what} as {got}; it must stay {like.dtype}{list(like.shape)}.")


def _cast(name: str, new: Any, p: Any) -> Any:
    """`new` in the parameter's own dtype."""
    if new.dtype == p.dtype:
        return new
    new = new.astype(p.dtype)
    if not checks.finite(new):
        checks.not_finite(new, f"{name!r} after the step", f" as {p.dtype}")
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


def _above(work: list[Any], limit: int) -> bool:
    """Whether parameters and state take more bytes than `limit`."""
    total = 0
    for _, p, _, _, slots in work:
        total += p.nbytes
        for x in slots.values():
            total += x.nbytes
    return total > limit


def _layout(params: Mapping[str, Any]) -> dict[str, tuple[tuple[int, ...], Any]]:
    return {name: (p.shape, p.dtype) for name, p in params.items()}


def _on_host(x: Any) -> Any:
    return x.copy() if isinstance(x, np.ndarray) else x.get()


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


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """Hold SIGINT back until the end of the block (in the main thread, which alone gets it)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.SIG_DFL)
        if held:
            signal.raise_signal(signal.SIGINT)
