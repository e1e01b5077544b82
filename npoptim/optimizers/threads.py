"""Large arrays in pieces: shared among threads, or too short for BLAS to start threads."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache
from typing import Any, TypeAlias

import numpy as np

LONG = 4 * 2**20  #: bytes of an array from which on threads share a sum

#: Bytes of all buffers, at most. That limits the blocks, so that two threads have room, and then
#: the threads. The number of threads never changes the blocks, and so no sum either.
SPACE = 15 * 2**19
KEPT = 2**23  #: bytes of them that are kept, at most: SPACE, and what comes of rounding


def cores() -> int:
    """The number of threads: NPOPTIM_THREADS, or one for each core of this process, up to four."""
    text = os.environ.get("NPOPTIM_THREADS")
    if text is None:
        own = getattr(os, "sched_getaffinity", lambda process: range(os.cpu_count() or 1))
        return min(len(own(0)), 4)
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"NPOPTIM_THREADS must be a whole number from 1. Got {text!r} instead.")
    return int(text)


@cache
def pool() -> ThreadPoolExecutor:
    """The other threads, as many as are asked for.

    They are kept: to start them takes as long as to work through a block.
    """
    return ThreadPoolExecutor(1000, thread_name_prefix="npoptim")


# a fork, where there are any, has none of its parent's threads
getattr(os, "register_at_fork", dict)(after_in_child=pool.cache_clear)

Do: TypeAlias = Callable[[int], None]


def share(count: int, worker: Callable[[], AbstractContextManager[Do]], threads: int) -> None:
    """Do the pieces 0 … count - 1, begun in this order, in this thread and others.

    Each enters a worker of its own. Raises what the first piece that fails has raised; all
    pieces before it are done then, and no other is being worked on.
    """
    turn = itertools.count()
    failed: dict[int, BaseException] = {}

    def work() -> None:
        i = count
        try:
            with np.errstate(all="ignore"), worker() as do:  # threads begin with NumPy's defaults
                while not failed and (i := next(turn)) < count:
                    do(i)
        except BaseException as error:  # raised when all threads are done
            failed[i] = error

    others = [pool().submit(work) for _ in range(min(threads, count) - 1)]
    work()
    for other in others:
        other.result()
    if failed:
        raise failed[min(failed)]


def total(x: Any) -> Any:
    """Σ x of an array without gaps; in a large one each piece for itself."""
    x = x.ravel(order="K")
    if x.nbytes < LONG:  # in one call, for each is a turn at the interpreter's lock
        return np.einsum("i->", x)
    pieces = np.array_split(x, 16)
    sums = np.empty(len(pieces), x.dtype)

    def do(i: int) -> None:
        sums[i] = np.einsum("i->", pieces[i])

    share(len(pieces), lambda: nullcontext(do), cores())
    return np.add.reduce(sums)


kept: list[Any] = []  #: memory of buffers that nobody uses at the moment


@contextmanager
def buffers(wanted: list[tuple[tuple[int, ...], Any]]) -> Iterator[list[Any]]:
    """Arrays of these shapes and dtypes, in memory that is kept: the system would clear it anew."""
    sizes = [math.prod(shape) * dtype.itemsize for shape, dtype in wanted]
    starts = list(itertools.accumulate((-(-n // 64) * 64 for n in sizes), initial=0))
    memory = np.empty(0, np.uint8)
    with suppress(IndexError):
        memory = kept.pop()
    if len(memory) < starts[-1]:
        del memory, kept[:]  # too short, all of them
        memory = np.empty(starts[-1], np.uint8)
    yield [
        memory[start : start + n].view(dtype).reshape(shape)
        for start, n, (shape, dtype) in zip(starts, sizes, wanted, strict=False)
    ]
    if sum(map(len, kept)) + len(memory) <= KEPT:  # not for all of many steps at once
        kept.append(memory)


def squares(x: Any, out: Any = None) -> Any:
    """Σ x² of an array without gaps."""
    x = x.ravel(order="K")
    whole = x.size // 4096 * 4096  # BLAS shares longer ones among threads of its own
    pieces, rest = x[:whole].reshape(-1, 4096), x[whole:]
    return np.add(np.sum(np.vecdot(pieces, pieces)), np.vecdot(rest, rest), out=out)
