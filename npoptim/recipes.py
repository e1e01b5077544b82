"""Learning rates that suit the ready-made models, found on grids of factors 2 to 3.

Softmax regression runs at a constant rate (Adafactor's falls with 1/√t); the
others warm up for a twentieth of the steps and follow a cosine to 0. A rule or
model that is not listed runs at the rule's own default.

The rates of the conv net and the transformer have the lowest loss on the test
part after training as `npoptim train` does it, on batches of 64 in float32,
each tried with its neighbours on the grid. The conv net was trained for 100,
400 and 690 steps, the transformer for 300, 1000 and 2000; the longest run
decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from npoptim import schedules

#: The data a model is trained on unless told otherwise.
DATA = {
    "conv": "digits",
    "factorization": "low_rank",
    "linear": "diabetes",
    "logistic": "breast_cancer",
    "mlp": "digits",
    "ridge": "diabetes",
    "softmax": "digits",
    "transformer": "names",
}

#: model -> optimizer -> the rate, or its peak. Adafactor's is relative to the weights' size.
RATES: dict[str, dict[str, float]] = {
    "softmax": {
        "sgd": 0.5,
        "momentum": 0.03,
        "nesterov": 0.03,
        "adam": 1e-2,
        "adamw": 1e-2,
        "lars": 2.0,
        "lamb": 5e-3,
        "lion": 2e-3,
        "adafactor": 0.5,
        "came": 2e-4,
    },
    "mlp": {
        "sgd": 1.0,
        "momentum": 0.1,
        "nesterov": 0.1,
        "adam": 1e-2,
        "adamw": 1e-2,
        "lars": 10.0,
        "lamb": 1e-2,
        "lion": 1e-3,
        "adafactor": 0.1,
        "came": 1e-3,
    },
    "conv": {
        "sgd": 0.3,
        "momentum": 0.03,
        "nesterov": 0.03,
        "adam": 3e-2,
        "adamw": 3e-2,
        "lars": 10.0,
        "lamb": 1e-2,
        "lion": 1e-3,
        "adafactor": 0.03,
        "came": 1e-3,
    },
    "transformer": {
        "sgd": 1.0,
        "momentum": 0.3,
        "nesterov": 0.3,
        "adam": 1e-2,
        "adamw": 1e-2,
        "lars": 3.0,
        "lamb": 1e-2,
        "lion": 1e-3,
        "adafactor": 0.03,
        "came": 3e-4,
    },
}


def _constant(peak: float, steps: int) -> float:
    return peak


def _warm_cosine(peak: float, steps: int) -> Any:
    return schedules.cosine(peak, total=max(steps, 1), warmup=steps // 20)


def rate(model: str, optimizer: str, steps: int) -> dict[str, Any]:
    """`{"lr": …}` for a model, an optimizer and a number of steps; empty where none is known.

    >>> rate("softmax", "sgd", steps=100)
    {'lr': 0.5}
    >>> rate("mlp", "sgd", steps=100)
    {'lr': cosine(peak=1.0, total=100, warmup=5, end=0.0)}
    """
    rates = RATES.get(model, {})
    if optimizer not in rates:
        return {}
    form: Callable[[float, int], Any] = _constant if model == "softmax" else _warm_cosine
    if model == "softmax" and optimizer == "adafactor":
        return {"lr": schedules.inverse_sqrt(rates[optimizer])}
    return {"lr": form(rates[optimizer], steps)}
