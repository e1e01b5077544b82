"""What the papers say of the first step, as checks of the contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npoptim.contract import fail, update_once
from npoptim.optimizers.advance import fresh_state

Array = NDArray[Any]


def _first(rule: Any, p: Array, g: Array, **hyper: Any) -> Array:
    rule = rule.replace(**hyper)
    return p - update_once(rule, p, g, 1, fresh_state(rule, p))[0]  # type: ignore[no-any-return]


def _expect(rule: Any, sentence: str, got: Any, wanted: Any) -> None:
    if not np.allclose(got, wanted, rtol=1e-9, atol=0):
        fail(rule, f"breaks a fact of its paper: {sentence}. Got {got}, expected {wanted}.")


P, G = np.array([[3.0, -1.0], [0.5, 2.0]]), np.array([[20.0, -0.03], [0.4, 1.0]])


def _sgd(rule: Any) -> None:
    _expect(rule, "the step is lr g", _first(rule, P, G, lr=0.1), 0.1 * G)


def _momentum(rule: Any) -> None:
    _expect(rule, "the first step is lr g", _first(rule, P, G, lr=0.1), 0.1 * G)


def _nesterov(rule: Any) -> None:
    got = _first(rule, P, G, lr=0.1, momentum=0.5)
    _expect(rule, "the first step is lr (1 + μ) g", got, 0.15 * G)


def _adam(rule: Any) -> None:
    got = _first(rule, P, G, lr=0.1, eps=0.0)
    _expect(rule, "the first step has length lr in every coordinate", np.abs(got), 0.1)


def _adamw(rule: Any) -> None:
    _adam(rule.replace(weight_decay=0.0))
    got = _first(rule, P, 0 * G, lr=0.1, weight_decay=0.5)
    _expect(rule, "without gradient the decay is lr λ θ", got, 0.05 * P)


def _lars(rule: Any) -> None:
    got = _first(rule, P, G, lr=0.1, trust_coefficient=0.5, weight_decay=0.0)
    sentence = "the first step without decay has length lr η ‖θ‖"
    _expect(rule, sentence, np.linalg.norm(got), 0.05 * np.linalg.norm(P))
    got = _first(rule, 0 * P, G, lr=0.1, trust_coefficient=0.5, weight_decay=0.0)
    _expect(rule, "zero weights step with γ = η", got, 0.05 * G)


def _lamb(rule: Any) -> None:
    got = _first(rule, P, G, lr=0.1)
    sentence = "the step has length lr ‖θ‖"
    _expect(rule, sentence, np.linalg.norm(got), 0.1 * np.linalg.norm(P))


def _lion(rule: Any) -> None:
    got = _first(rule, P, G, lr=0.1, weight_decay=0.0)
    _expect(rule, "every coordinate steps by lr", got, 0.1 * np.sign(G))


def _adafactor(rule: Any) -> None:
    got = _first(rule, P, 7 * np.sign(G), lr=0.1)
    sentence = "a gradient of one size steps by ρ RMS(θ)"
    _expect(rule, sentence, np.abs(got), 0.1 * np.sqrt(np.mean(P**2)))


def _came(rule: Any) -> None:
    got = _first(rule, P, 7 * np.sign(G), lr=0.1, weight_decay=0.0, betas=(0.9, 0.999, 0.9999))
    sentence = "the first step is (1 − β₁) / (β₁ √(1 − β₃)) = 11.1 times lr"
    _expect(rule, sentence, np.abs(got), 0.1 * 0.1 / 0.9 / np.sqrt(1e-4))
    got = _first(rule, P[0], G[0], lr=0.1, weight_decay=0.0, betas=(0.9, 0.999, 0.9999))
    sentence = "a vector's first step has RMS (1 − β₁) lr"
    _expect(rule, sentence, np.sqrt(np.mean(got**2)), 0.01)


#: What the papers say of the first step, by the name of the rule.
FACTS: dict[str, Callable[[Any], None]] = {
    "sgd": _sgd,
    "momentum": _momentum,
    "nesterov": _nesterov,
    "adam": _adam,
    "adamw": _adamw,
    "lars": _lars,
    "lamb": _lamb,
    "lion": _lion,
    "adafactor": _adafactor,
    "came": _came,
}
