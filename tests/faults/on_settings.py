"""Faults in hyper-parameters, groups, schedules and clipping."""

from __future__ import annotations

import math

import numpy as np
from trials import (
    Rule,
    bits,
    check,
    hyper,
    numbers,
    raises,
    refused,
    slope,
    start,
    stepped,
    unchanged,
)

import npoptim as npo
from npoptim import schedules

nan, inf = math.nan, math.inf


check(1, "lr")(hyper("lr", -1, ValueError))


@check(2, "lr")
def _(rule: Rule) -> None:
    opt, params = stepped(rule(lr=0), 2)
    assert bits(params) == bits(start())
    assert opt.t == 2


check(3, "lr")(hyper("lr", nan, ValueError))
check(4, "lr")(hyper("lr", inf, ValueError))
check(5, "lr")(hyper("lr", "0.1", TypeError))
check(6, "lr")(hyper("lr", True, TypeError))
check(7, "lr")(hyper("lr", np.array([0.1, 0.2]), TypeError))
check(8, "betas")(hyper("betas", 1.0, ValueError))
check(9, "betas")(hyper("betas", 1.5, ValueError))
check(10, "betas")(hyper("betas", nan, ValueError))
check(11, "betas")(
    hyper("betas", (0.9,) * 4, ValueError, "betas.* must be a tuple of . floats. Got", whole=True)
)


@check(12, "eps")
def _(rule: Rule) -> None:
    zero = 0.0 if isinstance(numbers(rule)["eps"], float) else (0.0, 0.0)
    stepped(rule(eps=zero), 2)
    opt, params = rule(eps=zero), start()
    with refused(opt, params, "'W' after the step is nan.* eps too small", npo.NonFiniteError):
        opt.step(params, {k: 0 * g for k, g in slope().items()})


check(13, "eps")(hyper("eps", -1e-8, ValueError))
check(14, "eps")(hyper("eps", nan, ValueError))
check(15, "weight_decay")(hyper("weight_decay", -0.1, ValueError))


@check(16, "Nesterov Momentum")
def _(rule: Rule) -> None:
    assert bits(stepped(rule(momentum=0), 3)[1]) == bits(stepped(npo.SGD(lr=rule().lr), 3)[1])


@check(17, "momentum")
def _(rule: Rule) -> None:
    for bad in (-0.1, 1.0, 1.5):
        hyper("momentum", bad, ValueError)(rule)


@check(18)
def _(rule: Rule) -> None:
    with raises(
        r"has no hyper-parameter 'learning_rate'. Did you mean 'lr'\? It has: lr", TypeError
    ):
        rule(learning_rate=0.1)
    with raises("has no hyper-parameter 'amsgrad'. It has: lr", TypeError):
        rule(amsgrad=True)
    opt, params = stepped(rule(), 2)
    with refused(opt, params, r"Did you mean 'lr'\?", AttributeError):
        opt.learning_rate = 0.1


@check(41)
def _(rule: Rule) -> None:
    opt, params = npo.Groups({"*.bias": rule(), "*": rule()}), start()
    with (
        unchanged(opt, params),
        raises(r"patterns \['\*.bias'\] match no parameter of \['W', 'b'\]"),
    ):
        opt.step(params, slope())
    with raises("must be an optimizer", TypeError):
        npo.Groups({"*": {"lr": 0.1}})


@check(42, "weight_decay")
def _(rule: Rule) -> None:
    with raises(r"Did you mean 'weight_decay'\?", TypeError):
        npo.Groups({"*": rule(weigth_decay=0.1)})
    opt, params = stepped(npo.Groups({"*": rule()}), 1)
    with refused(opt, params, r"Did you mean 'weight_decay'\?", AttributeError):
        opt.rules["*"].weigth_decay = 0.1


@check(43)
def _(rule: Rule) -> None:
    opt, params = stepped(npo.Groups({"W": rule(), "b": rule()}), 2)
    with refused(opt, params, "lr must be a float", ValueError):
        opt.rules["b"].lr = -1
    vars(opt.rules["b"])["lr"] = -1.0
    with unchanged(opt, params), raises("lr must be a float", ValueError):
        opt.step(params, slope())


@check(77, "once")
def _(rule: Rule) -> None:
    for make in (schedules.cosine, schedules.linear, schedules.polynomial, schedules.one_cycle):
        with raises(r"total must be an int in the range \[1, inf\). Got 0 instead", ValueError):
            make(0.1, total=0)
        with raises("warmup must be at most total = 5. Got 6 instead", ValueError):
            make(0.1, total=5, warmup=6)
    with raises(r"warmup \+ decay must be at most total = 5", ValueError):
        schedules.wsd(0.1, total=5, decay=3, warmup=3)


@check(78)
def _(rule: Rule) -> None:
    for make in (schedules.cosine, schedules.linear, schedules.polynomial):
        schedule = make(0.1, total=5, warmup=2, end=0.01)
        assert schedule(5) == schedule(6) == schedule(10**9) == 0.01
    opt, params = stepped(rule(lr=schedules.linear(0.1, total=1)), 3)
    assert opt.t == 3
    assert bits(params) == bits(start())


@check(79, "once")
def _(rule: Rule) -> None:
    for limit in (-1.0, nan):
        with raises(r"max_norm must be a float in the range \[0, inf\]. Got", ValueError):
            npo.clip_by_global_norm(slope(), limit)
        with raises(r"limit must be a float in the range \[0, inf\]. Got", ValueError):
            npo.clip_by_value(slope(), limit)


@check(80, "once")
def _(rule: Rule) -> None:
    zero = {k: 0 * g for k, g in slope().items()}
    for limit in (0.0, 1.0):
        clipped, norm = npo.clip_by_global_norm(zero, limit)
        assert (bits(clipped), norm) == (bits(zero), 0.0)
