"""How a rule's lines run on large arrays: recorded, then block by block on several cores.

`update` is called once with stand-ins that note what is done to them. Then the arrays are passed
through block by block, all lines on one block in buffers that are reused: first as far as the
sums that need no other, next as far as those that need these, and so on, last to the results.
What a pass has made need not be made again: a result is written in the first that comes by it.
An element meets the operations of the plain lines in their order; only sums differ, by rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.typing import NDArray

from npoptim.optimizers.lazy import Lazy, Recorded, Unknown, needed
from npoptim.optimizers.threads import SPACE, buffers, cores, share, squares

Array: TypeAlias = NDArray[Any]
State: TypeAlias = dict[str, Array]
Slots: TypeAlias = dict[Any, Any]  # one thing for each slot; the parameter's under None
Check: TypeAlias = Callable[[Slots, int | None], None]

LARGE = 4 * 2**20  #: bytes of a parameter from which on it pays

#: Whether arrays of every size go by the plain lines, as they must to be looked at.
PLAIN: ContextVar[bool] = ContextVar("plain", default=False)

#: Bytes of an operand in a block, at most: so many that threads seldom meet at the interpreter's
#: lock, which costs them tens of microseconds, and no more than the cache can hold.
BLOCK = 2**21


@contextmanager
def plain_lines() -> Iterator[None]:
    """In this thread, arrays of every size go by the plain lines."""
    before = PLAIN.set(True)
    try:
        yield
    finally:
        PLAIN.reset(before)


def advance(
    form: tuple[Callable[..., State], Callable[..., tuple[Array, State]]],
    p: Array,
    g: Array,
    t: int,
    state: State,
    check: Check,
    in_place: bool = False,
) -> tuple[Array, State] | None:
    """Parameter and memory after step number `t` of a rule's `form`, in new arrays or in place.

    None, with nothing done, for small arrays, for axes in another order than C's, for arrays
    with gaps in place, and for lines that blocks cannot do. `check(arrays, first)` sees all
    results, by slot, the parameter under None, and may raise: blocks, with the number of elements
    before them, and whole what has another shape, with None. In place nothing is written before a
    block has passed; those after it are computed where they belong, and checked there.
    """
    arrays: Slots = {None: p, **state}
    if p.nbytes < LARGE or not all(isinstance(x, np.ndarray) for x in (g, *arrays.values())):
        return None
    whole = all(x.flags.c_contiguous for x in arrays.values())
    if in_place and (not whole or np.may_share_memory(p, g)):
        return None
    threads = cores()
    try:
        step = Step(form, arrays, g, t, fresh=not in_place)
    except Exception:  # whatever it is, the plain lines will do it or say it
        return None
    if not in_place:
        arrays = {k: np.empty_like(x, subok=False) for k, x in arrays.items()}
    after = step.run(arrays, check, threads)
    return after.pop(None), after


class Step(Recorded):
    """A recorded step on arrays of the host, and whether its results go to fresh ones."""

    def __init__(self, form: Any, arrays: Slots, g: Array, t: int, fresh: bool = True) -> None:
        super().__init__(form, arrays, g, t)
        self.fresh = fresh
        operands = [a for x in self.lines if x.full for a in x.args if not a.full]
        self.flat = not any(x.ndim for x in self.sums + operands)
        for x in (*self.before.values(), self.gradient):
            if x.full:
                x.value = self.view(x.value)
        self.length, *self.rest = self.before[None].value.shape
        self.row, self.itemsize = math.prod(self.rest), g.itemsize
        if self.row * self.itemsize > BLOCK // 2:
            raise Unknown("long rows")

    def view(self, x: Array) -> Array:
        """`x` in the shape of which blocks are slices; a copy if it has gaps."""
        if not (x.flags.c_contiguous or np.empty_like(x).flags.c_contiguous):
            raise Unknown("another order of axes")
        x = np.ascontiguousarray(x)
        return x.reshape(-1) if self.flat else x

    def run(self, arrays: Slots, check: Check, threads: int) -> Slots:
        """Write the results to `arrays`, those of other shapes excepted, and return all."""
        last = max(x.passes for x in self.results.values())
        small = {k: x for k, x in self.results.items() if not x.full}
        waiting = {k: x for k, x in self.results.items() if x.full}
        for n in range(last + 1):
            check({k: x.known() for k, x in small.items() if x.passes <= n}, None)
            sums = [x for x in self.sums if x.passes == n + 1 <= last]
            later = [x for x in self.sums if n + 1 < x.passes <= last]
            done = self.made(waiting, sums, later) if n < last else waiting
            Pass(self, done, arrays, sums).run(check, threads)
            waiting = {k: x for k, x in waiting.items() if k not in done}
        return {k: x.known() if k in small else arrays[k] for k, x in self.results.items()}

    def made(self, waiting: Slots, sums: list[Lazy], later: list[Lazy]) -> Slots:
        """The results on the way to `sums`; none if one replaces what is needed afterwards."""
        lines = needed(sums, {})
        done = {k: x for k, x in waiting.items() if x in lines}
        rest = [x for k, x in waiting.items() if k not in done]
        then = needed(later + rest, dict.fromkeys(done.values()))
        read = {a for x in then.keys() - set(done.values()) for a in x.wide}
        return {} if any(self.before[k] in read for k in done) else done


class Pass:
    """Lines, and where each finds its operands: numbers, slices of arrays, a thread's buffers."""

    def __init__(self, step: Step, done: Slots, arrays: Slots, sums: list[Lazy]) -> None:
        self.step, self.done, self.sums = step, done, sums
        self.targets = {x: step.view(arrays[k]) for k, x in done.items()}
        roots = [*done.values(), *sums]
        lines = needed(roots, {})
        read = {a: i for i, x in enumerate(lines) for a in x.wide}  # by which line at last
        # from which line on a result's array may be written to
        free = {x: -1 if step.fresh else read.get(step.before[k], -1) for k, x in done.items()}
        self.places, dtypes = assigned(lines, roots, free)
        #: whether blocks are computed where they belong: when one has passed, or nothing is lost
        self.begun: bool = step.fresh
        self.dtypes = {b: x for b, x in dtypes.items() if not (step.fresh and b in self.targets)}
        self.width = max(1, sum(x.itemsize for x in self.dtypes.values()))  # bytes by element
        rows = max(1, min(BLOCK // step.itemsize, SPACE // 2 // self.width) // step.row)
        self.blocks = [slice(i, min(i + rows, step.length)) for i in range(0, step.length, rows)]
        self.fixed: dict[Lazy, Any] = {}
        self.sliced: dict[Lazy, Array] = {}  # by the rows of a block
        self.parts: dict[Lazy, Array] = {}  # by its number
        self.calls: list[tuple[Any, Lazy]] = []
        for x in lines:
            for a in x.args:
                if a not in lines:
                    self.source(a)
            self.calls.append((self.total(x) if x.total else x.fn, x))

    def source(self, a: Lazy) -> None:
        """Find what is known: arrays with the parameter's rows are cut, others are not."""
        x = a.known()
        rows = np.ndim(x) == len(self.step.rest) + 1 and len(x) == self.step.length
        (self.sliced if rows else self.fixed)[a] = x

    def total(self, x: Lazy) -> Any:
        """What adds up a block; a sum that blocks share gets a part from each."""
        axis = None if self.step.flat else x.options.get("axis")
        if axis is None or 0 in normalize_axis_tuple(axis, x.wide[0].ndim):
            self.parts[x] = np.empty((len(self.blocks), *x.shape), x.dtype)
        else:
            self.sliced[x] = np.empty(x.shape, x.dtype)
        if x.fn is np.vdot:
            return lambda x, same, out: squares(x, out)
        return partial(np.add.reduce, **x.options | {"axis": axis})

    def run(self, check: Check, threads: int) -> None:
        """Do all blocks, write what is done, and add up the sums."""
        rows = self.blocks[0].stop

        @contextmanager
        def worker() -> Iterator[Callable[[int], None]]:
            shape = (rows, *self.step.rest)
            with buffers([(shape, dtype) for dtype in self.dtypes.values()]) as arrays:
                own = dict(zip(self.dtypes, arrays, strict=True))
                yield lambda i: self.block(i, self.blocks[i], own, check)

        threads = min(threads, SPACE // (rows * self.step.row * self.width))
        share(len(self.blocks), worker, threads)
        for x, target in self.targets.items():
            x.value = target
        for x in self.sums:
            if x in self.parts:  # in float64, whatever they are
                wide = np.promote_types(x.dtype, float)
                self.sliced[x] = np.add.reduce(self.parts[x], 0, wide).astype(x.dtype)
            x.value = self.sliced[x]

    def block(self, i: int, block: slice, own: Slots, check: Check) -> None:
        """Compute a block, check it, and write what is not yet where it belongs."""
        frame = self.fixed | {x: a[block] for x, a in self.sliced.items()}
        frame |= {x: a[i, ...] for x, a in self.parts.items()}
        own = {b: a[: block.stop - block.start] for b, a in own.items()}
        targets = {x: target[block] for x, target in self.targets.items()}
        if self.begun:
            own |= targets
        frame |= {x: own[b] for x, b in self.places.items()}
        find = frame.__getitem__
        for fn, x in self.calls:
            fn(*map(find, x.args), out=find(x))
        if self.done:
            check({k: frame[x] for k, x in self.done.items()}, block.start * self.step.row)
            self.begun = True
        for x, target in targets.items():
            if frame[x] is not target:
                target[...] = frame[x]


def assigned(
    lines: Iterable[Lazy], roots: list[Lazy], free: dict[Lazy, int]
) -> tuple[dict[Lazy, Any], dict[Any, Any]]:
    """A place for every line, as few as will do, and the dtype of each place.

    A place is a result, whose array may be written to from the line in `free` on (until the
    result itself is there, by other lines, too), or the number of a buffer.
    """
    turn = {x: i for i, x in enumerate(lines)}
    free = {x: i for x, i in free.items() if i <= turn[x]}
    last = {a: i for x, i in turn.items() for a in x.wide} | dict.fromkeys(roots, len(turn))
    places: dict[Lazy, Any] = {}
    dtypes: dict[Any, Any] = {x: x.dtype for x in free}
    spare: list[Any] = [*free]
    for x, i in turn.items():
        over = list({places[a]: a for a in x.wide if a in places and last[a] == i})
        if not x.total:
            sign = x.fn is np.sign  # ten times slower onto its own input
            for b in [x] if x in free else spare if sign else spare + over:
                in_time = free.get(b, -1) <= i - sign and last[x] <= turn.get(b, len(turn))
                if b is x or (dtypes[b] == x.dtype and in_time):
                    break
            else:
                b = len(dtypes)
                dtypes[b] = x.dtype
            places[x] = b
            spare, over = ([c for c in some if c is not b] for some in (spare, over))
        spare += over
    return places, dtypes
