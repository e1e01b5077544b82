"""A step checks everything, then computes, then writes."""

import contextlib
import copy
import pickle
import signal
import threading
import tracemalloc
import warnings
from collections import UserDict

import numpy as np
import pytest

import npoptim as npo
from npoptim.optimizers import advance, blocks, driver

RULES = list(npo.optimizers().values())
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda c: c.__name__)


def tree(rng, dtype=float):
    shapes = {"W": (7, 5), "b": (5,), "s": (), "K": (4, 3, 2, 2), "none": (0,)}
    return {k: np.asarray(rng.normal(size=shape), dtype) for k, shape in shapes.items()}


def everything(params, opt):
    return copy.deepcopy((params, opt.t, opt.state, opt.hyper() if hasattr(opt, "hyper") else None))


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return a == b


M, N = 1024, 768
BYTES = {
    "sgd": 0, "momentum": 4 * M * N, "nesterov": 4 * M * N, "lars": 4 * M * N, "lion": 4 * M * N,
    "adam": 8 * M * N, "adamw": 8 * M * N, "lamb": 8 * M * N,
    "adafactor": 4 * (M + N), "came": 4 * (M * N + 2 * (M + N)),
}  # fmt: skip


@pytest.mark.parametrize(("name", "nbytes"), BYTES.items())
def test_state_bytes_are_the_formula(name, nbytes):
    opt = npo.get_optimizer(name)
    assert opt.state_nbytes == 0
    opt.step(np.ones((M, N), np.float32), np.ones((M, N), np.float32))
    assert opt.state_nbytes == nbytes


@every_rule
def test_an_array_or_a_dict(rule):
    rng = np.random.default_rng(0)
    p, g = rng.normal(size=(2, 4, 3))
    a, b = p.copy(), {"p": p.copy()}
    one, two = rule(), rule()
    for _ in range(3):
        one.step(a, g)
        two.step(b, {"p": g})
    assert same(a, b["p"])
    assert one.t == 3
    assert same(one.state, two.state)


@every_rule
@pytest.mark.parametrize("layout", ["F", "strided", "reversed", "transposed"])
@pytest.mark.parametrize("size", [6, 200])
def test_layouts_give_the_same_numbers_in_place(rule, layout, size):
    rng = np.random.default_rng(1)
    plain, g = rng.normal(size=(2, size, size))
    base = np.zeros((2 * size, 2 * size))
    view = {
        "F": np.zeros((size, size), order="F"),
        "strided": base[::2, ::2],
        "reversed": base[size - 1 :: -1, :size],
        "transposed": base[:size, :size].T,
    }[layout]
    view[...] = plain
    one, two = rule(), rule()
    for t in range(3):
        one.step(plain, g * (-1) ** t)
        two.step(view, g * (-1) ** t)
    np.testing.assert_allclose(view, plain, rtol=1e-12, atol=1e-14)
    if rule.scope == "element":
        assert same(np.ascontiguousarray(view), plain)


@pytest.mark.parametrize(
    "rule", [r for r in RULES if r.scope == "element"], ids=lambda c: c.__name__
)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_blocks_equal_the_whole_bit_for_bit(rule, dtype, order, monkeypatch):
    rng = np.random.default_rng(2)
    p = np.array(rng.normal(size=(301, 173)), dtype, order=order)
    grads = [np.array(rng.normal(size=p.shape), dtype) for _ in range(3)]
    results = []
    for block in (blocks.BLOCK, 10**9):
        monkeypatch.setattr(advance, "BLOCK", block)
        opt, q = rule(), p.copy(order="K")
        for g in grads:
            opt.step(q, g)
        results.append((q, opt.state))
    assert same(*results)


@every_rule
def test_float16_is_computed_in_float32(rule):
    rng = np.random.default_rng(3)
    p = rng.normal(size=(7, 5)).astype(np.float16)
    q = p.astype(np.float32)
    low, high = rule(), rule()
    low.step(p, np.full((7, 5), 300, np.float16))
    high.step(q, np.full((7, 5), 300, np.float32))
    assert p.dtype == np.float16
    assert same(p, q.astype(np.float16))
    assert same(low.state, high.state)


@every_rule
def test_big_endian_parameters(rule):
    p = np.array([1.0, 2.0], ">f8")
    q = np.array([1.0, 2.0])
    rule().step(p, np.array([1.0, -2.0]))
    rule().step(q, np.array([1.0, -2.0]))
    assert p.dtype.str == ">f8"
    assert p.tolist() == q.tolist()


@every_rule
def test_gradients_are_only_read(rule):
    params = tree(np.random.default_rng(4))
    grads = tree(np.random.default_rng(5))
    for g in grads.values():
        g.flags.writeable = False
    before = copy.deepcopy(grads)
    rule().step(params, grads)
    assert same(grads, before)


P = np.array([1.0, 2.0, 3.0])
G = np.array([0.1, -0.2, 0.3])

with warnings.catch_warnings():
    warnings.simplefilter("ignore", PendingDeprecationWarning)  # that is why it is refused
    MATRIX = np.matrix(P)


def read_only():
    p = P.copy()
    p.flags.writeable = False
    return p


BAD = {
    "no parameters": ({}, {}, r"^params is empty: there is nothing to optimize\.$"),
    "a list": ([P.copy()], [G], "^params must be a dict"),
    "a list of gradients": ({"a": P.copy()}, [G], "^grads must be a dict"),
    "a dict and an array": ({"a": P.copy()}, G, r"^grads must have the names of params: missing \['a'\], unexpected \['p'\]"),
    "an array and a dict": (P.copy(), {"a": G}, r"^grads must have the names of params: missing \['p'\], unexpected \['a'\]"),
    "a tuple": ((P.copy(),), (G,), "dict"),
    "a set": ({1.0}, {1.0}, "dict"),
    "a generator": ((p for p in [P]), [G], "dict"),
    "a NumPy scalar": (np.float64(1), np.float64(1), "np.array"),
    "a scalar in a dict": ({"a": np.float64(1)}, {"a": G}, "np.array"),
    "a float in a dict": ({"a": 1.0}, {"a": G}, "'a'"),
    "a name that is no string": ({1: P.copy()}, {1: G}, "names"),
    "integers": ({"a": np.arange(3)}, {"a": G}, "floating"),
    "bools": ({"a": np.ones(3, bool)}, {"a": G}, "floating"),
    "complex": ({"a": np.ones(3, complex)}, {"a": G}, "floating"),
    "objects": ({"a": np.ones(3, object)}, {"a": G}, "floating"),
    "structured": ({"a": np.zeros(3, [("x", "f8")])}, {"a": G}, "floating"),
    "a matrix": ({"a": MATRIX}, {"a": MATRIX}, "matrix"),
    "a matrix alone": (MATRIX, MATRIX, "matrix"),
    "a matrix as gradient": ({"a": P[None].copy()}, {"a": MATRIX}, "matrix"),
    "a masked array": ({"a": np.ma.array(P)}, {"a": G}, "MaskedArray"),
    "read-only": ({"a": read_only()}, {"a": G}, "read-only"),
    "one array twice": (dict.fromkeys("ab", P.copy()), {"a": G, "b": G}, "share memory"),
    "overlapping": ((lambda x: {"a": x[:3], "b": x[1:]})(np.ones(4)), {"a": G, "b": G}, "share memory"),
    "inner overlap": ({"a": np.lib.stride_tricks.as_strided(np.ones(1), (3,), (0,))}, {"a": G}, "overlaps itself"),
    "sliding windows": ({"a": np.lib.stride_tricks.as_strided(np.ones(4), (2, 3), (8, 8))}, {"a": np.ones((2, 3))}, "overlaps itself"),
    "gradient None": ({"a": P.copy()}, {"a": None}, "Groups"),
    "all gradients None": (P.copy(), None, "^grads must be a dict"),
    "too few gradients": ({"a": P.copy(), "b": P.copy()}, {"a": G}, r"^grads must have the names of params: missing \['b'\]\.$"),
    "too many gradients": ({"a": P.copy()}, {"a": G, "b": G}, r"^grads must have the names of params: unexpected \['b'\]\.$"),
    "gradient (1,)": ({"a": P.copy()}, {"a": G[:1]}, r"^gradient of 'a' must have the parameter's shape \(3,\)\. Got \(1,\) instead\.$"),
    "gradient (3, 1)": ({"a": P.copy()}, {"a": G[:, None]}, r"\(3,\).*\(3, 1\)"),
    "gradient a list": ({"a": P.copy()}, {"a": [1, 2, 3]}, "numpy.ndarray"),
    "gradient a float": ({"a": P.copy()}, {"a": 1.0}, "numpy.ndarray"),
    "gradient complex": ({"a": P.copy()}, {"a": G + 0j}, "real dtype"),
    "gradient bool": ({"a": P.copy()}, {"a": G > 0}, "real dtype"),
    "gradient NaN": ({"a": P.copy()}, {"a": np.array([0, np.nan, 0])}, r"'a' is nan at index \(1,\)"),
    "gradient inf": ({"a": P.copy()}, {"a": np.array([0, 0, -np.inf])}, r"'a' is -inf at index \(2,\)"),
    "parameter NaN": ({"a": np.array([0, np.nan, 0])}, {"a": G}, "'a' after the step is nan"),
    "second gradient NaN": ({"a": P.copy(), "b": P.copy()}, {"a": G, "b": G * np.nan}, "'b'"),
}  # fmt: skip


@every_rule
@pytest.mark.parametrize("case", BAD)
def test_bad_input_changes_nothing(rule, case):
    params, grads, words = BAD[case]
    opt = rule()
    before = contents(params)
    with pytest.raises((TypeError, ValueError), match=words):
        opt.step(params, grads)
    assert opt.t == 0
    assert opt.state == {}
    assert contents(params) == before


def contents(params):
    """The bytes of every array in a dict, or nothing."""
    values = params.values() if isinstance(params, dict) else []
    return [x.tobytes() for x in values if isinstance(x, np.ndarray)]


@every_rule
@pytest.mark.parametrize(
    "change",
    [
        {"a": P.copy()},
        {"a": P.copy(), "b": P.copy(), "c": P.copy()},
        {"a": P.copy(), "c": P.copy()},
        {"a": P.copy(), "b": np.ones((3, 1))},
        {"a": P.copy(), "b": P.astype(np.float32)},
    ],
    ids=["fewer", "more", "renamed", "reshaped", "other dtype"],
)
def test_names_shapes_and_dtypes_are_fixed_at_the_first_step(rule, change):
    opt = rule()
    opt.step({"b": P.copy(), "a": P.copy()}, {"a": G, "b": G})
    before = everything(None, opt)
    with pytest.raises(ValueError, match="first step"):
        opt.step(change, {k: np.zeros_like(v) for k, v in change.items()})
    assert same(everything(None, opt), before)


@every_rule
@pytest.mark.parametrize(("dtype", "size"), [("f4", 1e30), ("f8", 1e200)])
def test_an_overflow_is_an_error_and_never_a_silent_standstill(rule, dtype, size):
    """Where g² is infinite, other libraries take steps of 0 for ever."""
    p, opt = np.ones((2, 2), dtype), rule()
    said = ""
    try:
        opt.step(p, np.full((2, 2), size, dtype))
    except npo.NonFiniteError as error:
        said = str(error)
    assert np.isfinite(p).all()
    assert ("'p'" in said) == (opt.t == 0) == bool((p == 1).all())


def test_which_rules_do_not_square_their_gradient():
    def survives(rule):
        with contextlib.suppress(npo.NonFiniteError):
            rule.step(np.ones((2, 2)), np.full((2, 2), 1e200))
        return rule.t == 1

    assert [name for name in BYTES if survives(npo.get_optimizer(name))] == [
        "sgd", "momentum", "nesterov", "lion",
    ]  # fmt: skip


@every_rule
def test_tiny_gradients_and_huge_t(rule):
    for dtype, size in (("f4", 1e-30), ("f8", 1e-200)):
        p, opt = np.ones((2, 2), dtype), rule()
        opt.step(p, np.full((2, 2), size, dtype))
        opt.t = 10**9
        opt.step(p, np.full((2, 2), 1.0, dtype))
        assert np.isfinite(p).all()
        assert opt.t == 10**9 + 1


def test_zero_over_zero_is_an_error():
    with pytest.raises(npo.NonFiniteError, match="eps too small"):
        npo.Adam(eps=0).step(P.copy(), np.zeros(3))


@every_rule
def test_other_gradient_dtypes_are_cast(rule):
    p, q = P.astype(np.float32), P.astype(np.float32)
    rule().step(p, np.array([1, -2, 3]))
    rule().step(q, np.array([1, -2, 3], np.float32))
    assert p.dtype == np.float32
    assert same(p, q)
    with pytest.raises(
        npo.NonFiniteError, match=r"^gradient of 'p' is inf at index \(0,\) as float32"
    ):
        rule().step(p, np.array([1e300, 0, 0]))


@every_rule
def test_the_gradient_may_be_the_parameter(rule):
    for size in (3, 30_000):
        p = np.linspace(1, 2, size)
        q = p.copy()
        rule().step(p, p)
        rule().step(q, q.copy())
        assert same(p, q)


@every_rule
def test_memmap(rule, tmp_path):
    p = np.memmap(tmp_path / "p", np.float64, "w+", shape=(3,))
    p[:] = P
    q = P.copy()
    rule().step(p, G)
    rule().step(q, G)
    assert p.tolist() == q.tolist()


def test_interleaved_views_are_two_parameters():
    x = np.ones(6)
    npo.SGD(lr=1).step({"a": x[::2], "b": x[1::2]}, {"a": np.ones(3), "b": np.zeros(3)})
    assert x.tolist() == [0, 1, 0, 1, 0, 1]


def test_gradients_that_fail_half_way():
    class Failing(UserDict):
        def __getitem__(self, key):
            if key == "b":
                raise RuntimeError("no gradient for b")
            return super().__getitem__(key)

    params = {"a": P.copy(), "b": P.copy()}
    opt = npo.Adam()
    with pytest.raises(RuntimeError, match="no gradient for b"):
        opt.step(params, Failing({"a": G, "b": G}))
    assert same(params, {"a": P, "b": P})
    assert opt.t == 0


@every_rule
def test_a_schedule_that_fails_changes_nothing(rule):
    for value, error in ((np.nan, ValueError), (-1.0, ValueError), ("a", TypeError)):
        opt, p = rule(lr=lambda t, value=value: 0.1 if t < 3 else value), P.copy()
        opt.step(p, G)
        opt.step(p, G)
        before = everything(p, opt)
        with pytest.raises(error, match="lr at step 3"):
            opt.step(p, G)
        assert same(everything(p, opt), before)


def test_betas_may_hold_a_schedule():
    one, two = npo.Adam(betas=(lambda t: 0.5, 0.9)), npo.Adam(betas=(0.5, 0.9))
    p, q = P.copy(), P.copy()
    for _ in range(3):
        one.step(p, G)
        two.step(q, G)
    assert same(p, q)


@pytest.mark.parametrize(("lr", "error"), [(-1.0, ValueError), (np.array([0.1, 0.2]), TypeError)])
def test_a_number_assigned_behind_its_back_is_found(lr, error):
    opt, p = npo.Adam(), P.copy()
    opt.step(p, G)
    vars(opt)["lr"] = lr
    with pytest.raises(error, match="lr must be"):
        opt.step(p, G)
    assert opt.t == 1


@pytest.mark.parametrize("t", [-1, 1.5, True, "1"])
def test_t_is_a_count(t):
    with pytest.raises(ValueError, match="t must be an int"):
        npo.SGD().t = t


HYPER = [
    ({"lr": -1}, ValueError, r"lr must be a float in the range \[0, inf\). Got -1 instead."),
    ({"lr": float("nan")}, ValueError, "lr must be"),
    ({"lr": float("inf")}, ValueError, "lr must be"),
    ({"lr": "0.1"}, TypeError, "lr must be"),
    ({"lr": None}, TypeError, "lr must be"),
    ({"lr": True}, TypeError, "lr must be"),
    ({"lr": np.array([0.1, 0.2])}, TypeError, "lr must be"),
    ({"betas": (1.0, 0.9)}, ValueError, r"betas\[0\] must be a float in the range \[0, 1\)"),
    ({"betas": (0.9, 1.5)}, ValueError, r"betas\[1\]"),
    ({"betas": (float("nan"), 0.9)}, ValueError, r"betas\[0\]"),
    ({"betas": 0.9}, TypeError, "tuple of 2 floats"),
    ({"betas": (0.9, 0.9, 0.9)}, ValueError, "tuple of 2 floats"),
    ({"eps": -1e-8}, ValueError, "eps"),
    ({"eps": float("nan")}, ValueError, "eps"),
    ({"weight_decay": -0.1}, ValueError, "weight_decay"),
    ({"learning_rate": 0.1}, TypeError, "Did you mean 'lr'"),
    ({"weigth_decay": 0.1}, TypeError, "Did you mean 'weight_decay'"),
    ({"amsgrad": True}, TypeError, "It has: lr, betas, eps, weight_decay"),
]


@pytest.mark.parametrize(("hyper", "error", "words"), HYPER)
def test_hyper_parameters_are_checked(hyper, error, words):
    with pytest.raises(error, match=words):
        npo.AdamW(**hyper)
    opt = npo.AdamW()
    ((name, value),) = hyper.items()
    kind = error if name in ("lr", "betas", "eps", "weight_decay") else AttributeError
    with pytest.raises(kind, match=words):
        setattr(opt, name, value)
    assert opt == npo.AdamW()


@pytest.mark.parametrize("momentum", [-0.1, 1.0, 1.5])
def test_momentum_is_below_one(momentum):
    for rule in (npo.Momentum, npo.Nesterov, npo.LARS):
        with pytest.raises(ValueError, match=r"momentum must be a float in the range \[0, 1\)"):
            rule(momentum=momentum)


@every_rule
def test_lr_zero_is_a_frozen_group(rule):
    p = P.copy()
    rule(lr=0).step(p, G)
    assert same(p, P)


def test_numbers_become_plain_floats():
    opt = npo.AdamW(lr=np.float32(0.5), betas=[0, np.float64(0.5)], eps=1)
    assert repr(opt) == "AdamW(lr=0.5, betas=(0.0, 0.5), eps=1.0, weight_decay=0.01)"
    p = np.ones(2, np.float32)
    opt.step(p, np.ones(2, np.float32))
    assert p.dtype == np.float32


@every_rule
def test_state_dict_is_a_copy_and_comes_back(rule):
    params = tree(np.random.default_rng(6))
    grads = tree(np.random.default_rng(7))
    opt = rule()
    opt.step(params, grads)
    saved = opt.state_dict()
    kept = copy.deepcopy(saved)
    opt.step(params, grads)
    assert same(saved["state"], kept["state"])
    for slots in saved["state"].values():
        for x in slots.values():
            x[...] = 0
    other = rule()
    other.load_state_dict(kept)
    assert same(other.state_dict(), kept)
    assert (other.t, other.state_nbytes) == (1, opt.state_nbytes)


def spoiled(state, path, value):
    state = copy.deepcopy(state)
    *keys, last = path
    place = state
    for key in keys:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return state


SPOILED = [
    (("optimizer",), "SGD", "the state is of SGD, this optimizer is Adam."),
    (("optimizer",), ..., "not the state of an optimizer: missing ['optimizer']."),
    (("more",), 1, "not the state of an optimizer: unexpected ['more']."),
    (("t",), -1, "t in the state must be an int in the range [0, inf). Got -1 instead."),
    (("t",), 1.0, "t in the state must be an int in the range [0, inf). Got 1.0 instead."),
    (("t",), True, "t in the state must be an int in the range [0, inf). Got True instead."),
    (("state", "W"), ..., "the state must have the names of its layout: missing ['W']."),
    (("state", "V"), {}, "the state must have the names of its layout: unexpected ['V']."),
    (("layout", "W"), ..., "the state is of other parameters: missing ['W']."),
    (("layout", "W"), ((5, 7), "<f8"), "parameter 'W' has shape (7, 5), the state is of (5, 7)."),
    (("layout", "W"), "nonsense", "layout of 'W' must be (shape, dtype). Got 'nonsense'."),
    (("layout", "W"), ((7, -5), "<f8"), "layout of 'W' must be of a floating dtype. Got ((7, -5), '<f8')."),
    (("layout", "W"), ((7, 5), "<i8"), "layout of 'W' must be of a floating dtype. Got ((7, 5), '<i8')."),
    (("state", "W", "v"), ..., "state of 'W' in Adam: missing ['v']."),
    (("state", "W", "u"), P, "state of 'W' in Adam: unexpected ['u']."),
    (("state", "W", "v"), P, "state 'v' of 'W' must have shape (7, 5). Got (3,) instead."),
    (("state", "W", "v"), [1.0], "state 'v' of 'W' must be a numpy.ndarray. Got list; use np.array(…)."),
    (("state", "W", "v"), np.ones((7, 5), int), "state 'v' of 'W' must be of dtype float64. Got int64 instead."),
    (("state", "W", "v"), np.full((7, 5), np.nan), "state 'v' of 'W' is nan at index (0, 0); nothing was changed."),
    (("state", "W"), 3, "state of 'W' must be a dict slot -> array."),
    (("state",), 3, "state in the state must be a dict by name of parameter."),
    (("layout",), [], "layout in the state must be a dict by name of parameter."),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "words"), SPOILED)
def test_a_spoiled_state_changes_nothing(path, value, words):
    params, grads = tree(np.random.default_rng(8)), tree(np.random.default_rng(9))
    opt = npo.Adam()
    opt.step(params, grads)
    before = everything(params, opt)
    with pytest.raises((TypeError, ValueError)) as error:
        opt.load_state_dict(spoiled(opt.state_dict(), path, value))
    assert str(error.value) == words
    assert same(everything(params, opt), before)


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        ({}, "not the state of an optimizer: missing ['layout', 'optimizer', 'state', 't']."),
        (None, "a state must be a dict. Got NoneType instead."),
        (3, "a state must be a dict. Got int instead."),
    ],
)
def test_what_is_no_state(thing, words):
    with pytest.raises((TypeError, ValueError)) as error:
        npo.Adam().load_state_dict(thing)
    assert str(error.value) == words


@pytest.mark.parametrize("value", [1e300, 1e-300])
def test_state_beyond_the_range_of_a_dtype(value):
    p, opt = np.ones(3, np.float32), npo.Momentum()
    opt.step(p, p)
    saved = opt.state_dict()
    saved["state"]["p"]["v"] = np.full(3, value)
    words = "^state 'v' of 'p' is float64 and cannot be held exactly in float32.$"
    with np.errstate(all="raise"), pytest.raises(ValueError, match=words):
        opt.load_state_dict(saved)


def test_a_state_of_step_0_asks_for_the_rule_at_step_1():
    opt = npo.Momentum(lr=lambda t: [0.1][t - 1])
    opt.step(P.copy(), G)
    opt.t = 0
    opt.load_state_dict(opt.state_dict())
    assert opt.t == 0


def test_the_order_of_parameters_does_not_matter():
    params, grads = tree(np.random.default_rng(10)), tree(np.random.default_rng(11))
    opt = npo.Adam()
    opt.step(params, grads)
    saved = opt.state_dict()
    saved["state"] = dict(reversed(saved["state"].items()))
    other, copies = npo.Adam(), copy.deepcopy(dict(reversed(params.items())))
    other.load_state_dict(saved)
    other.step(copies, grads)
    opt.step(params, grads)
    assert same(dict(sorted(copies.items())), dict(sorted(params.items())))


def test_state_of_another_dtype_only_when_exact():
    p = np.ones(3, np.float32)
    low, high = npo.Momentum(), npo.Momentum()
    low.step(p, np.full(3, 0.1, np.float32))
    high.step(np.ones(3), np.full(3, 0.1))
    exact = low.state_dict()
    lossy = high.state_dict()
    high.load_state_dict(exact)
    assert high.state["p"]["v"].dtype == np.float64
    with pytest.raises(ValueError, match="exactly in float32"):
        low.load_state_dict(lossy)


def test_a_step_over_32_mib_equals_the_small_one(monkeypatch):
    for rule in RULES:
        rng = np.random.default_rng(12)
        start = {
            "W": rng.normal(size=(210, 130)),
            "F": np.asfortranarray(rng.normal(size=(90, 110))),
            "b": rng.normal(size=5),
        }
        results = []
        for limit in (driver.ATOMIC, 0):
            monkeypatch.setattr(driver, "ATOMIC", limit)
            opt, params = rule(), {k: v.copy(order="K") for k, v in start.items()}
            for t in range(3):
                opt.step(params, {k: np.cos(t + v) for k, v in start.items()})
            results.append((params, opt.state, opt.t))
        assert same(*results), rule


def test_a_loaded_state_of_another_layout_is_written_in_large_steps(monkeypatch):
    monkeypatch.setattr(driver, "ATOMIC", 0)
    start = np.asfortranarray(np.random.default_rng(13).normal(size=(200, 100)))
    one, p = npo.Adam(), start.copy(order="K")
    one.step(p, start)
    two, q = npo.Adam(), p.copy(order="K")
    saved = one.state_dict()
    saved["state"]["p"] = {k: np.ascontiguousarray(v) for k, v in saved["state"]["p"].items()}
    two.load_state_dict(saved)
    for _ in range(2):
        one.step(p, start)
        two.step(q, start)
    assert same(p, q)


def test_a_large_step_that_fails_half_way_says_so_and_stops(monkeypatch):
    monkeypatch.setattr(driver, "ATOMIC", 0)
    opt = npo.Adam()
    params = {"a": np.ones(3), "b": np.ones(3)}
    with pytest.raises(npo.NonFiniteError) as caught:
        opt.step(params, {"a": np.ones(3), "b": np.full(3, 1e200)})
    assert "'b' may be half-written" in caught.value.__notes__[0]
    with pytest.raises(RuntimeError, match="Load parameters"):
        opt.step(params, {"a": G, "b": G})
    good = npo.Adam()
    good.step(params, {"a": G, "b": G})
    opt.load_state_dict(good.state_dict())
    opt.step(params, {"a": G, "b": G})
    assert opt.t == 2


def test_a_large_step_that_fails_before_writing_can_be_repeated(monkeypatch):
    monkeypatch.setattr(driver, "ATOMIC", 0)
    for size in (3, 30_000):
        opt, p = npo.Adam(), np.ones(size)
        with pytest.raises(npo.NonFiniteError):
            opt.step(p, np.full(size, 1e200))
        assert (p == 1).all()
        opt.step(p, np.ones(size))
        assert opt.t == 1


def test_ctrl_c_waits_for_the_end_of_a_large_step(monkeypatch):
    monkeypatch.setattr(driver, "ATOMIC", 0)

    class Interrupted(npo.SGD):
        def update(self, p, g, t):
            signal.raise_signal(signal.SIGINT)
            return super().update(p, g, t)

    params = {"a": np.ones(2), "b": np.ones(2)}
    opt = Interrupted(lr=1)
    with pytest.raises(KeyboardInterrupt):
        opt.step(params, {"a": np.ones(2), "b": np.ones(2)})
    assert same(params, {"a": np.zeros(2), "b": np.zeros(2)})
    assert opt.t == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_large_steps_in_other_threads(monkeypatch):
    monkeypatch.setattr(driver, "ATOMIC", 0)
    p, opt = np.ones(2), npo.SGD(lr=1)
    thread = threading.Thread(target=opt.step, args=(p, np.ones(2)))
    thread.start()
    thread.join()
    assert same(p, np.zeros(2))


def test_ctrl_c_in_a_small_step_changes_nothing():
    class Interrupted(npo.SGD):
        def update(self, p, g, t):
            if p[0] == 2:
                raise KeyboardInterrupt
            return super().update(p, g, t)

    params = {"a": np.ones(2), "b": np.full(2, 2.0)}
    opt = Interrupted(lr=1)
    with pytest.raises(KeyboardInterrupt):
        opt.step(params, {"a": np.ones(2), "b": np.ones(2)})
    assert same(params, {"a": np.ones(2), "b": np.full(2, 2.0)})
    assert opt.t == 0


@every_rule
def test_copies_go_their_own_way(rule):
    opt, p = rule(), P.copy()
    opt.step(p, G)
    for other in (copy.deepcopy(opt), pickle.loads(pickle.dumps(opt))):
        q = p.copy()
        other.step(q, G)
        assert (opt.t, other.t) == (1, 2)
        assert other == opt
    assert opt.fresh().t == 0
    assert opt.t == 1


@pytest.mark.parametrize(
    ("made", "dtype", "words"),
    [
        (lambda p, v: (np.outer(p, p), v), "f8", "returned 'p' as float64[3, 3]; it must stay float64[3]."),
        (lambda p, v: (p.astype("f8"), v), "f4", "returned 'p' as float64[3]; it must stay float32[3]."),
        (lambda p, v: ([1.0], v), "f8", "returned 'p' as list; it must stay float64[3]."),
        (lambda p, v: (p, v[:2]), "f8", "returned state 'v' as float64[2]; it must stay float64[3]."),
        (lambda p, v: (p, v.astype("f4")), "f8", "returned state 'v' as float32[3]; it must stay float64[3]."),
        (lambda p, v: (p, 3), "f8", "must return p and a dict of the state. Got tuple instead."),
        (lambda p, v: (p, {}), "f8", "must return the state it was given: missing ['v']."),
        (lambda p, v: (p, {"v": v, "w": v}), "f8", "must return the state it was given: unexpected ['w']."),
    ],
)  # fmt: skip
def test_a_rule_that_breaks_its_word_is_told(made, dtype, words):
    class Breaks(npo.Momentum):
        def update(self, p, g, t, v):
            p, v = made(p, v)
            return p, {"v": v} if isinstance(v, np.ndarray) else v

    p, opt = np.ones(3, dtype), Breaks()
    with pytest.raises((TypeError, ValueError)) as error:
        opt.step(p, np.ones(3, dtype))
    assert str(error.value) == f"Breaks.update {words}"
    assert (opt.t, opt.state, p.tolist()) == (0, {}, [1, 1, 1])


def test_a_result_that_float16_cannot_hold():
    p, opt = np.full(2, 6e4, "f2"), npo.SGD(lr=1e4)
    with pytest.raises(npo.NonFiniteError, match=r"^'p' after the step is inf at index \(1,\) as float16; nothing was changed"):  # fmt: skip
        opt.step(p, np.array([0, -1], "f2"))
    assert (p == np.float16(6e4)).all()


@pytest.mark.parametrize(
    ("eps", "size", "what"),
    [(0, 0, "'p' after the step is nan"), (1e-8, 1e200, "state 'v' of 'p' after the step is inf")],
)
def test_an_error_of_a_result_says_what_may_help(eps, size, what):
    with pytest.raises(npo.NonFiniteError) as error:
        npo.Adam(eps=eps).step(P.copy(), np.full(3, size))
    remedy = "the gradient or lr is too large, or eps too small; nothing was changed."
    assert str(error.value) == f"{what} at index (0,): {remedy}"


def test_new_memory_is_kept_and_not_copied():
    made = []

    class Watched(npo.Momentum):
        def update(self, p, g, t, v):
            p, state = super().update(p, g, t, v)
            made.append(state["v"])
            return p, state

    opt = Watched()
    for p in (np.ones(3), np.ones(3)):  # the second is not that of the last step
        opt.step(p, np.ones(3))
        assert opt.state["p"]["v"] is made[-1]


LARGE = {
    "C": np.ones((200, 500)),
    "F": np.ones((200, 500), order="F"),
    "one axis": np.ones(100_000),
    "gaps": np.ones((200, 1000))[:, ::2],
}


@pytest.mark.parametrize(
    ("rule", "layout"),
    [(npo.SGD, k) for k in LARGE] + [(npo.Momentum, k) for k in LARGE if k != "gaps"],
)
def test_a_large_step_copies_nothing(rule, layout, monkeypatch):
    monkeypatch.setattr(driver, "ATOMIC", 0)
    p, g, opt = LARGE[layout], LARGE[layout] + 0, rule()
    opt.step(p, g)
    tracemalloc.start()
    try:
        opt.step(p, g)
        assert tracemalloc.get_traced_memory()[1] < p.nbytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f8"])
@pytest.mark.parametrize("other", ["f4", "f8", "i2"])
def test_only_what_is_of_another_dtype_is_copied(dtype, other):
    p, g = np.ones(2, dtype), np.ones(2, other)
    q, h, slots = advance.ready(npo.Momentum(), "p", p, g, None)
    native = {"f2": "f4", ">f8": "f8"}.get(dtype, dtype)
    assert q.dtype == h.dtype == slots["v"].dtype == native
    assert (q is p) == (native == dtype)
    assert (h is g) == (native == other)


@pytest.mark.parametrize("less", [0, 1])
def test_the_limit_is_on_all_parameters_and_state(less, monkeypatch):
    params = {"a": np.ones(3), "b": np.ones((2, 2), "f4"), "c": np.ones(1)}
    opt, large = npo.Adam(), []
    monkeypatch.setattr(driver, "ATOMIC", 3 * (24 + 16 + 8) - less)
    monkeypatch.setattr(opt.__class__, "_step_one_by_one", lambda *given: large.append(given))
    opt.step(params, params)
    assert len(large) == less


@pytest.mark.parametrize(("first", "done", "others"), [("a", "none", "'b'"), ("b", "['a']", "'c'")])
def test_what_is_half_written_is_said_in_full(first, done, others, monkeypatch):
    monkeypatch.setattr(driver, "ATOMIC", 0)
    opt = npo.Adam()
    params = {k: np.ones(30_000) for k in "abc"}
    opt.step(params, params)
    grads = {k: np.ones(30_000) for k in "abc"}
    grads[first][-1] = 1e200  # in the last block
    with pytest.raises(npo.NonFiniteError) as error:
        opt.step(params, grads)
    note = (
        f"step 2 failed at parameter '{first}' after writing had begun: {done} are at step 2, "
        f"'{first}' may be half-written, the others are at step 1. "
        "Load parameters and a state to go on."
    )
    assert error.value.__notes__ == [note]
    assert str(error.value).startswith(f"state 'v' of '{first}' after the step is inf at index (")
    with pytest.raises(RuntimeError) as again:
        opt.step(params, params)
    assert str(again.value) == note


@pytest.mark.parametrize(
    ("rule", "size", "end"),
    [(npo.Adam(), 1e30, "or eps too small."), (npo.SGD(lr=1.0), 1e5, "as float16.")],
)
def test_what_fails_after_another_was_written_owns_up_to_it(rule, size, end, monkeypatch):
    """A memory that overflows in the second block, or a parameter that float16 cannot hold."""
    monkeypatch.setattr(driver, "ATOMIC", 0)
    opt, params = rule.fresh(), {"a": np.ones(2), "b": np.ones(30_000, "f2")}
    g = np.zeros(30_000, "f4")
    g[-1] = size
    with pytest.raises(npo.NonFiniteError, match=r"'b' after the step is -?inf") as error:
        opt.step(params, {"a": np.ones(2), "b": g})
    assert str(error.value).endswith(end)  # and not with "nothing was changed"
    assert "['a'] are at step 1" in error.value.__notes__[0]


@pytest.mark.parametrize("layout", ["C", "F", "gaps"])
@pytest.mark.parametrize("atomic", [driver.ATOMIC, 0])
def test_an_index_is_that_of_the_whole_array(layout, atomic, monkeypatch):
    monkeypatch.setattr(driver, "ATOMIC", atomic)
    p = np.zeros((300, 200))[:, ::2] if layout == "gaps" else np.zeros((300, 100), order=layout)
    for index in ((0, 1), (299, 98), (250, 0)):
        g = np.zeros((300, 100))
        g[index] = 1e200
        with pytest.raises(npo.NonFiniteError, match=r"state 'v' of 'p' .* is inf") as error:
            npo.Adam().step(p, g)
        assert f" at index {index}" in str(error.value)
        p[...], g[index] = 0, 1e300
        with pytest.raises(npo.NonFiniteError, match="'p' after the step is -inf") as error:
            npo.SGD(lr=1e10).step(p, g)
        assert f" at index {index}" in str(error.value)
        p[...] = 0


def test_errors_of_large_steps_name_rule_and_parameter(monkeypatch):
    monkeypatch.setattr(driver, "ATOMIC", 0)

    class Single(npo.SGD):
        def update(self, p, g, t):
            return (p - g).astype("f4"), {}

    n = blocks.BLOCK // 8
    for size, shape in ((2, 2), (30_000, n)):
        with pytest.raises(TypeError) as error:
            Single().step({"a": np.ones(size)}, {"a": np.ones(size)})
        assert str(error.value) == f"Single.update returned 'a' as float32[{shape}]; it must stay float64[{shape}]."  # fmt: skip
    with pytest.raises(npo.NonFiniteError, match=r"^'a' after the step is -inf at index \(0,\)"):
        npo.SGD(lr=1e300).step({"a": np.ones(2)}, {"a": np.full(2, 1e300)})
    with pytest.raises(npo.NonFiniteError, match=r"^'a' after the step is -inf .* as float16"):
        npo.SGD(lr=1e5).step({"a": np.ones(2, "f2")}, {"a": np.ones(2)})


def test_large_float16_steps(monkeypatch):
    p, q = np.ones(50_000, "f2"), np.ones(50_000, "f2")
    g = np.linspace(-1, 1, p.size)
    npo.SGD(lr=0.37).step(p, g)
    monkeypatch.setattr(driver, "ATOMIC", 0)
    npo.SGD(lr=0.37).step(q, g)
    assert same(p, q)


def test_other_arrays_at_a_later_step_are_checked_again():
    opt, x = npo.SGD(), np.ones(6)
    opt.step({"a": np.ones(4), "b": np.ones(4)}, {"a": np.ones(4), "b": np.ones(4)})
    with pytest.raises(ValueError, match="share memory"):
        opt.step({"a": x[:4], "b": x[2:]}, {"a": np.ones(4), "b": np.ones(4)})
    assert opt.t == 1


@every_rule
def test_a_memory_says_whose_it_is(rule):
    opt, p = rule(), np.ones((2, 3), ">f4")
    opt.step(p, np.ones((2, 3)))
    saved = opt.state_dict()
    assert list(saved) == ["optimizer", "t", "layout", "state"]
    assert (saved["optimizer"], saved["t"]) == (rule.__name__, 1)
    assert saved["layout"] == {"p": ((2, 3), ">f4")}


def test_a_class_without_update_cannot_be_made():
    class Nothing(npo.Optimizer):
        pass

    with pytest.raises(TypeError, match="update"):
        Nothing()
