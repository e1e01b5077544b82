"""Models by name for data sets, trained for a moment, and what they have to beat."""

import re

import numpy as np
import pytest

from npoptim import AdamW, data, models
from npoptim.models import trigram_loss


def fit(model, parts, lr, steps, batch=64, seed=0, dtype=np.float32):
    """Parameters after `steps` of AdamW with lr falling to 0."""
    rng = np.random.default_rng(seed)
    params, opt = model.init(rng, dtype), AdamW(lr=lr)
    for step in range(steps):
        rows = rng.choice(len(parts.x_train), batch)
        _, grads = model.loss_and_grads(params, parts.x_train[rows], parts.y_train[rows])
        opt.lr = lr * (1 - step / steps)
        opt.step(params, grads)
    return params


@pytest.mark.parametrize(
    ("name", "which", "least"),
    [
        ("softmax", "iris", 0.8),
        ("softmax", "wine", 0.94),
        ("logistic", "breast_cancer", 0.95),
        ("mlp", "digits", 0.96),
        ("conv", "digits", 0.96),
        ("mlp", "spirals", 0.95),
    ],
)
def test_classifiers_learn_what_they_are_for(name, which, least):
    parts = data.load(which)
    model = models.for_data(name, parts)
    params = fit(model, parts, lr=1e-2, steps=1000 if which == "spirals" else 300)
    assert np.mean(model.predict(params, parts.x_test) == parts.y_test) >= least


@pytest.mark.parametrize(
    ("name", "which", "lr", "least"),
    [
        ("linear", "diabetes", 1e-2, 0.45),
        ("ridge", "diabetes", 1e-2, 0.45),
        ("mlp", "diabetes", 1e-3, 0.45),
        ("linear", "ill_conditioned", 2e-2, 0.5),
        ("factorization", "low_rank", 2e-2, 0.8),
    ],
)
def test_regressions_explain_variance(name, which, lr, least):
    parts = data.load(which)
    model = models.for_data(name, parts)
    params = fit(model, parts, lr=lr, steps=1000)
    z = model.predict(params, parts.x_test)
    assert 1 - np.mean((z - parts.y_test) ** 2) / np.var(parts.y_test) >= least


def test_a_small_transformer_comes_near_the_trigrams_in_seconds():
    names = data.load("names")
    model = models.for_data("transformer", names, width=32, hidden=64)
    params = fit(model, names, lr=1e-2, steps=300, batch=32)
    held_out = names.x_test[:2000], names.y_test[:2000]
    assert model.loss(params, *held_out) < trigram_loss(names) + 0.1


def test_every_name_suits_some_data_and_all_data_suit_a_name():
    pairs = {(name, which) for which in data.names() for name in fitting(data.load(which))}
    assert {name for name, _ in pairs} == set(models.names())
    assert {which for _, which in pairs} == set(data.names())


def fitting(parts):
    """The names of the models that take these data."""
    for name in models.names():
        try:
            model = models.for_data(name, parts)
        except ValueError:
            continue
        params = model.init(np.random.default_rng(0))
        model.loss(params, parts.x_test[:50], parts.y_test[:50])
        yield name


@pytest.mark.parametrize(
    ("name", "which", "sentence"),
    [
        ("mpl", "digits", "name must be one of conv, factorization, linear"),
        (
            "softmax",
            "diabetes",
            "softmax is a model for classification. Got data 'diabetes', a reg",
        ),
        ("mlp", "names", "mlp is a model for classification or regression. Got data 'names', a la"),
        ("logistic", "iris", "logistic is a model for 2 classes. Got data 'iris' of 3."),
        ("conv", "wine", "conv is a model for square pictures. Got 13 inputs."),
    ],
)
def test_models_that_do_not_suit_are_refused(name, which, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        models.for_data(name, data.load(which))


# ---------------------------------------------------------------- trigrams


class Text:
    """Four arrays: training and held-out tokens."""

    def __init__(self, train, test):
        (self.x_train, self.y_train), (self.x_test, self.y_test) = train, test


def test_trigrams_by_hand():
    # after (start, start) comes 1 once and 2 once; after (start, 1) comes 2; after (1, 2) and
    # (start, 2) the end; three tokens, so p = (c + 1) / (Σ + 3) with k = 1
    x, y = np.array([[0, 1, 2], [0, 2, 0]]), np.array([[1, 2, 0], [2, 0, -1]])
    text = Text((x, y), (x[:1], y[:1]))
    expected = -np.mean(np.log([2 / 5, 2 / 4, 2 / 4]))
    assert trigram_loss(text, k=1) == pytest.approx(expected, rel=1e-14)


def test_trigrams_without_smoothing_cannot_be_surprised():
    x, y = np.array([[0, 1]]), np.array([[1, 0]])
    assert trigram_loss(Text((x, y), (x, y)), k=0) == 0
    assert trigram_loss(Text((x, y), (x, np.array([[0, 0]]))), k=0) == np.inf


def test_trigrams_without_counts_know_the_number_of_tokens():
    names = data.load("names")
    assert trigram_loss(names, k=1e12) == pytest.approx(np.log(27), rel=1e-6)


def test_padding_is_not_predicted():
    x, y = np.array([[0, 1, 0], [0, 1, 1]]), np.array([[1, 0, -1], [1, 1, 0]])
    # twice 1 after (start, start); once each what follows; two tokens, so p = (c + 1) / (Σ + 2)
    expected = -np.mean(np.log([3 / 4, 3 / 4, 2 / 4, 2 / 4, 2 / 3]))
    assert trigram_loss(Text((x, y), (x, y)), k=1) == pytest.approx(expected, rel=1e-14)


def test_a_negative_k_is_refused():
    with pytest.raises(ValueError, match=r"k must be a float in the range \[0, inf\)"):
        trigram_loss(data.load("names"), k=-0.1)
