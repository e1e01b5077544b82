"""One small instance of every model, loss, activation and option, with a batch."""

import numpy as np
import pytest

from npoptim import models


def cases():
    rng = np.random.default_rng(7)

    def rows(n, inputs):
        return rng.standard_normal((n, inputs))

    x, y, label, binary = (
        rows(6, 4),
        rng.standard_normal(6),
        rng.integers(0, 3, 6),
        np.arange(6) % 2,
    )
    yield "linear", models.LinearRegression(4), x, y
    yield "ridge", models.Ridge(4, penalty=0.3), x, y
    yield "logistic", models.LogisticRegression(4), x, binary
    yield "softmax", models.SoftmaxRegression(4, 3), x, label
    for activation in ("relu", "tanh", "gelu"):
        for norm in (False, True):
            mlp = models.MLP([4, 5, 6, 3], activation, layer_norm=norm)
            yield f"mlp-{activation}{'-norm' * norm}", mlp, x, label
        conv = models.ConvNet(8, (2, 3), 4, activation)
        yield f"conv-{activation}", conv, rows(3, 64), np.array([3, 0, 2])
    yield "mlp-regression", models.MLP([4, 5, 1], task="regression"), x, y
    yield "mlp-no-hidden", models.MLP([4, 3]), x, label
    yield "conv-one", models.ConvNet(4, (2,), 2), rows(3, 16), np.array([1, 0, 1])
    cells = np.array([[0, 1], [0, 2], [3, 1], [3, 1]])
    yield "factorization", models.MatrixFactorization(5, 4, 3), cells, y[:4]
    tokens, following = rng.integers(0, 7, (3, 5)), rng.integers(0, 7, (3, 5))
    following[1, 3:] = -1
    for activation, tied in (("gelu", False), ("gelu", True), ("relu", False), ("tanh", True)):
        model = models.Transformer(7, 6, 8, 2, 12, activation, tied)
        yield f"transformer-{activation}{'-tied' * tied}", model, tokens, following


CASES = {name: (model, x, y) for name, model, x, y in cases()}


def start(model, seed=0):
    """Parameters away from the symmetric start: no bias is 0, no gain 1."""
    rng = np.random.default_rng(seed)
    return {k: p + 0.1 * rng.standard_normal(p.shape) for k, p in model.init(rng).items()}


@pytest.fixture(params=CASES, ids=str)
def case(request):
    """model, params, x, y"""
    model, x, y = CASES[request.param]
    return model, start(model), x, y
