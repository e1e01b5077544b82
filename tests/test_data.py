"""Data: standardized from the training part alone, split by seed, said where it is from."""

import pickle
import re
import sys

import numpy as np
import pytest

from npoptim import data

PARTS = ("x_train", "y_train", "x_test", "y_test")
TABLES = ["breast_cancer", "diabetes", "digits", "iris", "wine"]


def test_names_are_what_load_knows():
    assert data.names() == sorted([*TABLES, "ill_conditioned", "low_rank", "names", "spirals"])


@pytest.mark.parametrize("name", data.names())
def test_every_set_is_whole(name):
    d = data.load(name)
    assert d.name == name
    assert d.source
    assert d.licence
    assert len(d.x_train) == len(d.y_train)
    assert len(d.x_test) == len(d.y_test)
    assert 0.18 < len(d.x_test) / (len(d.x_train) + len(d.x_test)) < 0.22
    assert all(np.isfinite(getattr(d, part)).all() for part in PARTS)
    if d.task == "classification":
        assert set(d.y_train) == set(range(len(d.classes)))


@pytest.mark.parametrize("name", data.names())
def test_the_seed_decides_and_only_the_seed(name):
    a, b, c = data.load(name, seed=1), data.load(name, seed=1), data.load(name, seed=2)
    assert all(np.array_equal(getattr(a, part), getattr(b, part)) for part in PARTS)
    assert any(not np.array_equal(getattr(a, part), getattr(c, part)) for part in PARTS)


@pytest.mark.parametrize("name", [*TABLES, "names", "low_rank", "spirals"])
def test_no_row_is_in_both_parts_and_none_is_lost(name):
    kind = {} if name not in TABLES else {"standardize": False}
    small, large = data.load(name, 0.3, **kind), data.load(name, 0.1, **kind)
    a, b = (
        np.column_stack(
            [np.concatenate([d.x_train, d.x_test]), np.concatenate([d.y_train, d.y_test])]
        )
        for d in (small, large)
    )
    assert np.array_equal(a[np.lexsort(a.T)], b[np.lexsort(b.T)])


@pytest.mark.parametrize("name", ["breast_cancer", "diabetes", "iris", "wine"])
def test_features_are_standardized_by_the_training_part(name):
    d, raw = data.load(name), data.load(name, standardize=False)
    np.testing.assert_allclose(d.x_train.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(d.x_train.std(axis=0), 1, rtol=1e-12)
    expected = (raw.x_test - raw.x_train.mean(axis=0)) / raw.x_train.std(axis=0)
    np.testing.assert_allclose(d.x_test, expected, rtol=1e-9, atol=1e-12)
    assert abs(d.x_test.mean(axis=0)).max() > 1e-3


def test_targets_of_a_regression_are_standardized_and_can_be_taken_back():
    d, raw = data.load("diabetes"), data.load("diabetes", standardize=False)
    assert d.y_train.mean() == pytest.approx(0, abs=1e-12)
    assert d.y_train.std() == pytest.approx(1, rel=1e-12)
    np.testing.assert_allclose(d.y_test * d.y_std + d.y_mean, raw.y_test, rtol=1e-12)
    assert (raw.y_mean, raw.y_std) == (0.0, 1.0)
    assert raw.x_train[:, 0].max() > 60  # years, not scikit-learn's scaled columns


def test_pixels_share_one_scale_and_constant_ones_do_no_harm():
    d, raw = data.load("digits"), data.load("digits", standardize=False)
    assert raw.x_train.min() == 0
    assert raw.x_train.max() == 1
    assert (raw.x_train[:, 0] == 0).all()
    assert d.x_train.mean() == pytest.approx(0, abs=1e-12)
    assert d.x_train.std() == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
def test_a_constant_feature_becomes_zero(constant):
    x = np.column_stack([np.full(9, constant), np.arange(9.0)])
    scaled, _, _ = data._standardized(x, np.arange(7))
    np.testing.assert_allclose(scaled[:, 0], 0, atol=1e-9)
    assert scaled[:7, 1].std() == pytest.approx(1)


def test_arrays_are_read_only_and_the_caller_s_own_stay_writable():
    x, y = np.zeros((4, 2)), np.zeros(4)
    d = data.Data("mine", "regression", x, y, x, y)
    with pytest.raises(ValueError, match="read-only"):
        d.x_train[0] = 1
    x[0] = 1


@pytest.mark.parametrize("name", ["names", "spirals"])
def test_data_survive_pickling(name):
    a = data.load(name)
    b = pickle.loads(pickle.dumps(a))
    assert repr(a) == repr(b)
    assert np.array_equal(a.x_train, b.x_train)


# ---------------------------------------------------------------- text


def test_names_are_thousands_of_surnames():
    d = data.load("names")
    y = np.vstack([d.y_train, d.y_test])
    assert len(y) == 88_799
    assert d.tokenizer.vocabulary == 27
    everyone = {d.tokenizer.decode(row) for row in y}
    assert {"smith", "hamilton", "ng", "robbins"} <= everyone
    assert len(everyone) == len(y)
    assert "names 0.3" in d.source
    assert "MIT" in d.licence


def test_names_are_encoded_as_the_tokenizer_does():
    d = data.load("names")
    for row in d.y_test[:500]:
        assert d.tokenizer.encode(d.tokenizer.decode(row)).tolist() == row[row >= 0].tolist()


def test_each_target_follows_its_input():
    d = data.load("names")
    x, y = d.x_train, d.y_train
    assert (x[:, 0] == 0).all()
    assert np.array_equal(x[:, 1:][y[:, :-1] > 0], y[:, :-1][y[:, :-1] > 0])
    ends = (y == 0).argmax(axis=1)
    assert ((y == 0).sum(axis=1) == 1).all()
    behind = np.arange(y.shape[1]) > ends[:, None]
    assert (y[behind] == -1).all()
    assert (x[behind] == 0).all()
    assert (x[:, 1:][~behind[:, 1:]] > 0).all()


def test_tokens_come_back_as_text():
    tokenizer = data.Tokenizer("abc")
    assert tokenizer.encode("").tolist() == [0]
    assert tokenizer.decode([3, 3, -1, 1]) == "cc"
    with pytest.raises(ValueError, match=re.escape("Got ['x', 'y'] instead.")):
        tokenizer.encode("yaxx")


# ---------------------------------------------------------------- generated


@pytest.mark.parametrize("condition", [1.0, 1e2, 1e6])
def test_the_condition_number_is_that_of_the_hessian_with_its_bias(condition):
    x = data.ill_conditioned(condition=condition).x_train
    hessian = np.column_stack([x, np.ones(len(x))])
    hessian = hessian.T @ hessian / len(x)
    values = np.linalg.eigvalsh(hessian)
    assert values[-1] == pytest.approx(1, rel=1e-9)
    assert values[-1] / values[0] == pytest.approx(condition, rel=1e-6)


def test_ratings_have_the_rank_said():
    d = data.low_rank(rows=12, columns=9, rank=2, seen=1.0, noise=0.0)
    full = np.zeros((12, 9))
    for x, y in ((d.x_train, d.y_train), (d.x_test, d.y_test)):
        full[x[:, 0], x[:, 1]] = y
    values = np.linalg.svd(full, compute_uv=False)
    assert values[1] > 1e-3
    assert values[2] < 1e-12


def test_spirals_cannot_be_parted_by_lines_but_by_radius_and_angle():
    d = data.spirals(noise=0.0)
    radius, angle = np.hypot(*d.x_train.T), np.arctan2(*d.x_train.T[::-1])
    arm = np.round((angle / (2 * np.pi) - radius) * 3) % 3
    assert np.array_equal(arm, d.y_train)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: data.load("digit"), "Got 'digit' instead. Did you mean 'digits'?"),
        (lambda: data.load("imagenet"), "name must be one of breast_cancer, diabetes, digits"),
        (lambda: data.load(3), "Got 3 instead."),
        (lambda: data.load("iris", 0), "that leaves rows in both parts. Got 0 of 150 rows"),
        (lambda: data.load("iris", 1.0), "Got 1.0 of 150 rows instead."),
        (lambda: data.load("iris", 1.5), "test_fraction must be a float in the range [0, 1]"),
        (lambda: data.load("iris", float("nan")), "test_fraction must be a float in the range"),
        (lambda: data.load("iris", "0.2"), "test_fraction must be a float in the range"),
        (lambda: data.load("iris", seed=-1), "seed must be an int in the range [0, inf). Got -1"),
        (lambda: data.load("iris", seed=None), "seed must be an int in the range [0, inf)."),
        (lambda: data.load("names", standardize=True), "standardize must be None or False: names"),
        (lambda: data.spirals(classes=1), "classes must be an int in the range [2, inf). Got 1"),
        (lambda: data.spirals(noise=-1), "noise must be a float in the range [0, inf)."),
        (lambda: data.ill_conditioned(condition=0.5), "condition must be a float in the range [1,"),
        (lambda: data.ill_conditioned(n=12), "n must leave more than inputs = 10 rows to train."),
        (lambda: data.low_rank(rank=0), "rank must be an int in the range [1, inf). Got 0"),
        (lambda: data.low_rank(seen=1.1), "seen must be a float in the range [0, 1]. Got 1.1"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(call, sentence):
    with pytest.raises((TypeError, ValueError), match=re.escape(sentence)):
        call()


@pytest.mark.parametrize(("name", "package"), [("iris", "sklearn"), ("names", "names")])
def test_a_missing_package_is_named_with_its_extra(monkeypatch, name, package):
    for module in [m for m in sys.modules if m.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'npoptim\[data\]'"):
        data.load(name)
