"""Whatever fails in a step, parameters, state and t are as before; and whatever the layout, the numbers."""

import copy
import tempfile
from collections import UserDict
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import npoptim as npo
from npoptim.optimizers import blocks, driver, fused

RULES = list(npo.optimizers().values())
quick = settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda c: c.__name__)

ways = st.sampled_from([fused.LARGE, 1])  # bytes from which on lines are recorded and run in blocks


def running(large):
    """Steps as they are, or all of them the way of large arrays."""
    return mock.patch.multiple(fused, LARGE=large, BLOCK=256 if large == 1 else fused.BLOCK)


# ---------------------------------------------------------------- trees

SHAPES = st.sampled_from([(), (0,), (1,), (5,), (3, 4), (4, 0), (2, 3, 4), (1, 5)])
DTYPES = st.sampled_from(["f2", "f4", "f8", ">f4", ">f8"])


def c_order(x):
    return x.copy()


def fortran(x):
    return np.array(x, order="F")


def strided(x):
    """Every second element of an array twice as wide."""
    view = np.zeros((*x.shape, 2), x.dtype)[..., 0]
    view[...] = x
    return view


def reverse(x):
    return x[::-1].copy()[::-1] if x.ndim else x.copy()


def turned(x):
    return x.T.copy().T


def mapped(x):
    """In a file that is gone already; where there are no elements there is nothing to map."""
    if not x.size:
        return x.copy()
    with tempfile.TemporaryFile() as file:
        there = np.memmap(file, x.dtype, "w+", shape=x.shape or (1,)).reshape(x.shape)
    there[...] = x
    return there


LAYOUTS = st.sampled_from([c_order, fortran, strided, reverse, turned, mapped])


@st.composite
def trees(draw):
    """Parameters in many layouts, and plain copies of them; a gradient for each of three steps."""
    params, plain, grads = {}, {}, [{}, {}, {}]
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    for name in "abcd"[: draw(st.integers(1, 4))]:
        shape, dtype, layout = draw(SHAPES), draw(DTYPES), draw(LAYOUTS)
        x = np.asarray(rng.normal(size=shape), dtype)
        params[name], plain[name] = layout(x), x.copy()
        for g in grads:
            g[name] = draw(LAYOUTS)(np.asarray(rng.normal(size=shape), draw(DTYPES)))
    return params, plain, grads


def looks(x):
    """All there is to see of arrays: bits, dtype, shape and strides."""
    if isinstance(x, dict):
        return {k: looks(v) for k, v in x.items()}
    return type(x), x.dtype.str, x.shape, x.strides, x.tobytes()


def everything(opt, params):
    return opt.t, looks(opt.state), looks(params), copy.copy(vars(opt)["_memory"].layout)


def equal(a, b):
    """The same numbers in the same dtype; zero may have either sign."""
    return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)


def agree(rule, one, two):
    """Equal arrays; for rules with sums up to rounding, as these go by the order in memory."""
    if rule.scope == "element":
        return all(equal(x, two[k]) for k, x in one.items())
    close = {2: 2e-3, 4: 1e-5, 8: 1e-12}
    return all(
        x.dtype == two[k].dtype
        and np.allclose(x, two[k], rtol=close[x.itemsize], atol=close[x.itemsize])
        for k, x in one.items()
    )


@every_rule
@quick
@given(tree=trees(), large=ways)
def test_a_step_is_that_of_plain_copies_and_keeps_dtype_and_layout(rule, tree, large):
    params, plain, grads = tree
    one, two = rule(), rule()
    shown = {k: looks(p)[:4] for k, p in params.items()}
    for g in grads:
        before = looks(g)
        with running(large):
            one.step(params, g)
        two.step(plain, {k: np.ascontiguousarray(x).reshape(x.shape) for k, x in g.items()})
        assert looks(g) == before
    assert {k: looks(p)[:4] for k, p in params.items()} == shown
    assert agree(rule, params, plain)
    assert all(agree(rule, slots, two.state[name]) for name, slots in one.state.items())


# ---------------------------------------------------------------- faults


class Fault(Exception):
    """What is raised on purpose."""


class OnDemand(UserDict):
    """Gradients computed when asked for; one raises."""

    def __init__(self, grads, name):
        super().__init__(grads)
        self.broken = name

    def __getitem__(self, name):
        if name == self.broken:
            raise Fault
        return super().__getitem__(name)


def failing(rule, errors):
    """The rule with an update that allocates, computes and then raises, while there are errors."""

    def raising(method):
        def update(self, *args, **state):
            result = method(self, *args, **state)
            if errors:
                raise errors[0]
            return result

        return update

    methods = [k for k in ("update", "update_vector") if hasattr(rule, k)]
    return type(rule.__name__, (rule,), {k: raising(getattr(rule, k)) for k in methods})()


def at_array(change):
    """A fault in the array of one name."""
    return lambda opt, params, grads, name: (opt, params, {**grads, name: change(grads[name])})


def frozen(x):
    x = x.view()
    x.flags.writeable = False
    return x


def spoiled(value):
    def change(g):
        g = np.array(g, float)
        g.flat[-1:] = value
        return g

    return change


def with_schedule(value):
    """lr from a schedule that has this value at the next step."""

    def change(opt, params, grads, name):
        opt.lr = lambda t: value
        return opt, params, grads

    return change


def parameter(change):
    return lambda opt, params, grads, name: (opt, {**params, name: change(params[name])}, grads)


FAULTS = {
    "gradients on demand": lambda o, p, g, name: (o, p, OnDemand(g, name)),
    "a generator": lambda o, p, g, name: (o, p, (x for x in g.values())),
    "gradient missing": lambda o, p, g, name: (o, p, {k: x for k, x in g.items() if k != name}),
    "gradient None": at_array(lambda g: None),
    "gradient of another shape": at_array(lambda g: np.ones((*g.shape, 2))),
    "gradient to broadcast": at_array(lambda g: g[None]),
    "gradient of objects": at_array(lambda g: g.astype(object)),
    "gradient NaN": at_array(spoiled(np.nan)),
    "gradient infinite": at_array(spoiled(-np.inf)),
    "gradient too large": at_array(lambda g: np.full(g.shape, 1e300)),
    "schedule NaN": with_schedule(np.nan),
    "schedule below 0": with_schedule(-1.0),
    "schedule a string": with_schedule("0.1"),
    "lr too large": with_schedule(1.7e308),
    "parameter read-only": parameter(frozen),
    "parameter of integers": parameter(lambda p: p.astype(int)),
    "parameter of another shape": parameter(lambda p: np.ones((*p.shape, 2))),
    "parameter broadcast": parameter(lambda p: np.broadcast_to(p, (3, *p.shape))),
    "parameter twice": lambda o, p, g, name: (o, {**p, "again": p[name]}, {**g, "again": g[name]}),
    "parameters overlap": lambda o, p, g, name: (o, {**p, "view": p[name][...]}, {**g, "view": g[name]}),
}  # fmt: skip

HARMLESS = {"gradient NaN", "gradient infinite", "gradient too large", "parameter twice", "parameters overlap", "lr too large"}  # fmt: skip


def attempt(opt, params, grads, *errors):
    """Whether the step is refused; then nothing has changed."""
    before = everything(opt, params)
    try:
        opt.step(params, grads)
    except errors:
        assert everything(opt, params) == before
        return True
    return False


@every_rule
@quick
@given(
    tree=trees(),
    fault=st.sampled_from(sorted(FAULTS)),
    steps=st.integers(0, 2),
    data=st.data(),
    large=ways,
)
def test_a_refused_step_changes_nothing(rule, tree, fault, steps, data, large):
    params, _, (first, second, last) = tree
    opt = rule()
    for g in (first, second)[:steps]:
        opt.step(params, g)
    name = data.draw(st.sampled_from(sorted(params)))
    twin, copies = copy.deepcopy((opt, params))
    before = everything(opt, params)
    bad, bad_params, bad_grads = FAULTS[fault](opt, params, last, name)
    with running(large):
        refused = attempt(bad, bad_params, bad_grads, Fault, TypeError, ValueError)
    if not refused:  # arrays without elements hold no NaN, and some rules take any size of gradient
        assert fault in HARMLESS
        return
    assert everything(opt, params) == before
    opt.lr = rule().lr
    opt.step(params, last)
    twin.step(copies, last)
    assert agree(rule, params, copies)
    assert opt.t == twin.t == steps + 1


@every_rule
@quick
@given(tree=trees(), steps=st.integers(0, 2), data=st.data(), large=ways)
def test_an_error_in_the_middle_changes_nothing(rule, tree, steps, data, large):
    params, _, (first, second, last) = tree
    errors = []
    name = data.draw(st.sampled_from(sorted(params)))
    opt = npo.Groups({name: failing(rule, errors), "*": rule()})
    for g in (first, second)[:steps]:
        opt.step(params, g)
    errors.append(
        data.draw(st.sampled_from([MemoryError("simulated"), KeyboardInterrupt(), Fault()]))
    )
    twin, copies = copy.deepcopy((opt, params))
    with running(large):
        assert attempt(opt, params, last, type(errors[0]))
    errors.clear()
    opt.step(params, last)
    twin.step(copies, last)
    assert agree(rule, params, copies)
    assert opt.t == steps + 1


# ---------------------------------------------------------------- large steps


@every_rule
@pytest.mark.parametrize("limit", [driver.ATOMIC, 0])
def test_large_arrays_in_blocks_give_the_numbers_of_plain_copies(rule, limit, monkeypatch):
    monkeypatch.setattr(driver, "ATOMIC", limit)
    rng = np.random.default_rng(0)
    start, grads = rng.normal(size=(2, 90, 110))
    assert start.nbytes > blocks.BLOCK
    wanted, plain = start.copy(), rule()
    for _ in range(2):
        plain.step(wanted, grads)
    for layout in (fortran, strided, reverse, turned, mapped):
        for other in (c_order, fortran, frozen):
            opt, p = rule(), layout(start)
            strides, g = p.strides, other(grads)
            for _ in range(2):
                opt.step(p, g)
            assert p.strides == strides
            np.testing.assert_allclose(p, wanted, rtol=1e-12, atol=1e-14)
            assert rule.scope != "element" or equal(np.asarray(p), wanted)


@every_rule
def test_gradients_may_be_each_others_parameters_in_large_steps_too(rule, monkeypatch):
    monkeypatch.setattr(driver, "ATOMIC", 0)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 90, 110))
    one, two = {"x": x.copy(), "y": y.copy()}, {"x": x.copy(), "y": y.copy()}
    rule().step(one, {"x": one["y"], "y": one["x"]})
    rule().step(two, {"x": y, "y": x})
    assert looks(one) == looks(two)
