"""Faults in what is remembered, saved and loaded, and around a step."""

from __future__ import annotations

import contextlib
import copy
import io
import pickle
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
from trials import (
    RULES,
    Check,
    Rule,
    bits,
    check,
    equal,
    memory,
    raises,
    refused,
    slope,
    start,
    stepped,
    unchanged,
)

import npoptim as npo
from npoptim import backend, parallel, schedules
from npoptim.checkpoint import archive
from npoptim.optimizers import checks
from npoptim.standin import DeviceArray


def spoiled(words: str, change: Callable[[dict[str, Any]], Any], *errors: type[Exception]) -> Check:
    """A state that is refused when it is loaded."""

    def check(rule: Rule) -> None:
        opt, params = stepped(rule(), 2)
        bad = change(opt.state_dict())
        with refused(opt, params, words, *errors):
            opt.load_state_dict(bad)

    return check


def without_slot(state: dict[str, Any]) -> dict[str, Any]:
    state["state"]["b"].popitem()
    return state


def with_slot(change: Callable[[Any], Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A change of the last array of the state: all before it must stay as well."""

    def spoil(state: dict[str, Any]) -> dict[str, Any]:
        name, x = state["state"]["b"].popitem()
        state["state"]["b"][name] = change(x)
        return state

    return spoil


def ways(rule: Rule) -> list[Any]:
    """A rule with a schedule, and groups of it."""
    lr = schedules.cosine(0.1, total=20, warmup=3)
    return [rule(lr=lr), npo.Groups({"b": npo.SGD(lr=lr), "*": rule(lr=lr)})]


@check(64)
def _(rule: Rule) -> None:
    opt, params = stepped(rule(), 2)
    other = rule()
    other.step({"W": start()["W"]}, {"W": slope()["W"]})
    with refused(opt, params, r"of other parameters: missing \['b'\]", ValueError):
        opt.load_state_dict(other.state_dict())
    with unchanged(other), raises(r"of other parameters: unexpected \['b'\]", ValueError):
        other.load_state_dict(opt.state_dict())


@check(65)
def _(rule: Rule) -> None:
    opt, params = stepped(rule(), 2)
    saved, other = opt.state_dict(), rule()
    for part in ("layout", "state"):
        saved[part] = dict(reversed(saved[part].items()))
    other.load_state_dict(saved)
    turned = copy.deepcopy(dict(reversed(params.items())))
    opt.step(params, slope())
    other.step(turned, slope())
    equal(other, turned, opt, params)


check(66, "state")(
    spoiled(r"of 'b' must have shape \(3,\). Got \(2,\)", with_slot(lambda x: x[:2]))
)
check(67, "state")(spoiled("state of 'b' in .*missing", without_slot))
check(68)(spoiled("the state is of Another", lambda s: {**s, "optimizer": "Another"}, ValueError))
check(69)(spoiled(r"missing \['layout', 'optimizer', 'state', 't'\]", lambda s: {}, ValueError))


@check(70, "state")
def _(rule: Rule) -> None:
    low, high = stepped(rule(), 2, "f4"), stepped(rule(), 2)
    lossy = high[0].state_dict()
    high[0].load_state_dict(low[0].state_dict())
    equal(high[0], {}, low[0], {})
    with refused(*low, "cannot be held exactly in float32", ValueError):
        low[0].load_state_dict(lossy)


@check(71, "state")
def _(rule: Rule) -> None:
    opt, params = stepped(rule(), 2)
    saved, loaded = opt.state_dict(), rule()
    loaded.load_state_dict(saved)
    with unchanged(opt, params), unchanged(loaded):
        for held in saved["state"].values():
            for x in held.values():
                x[...] = 7


check(72, "state")(spoiled("of 'b' is nan", with_slot(lambda x: x * np.nan)))


@check(73)
def _(rule: Rule) -> None:
    for opt, whole, again in zip(ways(rule), ways(rule), ways(rule), strict=True):
        opt, params = stepped(opt, 20)
        with tempfile.TemporaryDirectory() as folder:
            npo.save(Path(folder, "run.npz"), params, opt)
            read = npo.load(Path(folder, "run.npz"))
        again.load_state_dict(opt.state_dict())
        wanted = bits((*stepped(whole, 40)[1:], whole.state))
        for other, arrays in ((read.opt, read.params), (again, params)):
            for _ in range(20):
                other.step(arrays, slope())
            assert bits((arrays, other.state)) == wanted


@check(74)
def _(rule: Rule) -> None:
    for opt in ways(rule):
        opt, params = stepped(opt, 2)
        for twin in (copy.deepcopy(opt), pickle.loads(pickle.dumps(opt))):
            other, arrays = copy.deepcopy(opt), copy.deepcopy(params)
            mine = copy.deepcopy(params)
            other.step(arrays, slope())
            twin.step(mine, slope())
            assert bits((mine, memory(twin))) == bits((arrays, memory(other)))
        assert opt.t == 2


@check(75)
def _(rule: Rule) -> None:
    opt, params = stepped(rule(), 2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.npz")
        npo.save(path, params, opt)
        whole, wanted = path.read_bytes(), bits((params, memory(opt)))
        own = rule()
        bad = [b"", whole[:-1], whole[: len(whole) // 2], b"PK" + whole]
        bad += [
            whole[:i] + bytes([whole[i] ^ 255]) + whole[i + 1 :] for i in range(0, len(whole), 97)
        ]
        np.savez(path, x=np.array([object()]))
        bad.append(path.read_bytes())
        with mock.patch.object(archive, "VERSION", archive.VERSION + 1):
            npo.save(path, params, opt)
        with raises("made by a newer npoptim", npo.CheckpointError):
            npo.load(path)
        refusals = 0
        for raw in bad:
            path.write_bytes(raw)
            try:
                read = npo.load(path)
                assert bits((read.params, memory(read.opt))) == wanted
            except npo.CheckpointError:
                refusals += 1
                with unchanged(own), raises("cannot be loaded", npo.CheckpointError):
                    npo.load(path, opt=own)
        assert refusals > len(bad) / 2


@check(76)
def _(rule: Rule) -> None:
    opt, params = stepped(rule(), 2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.npz")
        npo.save(path, params, opt)
        before = path.read_bytes()
        opt.step(params, slope())
        for place in (
            "npoptim.checkpoint.os.fsync",
            "npoptim.checkpoint.os.replace",
            "npoptim.checkpoint.archive.write",
        ):
            for error in (
                OSError(28, "no space"),
                MemoryError("simulated"),
                KeyboardInterrupt("simulated"),
            ):
                with (
                    unchanged(opt, params),
                    raises("no space|simulated", type(error)),
                    mock.patch(place, side_effect=error),
                ):
                    npo.save(path, params, opt)
                assert path.read_bytes() == before
                assert [p.name for p in Path(folder).iterdir()] == ["run.npz"]


@check(81)
def _(rule: Rule) -> None:
    opt, params = stepped(rule(), 2)
    there = {k: DeviceArray(g) for k, g in slope().items()}
    with refused(opt, params, "array of npoptim.standin; see npoptim.use_backend", TypeError):
        opt.step(params, there)
    with mock.patch.object(checks, "ARRAY_TYPES", checks.ARRAY_TYPES | {DeviceArray}):
        with refused(
            opt,
            params,
            "is a npoptim.standin array, the parameter a numpy array.*to_device",
            TypeError,
        ):
            opt.step(params, there)
        with raises(
            "is a numpy array, the parameter a npoptim.standin array.*to_device", TypeError
        ):
            rule().step(there, slope())


@check(82, "once")
def _(rule: Rule) -> None:
    before = backend.backend()
    for cupy, words in (
        (SimpleNamespace(is_available=lambda: False), "nvidia-smi"),
        (None, r"npoptim\[gpu\]"),
    ):
        with mock.patch.dict(sys.modules, cupy=cupy), raises(words, npo.BackendUnavailable):
            npo.use_backend("cupy")
        assert backend.backend() == before


@check(83, "once")
def _(rule: Rule) -> None:
    comm = mock.Mock(**{"Get_rank.return_value": 1, "Get_size.return_value": 4})
    said = io.StringIO()
    with raises("gone", ArithmeticError), contextlib.redirect_stderr(said), parallel.aborting(comm):
        raise ArithmeticError("gone")
    comm.Abort.assert_called_once_with(1)
    assert said.getvalue().startswith("rank 1 of 4 failed:\nTraceback")


@check(84)
def _(rule: Rule) -> None:
    names = {**vars(schedules), **{r.__name__: r for r in RULES}, "Groups": npo.Groups}
    for opt in (
        rule(),
        rule(lr=schedules.cosine(0.1, total=9)),
        npo.Groups({"*.b": rule(lr=0.5), "*": rule()}),
    ):
        assert eval(repr(opt), names) == opt
    assert repr(opt).count("\n") == 3
