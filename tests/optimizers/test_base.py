"""The four helpers of the rules, at the corners; and the list of rules."""

import numpy as np
import pytest

import npoptim as npo
from npoptim import optimizers
from npoptim.optimizers.base import norm, over_root, ratio, rms


@pytest.mark.parametrize(
    ("x", "length", "mean"),
    [([], 0, 0), ([-3], 3, 3), ([3, 4], 5, 12.5**0.5), ([[1, -1], [1, 1]], 2, 1), (-2, 2, 2)],
)
def test_norm_and_rms(x, length, mean):
    x = np.array(x, float)
    assert norm(x) == length
    assert rms(x) == mean


INF = np.inf


@pytest.mark.parametrize(
    ("a", "b", "quotient"),
    [(1, 4, 0.25), (3, 1, 3), (0, 5, 1), (5, 0, 1), (0, 0, 1), (0.5, 0.25, 2), (INF, 2, INF)],
)
def test_ratio(a, b, quotient):
    assert ratio(np.float64(a), np.float64(b)) == quotient


def test_a_ratio_to_what_has_overflowed_is_no_silent_zero():
    with np.errstate(invalid="ignore"):
        assert np.isnan(ratio(np.float64(1), np.float64(INF)))


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (2, 1, 3, 4)])
def test_over_root_is_the_quotient_by_row_column_and_sum(shape):
    rng = np.random.default_rng(0)
    x, R, C = rng.normal(size=shape), rng.uniform(1, 2, shape[:-1]), rng.uniform(1, 2, shape[:-2] + shape[-1:])  # fmt: skip
    v = R[..., :, None] * C[..., None, :] / R.sum(axis=-1)[..., None, None]
    np.testing.assert_allclose(over_root(x, R, C), x / np.sqrt(v), rtol=1e-14)


def test_the_memory_of_came():
    """A factor of r or R cancels in the step, so that no trajectory shows it."""
    g, rule = np.array([[1.0, -2.0, 3.0], [0.5, 0.25, -4.0]]), npo.CAME(betas=(0.5, 0.75, 0.875))
    _, state = rule.update(np.ones((2, 3)), g, 1, **rule.init(g))
    r, c = (0.25 * np.sum(g**2, axis) for axis in (1, 0))
    u = g / np.sqrt(np.outer(r, c) / r.sum())
    m = 0.5 * u / max(1, np.sqrt(np.mean(u**2)))
    wanted = {"m": m, "r": r, "c": c, "R": 0.125 * np.sum(m**2, 1), "C": 0.125 * np.sum(m**2, 0)}
    for slot, x in wanted.items():
        np.testing.assert_allclose(state[slot], x, rtol=1e-12)


def test_the_rules_from_the_shortest_box_to_the_longest():
    assert list(optimizers.optimizers()) == [
        "sgd", "momentum", "nesterov", "lars", "lion", "adam", "adamw", "lamb", "adafactor", "came",
    ]  # fmt: skip
    assert optimizers.modules() == sorted(optimizers.optimizers())


@pytest.mark.parametrize("name", ["AdamW", "adamw", "ADAMW"])
def test_a_rule_by_name(name):
    opt = npo.get_optimizer(name, lr=0.5)
    assert type(opt) is npo.AdamW
    assert opt.lr == 0.5


KNOWN = "Known: adafactor, adam, adamw, came, lamb, lars, lion, momentum, nesterov, sgd."


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("Nestorov", ValueError, f"unknown optimizer 'Nestorov'. Did you mean 'nesterov'? {KNOWN}"),
        ("q", ValueError, f"unknown optimizer 'q'. {KNOWN}"),
        ("driver", ValueError, f"unknown optimizer 'driver'. {KNOWN}"),
        (
            npo.SGD,
            TypeError,
            f"the name of an optimizer must be a string. Got {npo.SGD!r} instead.",
        ),
        (None, TypeError, "the name of an optimizer must be a string. Got None instead."),
    ],
)
def test_what_names_no_rule(name, error, words):
    with pytest.raises(error) as caught:
        npo.get_optimizer(name)
    assert str(caught.value) == words


def test_a_file_must_hold_the_class_of_its_name():
    words = "npoptim/optimizers/box.py holds no class 'box' (in any case)."
    with pytest.raises(ImportError) as caught:
        optimizers.rule_class("box")
    assert str(caught.value) == words
