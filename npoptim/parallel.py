"""Synchronous data parallelism: the ranks of an MPI run share every batch.

Each rank holds all weights and computes the gradients of its share; their mean
over all ranks is what every optimizer steps on. So the ranks stay alike, bit
for bit, and the rest of the library need not know that there are several.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npoptim.extras import need

Array = NDArray[Any]
Arrays = dict[str, Array]

#: Where launchers say how many processes they started: MPICH, Intel MPI and MS-MPI; Open MPI; srun.
LAUNCHERS = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")

#: A batch is computed in so many pieces, or in the next multiple of the ranks.
PIECES = 4


class DataParallel:
    """A model whose batches are shared among the ranks of an MPI communicator.

    It trains like the model itself: every rank calls `npoptim.train` with the
    same arguments, the seed included. Each batch (`batch_size` is that of all
    ranks together) is cut into pieces of consecutive rows: 4, or the next
    multiple of the ranks. A rank computes the gradients of its pieces, one
    after the other; they weigh as many terms as their mean has
    (`model.count(y)`), and one Allreduce of all gradients and the loss, in
    float64, gives every rank the mean over the whole batch.

    So 1, 2 and 4 ranks compute the same pieces, and get the same weights in
    float32 and float16, bit for bit: float64 holds the sum of a few such
    numbers exactly, or so nearly that, once rounded, it hardly ever tells in
    which order they came. Weights in float64 differ by rounding, and so do
    other numbers of ranks and the model itself, on one piece.

    `comm` is an mpi4py communicator, by default `world()`; where that is None
    the numbers are those of the model itself. Every `check_every` batches,
    from the first on, the ranks compare checksums of weights and batch.

    Li et al., PyTorch Distributed, VLDB 2020, https://arxiv.org/abs/2006.15704,
    describe the same scheme with the transfer hidden behind the backward pass,
    which this does not do.

    >>> from npoptim.models import LinearRegression
    >>> model = DataParallel(LinearRegression(1))  # in a process that is alone
    >>> model, model.rank, model.ranks
    (DataParallel(LinearRegression(inputs=1), ranks=1), 0, 1)

    Raises ModuleNotFoundError under mpiexec without mpi4py, OSError where
    mpiexec and mpi4py do not belong to the same MPI, TypeError or ValueError
    for a `check_every` that is no int from 1.
    """

    def __init__(self, model: Any, comm: Any = None, check_every: int = 100) -> None:
        if isinstance(check_every, bool) or not isinstance(check_every, int):
            raise TypeError(
                f"check_every must be an int in the range [1, inf). Got {check_every!r} instead."
            )
        if check_every < 1:
            raise ValueError(
                f"check_every must be an int in the range [1, inf). Got {check_every} instead."
            )
        self.model, self.check_every = model, check_every
        self.comm = world() if comm is None else comm
        self.rank = 0 if self.comm is None else int(self.comm.Get_rank())
        self.ranks = 1 if self.comm is None else int(self.comm.Get_size())
        self._batches = 0

    def __repr__(self) -> str:
        return f"DataParallel({self.model!r}, ranks={self.ranks})"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "model":
            raise AttributeError(name)
        return getattr(self.model, name)

    @property
    def root(self) -> bool:
        """Whether this is rank 0, which alone writes and prints."""
        return self.rank == 0

    def loss_and_grads(self, params: Arrays, x: Any, y: Any) -> tuple[float, Arrays]:
        """Loss and gradients of the whole batch (x, y), of which this rank computes its pieces.

        Raises RuntimeError on every rank when weights or batch are not the
        same on all, and TypeError for arrays that are not NumPy's.
        """
        if self.comm is None:
            loss, grads = self.model.loss_and_grads(params, x, y)
            return float(loss), grads
        message, parts = _message(params)
        if self._batches % self.check_every == 0:
            self.check(params, x, y)
        self._batches += 1
        terms = self.model.count(y)
        if not terms:  # no rank has anything to say: the model's own error, on every rank
            return self.model.loss_and_grads(params, x, y)  # type: ignore[no-any-return]
        each = -(-PIECES // self.ranks)  # pieces of a rank
        first, pieces = self.rank * each, self.ranks * each
        ends = [len(y) * i // pieces for i in range(first, first + each + 1)]
        for i, j in pairwise(ends):
            n = self.model.count(y[i:j])
            if n:
                loss, grads = self.model.loss_and_grads(params, x[i:j], y[i:j])
                for name, part in parts.items():
                    part += n * grads[name].astype(part.dtype, copy=False)
                message[-1] += n * loss
        total = np.empty_like(message)
        self.comm.Allreduce(message, total)
        total /= terms  # weights that are whole numbers round nothing before
        parts = _parts(total, params)
        means = {name: g.astype(params[name].dtype, copy=False) for name, g in parts.items()}
        return float(total[-1]), means

    def check(self, params: Arrays, x: Any = None, y: Any = None) -> None:
        """Compare checksums of the weights, and of a batch, over all ranks.

        Raises RuntimeError on every rank, naming who differs in what.
        """
        if self.comm is None:
            return
        mine = {f"weights {name!r}": _checksum(p) for name, p in params.items()}
        mine |= {"the batch": _checksum(x) + _checksum(y)} if x is not None else {}
        first, *others = self.comm.allgather(mine)
        for rank, theirs in enumerate(others, 1):
            differ = [what for what in {**first, **theirs} if first.get(what) != theirs.get(what)]
            if differ:
                raise RuntimeError(
                    f"after {self._batches} batches rank {rank} differs from rank 0 in "
                    f"{', '.join(differ)}. Every rank must have the same data, seed, start and "
                    f"optimizer, and hardware that rounds alike."
                )


def world() -> Any:
    """The communicator of all processes that mpiexec started; None for a process that is alone.

    A process is alone, and does not import mpi4py here, where no launcher says
    that it started several, `python -m mpi4py` does not run the program, and
    the program has not imported mpi4py.MPI. Otherwise one rank is a
    communicator too.

    Raises ModuleNotFoundError under mpiexec without mpi4py, and OSError
    where mpi4py finds no MPI or another one than mpiexec's.
    """
    started = max((int(os.environ.get(name, 1)) for name in LAUNCHERS), default=1)
    if started < 2 and not {"mpi4py.run", "mpi4py.MPI"} & sys.modules.keys():
        return None
    need("mpi4py", extra="mpi")
    try:
        comm = need("mpi4py.MPI", extra="mpi").COMM_WORLD
    except RuntimeError as error:
        raise OSError(
            f"mpi4py says: {str(error).splitlines()[0]}; pip install 'npoptim[mpi]' brings one."
        ) from None
    if comm.Get_size() == 1 and started > 1:
        raise OSError(
            f"mpiexec started {started} processes, but mpi4py sees one: its MPI library and "
            f"mpiexec are of different makes. Use the mpiexec that belongs to mpi4py's."
        )
    return comm


@contextmanager
def aborting(comm: Any = None) -> Iterator[None]:
    """End every rank, with this one's traceback, should the block fail on this one.

    The others would wait for it for ever. `python -m mpi4py` does the same for
    a whole program; this does it for a block, whatever started the program. In
    a process that is alone the error goes its usual way.
    """
    comm = world() if comm is None else comm
    try:
        yield
    except BaseException:
        if comm is not None and comm.Get_size() > 1:
            who = f"rank {comm.Get_rank()} of {comm.Get_size()}"
            sys.stdout.flush()
            sys.stderr.write(f"{who} failed:\n{traceback.format_exc()}")
            sys.stderr.flush()
            time.sleep(0.2)  # what a launcher has not read when it hears of the end is lost
            comm.Abort(1)
        raise


def _message(params: Mapping[str, Array]) -> tuple[Array, Arrays]:
    """Zeros for all gradients and the loss, and the gradients' parts of it."""
    for name, p in params.items():
        if not isinstance(p, np.ndarray):
            raise TypeError(
                f"DataParallel sends NumPy arrays only. Got {type(p).__name__} for {name!r}."
            )
    dtype = np.result_type(np.float64, *(p.dtype for p in params.values()))
    message = np.zeros(sum(p.size for p in params.values()) + 1, dtype)
    return message, _parts(message, params)


def _parts(message: Array, params: Mapping[str, Array]) -> Arrays:
    """Views of a message in the shapes of the parameters."""
    ends = np.cumsum([0, *(p.size for p in params.values())])
    return {
        name: message[i:j].reshape(p.shape)
        for (name, p), (i, j) in zip(params.items(), pairwise(ends), strict=True)
    }


def _checksum(a: Any) -> str:
    a = np.ascontiguousarray(a)
    digest = hashlib.blake2b(f"{a.dtype.str}{a.shape}".encode(), digest_size=8)
    digest.update(a)
    return digest.hexdigest()
