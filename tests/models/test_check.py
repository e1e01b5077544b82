"""The gradient check passes right derivations, from any start, and names wrong ones."""

import math
import re

import numpy as np
import pytest

from npoptim import check_gradients, data, models
from npoptim.gradients import _slope


class Wrong:
    """A model whose gradients `spoil` changes."""

    def __init__(self, model, spoil):
        self.model, self.spoil = model, spoil

    def loss(self, params, x, y):
        return self.model.loss(params, x, y)

    def loss_and_grads(self, params, x, y):
        loss, grads = self.model.loss_and_grads(params, x, y)
        return loss, self.spoil(grads)


MODEL = models.MLP([64, 16, 10])
PARAMS = MODEL.init(np.random.default_rng(0))
DIGITS = data.load("digits")
X, Y = DIGITS.x_train[:32], DIGITS.y_train[:32]


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 10))]
)
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
@pytest.mark.parametrize("kind", ["mlp", "norm", "conv"])
def test_right_gradients_pass_on_real_data_from_any_start(kind, activation, seed):
    model = {
        "mlp": models.MLP([64, 16, 10], activation),
        "norm": models.MLP([64, 12, 12, 10], activation, layer_norm=True),
        "conv": models.ConvNet(8, (3, 4), 10, activation),
    }[kind]
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(DIGITS.x_train), 16)
    x, y = DIGITS.x_train[rows], DIGITS.y_train[rows]
    errors = check_gradients(model, model.init(rng), x, y, coordinates=6, directions=2, rng=rng)
    assert max(errors.values()) < 1e-7, errors


@pytest.mark.parametrize("distance", [1e-2, 1e-4, 1e-6, 1e-7])
def test_a_kink_beside_the_point_does_not_disturb(distance):
    # the first unit bends so near the point; a step across it sees the mean of both slopes
    model = models.MLP([1, 2, 2])
    params = {
        "0.W": np.array([[1.0, 1.0]]),
        "0.b": np.array([-1.0 + distance, 0.5]),
        "1.W": np.array([[2.0, -1.0], [0.3, 0.7]]),
        "1.b": np.zeros(2),
    }
    errors = check_gradients(model, params, np.ones((1, 1)), np.array([0]))
    assert max(errors.values()) < 1e-7


def test_equal_pixels_share_the_gradient_of_their_maximum():
    # in a blank picture whole squares are equal, and stay equal whatever the weights
    model = models.ConvNet(8, (3,), 2, "tanh")
    params = model.init(np.random.default_rng(0))
    errors = check_gradients(model, params, np.full((2, 64), -0.7), np.array([0, 1]))
    assert max(errors.values()) < 1e-7


@pytest.mark.parametrize("size", [1.0, 1e-3])
def test_the_error_is_relative_to_the_gradient_not_to_the_loss(size):
    model = models.LinearRegression(1)
    params = {"0.W": np.zeros(1), "0.b": np.zeros(1)}
    wrong = Wrong(model, lambda g: g | {"0.W": g["0.W"] * (1 + 1e-3)})
    errors = check_gradients(wrong, params, np.array([[size]]), np.ones(1))
    assert errors["0.W"] == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda g: g | {"0.W": -g["0.W"]},
        lambda g: g | {"0.W": g["0.W"] * (1 + 1e-5)},
        lambda g: g | {"0.W": g["0.W"] + 1e-5},
        lambda g: g | {"0.W": np.roll(g["0.W"], 1)},
        lambda g: g | {"0.W": 0 * g["0.W"]},
    ],
)
def test_a_wrong_parameter_is_named_and_only_it(spoil):
    errors = check_gradients(Wrong(MODEL, spoil), PARAMS, X, Y)
    assert errors["0.W"] > 1e-6
    assert max(e for name, e in errors.items() if name != "0.W") < 1e-7


def test_one_wrong_element_in_a_thousand_is_seen():
    def spoil(grads):
        grads["0.W"][17, 3] += 1e-3
        return grads

    assert check_gradients(Wrong(MODEL, spoil), PARAMS, X, Y)["0.W"] > 1e-5


def test_a_gradient_where_none_should_be_is_seen():
    model = models.MatrixFactorization(4, 3, 2)
    params, cells = model.init(np.random.default_rng(0)), np.array([[0, 1]])

    def spoil(grads):
        grads["row.embedding"][2] = 1e-3
        return grads

    args = params, cells, np.array([1.0])
    assert max(check_gradients(model, *args).values()) < 1e-7
    assert check_gradients(Wrong(model, spoil), *args)["row.embedding"] > 1e-4


def test_nan_is_an_error_of_nan():
    errors = check_gradients(Wrong(MODEL, lambda g: g | {"0.b": g["0.b"] * np.nan}), PARAMS, X, Y)
    assert math.isnan(errors["0.b"])
    assert not errors["0.b"] < 1e-7


def test_the_check_changes_nothing_and_repeats_itself():
    before = {name: p.copy() for name, p in PARAMS.items()}
    a = check_gradients(MODEL, PARAMS, X, Y)
    assert all(np.array_equal(before[name], p) for name, p in PARAMS.items())
    assert a == check_gradients(MODEL, PARAMS, X, Y)
    assert a != check_gradients(MODEL, PARAMS, X, Y, rng=np.random.default_rng(1))


def test_float32_parameters_are_checked_in_float64():
    params = {name: p.astype(np.float32) for name, p in PARAMS.items()}
    assert max(check_gradients(MODEL, params, X, Y).values()) < 1e-7


def test_a_loss_of_zero_is_no_trouble():
    model = models.LinearRegression(2)
    params = {"0.W": np.array([1.0, 2.0]), "0.b": np.zeros(1)}
    x = np.eye(2)
    assert max(check_gradients(model, params, x, x @ params["0.W"]).values()) < 1e-7


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda g: {"0.W": g["0.W"]}, "grads must have the names of params: missing ['0.b'"),
        (lambda g: g | {"0.W": g["0.W"].T}, "must have the parameter's shape (64, 16). Got (16,"),
        (lambda g: g | {"0.b": 0.0}, "gradient of '0.b' must be a numpy.ndarray."),
    ],
)
def test_gradients_of_another_form_are_refused(spoil, sentence):
    with pytest.raises((TypeError, ValueError), match=re.escape(sentence)):
        check_gradients(Wrong(MODEL, spoil), PARAMS, X, Y)


class Line:
    """A loss c · p + offset that claims the gradient g, and keeps the points it is asked at."""

    def __init__(self, c, g, offset=0.0):
        self.c, self.g, self.offset, self.points = np.array(c), np.array(g), offset, []

    def loss(self, params, x, y):
        self.points.append(params["p"])
        return self.offset + float(np.sum(self.c * params["p"]))

    def loss_and_grads(self, params, x, y):
        return self.loss(params, x, y), {"p": self.g}


@pytest.mark.parametrize(
    ("c", "g", "offset", "error"),
    [
        ([3.0], [1.0], 0, 2 / 3),  # against the slope,
        ([1.0, 0.0], [4.0, 0.0], 0, 3 / 4),  # what is claimed,
        ([1.0, 0.0], [1.0, 1e-3], 0, 1e-3 / math.sqrt((1 + 1e-6) / 2)),  # a mean element,
        ([1e-3], [2e-3], 1000.0, 1e-3 / 0.1),  # or what the loss can resolve
        ([-1e-3], [-2e-3], -1000.0, 1e-3 / 0.1),
        ([0.0, 0.0], [0.0, 0.0], 0, 0.0),
        ([0.0, 0.0], [0.0, 1e-300], 0, 1.0),
    ],
)
def test_what_an_error_is_measured_against(c, g, offset, error):
    params = {"p": np.zeros(len(c))}
    found = check_gradients(Line(c, g, offset), params, None, None, directions=0)
    assert found["p"] == pytest.approx(error, rel=1e-4)


def test_a_direction_is_measured_against_the_whole_gradient():
    u = np.random.default_rng(0).standard_normal(100)
    line = Line(np.zeros(100), np.ones(100))
    errors = check_gradients(line, {"p": np.zeros(100)}, None, None, coordinates=0, directions=1)
    assert errors["p"] == pytest.approx(abs(u.sum()) / np.linalg.norm(u), rel=1e-6)
    assert errors["p"] < 0.9


@pytest.mark.parametrize(("size", "step"), [(0.0, 1e-2), (1.0, 1e-2), (-300.0, 3.0), (1e-3, 1e-5)])
def test_four_directions_and_sixteen_axes_at_steps_of_the_parameters_size(size, step):
    line, start = Line(np.ones(20), np.ones(20)), np.full(20, size)
    check_gradients(line, {"p": start}, None, None)
    moves = np.array([p - start for p in line.points])
    along = moves[np.count_nonzero(moves, axis=1) == 1]
    assert len(np.unique(np.argmax(abs(along), axis=1))) == 16
    assert abs(along).max() == pytest.approx(step)
    wide = moves[np.count_nonzero(moves, axis=1) > 1]
    ratios = {round(float(x[0] / x[1]), 6) for x in wide if abs(x).max() > step / 2}
    assert len(ratios) == 4
    assert 1.0 not in ratios


def test_steps_shrink_by_four_and_end_when_estimates_agree():
    def called(f, step):
        steps = []
        slope = _slope(lambda h: steps.append(h) or f(h), step)
        return slope, steps

    rng = np.random.default_rng(0)
    _, steps = called(lambda h: rng.normal(), 1.0)
    assert steps == [sign / 4**k for k in range(11) for sign in (1, -1)]
    slope, steps = called(lambda h: 7.0 * 0, 0.5)
    assert slope == 0
    assert steps == [0.5, -0.5, 0.125, -0.125]


@pytest.mark.parametrize(
    ("f", "slope", "error"),
    [
        (lambda h: 1e12 + h, 1, 0.05),  # small steps vanish beside so large a loss
        (lambda h: -1e12 - 3 * h, -3, 0.05),
        (math.exp, 1, 1e-12),
        (lambda h: math.sin(20 * h), 20, 1e-10),
        (lambda h: abs(h + 1e-5) + h, 2, 1e-9),
    ],
)
def test_a_slope_is_found_as_well_as_it_can_be(f, slope, error):
    assert _slope(f, 1e-2) == pytest.approx(slope, rel=error)
