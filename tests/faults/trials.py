"""How a fault is tried on a rule: it gets its answer, and nothing has changed."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import npoptim as npo

Rule = Callable[..., Any]  # a class of npoptim.optimizers()
Check = Callable[[Rule], None]


CHECKS: dict[int, tuple[Check, str]] = {}  # row -> its check, and the rules it is for
RULES = tuple(npo.optimizers().values())


def check(number: int, only: str = "") -> Callable[[Check], Check]:
    """Enter the function below as the check of a row."""

    def entered(function: Check) -> Check:
        assert number not in CHECKS, f"two checks of row {number}"
        CHECKS[number] = function, only
        return function

    return entered


def start() -> dict[str, Any]:
    """Parameters: a matrix and a vector, so that rules with two boxes run both."""
    return {"W": np.arange(1.0, 7).reshape(2, 3), "b": np.array([1.0, -2.0, 3.0])}


def slope() -> dict[str, Any]:
    """Gradients of `start()`."""
    return {"W": np.array([[0.1, -0.2, 0.3], [-0.4, 0.5, 0.6]]), "b": np.array([0.7, 0.8, -0.9])}


def stepped(opt: Any, steps: int, dtype: Any = float) -> tuple[Any, dict[str, Any]]:
    """An optimizer and its parameters after some steps."""
    params = {name: p.astype(dtype) for name, p in start().items()}
    for _ in range(steps):
        opt.step(params, slope())
    return opt, params


def numbers(rule: Rule) -> dict[str, Any]:
    """The hyper-parameters at step 1: plain floats and tuples."""
    return dict(rule().at(1).hyper())


def features(rule: Rule) -> set[str]:
    """What rows may ask of a rule: its name, its hyper-parameters, and whether it has "state"."""
    return {rule.__name__, *numbers(rule), *(["state"] if rule().init(np.ones((2, 3))) else [])}


def calm(rule: Rule, **hyper: Any) -> Any:
    """The rule without weight decay."""
    return rule(**({"weight_decay": 0.0} if "weight_decay" in numbers(rule) else {}) | hyper)


def bits(x: Any) -> Any:
    """Something to compare bit for bit, through dicts, lists and tuples."""
    if isinstance(x, dict):
        return {k: bits(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [bits(v) for v in x]
    if isinstance(x, np.ndarray):
        return x.dtype.str, x.shape, x.strides, x.tobytes()
    return repr(x)


def memory(opt: Any) -> Any:
    """All that an optimizer remembers."""
    return bits((opt.t, opt.state, opt.state_dict()))


@contextmanager
def raises(words: str, *errors: type[BaseException]) -> Iterator[None]:
    """The block ends with one of these errors, which says these words."""
    wanted = errors or (TypeError, ValueError)
    try:
        yield
    except wanted as error:
        if not re.search(words, str(error)):
            raise AssertionError(f"{error} does not say {words!r}") from error
    else:
        raise AssertionError("nothing was raised")


@contextmanager
def unchanged(opt: Any, *arrays: Any) -> Iterator[None]:
    """Memory and arrays are bit for bit as before the block."""
    before = memory(opt), bits(arrays)
    yield
    assert (memory(opt), bits(arrays)) == before


@contextmanager
def refused(opt: Any, params: Any, words: str, *errors: type[BaseException]) -> Iterator[None]:
    """The block raises, nothing has changed, and the next step is as if it had not been."""
    twin, copies = copy.deepcopy((opt, params))
    with unchanged(opt, params), raises(words, *errors):
        yield
    for one, arrays in ((opt, params), (twin, copies)):
        one.step(arrays, {name: g for name, g in slope().items() if name in arrays})
    assert bits(params) == bits(copies)
    assert memory(opt) == memory(twin)


def hyper(
    name: str, bad: Any, error: type[Exception], words: str = "", whole: bool = False
) -> Check:
    """`bad` for a hyper-parameter (for each number of a tuple; `whole`: for the tuple).

    It is refused when the optimizer is made, when it is assigned, at the step
    if it was assigned behind the optimizer's back, and from a schedule.
    """

    def check(rule: Rule) -> None:
        good = numbers(rule)[name]
        values = [bad]
        if isinstance(good, tuple) and not whole:
            values = [(*good[:i], bad, *good[i + 1 :]) for i in range(len(good))]
        said = (
            words or rf"{name}(\[\d\])?( at step 3(\[\d\])?)? must be a float in the range .*Got "
        )
        for value in values:
            with raises(said, error):
                rule(**{name: value})
            opt, params = stepped(rule(), 2)
            with refused(opt, params, said, error):
                setattr(opt, name, value)
            vars(opt)[name] = value
            if not (value is True and good == 1):  # equal to what has been checked
                with unchanged(opt, params), raises(said, error):
                    opt.step(params, slope())
            late, params = stepped(rule(**{name: lambda t, v=value: v if t == 3 else good}), 2)
            with unchanged(late, params), raises(said, error):
                late.step(params, slope())

    return check


def gradient(words: str, change: Callable[[dict[str, Any]], Any]) -> Check:
    """Gradients that are refused, at the first step and at the third."""

    def check(rule: Rule) -> None:
        for steps in (0, 2):
            opt, params = stepped(rule(), steps)
            bad = change(slope())
            before = bits(bad)
            with refused(opt, params, words):
                opt.step(params, bad)
            assert bits(bad) == before

    return check


def parameter(words: str, *changes: Callable[[dict[str, Any]], Any]) -> Check:
    """Parameters that are refused at the first step; no array among them moves."""

    def check(rule: Rule) -> None:
        for change in changes:
            opt, bad = rule(), change(start())
            grads = slope()
            if isinstance(bad, dict):
                grads = {name: slope().get(name, np.ones(np.shape(p))) for name, p in bad.items()}
            with unchanged(opt, bad), raises(words):
                opt.step(bad, grads)
            stepped(opt, 1)

    return check


def equal(one: Any, params: Any, other: Any, others: Any, exact: bool = True) -> None:
    """Two optimizers and their parameters hold the same numbers, whatever their layout."""
    for a, b in ((params, others), (one.state, other.state)):
        for name in b:
            pairs = (
                zip(a[name].values(), b[name].values(), strict=True)
                if isinstance(b[name], dict)
                else [(a[name], b[name])]
            )
            for x, y in pairs:
                if exact:
                    assert np.array_equal(x, y), name
                else:
                    np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-14)
    assert one.t == other.t
