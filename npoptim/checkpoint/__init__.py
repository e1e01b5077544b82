"""Checkpoints: parameters and optimizer in one file, from which a run goes on bit for bit."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO, Self

from npoptim.backend import to_host
from npoptim.checkpoint import archive
from npoptim.checkpoint.archive import CheckpointError
from npoptim.checkpoint.description import build, classes, describe
from npoptim.checkpoint.values import decode, encode
from npoptim.optimizers import checks
from npoptim.optimizers.driver import Driver

__all__ = ["Checkpoint", "CheckpointError", "load", "save"]

_PARTS = ("params", "optimizer", "memory", "extra")


class Checkpoint(tuple[Any, Any]):
    """What `load` returns: the pair (params, opt), with what else was saved in `.extra`."""

    params: Any  #: a dict name -> array, or one array, as saved
    opt: Any  #: the optimizer, with its state
    extra: dict[str, Any]

    def __new__(cls, params: Any, opt: Any, extra: dict[str, Any]) -> Self:
        self = super().__new__(cls, (params, opt))
        self.params, self.opt, self.extra = params, opt, extra
        return self

    def __getnewargs__(self) -> tuple[Any, Any, dict[str, Any]]:
        return self.params, self.opt, self.extra

    def __repr__(self) -> str:
        return f"Checkpoint(params={self.params!r}, opt={self.opt!r}, extra={self.extra!r})"


def save(path: str | os.PathLike[str], params: Any, opt: Driver, **extra: Any) -> None:
    """Write parameters, optimizer and whatever else a run needs to go on to the file `path`.

    `params` is a dict name -> array, or one array. `extra` may hold None,
    bool, int, float, str, NumPy arrays and numbers, numpy.random.Generator,
    and lists, tuples and dicts of them. The file is a plain npz, without
    pickle; `path` is taken as it is, no ending is added.

    A hyper-parameter or class that no file can hold (a lambda, a rule of your
    own) is noted by name; such a file needs `load(path, opt=…)`.

    The file is written beside `path` and then put in its place: at any moment
    there is the old one or the new one, whole. A process that is killed may
    leave a `.npoptim-….tmp` behind.

    >>> import tempfile, numpy as np
    >>> from npoptim import SGD
    >>> params, opt = {"W": np.array([1.0, 2.0])}, SGD(lr=0.5)
    >>> opt.step(params, {"W": np.array([1.0, 1.0])})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(folder + "/run.npz", params, opt, rng=np.random.default_rng(0))
    ...     params, opt = run = load(folder + "/run.npz")
    >>> params, opt, opt.t, run.extra["rng"].random()
    ({'W': array([0.5, 1.5])}, SGD(lr=0.5), 1, 0.6369616873214543)

    Arrays on a GPU are saved from a copy on the host, and come back as NumPy's:
    `npoptim.to_device` moves the parameters, the state follows at the next step.

    Raises, before any file is touched, TypeError for what a checkpoint does
    not hold and ValueError when `opt` has stepped other parameters than
    `params`; RuntimeError when its last step broke off; OSError when the file
    cannot be written, the old one being as it was.
    """
    _optimizer(opt)
    memory = opt._memory
    if memory.broken:
        raise RuntimeError(memory.broken)
    named = _named(params)
    if memory.layout:
        checks.layout(named, memory.layout)
    content = {
        "params": params if params is named.get("p") else named,
        "optimizer": describe(opt),
        # state_dict() without its copies
        "memory": {
            "optimizer": opt._kind(),
            "t": memory.t,
            "layout": {k: (shape, dtype.str) for k, (shape, dtype) in memory.layout.items()},
            "state": memory.state,
        },
        "extra": extra,
    }
    arrays: list[Any] = []
    tree = {part: encode(to_host(content[part]), part, arrays) for part in _PARTS}
    _replace(os.fsdecode(path), lambda file: archive.write(file, tree, arrays))


def load(path: str | os.PathLike[str], opt: Driver | None = None) -> Checkpoint:
    """The pair (params, opt) that `save` wrote, with `.extra` for the rest.

    Arrays come back with their dtype and the order of their axes in memory,
    so that the next steps are those of a run that never stopped, bit for bit.

    `opt` supplies what a file cannot hold: an optimizer of the class (for
    Groups, of the patterns and classes) that was saved. Its hyper-parameters
    stay, the saved state becomes its own, and it is returned. Without `opt` a
    function of yours is found by its name, if its module is imported.

    Nothing in the file is executed and nothing is imported because of it, so
    a file from elsewhere may be loaded; but a function it names, found by the
    rule above, is the learning rate from the next step on.

    Raises CheckpointError (a ValueError), with `opt` as it was, when the file
    is empty, damaged, made by a newer npoptim or of something else, or when
    `opt` is needed or of another kind; OSError when it cannot be opened.
    """
    if opt is not None:
        _optimizer(opt)
    path = os.fsdecode(path)
    with open(path, "rb") as file:
        try:
            tree, arrays = archive.read(file)
            left = dict(enumerate(arrays))
            content = {part: decode(tree[part], left) for part in _PARTS}
            if left:
                raise CheckpointError("it holds arrays that nothing refers to")
            return _restored(**content, opt=opt)
        except CheckpointError as error:
            raise CheckpointError(f"{path} cannot be loaded: {error}.") from None
        except Exception as error:  # in a damaged file anything stands anywhere
            why = f"{type(error).__name__}: {error}"
            raise CheckpointError(f"{path} cannot be loaded: {why}") from error


def _restored(params: Any, optimizer: Any, memory: Any, extra: Any, opt: Any) -> Checkpoint:
    """A checkpoint of parts that fit; `opt` changes last, when nothing can fail any more."""
    named = _named(params)
    found = {name: (p.shape, p.dtype.str) for name, p in named.items()}
    if memory["layout"] not in ({}, found):
        raise CheckpointError("its parameters are not those of its optimizer")
    if not isinstance(extra, dict):
        raise CheckpointError("its extra values have no names")
    if opt is None:
        opt, twin = build(optimizer), build(optimizer, calls=False)
        twin.load_state_dict(memory)
        vars(opt)["_memory"] = twin._memory
    else:
        held, given = classes(optimizer), classes(describe(opt))
        if held != given:
            raise CheckpointError(f"it holds {held}, opt is {given}")
        if opt._memory.layout:
            checks.layout(named, opt._memory.layout)
        opt.load_state_dict(memory)
    return Checkpoint(params, opt, extra)


def _optimizer(opt: object) -> None:
    if not isinstance(opt, Driver):
        raise TypeError(f"opt must be an optimizer of npoptim. Got {opt!r} instead.")


def _named(params: Any) -> dict[str, Any]:
    """The parameters by name, each a floating array."""
    named = checks.named(params, "params")
    for name, p in named.items():
        if type(name) is not str or not name:
            raise TypeError(f"names of parameters must be non-empty strings. Got {name!r} instead.")
        checks.array(p, f"parameter {name!r}")
        if p.dtype.kind != "f":
            raise TypeError(f"parameter {name!r} must be of a floating dtype. Got {p.dtype}.")
    return named


def _replace(path: str, write: Callable[[BinaryIO], None]) -> None:
    """Put a new file in the place of `path`, or leave all as it was."""
    target = os.path.realpath(path)  # a link stays a link
    folder = os.path.dirname(target)
    draft = os.path.join(folder, f".npoptim-{secrets.token_hex(8)}.tmp")
    try:
        if os.path.exists(target) and not os.path.isfile(target):
            raise OSError(errno.EEXIST, "a folder or a device is in its place")
        with open(draft, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(target):
            shutil.copymode(target, draft)
        os.replace(draft, target)
    except BaseException as error:
        with suppress(OSError):
            os.remove(draft)
        if isinstance(error, OSError):
            why = f"the checkpoint cannot be written: {error.strerror or error}"
            raise OSError(error.errno, why, path) from error
        raise
    if hasattr(os, "O_DIRECTORY"):  # Windows has no such thing
        with suppress(OSError):
            _sync(folder)


def _sync(folder: str) -> None:
    """Make the new name outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
