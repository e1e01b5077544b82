"""The step: check everything, then compute, then write; shared by single rules and Groups."""

from __future__ import annotations

import signal
import threading
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from npoptim.optimizers import checks
from npoptim.optimizers.advance import Check, advance, advance_in_place, cast, ready
from npoptim.optimizers.again import Seen, again, recognizable, small, write

if TYPE_CHECKING:
    from npoptim.optimizers.base import Optimizer, State

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
        self.checked: dict[str, Any] = {}  # hyper-parameters seen valid
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
                (name, p, *ready(rule, name, p, grads[name], memory.state.get(name)))
                for (name, p), rule in zip(params.items(), rules, strict=True)
            ]
            if _above(work, ATOMIC):
                self._step_one_by_one(work, rules, t)
                return
            changes: list[tuple[Any, Any, Any]] = []
            state: dict[str, State] = {}
            for (name, p, q, g, slots), rule in zip(work, rules, strict=True):
                new, state[name] = advance(rule, q, g, t, slots, Check(rule, name))
                changes.append((p, ..., new if new.dtype is p.dtype else cast(name, new, p)))
        seen = recognizable(rules, params, state)
        news = {"t": t, "state": state, "layout": memory.layout or _layout(params)}
        news |= {"seen": seen, "small": bool(seen) and small(params)}
        write([*changes, *((vars(memory), key, value) for key, value in news.items())])

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

    def _rules(self, names: Collection[str], t: int) -> list[Optimizer]:
        """The rule of every parameter at step `t`, schedules resolved once each."""
        found = [self._rule(name) for name in names]
        at = {key: rule.at(t) for key, rule in {id(rule): rule for rule in found}.items()}
        return [at[id(rule)] for rule in found]

    def _step_one_by_one(self, work: list[Any], rules: list[Optimizer], t: int) -> None:
        memory = self._memory
        done: list[str] = []
        work = [(*rest, _apart(g, work), slots) for *rest, g, slots in work]
        with interrupts_wait():
            for (name, p, q, g, slots), rule in zip(work, rules, strict=True):
                begun = bool(done)
                check = Check(rule, name, begun, in_place=True)
                try:
                    after = advance_in_place(rule, p, g, t, slots, check) if q is p else None
                    if after is None:
                        new, after = advance(rule, q, g, t, slots, Check(rule, name, begun))
                        p[...] = cast(name, new, p, begun)
                except BaseException as error:
                    if check.begun:
                        memory.broken = (
                            f"step {t} failed at parameter {name!r} after writing had begun: "
                            f"{done or 'none'} are at step {t}, {name!r} may be half-written, the "
                            f"others are at step {t - 1}. Load parameters and a state to go on."
                        )
                        error.add_note(memory.broken)
                    raise
                memory.state[name] = after
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


def _apart(g: Any, work: list[Any]) -> Any:
    """A gradient that stays as it is while the parameters are written."""
    if isinstance(g, np.ndarray) and any(np.may_share_memory(g, p) for _, p, *_ in work):
        return g.copy()
    return g


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
