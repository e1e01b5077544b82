"""Models by name, in the sizes that a data set asks for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from npoptim.models.base import Model
from npoptim.models.conv import ConvNet
from npoptim.models.factorization import MatrixFactorization
from npoptim.models.linear import LinearRegression, Ridge
from npoptim.models.logistic import LogisticRegression
from npoptim.models.mlp import MLP
from npoptim.models.softmax import SoftmaxRegression
from npoptim.models.transformer import Transformer


def names() -> list[str]:
    """The names that `for_data` knows.

    >>> names()
    ['conv', 'factorization', 'linear', 'logistic', 'mlp', 'ridge', 'softmax', 'transformer']
    """
    return sorted(MODELS)


def for_data(name: str, data: Any, **options: Any) -> Model:
    """The model called `name`, with as many inputs and outputs as `data` has.

    `options` are fields of the model and go before what the data ask for.

    >>> from npoptim.data import spirals
    >>> for_data("mlp", spirals(), activation="tanh")
    MLP(sizes=(2, 64, 3), activation='tanh', layer_norm=False, task='classification')

    Raises ValueError for an unknown name, or a model that is not for such data.
    """
    if name not in MODELS:
        raise ValueError(f"name must be one of {', '.join(names())}. Got {name!r} instead.")
    model, tasks, fields = MODELS[name]
    if data.task not in tasks:
        raise ValueError(
            f"{name} is a model for {' or '.join(tasks)}. Got data {data.name!r}, a {data.task}."
        )
    if name == "logistic" and len(data.classes) != 2:
        raise ValueError(
            f"logistic is a model for 2 classes. Got data {data.name!r} of {len(data.classes)}."
        )
    return model(**{**fields(data), **options})


def _inputs(data: Any) -> dict[str, Any]:
    return {"inputs": data.x_train.shape[1]}


def _softmax(data: Any) -> dict[str, Any]:
    return {**_inputs(data), "classes": len(data.classes)}


def _mlp(data: Any) -> dict[str, Any]:
    outputs = len(data.classes) if data.task == "classification" else 1
    return {"sizes": (data.x_train.shape[1], 64, outputs), "task": data.task}


def _conv(data: Any) -> dict[str, Any]:
    pixels = data.x_train.shape[1]
    side = math.isqrt(pixels)
    if side * side != pixels:
        raise ValueError(f"conv is a model for square pictures. Got {pixels} inputs.")
    return {"side": side, "classes": len(data.classes)}


def _factorization(data: Any) -> dict[str, Any]:
    rows, columns = (
        1 + max(int(x[:, i].max()) for x in (data.x_train, data.x_test)) for i in (0, 1)
    )
    return {"rows": rows, "columns": columns, "rank": 3}


def _transformer(data: Any) -> dict[str, Any]:
    return {"vocabulary": data.tokenizer.vocabulary, "context": data.x_train.shape[1]}


#: name -> the class, the tasks it is for, and its fields for given data
MODELS: dict[str, tuple[Callable[..., Model], tuple[str, ...], Callable[[Any], dict[str, Any]]]] = {
    "conv": (ConvNet, ("classification",), _conv),
    "factorization": (MatrixFactorization, ("rating",), _factorization),
    "linear": (LinearRegression, ("regression",), _inputs),
    "logistic": (LogisticRegression, ("classification",), _inputs),
    "mlp": (MLP, ("classification", "regression"), _mlp),
    "ridge": (Ridge, ("regression",), _inputs),
    "softmax": (SoftmaxRegression, ("classification",), _softmax),
    "transformer": (Transformer, ("language",), _transformer),
}
