"""Clipping and accumulating gradients; averaging weights."""

import math
import re

import numpy as np
import pytest

from npoptim import NonFiniteError, clip_by_global_norm, clip_by_value, models
from npoptim.gradients import EMA, accumulate

# ---------------------------------------------------------------- clipping


def frozen(**grads):
    for g in grads.values():
        g.setflags(write=False)
    return grads


def test_clipping_by_norm_keeps_the_direction():
    grads = frozen(W=np.array([[3.0, 0.0]]), b=np.array([-4.0]))
    clipped, norm = clip_by_global_norm(grads, 2.5)
    assert norm == 5
    assert {k: g.tolist() for k, g in clipped.items()} == {"W": [[1.5, 0.0]], "b": [-2.0]}


def test_gradients_short_enough_are_returned_as_they_are():
    grads = frozen(W=np.array([3.0]), b=np.array([-4.0]))
    for limit in (5, 6.0, math.inf):
        clipped, norm = clip_by_global_norm(grads, limit)
        assert norm == 5
        assert all(clipped[name] is g for name, g in grads.items())


def test_one_array_comes_back_as_one_array():
    clipped, norm = clip_by_global_norm(np.array([3.0, 4.0]), 1)
    assert norm == 5
    np.testing.assert_allclose(clipped, [0.6, 0.8], rtol=1e-15)
    assert clip_by_value(np.array([3.0, 4.0]), 3.5).tolist() == [3.0, 3.5]


@pytest.mark.parametrize(
    "clip", [lambda g: clip_by_global_norm(g, 0.5)[0], lambda g: clip_by_value(g, 0.5)]
)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_clipping_keeps_dtype_and_shape(clip, dtype):
    grads = {
        "scalar": np.array(2.0, dtype),
        "none": np.zeros((0, 3), dtype),
        "W": np.ones((2, 2), dtype),
    }
    for name, g in clip(grads).items():
        assert type(g) is np.ndarray
        assert (g.shape, g.dtype) == (grads[name].shape, dtype)


@pytest.mark.parametrize(
    ("size", "dtype"),
    [
        (1e30, np.float32),
        (1e-30, np.float32),
        (1e200, np.float64),
        (1e-200, np.float64),
        (6e4, np.float16),
    ],
)
def test_no_square_overflows_or_vanishes(size, dtype):
    grads = {"W": np.full(4, size, dtype)}
    size = float(grads["W"][0])
    clipped, norm = clip_by_global_norm(grads, size / 2)
    assert norm == pytest.approx(2 * size, rel=1e-6)
    np.testing.assert_allclose(clipped["W"].astype(np.float64), size / 4, rtol=1e-3)


def test_a_length_beyond_every_float_is_clipped_too():
    clipped, norm = clip_by_global_norm({"W": np.full(4, 1e308)}, 1.0)
    assert norm == math.inf
    np.testing.assert_allclose(clipped["W"], 0.5, rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_length_is_added_up_in_float64(dtype):
    ones = np.ones(5001 if dtype is np.float16 else 2**24 + 1, dtype)
    assert clip_by_global_norm(ones, 1e9)[1] == math.sqrt(ones.size)


def test_zero_gradients_have_norm_zero():
    for limit in (0, 1.0):
        clipped, norm = clip_by_global_norm({"W": np.zeros(3), "b": np.zeros(0)}, limit)
        assert norm == 0
        assert not clipped["W"].any()
    assert clip_by_global_norm({}, 1.0) == ({}, 0.0)


def test_a_limit_of_zero_gives_zeros():
    clipped, norm = clip_by_global_norm({"W": np.array([3.0, -4.0])}, 0)
    assert norm == 5
    assert not clipped["W"].any()
    assert not clip_by_value(np.array([3.0, -4.0]), 0).any()


@pytest.mark.parametrize("limit", [-1, -1e-300, math.nan, -math.inf, "1", None, True, np.ones(2)])
@pytest.mark.parametrize("clip", [clip_by_global_norm, clip_by_value])
def test_a_limit_that_would_turn_gradients_round_is_refused(clip, limit):
    name = "max_norm" if clip is clip_by_global_norm else "limit"
    sentence = re.escape(f"{name} must be a float in the range [0, inf]. Got ")
    with pytest.raises((TypeError, ValueError), match=sentence):
        clip({"W": np.ones(2)}, limit)


@pytest.mark.parametrize("clip", [clip_by_global_norm, clip_by_value])
@pytest.mark.parametrize(
    ("grads", "sentence"),
    [
        (
            [np.ones(2)],
            "grads must be a dict name -> array, or one array. Got list instead: name the",
        ),
        ((np.ones(2),), "Got tuple instead: name the parameters in a dict."),
        ({"W": [1.0, 2.0]}, "gradient of 'W' must be a numpy.ndarray. Got list"),
        ({"W": None}, "gradient of 'W' must be a numpy.ndarray. Got None."),
        (
            {"W": np.ones(2) * 1j},
            "gradient of 'W' must be of a real dtype. Got complex128 instead.",
        ),
    ],
)
def test_other_gradients_are_refused(clip, grads, sentence):
    with pytest.raises(TypeError, match=re.escape(sentence)):
        clip(grads, 1.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_gradient_without_length_is_refused_by_name_or_passed_on(bad):
    grads = {"W": np.ones(2), "b": np.array([1.0, bad])}
    with pytest.raises(NonFiniteError, match="gradient of 'b' holds a NaN or an infinity"):
        clip_by_global_norm(grads, 1.0)
    same, norm = clip_by_global_norm(grads, 1.0, error_if_nonfinite=False)
    assert same is grads
    assert repr(norm) == repr(abs(bad))


def test_nan_goes_before_infinity_in_the_norm():
    grads = {"W": np.array([math.inf]), "b": np.array([math.nan])}
    assert math.isnan(clip_by_global_norm(grads, 1.0, error_if_nonfinite=False)[1])


def test_clipping_by_value_bounds_each_element_and_keeps_nan():
    grads = frozen(W=np.array([-3.0, 0.5, math.inf, math.nan]))
    assert repr(clip_by_value(grads, 1.0)["W"].tolist()) == "[-1.0, 0.5, 1.0, nan]"


# ---------------------------------------------------------------- accumulation


MODEL = models.MLP([4, 6, 3])
PARAMS = MODEL.init(np.random.default_rng(0))
X, Y = np.random.default_rng(1).standard_normal((32, 4)), np.arange(32) % 3


def pieces(x, y, *cuts):
    return zip(np.split(x, cuts), np.split(y, cuts), strict=True)


@pytest.mark.parametrize("cuts", [(), (16,), (1, 2, 30), (0, 8, 8)])
def test_pieces_of_any_size_add_up_to_the_batch(cuts):
    loss, grads = MODEL.loss_and_grads(PARAMS, X, Y)
    summed, sums = accumulate(MODEL, PARAMS, pieces(X, Y, *cuts))
    assert summed == pytest.approx(loss, rel=1e-14)
    for name, g in grads.items():
        np.testing.assert_allclose(sums[name], g, rtol=1e-11, atol=1e-15)


def test_pieces_weigh_by_their_targets_where_there_is_padding():
    model = models.Transformer(5, 4, 4, 1, 4)
    params, rng = model.init(np.random.default_rng(0)), np.random.default_rng(1)
    x, y = rng.integers(0, 5, (6, 4)), rng.integers(0, 5, (6, 4))
    y[0, 1:], y[5] = -1, -1
    loss, grads = model.loss_and_grads(params, x, y)
    summed, sums = accumulate(model, params, pieces(x, y, 1, 5))
    assert summed == pytest.approx(loss, rel=1e-14)
    for name, g in grads.items():
        np.testing.assert_allclose(sums[name], g, rtol=1e-11, atol=1e-15)


def test_a_penalty_is_not_counted_twice():
    model = models.Ridge(3, penalty=2.0)
    params, rng = model.init(np.random.default_rng(0)), np.random.default_rng(1)
    x, y = rng.standard_normal((5, 3)), rng.standard_normal(5)
    loss, grads = model.loss_and_grads(params, x, y)
    summed, sums = accumulate(model, params, pieces(x, y, 2))
    assert summed == pytest.approx(loss, rel=1e-14)
    np.testing.assert_allclose(sums["0.W"], grads["0.W"], rtol=1e-13)


def test_accumulation_keeps_float32():
    params = {name: p.astype(np.float32) for name, p in PARAMS.items()}
    _, sums = accumulate(MODEL, params, pieces(X, Y, 8))
    assert {g.dtype for g in sums.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("batches", [[], [(X[:0], Y[:0])]])
def test_nothing_has_no_mean(batches):
    with pytest.raises(ValueError, match=r"^batches must hold at least one target\. Got none\.$"):
        accumulate(MODEL, PARAMS, batches)


# ---------------------------------------------------------------- averaging


def test_the_average_is_the_sum_of_fading_weights():
    ema, rng = EMA(decay=0.75), np.random.default_rng(0)
    seen = [
        {"W": rng.standard_normal((2, 3)), "s": np.array(rng.standard_normal())} for _ in range(6)
    ]
    for params in seen:
        ema.update(params)
    weights = [0.75**5] + [0.25 * 0.75 ** (5 - i) for i in range(1, 6)]
    assert sum(weights) == pytest.approx(1)
    for name in ("W", "s"):
        expected = sum(w * p[name] for w, p in zip(weights, seen, strict=True))
        np.testing.assert_allclose(ema.params[name], expected, rtol=1e-13)
        assert type(ema.params[name]) is np.ndarray
    assert ema.t == 6


def test_without_decay_it_is_the_last():
    ema = EMA(decay=0)
    for value in (1.0, 5.0):
        ema.update({"W": np.array([value])})
    assert ema.params["W"].tolist() == [5.0]


def test_averages_are_copies_both_ways():
    p = {"W": np.ones(2)}
    ema = EMA()
    ema.update(p)
    p["W"][:] = 7
    ema.params["W"][:] = 8
    ema.state_dict()["params"]["W"][:] = 9
    assert ema.params["W"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [(np.float16, np.float32), (np.float32, np.float32), (np.float64, np.float64)],
)
def test_averages_are_kept_in_float32_at_least(dtype, kept):
    ema = EMA()
    for _ in range(2):
        ema.update({"W": np.ones(2, dtype)})
    assert ema.params["W"].dtype == kept


def test_a_restored_average_goes_on_bit_for_bit():
    rng = np.random.default_rng(0)
    seen = [{"W": rng.standard_normal(5)} for _ in range(8)]
    whole, first = EMA(0.9), EMA(0.9)
    for p in seen:
        whole.update(p)
    for p in seen[:4]:
        first.update(p)
    second = EMA(0.9)
    second.load_state_dict(first.state_dict())
    for p in seen[4:]:
        second.update(p)
    assert np.array_equal(whole.params["W"], second.params["W"])
    assert second.t == 8


def test_an_empty_average_can_be_saved_and_restored():
    ema = EMA()
    ema.load_state_dict(EMA().state_dict())
    assert (ema.t, ema.params) == (0, {})


FIRST = "params must have the names of the first update"
GOOD = {"decay": 0.9, "t": 1, "params": {"W": np.zeros(2)}}


@pytest.mark.parametrize(
    ("saved", "sentence"),
    [
        ({}, "the state of an EMA: missing ['decay', 'params', 't']."),
        ({**GOOD, "decay": 0.5}, "the state has decay 0.5, the EMA 0.9."),
        ({**GOOD, "t": -1}, "t must be the number of updates behind the averages. Got -1."),
        ({**GOOD, "t": 0}, "t must be the number of updates behind the averages. Got 0."),
        ({**GOOD, "t": 1.5}, "t must be the number of updates behind the averages. Got 1.5."),
        ({**GOOD, "t": True}, "t must be the number of updates behind the averages. Got True."),
        ({**GOOD, "params": {}}, "t must be the number of updates behind the averages. Got 1."),
        ({**GOOD, "params": [1]}, "params must be a dict name -> array, or one array. Got list"),
        ({**GOOD, "params": {"V": np.zeros(2)}}, f"{FIRST}: missing ['W'], unexpected ['V']."),
        (
            {**GOOD, "params": {"W": np.zeros(3)}},
            "parameter 'W' must have the shape of the first update, (2,). Got (3,)",
        ),
        ({**GOOD, "params": {"W": [0.0, 0.0]}}, "average 'W' must be a numpy.ndarray. Got list"),
    ],
)
def test_another_state_is_refused_whole(saved, sentence):
    ema = EMA(0.9)
    ema.update({"W": np.ones(2)})
    with pytest.raises((TypeError, ValueError), match="^" + re.escape(sentence)):
        ema.load_state_dict(saved)
    assert ema.t == 1
    assert ema.params["W"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"V": np.ones(2)}, f"{FIRST}: missing ['W'], unexpected ['V']."),
        (
            {"W": np.ones(3)},
            "parameter 'W' must have the shape of the first update, (2,). Got (3,)",
        ),
        ({"W": np.array([1.0, math.nan])}, "parameter 'W' is nan at index (1,)"),
        ({"W": [1.0, 2.0]}, "parameter 'W' must be a numpy.ndarray. Got list"),
    ],
)
def test_other_parameters_are_refused_whole(params, sentence):
    ema = EMA(0.9)
    ema.update({"W": np.ones(2)})
    with pytest.raises((TypeError, ValueError), match="^" + re.escape(sentence)):
        ema.update(params)
    assert ema.t == 1
    assert ema.params["W"].tolist() == [1, 1]


@pytest.mark.parametrize("decay", [1, 1.0, -0.1, math.nan, "0.9", None])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(
        (TypeError, ValueError), match=re.escape("decay must be a float in the range [0, 1)")
    ):
        EMA(decay)


def test_an_average_says_what_it_is():
    assert repr(EMA(0.99)) == "EMA(decay=0.99)"


@pytest.mark.parametrize("dtype", ["i1", "i8"])
def test_the_least_integer_has_a_length(dtype):
    least = np.iinfo(dtype).min
    clipped, norm = clip_by_global_norm(np.array([least], dtype), 1.0)
    assert norm == -float(least)
    assert clipped.tolist() == [-1.0]
