"""The training loop: batches, gradients, clip, step, record, one callback."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from npoptim.backend import to_device
from npoptim.extras import need
from npoptim.gradients import accumulate, clip_by_global_norm
from npoptim.history import History, Record, rates
from npoptim.optimizers.checks import NonFiniteError
from npoptim.optimizers.driver import Driver

Array = NDArray[Any]
Arrays = dict[str, Array]

POLICIES = ("raise", "skip", "propagate")


@dataclass(frozen=True)
class Event:
    """What the callback sees after a step; arrays are copies."""

    step: int  #: batches seen, from 1
    epoch: int  #: passes over the data begun, from 1
    loss: float  #: of the batch, before the step
    _test: tuple[float, float] | None  # test loss and accuracy
    _params: Arrays = field(repr=False)
    _grads: Arrays = field(repr=False)

    @property
    def test_loss(self) -> float | None:
        """Mean loss over the test part, after the steps that evaluate it."""
        return self._test[0] if self._test else None

    @property
    def accuracy(self) -> float | None:
        """Accuracy on the test part, likewise."""
        return self._test[1] if self._test else None

    @property
    def params(self) -> Arrays:
        """A copy of the parameters after the step."""
        return _copies(self._params)

    @property
    def grads(self) -> Arrays:
        """A copy of the gradients that the step used."""
        return _copies(self._grads)


def train(
    model: Any,
    data: Any,
    opt: Driver,
    epochs: int = 10,
    batch_size: int = 64,
    seed: int = 0,
    *,
    steps: int | None = None,
    params: Arrays | None = None,
    dtype: DTypeLike = np.float64,
    clip: float | Callable[[Arrays], Arrays] | None = None,
    callback: Callable[[Event], object] | None = None,
    nan_policy: str = "raise",
    evaluate_every: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    resume: bool = False,
    progress: bool = False,
) -> History:
    """Train a model on mini-batches and record every step.

    `data` has x_train, y_train, x_test and y_test, or is a pair (x, y). The
    optimizer is advanced; `params`, by default `model.init` from `seed`, is
    copied. The run has `epochs` passes or, if given, `steps` steps. `clip` is
    the largest global norm, or a function of the gradients. The callback gets
    an Event after each step and ends the run by returning True. The test part
    is evaluated every `evaluate_every` steps, by default every epoch, and at
    the end.

    `nan_policy` says what a NaN or an infinity does: "raise" lets the error
    out, "skip" leaves the batch out, "propagate" ends the run there with NaN.

    With `checkpoint`, everything is saved there every `checkpoint_every`
    steps, by default every epoch, and at the end; with `resume`, a run that
    was cut off goes on from the file, bit for bit as if it had not been.

    >>> import npoptim as npo
    >>> x = np.linspace(-1, 1, 64)[:, None]
    >>> train(npo.models.LinearRegression(1), (x, 3 * x[:, 0]), npo.SGD(lr=0.5), epochs=40)
    <History: 40 steps, loss 1.42 -> 5.76e-07>

    Raises TypeError or ValueError for arguments of another kind or out of
    range, FileExistsError for a checkpoint that `resume` does not ask for,
    CheckpointError for one of another run, and NonFiniteError as above.
    """
    _check(opt, nan_policy, clip, callback, batch_size=batch_size, epochs=epochs, steps=steps,
           evaluate_every=evaluate_every, checkpoint_every=checkpoint_every, seed=seed)  # fmt: skip
    x_train, y_train, x_test, y_test = to_device(_parts(data))
    per_epoch = math.ceil(len(x_train) / batch_size)
    total = epochs * per_epoch if steps is None else steps
    rng = np.random.default_rng(seed)
    params = to_device(model.init(rng, dtype) if params is None else _copies(params))
    record = Record()
    root = getattr(model, "root", True)  # of several ranks the first alone writes and prints
    plain = getattr(model, "model", model)  # on however many ranks, a run is the same run
    file = _Checkpoint(checkpoint, {"model": repr(plain), "batch_size": batch_size, "seed": seed,
                                    "examples": len(x_train)}, root)  # fmt: skip
    if resume:
        params, rng, record = file.load(opt, params, rng, record)
    elif file.exists():
        raise FileExistsError(f"{checkpoint} exists; pass resume=True to go on, or remove it.")

    batches = _batches(len(x_train), batch_size, rng, record.done, total)
    for step, epoch, rows, drawn_from in _bar(batches, progress and root, record.done, total):
        here = to_device(rows)
        x, y = x_train[here], y_train[here]
        loss, grads = model.loss_and_grads(params, x, y)
        before = _copies(params)
        norm = _norm(grads)
        try:
            opt.step(params, _clipped(grads, clip))
            record.step(loss, norm, rates(opt), before, params)
        except NonFiniteError:
            if nan_policy == "raise":
                raise
            record.nothing(params)
        lost = record.skipped > 0 and nan_policy == "propagate"
        last = step == total or lost
        test = None
        if (
            x_test is not None
            and y_test is not None
            and (step % (evaluate_every or per_epoch) == 0 or last)
        ):
            test = record.evaluation(step, *_evaluate(model, params, x_test, y_test))
        event = Event(step, epoch, loss, test, params, grads)
        last = bool(callback and callback(event)) or last
        if last or step % (checkpoint_every or per_epoch) == 0:
            file.save(params, opt, drawn_from, record)
        if last:
            break
    return record.history(params, opt)


class EarlyStop:
    """A callback that ends training when the test loss stops falling.

    It stops after `patience` evaluations in a row without one lower than the
    best by more than `min_delta`, and keeps the best parameters.

    >>> stop = EarlyStop(patience=2)
    >>> [stop(Event(1, 1, 0.0, (loss, 0.5), {}, {})) for loss in (3.0, 2.0, 2.0, 2.1)]
    [False, False, False, True]
    >>> stop.best
    2.0
    """

    def __init__(self, patience: int = 5, min_delta: float = 0.0) -> None:
        _count("patience", patience, 1)
        self.patience, self.min_delta = patience, min_delta
        self.best = math.inf  #: lowest test loss
        self.best_step = 0
        self.params: Arrays = {}  #: the parameters that reached it
        self._waited = 0

    def __call__(self, event: Event) -> bool:
        if event.test_loss is None:
            return False
        if event.test_loss < self.best - self.min_delta:
            self.best, self.best_step, self._waited = event.test_loss, event.step, 0
            self.params = event.params
        else:
            self._waited += 1
        return self._waited >= self.patience


@dataclass(frozen=True)
class Accumulated:
    """A model whose batches are taken in `pieces`, one after the other.

    The gradients are those of the whole batch up to rounding; only a piece of
    it is held at a time. It trains like the model itself.
    """

    model: Any
    pieces: int

    def __post_init__(self) -> None:
        _count("pieces", self.pieces, 1)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.model, name)

    def loss_and_grads(self, params: Arrays, x: Any, y: Any) -> tuple[float, Arrays]:
        """Loss and gradients of the whole batch, from its pieces."""
        parts = zip(np.array_split(x, self.pieces), np.array_split(y, self.pieces), strict=True)
        return accumulate(self.model, params, ((a, b) for a, b in parts if len(a)))


# ---------------------------------------------------------------- pieces of the loop


def _batches(
    n: int, size: int, rng: np.random.Generator, done: int, total: int
) -> Iterator[tuple[int, int, Array, Any]]:
    """Step, epoch and rows of every batch; and the generator's state to come back to it."""
    per_epoch = math.ceil(n / size)
    for step in range(done, total):
        epoch, i = divmod(step, per_epoch)
        if i == 0 or step == done:
            drawn_from = rng.bit_generator.state
            order = rng.permutation(n)
        whole = i == per_epoch - 1  # the epoch ends: the next begins from here
        state = rng.bit_generator.state if whole else drawn_from
        yield step + 1, epoch + 1, order[i * size : (i + 1) * size], state


def _bar(batches: Iterator[Any], progress: bool, done: int, total: int) -> Any:
    if not progress:
        return batches
    tqdm = need("tqdm.auto", extra="plot").tqdm
    return tqdm(batches, initial=done, total=total, unit="step", leave=False)


def _clipped(grads: Arrays, clip: Any) -> Arrays:
    if clip is None:
        return grads
    return clip(grads) if callable(clip) else clip_by_global_norm(grads, clip)[0]


def _norm(grads: Arrays) -> float:
    return clip_by_global_norm(grads, math.inf, error_if_nonfinite=False)[1]


def _evaluate(model: Any, params: Arrays, x: Array, y: Array) -> tuple[float, float]:
    """Mean loss and accuracy over the test part, a thousand rows at a time."""
    loss, terms, right, asked = 0.0, 0, 0, 0
    with np.errstate(all="ignore"):
        for i in range(0, len(x), 1000):
            a, b = x[i : i + 1000], y[i : i + 1000]
            n = model.count(b)
            loss, terms = loss + n * model.loss(params, a, b), terms + n
            if model.task == "classification":
                right, asked = right + int(np.sum(model.predict(params, a) == b)), asked + len(b)
    return loss / terms, right / asked if asked else math.nan


class _Checkpoint:
    """Where a run is saved, and what tells it from another run."""

    def __init__(
        self, path: str | os.PathLike[str] | None, run: dict[str, Any], root: bool
    ) -> None:
        self.path, self.run, self.root = None if path is None else Path(path), run, root

    def exists(self) -> bool:
        return self.path is not None and self.path.exists()

    def save(self, params: Arrays, opt: Driver, rng: dict[str, Any], record: Record) -> None:
        if self.path is not None and self.root:
            from npoptim.checkpoint import save

            save(self.path, params, opt, run=self.run, rng=rng, record=vars(record))

    def load(
        self, opt: Driver, params: Arrays, rng: np.random.Generator, record: Record
    ) -> tuple[Arrays, np.random.Generator, Record]:
        """What the file holds; what was given if there is no file yet."""
        if self.path is None:
            raise ValueError("resume needs checkpoint: the file to go on from.")
        if not self.path.exists():
            return params, rng, record
        from npoptim.checkpoint import CheckpointError, load

        saved = load(self.path, opt=opt.fresh())  # type: ignore[attr-defined]
        extra = saved.extra
        if extra.get("run") != self.run:
            raise CheckpointError(
                f"{self.path} is of another run: {extra.get('run')}, this one is {self.run}."
            )
        opt.load_state_dict(saved.opt.state_dict())
        rng.bit_generator.state = extra["rng"]
        return to_device(saved.params), rng, Record.of(extra["record"])


# ---------------------------------------------------------------- checks


def _parts(data: Any) -> tuple[Array, Array, Array | None, Array | None]:
    if isinstance(data, tuple) and len(data) == 2:
        parts = (*data, None, None)
    elif all(hasattr(data, name) for name in ("x_train", "y_train", "x_test", "y_test")):
        parts = (data.x_train, data.y_train, data.x_test, data.y_test)
    else:
        raise TypeError(
            f"data must be a pair (x, y) or have x_train, y_train, x_test and y_test. "
            f"Got {type(data).__name__} instead."
        )
    x, y = parts[:2]
    if len(x) != len(y) or not len(x):
        raise ValueError(f"x and y must be of one length, at least 1. Got {len(x)} and {len(y)}.")
    return parts


def _check(opt: Any, nan_policy: str, clip: Any, callback: Any, **counts: Any) -> None:
    if not isinstance(opt, Driver):
        raise TypeError(f"opt must be an optimizer. Got {opt!r} instead.")
    if nan_policy not in POLICIES:
        raise ValueError(f"nan_policy must be one of {', '.join(POLICIES)}. Got {nan_policy!r}.")
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function of an Event. Got {callback!r} instead.")
    if clip is not None and not callable(clip):
        clip_by_global_norm({"": np.zeros(1)}, clip)  # its own check of the limit
    optional = ("steps", "evaluate_every", "checkpoint_every")
    for name, value in counts.items():
        if value is not None or name not in optional:
            _count(name, value, 0 if name in ("seed", "epochs", "steps") else 1)


def _count(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(
            f"{name} must be an int in the range [{least}, inf). Got {value!r} instead."
        )
    if value < least:
        raise ValueError(f"{name} must be an int in the range [{least}, inf). Got {value} instead.")


def _copies(arrays: Arrays) -> Arrays:
    return {name: a.copy() for name, a in arrays.items()}
