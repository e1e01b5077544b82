"""Faults in parameters and gradients."""

from __future__ import annotations

import copy
import math
import tempfile
import warnings
from collections import UserDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from trials import (
    Rule,
    bits,
    calm,
    check,
    equal,
    gradient,
    numbers,
    parameter,
    raises,
    refused,
    slope,
    start,
    stepped,
    unchanged,
)

import npoptim as npo

nan, inf = math.nan, math.inf


def last(change: Callable[[Any], Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A change of the last array alone: all before it must stay as well."""
    return lambda tree: {**tree, "b": change(tree["b"])}


def spoil(value: float) -> Callable[[Any], Any]:
    return lambda g: np.array([*g[:-1], value])


def read_only(x: Any) -> Any:
    x.flags.writeable = False
    return x


def matrix(x: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # that is why it is refused
        return np.matrix(x)


class Failing(UserDict):  # type: ignore[type-arg]
    """Gradients that are computed when asked for; the last one fails."""

    def __getitem__(self, name: str) -> Any:
        if name == "b":
            raise RuntimeError("no gradient for b")
        return super().__getitem__(name)


check(19)(parameter("empty", lambda p: {}))


@check(20)
def _(rule: Rule) -> None:
    opt, p, g = rule(), start()["W"], slope()["W"]
    opt.step(p, g)
    params = {"p": start()["W"]}
    rule().step(params, {"p": g})
    assert bits(p) == bits(params["p"])
    with unchanged(opt, p), raises("gradient of 'p' must have the parameter's shape"):
        opt.step(p, g.T)
    for wrong in (list, tuple):
        with raises("name the parameters in a dict", TypeError):
            rule().step(wrong([p]), wrong([g]))


check(21)(
    parameter(
        "dict|numpy.ndarray. Got float|can change in place",
        lambda p: [1.0, 2.0],
        lambda p: {**p, "c": 1.0},
        lambda p: 1.0,
    )
)
check(22)(
    parameter(r"use np.array\(1.0\)", lambda p: np.float64(1), lambda p: {**p, "c": np.float64(1)})
)


@check(23)
def _(rule: Rule) -> None:
    opt, params = stepped(rule(), 1)
    assert opt.state.keys() == params.keys() == {"W", "b"}
    assert all((p != start()[k]).all() for k, p in params.items())


check(24)(
    parameter(
        "name the parameters in a dict",
        lambda p: {1.0, 2.0},
        lambda p: (x for x in p.values()),
        lambda p: list(p.values()),
    )
)
check(25)(
    parameter(
        "floating dtype", lambda p: {**p, "c": np.arange(3)}, lambda p: {**p, "c": np.ones(3, bool)}
    )
)
check(26)(parameter("floating dtype", last(lambda p: p + 0j)))


@check(27)
def _(rule: Rule) -> None:
    opt, params = calm(rule), {k: p.astype(np.float16) for k, p in start().items()}
    before = bits(params)
    opt.step(params, {k: np.zeros_like(p) for k, p in params.items()})
    assert bits(params) == before
    assert {x.dtype for slots in opt.state.values() for x in slots.values()} <= {np.dtype("f4")}


@check(28)
def _(rule: Rule) -> None:
    low, high = ({k: p.astype(dtype) for k, p in start().items()} for dtype in ("f2", "f4"))
    for params in (low, high):
        rule().step(params, {k: np.full(p.shape, 300, p.dtype) for k, p in params.items()})
    assert bits(low) == bits({k: p.astype("f2") for k, p in high.items()})


@check(29)
def _(rule: Rule) -> None:
    for strange in (np.ones(3, object), np.zeros(3, [("x", "f8")])):
        parameter("floating dtype", lambda p, x=strange: {**p, "c": x})(rule)
    swapped, plain = stepped(rule(), 2, ">f8"), stepped(rule(), 2)
    equal(*swapped, *plain)
    assert {p.dtype.str for p in swapped[1].values()} == {">f8"}


@check(30)
def _(rule: Rule) -> None:
    words = "(a|Got) matrix; use np.asarray"
    parameter(words, lambda p: {**p, "c": matrix([[1.0]])}, lambda p: matrix(p["W"]))(rule)
    gradient(words, lambda g: {**g, "W": matrix(g["W"])})(rule)


@check(31)
def _(rule: Rule) -> None:
    parameter("a MaskedArray; use np.asarray", last(np.ma.array))(rule)
    gradient("a MaskedArray; use np.asarray", last(np.ma.array))(rule)


@check(32)
def _(rule: Rule) -> None:
    with tempfile.TemporaryDirectory() as folder:
        params = {}
        for name, p in start().items():
            params[name] = np.memmap(Path(folder, name), p.dtype, "w+", shape=p.shape)
            params[name][...] = p
        opt = rule()
        for _ in range(2):
            opt.step(params, slope())
        equal(opt, params, *stepped(rule(), 2))
        del opt, params, p  # Windows removes no file that is mapped


check(33)(parameter("'W' and 'again' share memory", lambda p: {**p, "again": p["W"]}))


@check(34)
def _(rule: Rule) -> None:
    opt, params = npo.Groups({"W": rule(), "*": rule()}), start()
    with unchanged(opt, params), raises("'W' and 'again' share memory", ValueError):
        opt.step({**params, "again": params["W"]}, {**slope(), "again": slope()["W"]})
    equal(*stepped(opt, 2), *stepped(rule(), 2))


check(35)(
    parameter(
        "'.*' and '.*' share memory",
        lambda p: {**p, "c": p["b"][1:], "d": p["b"][:2]},
        lambda p: {**p, "T": p["W"].T},
        lambda p: {**p, "x": p["b"][::-1]},
    )
)


@check(36)
def _(rule: Rule) -> None:
    parameter("'b' is read-only", last(read_only))(rule)
    opt, params = stepped(rule(), 2)
    read_only(params["b"])
    with unchanged(opt, params), raises("'b' is read-only", ValueError):
        opt.step(params, slope())


check(37)(
    parameter(
        "'c' overlaps itself",
        lambda p: {**p, "c": np.lib.stride_tricks.as_strided(p["b"].copy(), (3,), (0,))},
        lambda p: {**p, "c": np.lib.stride_tricks.as_strided(np.ones(4), (2, 3), (8, 8))},
    )
)


@check(38)
def _(rule: Rule) -> None:
    for view in (
        lambda x: np.asfortranarray(x),
        lambda x: (
            np.repeat(np.repeat(x, 2, 0), 2, -1)[::2, ::2] if x.ndim > 1 else np.repeat(x, 2)[::2]
        ),
        lambda x: x[::-1].copy()[::-1],
    ):
        opt, params = rule(), {k: view(p) for k, p in start().items()}
        strides = [p.strides for p in params.values()]
        for _ in range(3):
            opt.step(params, slope())
        equal(opt, params, *stepped(rule(), 3), exact=rule.scope == "element")
        assert [p.strides for p in params.values()] == strides


@check(39)
def _(rule: Rule) -> None:
    opt, p = rule(), np.array(2.0)
    for _ in range(2):
        opt.step(p, np.array(0.5))
    assert 0 < p < 2
    assert all(type(x) is np.ndarray and x.shape == () for x in opt.state["p"].values())


@check(40)
def _(rule: Rule) -> None:
    for shape in ((0,), (3, 0), (0, 3), (2, 0, 3)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            opt, p = rule(), np.zeros(shape)
            opt.step(p, np.zeros(shape))
            opt.step(p, np.zeros(shape))
        assert opt.t == 2


check(44)(gradient("gradient of 'b' is None. To freeze", last(lambda g: None)))
check(45)(gradient("gradient of 'W' is None", lambda g: dict.fromkeys(g)))


@check(46)
def _(rule: Rule) -> None:
    gradient(r"missing \['b'\]", lambda g: {"W": g["W"]})(rule)
    gradient(r"unexpected \['c'\]", lambda g: {**g, "c": g["b"]})(rule)


SHAPE = r"'b' must have the parameter's shape \(3,\). Got "
check(47)(gradient(SHAPE + r"\(1,\)", last(lambda g: g[:1])))
check(48)(gradient(SHAPE + r"\(3, 1\)", last(lambda g: g[:, None])))


@check(49)
def _(rule: Rule) -> None:
    gradient("gradient of 'b' must be a numpy.ndarray. Got list", last(list))(rule)
    gradient("gradient of 'b' must be a numpy.ndarray. Got float", last(lambda g: 1.0))(rule)


@check(50)
def _(rule: Rule) -> None:
    one, two = ({k: p.astype("f4") for k, p in start().items()} for _ in range(2))
    opt, other = rule(), rule()
    opt.step(one, slope())
    other.step(two, {k: g.astype("f4") for k, g in slope().items()})
    assert bits((one, opt.state)) == bits((two, other.state))
    assert {p.dtype for p in one.values()} == {np.dtype("f4")}


@check(51)
def _(rule: Rule) -> None:
    one, two = start(), start()
    rule().step(one, {k: np.ones(g.shape, int) for k, g in slope().items()})
    rule().step(two, {k: np.ones(g.shape) for k, g in slope().items()})
    assert bits(one) == bits(two)


check(52)(
    gradient(r"gradient of 'b' is nan at index \(2,\); nothing was changed", last(spoil(nan)))
)
check(53)(gradient(r"gradient of 'b' is -inf at index \(2,\)", last(spoil(-inf))))


@check(54)
def _(rule: Rule) -> None:
    for dtype, size in (("f4", 1e30), ("f8", 1e200)):
        opt, params = stepped(rule(), 1, dtype)
        before = copy.deepcopy(params)
        huge = {k: np.full_like(p, size) for k, p in params.items()}
        try:
            opt.step(params, huge)
        except npo.NonFiniteError:
            with refused(opt, params, "'W'.*; nothing was changed", npo.NonFiniteError):
                opt.step(params, huge)
        else:  # never a step of 0
            assert all((p != before[k]).all() and np.isfinite(p).all() for k, p in params.items())


@check(55)
def _(rule: Rule) -> None:
    for dtype, size in (("f4", 1e-30), ("f8", 1e-200)):
        opt, p = calm(rule), np.ones((2, 3), dtype)
        opt.step(p, np.full_like(p, size))
        assert np.array_equal(p, np.full_like(p, 1 - opt.lr if rule is npo.Lion else 1))
        if rule in (npo.Adam, npo.AdamW, npo.LAMB):
            assert not opt.state["p"]["v"].any()


@check(56)
def _(rule: Rule) -> None:
    zero, params = {k: 0 * g for k, g in slope().items()}, start()
    calm(rule).step(params, zero)
    assert bits(params) == bits(start())
    if "weight_decay" in numbers(rule):
        opt = rule(weight_decay=0.1)
        opt.step(params, zero)
        # LARS and LAMB scale the step to the weights' length, whatever made it
        lost = {npo.LARS: lambda: opt.lr * opt.trust_coefficient, npo.LAMB: lambda: opt.lr}
        share = lost.get(rule, lambda: opt.lr * opt.weight_decay)()
        for k, p in params.items():
            np.testing.assert_allclose(p, start()[k] * (1 - share), rtol=1e-12)


@check(57, "LAMB LARS")
def _(rule: Rule) -> None:
    opt, p, g = calm(rule), np.zeros(3), slope()["b"]
    opt.step(p, g)
    wanted = -opt.lr * opt.trust_coefficient * g if rule is npo.LARS else -opt.lr * np.sign(g)
    np.testing.assert_allclose(p, wanted, rtol=1e-5)


@check(58)
def _(rule: Rule) -> None:
    for swap in (lambda p: p, lambda p: {"W": p["X"], "X": p["W"]}):
        one, two = ({"W": start()["W"], "X": slope()["W"]} for _ in range(2))
        opt, other = rule(), rule()
        for _ in range(2):
            opt.step(one, swap(one))
            other.step(two, copy.deepcopy(swap(two)))
        assert bits((one, opt.state)) == bits((two, other.state))


@check(59)
def _(rule: Rule) -> None:
    grads = {k: read_only(g) for k, g in slope().items()}
    opt, params = rule(), start()
    for _ in range(2):
        opt.step(params, grads)
    equal(opt, params, *stepped(rule(), 2))
    assert bits(grads) == bits(slope())


@check(60)
def _(rule: Rule) -> None:
    opt, params = stepped(rule(), 2)
    with refused(opt, params, "no gradient for b", RuntimeError):
        opt.step(params, Failing(slope()))
    with refused(opt, params, "grads must be a dict", TypeError):
        opt.step(params, (g for g in slope().values()))


@check(61)
def _(rule: Rule) -> None:
    opt, params = stepped(rule(), 1)
    old, new = params["b"], params["b"] - 1
    params["b"] = new
    kept = old.copy(), new.copy()
    opt.step(params, slope())
    assert params["b"] is new
    assert bits(old) == bits(kept[0])
    assert (new != kept[1]).all()


@check(62)
def _(rule: Rule) -> None:
    opt, params = stepped(rule(), 2)
    others = [{"W": params["W"]}, {**params, "c": np.ones(1)}, {"W": params["W"], "c": params["b"]},
              last(lambda p: p[:, None])(params), last(lambda p: p.astype("f4"))(params)]  # fmt: skip
    for changed in others:
        with refused(opt, params, "first step", ValueError):
            opt.step(changed, {k: np.ones_like(p) for k, p in changed.items()})


@check(63)
def _(rule: Rule) -> None:
    opt, params = stepped(rule(), 1)
    opt.t = 10**9
    opt.step(params, slope())
    assert opt.t == 10**9 + 1
    assert all(np.isfinite(p).all() for p in params.values())
