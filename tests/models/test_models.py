"""What every model promises, and what each refuses."""

import dataclasses
import re

import numpy as np
import pytest

from npoptim import models
from npoptim.models import layers


def test_gradients_have_the_names_and_shapes_of_the_parameters(case):
    model, params, x, y = case
    loss, grads = model.loss_and_grads(params, x, y)
    assert type(loss) is float
    assert {k: g.shape for k, g in grads.items()} == model.shapes
    assert list(grads) == list(params)
    assert all(type(g) is np.ndarray for g in grads.values())


def test_loss_alone_is_the_loss_with_gradients(case):
    model, params, x, y = case
    assert model.loss(params, x, y) == model.loss_and_grads(params, x, y)[0]


def test_nothing_given_is_changed(case):
    model, params, x, y = case
    for a in (*params.values(), x, y):
        a.setflags(write=False)
    model.loss_and_grads(params, x, y)
    model.predict(params, x)
    for a in (x, y):
        a.setflags(write=True)


def test_init_is_the_generator_s_alone_and_rounds_to_float32(case):
    model = case[0]
    a = model.init(np.random.default_rng(3))
    b = model.init(np.random.default_rng(3), np.float32)
    c = model.init(np.random.default_rng(4))
    assert list(a) == list(model.shapes)
    assert all(p.dtype == np.float64 for p in a.values())
    assert all(np.array_equal(a[k].astype(np.float32), b[k]) for k in a)
    assert any(not np.array_equal(a[k], c[k]) for k in a)
    assert all(not p.any() for k, p in a.items() if k.endswith(".b"))


def test_every_bias_matches_one_pattern(case):
    model = case[0]
    vectors = [k for k, shape in model.shapes.items() if len(shape) == 1 and k != "0.W"]
    assert all(k.endswith((".b", ".gain")) for k in vectors)


def test_gradients_descend(case):
    model, params, x, y = case
    loss, grads = model.loss_and_grads(params, x, y)
    down = {k: p - 1e-3 * grads[k] for k, p in params.items()}
    assert model.loss(down, x, y) < loss


def test_models_are_frozen_equal_by_value_and_say_what_they_are(case):
    model = case[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.task = "x"
    again = eval(repr(model), vars(models))
    assert again == model
    assert hash(again) == hash(model)


def test_count_is_the_number_of_terms_of_the_mean(case):
    model, params, x, y = case
    one = model.loss_and_grads(params, x[:1], y[:1])[0]
    rest = model.loss_and_grads(params, x[1:], y[1:])[0]
    n, m = model.count(y[:1]), model.count(y[1:])
    assert model.loss(params, x, y) == pytest.approx((n * one + m * rest) / (n + m), rel=1e-12)


# ---------------------------------------------------------------- what single models promise


def test_mlp_without_hidden_layer_is_softmax_regression():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((9, 5)), rng.integers(0, 4, 9)
    mlp, softmax = models.MLP([5, 4]), models.SoftmaxRegression(5, 4)
    params = mlp.init(np.random.default_rng(1))
    a, b = mlp.loss_and_grads(params, x, y), softmax.loss_and_grads(params, x, y)
    assert a[0] == b[0]
    assert all(np.array_equal(a[1][k], b[1][k]) for k in params)


def test_linear_regression_ends_at_the_normal_equations():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, 3)), rng.standard_normal(20)
    for model, penalty in ((models.LinearRegression(3), 0.0), (models.Ridge(3, penalty=0.5), 0.5)):
        A = np.column_stack([x, np.ones(20)])
        w = np.linalg.solve(A.T @ A / 20 + penalty * np.diag([1, 1, 1, 0]), A.T @ y / 20)
        _, grads = model.loss_and_grads({"0.W": w[:3], "0.b": w[3:]}, x, y)
        assert max(np.abs(g).max() for g in grads.values()) < 1e-15


def test_rows_that_no_pair_names_get_exact_zeros():
    model = models.MatrixFactorization(50, 40, 4)
    params = model.init(np.random.default_rng(0))
    _, grads = model.loss_and_grads(params, np.array([[3, 7], [3, 8]]), np.array([1.0, -2.0]))
    assert np.flatnonzero(grads["row.embedding"].any(axis=1)).tolist() == [3]
    assert np.flatnonzero(grads["column.embedding"].any(axis=1)).tolist() == [7, 8]
    assert np.flatnonzero(grads["row.b"]).tolist() == [3]


def test_a_token_sees_the_past_alone():
    model = models.Transformer(7, 6, 8, 2, 12)
    params = model.init(np.random.default_rng(0))
    x = np.array([[1, 2, 3, 4, 5, 6]])
    changed = x.copy()
    changed[0, 3] = 0
    a, b = (model.forward(params, t)[0][0] for t in (x, changed))
    assert np.array_equal(a[:3], b[:3])
    assert (a[3:] != b[3:]).any(axis=1).all()


def test_a_token_sees_itself_and_the_whole_past():
    model = models.Transformer(7, 6, 8, 2, 12)
    params = model.init(np.random.default_rng(0))
    x = np.array([[1, 2, 3, 4, 5, 6]])
    last = model.forward(params, x)[0][0, -1]
    for i in range(6):
        changed = x.copy()
        changed[0, i] = 0
        assert not np.allclose(model.forward(params, changed)[0][0, -1], last, rtol=1e-6), i


def test_padding_changes_neither_loss_nor_gradients():
    model = models.Transformer(7, 6, 8, 2, 12)
    params = model.init(np.random.default_rng(0))
    x, y = np.array([[1, 2, 3]]), np.array([[2, 3, 0]])
    loss, grads = model.loss_and_grads(params, x, y)
    padded = np.pad(x, ((0, 0), (0, 3))), np.pad(y, ((0, 0), (0, 3)), constant_values=-1)
    loss_p, grads_p = model.loss_and_grads(params, *padded)
    assert loss_p == pytest.approx(loss, rel=1e-14)
    for k in grads:
        np.testing.assert_allclose(grads_p[k], grads[k], rtol=1e-12, atol=1e-15)


def test_samples_are_those_of_the_probabilities():
    model = models.Transformer(3, 4, 4, 1, 4)
    params = {k: np.zeros(shape) for k, shape in model.shapes.items()}
    params["head.b"] = np.log([0.5, 0.3, 0.2])
    tokens = model.sample(params, np.random.default_rng(0), count=4000)
    assert tokens.shape == (4000, 4)
    first = np.bincount(tokens[:, 0], minlength=3) / 4000
    np.testing.assert_allclose(first, [0.5, 0.3, 0.2], atol=0.03)
    ended = tokens[:, 0] == 0
    assert (tokens[ended, 1:] == -1).all()
    assert (tokens[~ended, 1] >= 0).all()


def test_samples_stop_with_the_last_sequence():
    model = models.Transformer(3, 40, 4, 1, 4)
    params = {k: np.zeros(shape) for k, shape in model.shapes.items()}
    params["head.b"] = np.array([50.0, 0.0, 0.0])
    assert model.sample(params, np.random.default_rng(0), count=2).tolist() == [[0], [0]]


def test_convolution_is_that_of_the_definition():
    rng = np.random.default_rng(0)
    x, W = rng.standard_normal((2, 4, 6, 3)), rng.standard_normal((3, 3, 3, 5))
    z, _ = layers.convolve(x, W)
    for i, j in ((0, 0), (1, 3), (3, 5)):
        slow = sum(
            x[:, i + a - 1, j + b - 1] @ W[a, b]
            for a in range(3)
            for b in range(3)
            if 0 <= i + a - 1 < 4 and 0 <= j + b - 1 < 6
        )
        np.testing.assert_allclose(z[:, i, j], slow, rtol=1e-13)


def test_losses_do_not_overflow():
    z = np.array([[1e4, -1e4], [-1e4, 1e4]])
    loss, dz = layers.cross_entropy(z, np.array([0, 0]))
    assert loss == 1e4
    assert dz.tolist() == [[0, 0], [-0.5, 0.5]]
    loss, dz = layers.logistic(np.array([-1e4, -1e4]), np.array([0, 1]))
    assert loss == 5e3
    assert dz.tolist() == [0, -0.5]


# ---------------------------------------------------------------- bad input

MLP = models.MLP([4, 5, 3])
PARAMS = MLP.init(np.random.default_rng(0))
X, Y = np.ones((2, 4)), np.array([0, 2])
LM = models.Transformer(7, 6, 8, 2, 12)
LM_PARAMS = LM.init(np.random.default_rng(0))
MF = models.MatrixFactorization(3, 2, 1)
MF_PARAMS = MF.init(np.random.default_rng(0))
LINEAR = models.LinearRegression(4)
LINEAR_PARAMS = LINEAR.init(np.random.default_rng(0))
TOKENS = np.zeros((1, 3), int)

REFUSED = {
    "x too wide": (
        MLP,
        PARAMS,
        np.ones((2, 5)),
        Y,
        "x must have shape (n, 4). Got (2, 5) instead.",
    ),
    "x one row": (MLP, PARAMS, np.ones(4), Y, "x must have shape (n, 4). Got (4,) instead."),
    "x a list": (MLP, PARAMS, [[1.0] * 4], Y, "x must be an array of numbers. Got a list instead."),
    "x complex": (MLP, PARAMS, X * 1j, Y, "x must be an array of numbers. Got complex128 instead."),
    "no rows": (MLP, PARAMS, X[:0], Y[:0], "x must hold at least one example"),
    "y too short": (MLP, PARAMS, X, Y[:1], "y must have shape (2,), one class per row of x."),
    "y of floats": (MLP, PARAMS, X, Y / 1, "y must be an array of class indices. Got float64"),
    "label high": (MLP, PARAMS, X, Y + 1, "y must lie in the range [0, 2]. Got 3 instead."),
    "label low": (MLP, PARAMS, X, Y - 1, "y must lie in the range [0, 2]. Got -1 instead."),
    "lacking": (
        MLP,
        {k: p for k, p in PARAMS.items() if k != "1.b"},
        *(X, Y, "params must have the names of MLP(sizes=(4, 5, 3)"),
    ),
    "surplus": (MLP, {**PARAMS, "bias": X}, X, Y, "it has no place for 'bias'."),
    "other shape": (
        *(MLP, {**PARAMS, "0.b": np.ones(1)}, X, Y),
        "params['0.b'] must have shape (5,). Got (1,) instead.",
    ),
    "params of ints": (
        *(MLP, {**PARAMS, "0.b": np.ones(5, int)}, X, Y),
        "params['0.b'] must be an array of floats. Got int64 instead.",
    ),
    "params of lists": (
        *(MLP, {**PARAMS, "0.b": [0.0] * 5}, X, Y),
        "params['0.b'] must be an array of floats. Got a list instead.",
    ),
    "params an array": (MLP, X, X, Y, "params must be a dict of named arrays. Got a ndarray"),
    "targets in a column": (
        *(LINEAR, LINEAR_PARAMS, X, np.ones((2, 1))),
        "y must have shape (2,), one number per row of x. Got (2, 1) instead.",
    ),
    "three in a pair": (MF, MF_PARAMS, np.zeros((1, 3), int), Y[:1], "x must have shape (n, 2)."),
    "row unknown": (
        *(MF, MF_PARAMS, np.array([[3, 0]]), Y[:1]),
        "x[:, 0] must lie in the range [0, 2]. Got 3 instead.",
    ),
    "column unknown": (
        *(MF, MF_PARAMS, np.array([[0, -1]]), Y[:1]),
        "x[:, 1] must lie in the range [0, 1]. Got -1 instead.",
    ),
    "pair of floats": (MF, MF_PARAMS, np.zeros((1, 2)), Y[:1], "x must be an array of whole"),
    "token unknown": (LM, LM_PARAMS, TOKENS + 7, TOKENS, "x must lie in the range [0, 6]. Got 7"),
    "text too long": (
        *(LM, LM_PARAMS, np.zeros((1, 7), int), np.zeros((1, 7), int)),
        "x must have shape (n, T) with T from 1 to context = 6. Got (1, 7) instead.",
    ),
    "target unknown": (
        LM,
        LM_PARAMS,
        TOKENS,
        TOKENS - 2,
        "y must lie in the range [-1, 6]. Got -2",
    ),
    "targets short": (LM, LM_PARAMS, TOKENS, TOKENS[:, :2], "y must have the shape of x, (1, 3)."),
    "no texts": (LM, LM_PARAMS, TOKENS[:0], TOKENS[:0], "y must hold at least one token. Got none"),
    "no target": (LM, LM_PARAMS, TOKENS, TOKENS - 1, "y must hold at least one token."),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused_in_a_sentence(what):
    model, params, x, y, sentence = REFUSED[what]
    for call in (model.loss, model.loss_and_grads):
        with pytest.raises((TypeError, ValueError), match=re.escape(sentence)):
            call(params, x, y)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: models.MLP([4]), "sizes must hold at least 2 ints"),
        (lambda: models.MLP(4), "sizes must be a list of ints"),
        (lambda: models.MLP([4, 0, 3]), "sizes[1] must be an int in the range [1, inf). Got 0"),
        (lambda: models.MLP([4, 2.0, 3]), "sizes[1] must be an int in the range [1, inf). Got 2.0"),
        (lambda: models.MLP([4, 1]), "sizes must end in 2 classes or more."),
        (lambda: models.MLP([4, 3], task="regression"), "sizes must end in 1 for a regression."),
        (lambda: models.MLP([4, 3], "rely"), "activation must be one of 'relu', 'tanh', 'gelu'."),
        (lambda: models.MLP([4, 3], layer_norm=1), "layer_norm must be True or False. Got 1"),
        (lambda: models.Ridge(3, penalty=-1), "penalty must be a float in the range [0, inf)."),
        (lambda: models.Ridge(3, penalty="1"), "penalty must be a float in the range [0, inf)."),
        (lambda: models.SoftmaxRegression(3, 1), "classes must be an int in the range [2, inf)."),
        (lambda: models.LogisticRegression(True), "inputs must be an int in the range [1, inf)."),
        (lambda: models.ConvNet(6, (2, 2)), "side must be a multiple of 4, as each of the 2"),
        (lambda: models.Transformer(7, width=6, heads=4), "width must be a multiple of heads = 4."),
        (lambda: MLP.init(0), "rng must be a numpy.random.Generator. Got 0 instead."),
        (lambda: LM.sample(LM_PARAMS, 0), "rng must be a numpy.random.Generator. Got 0 instead."),
    ],
)
def test_models_that_cannot_be_are_refused(make, sentence):
    with pytest.raises((TypeError, ValueError), match=re.escape(sentence)):
        make()


def test_an_unknown_option_is_refused():
    with pytest.raises(TypeError, match="activaton"):
        models.MLP([4, 3], activaton="tanh")
