"""Large arrays in pieces: shared among threads, or too short for BLAS to start threads."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np


def cores() -> int:
    """The number of threads: NPOPTIM_THREADS, or one for each core of this process, up to four."""
    text = os.environ.get("NPOPTIM_THREADS")
    if text is None:
        own = getattr(os, "sched_getaffinity", lambda process: range(os.cpu_count() or 1))
        return min(len(own(0)), 4)
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"NPOPTIM_THREADS must be a whole number from 1. Got {text!r} instead.")
    return int(text)


def share(
    count: int, worker: Callable[[], Callable[[int], None]], threads: int, pool: ThreadPoolExecutor
) -> None:
    """Do the pieces 0 … count - 1, begun in this order, in this thread and others of the `pool`.

    Each makes a worker of its own. Raises what the first piece that fails has raised; all
    pieces before it are done then, and no other is being worked on.
    """
    turn = itertools.count()
    failed: dict[int, BaseException] = {}

    def work() -> None:
        with np.errstate(all="ignore"):  # threads begin with NumPy's defaults
            do = worker()
            while not failed and (i := next(turn)) < count:
                try:
                    do(i)
                except BaseException as error:  # raised when all threads are done
                    failed[i] = error

    others = [pool.submit(work) for _ in range(min(threads, count) - 1)]
    work()
    for other in others:
        other.result()
    if failed:
        raise failed[min(failed)]


def squares(x: Any, out: Any = None) -> Any:
    """Σ x² of an array without gaps."""
    x = x.ravel(order="K")
    whole = x.size // 4096 * 4096  # BLAS shares longer ones among threads of its own
    pieces, rest = x[:whole].reshape(-1, 4096), x[whole:]
    return np.add(np.sum(np.vecdot(pieces, pieces)), np.vecdot(rest, rest), out=out)
