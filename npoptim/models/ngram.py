"""Counted trigrams: what a language model has to beat."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from npoptim.models import checks
from npoptim.models.base import Array


class Text(Protocol):
    """Tokens to count and tokens to predict, as in `npoptim.data.load("names")`."""

    @property
    def x_train(self) -> Array: ...
    @property
    def y_train(self) -> Array: ...
    @property
    def x_test(self) -> Array: ...
    @property
    def y_test(self) -> Array: ...


def trigram_loss(text: Text, k: float = 0.1) -> float:
    """The mean held-out loss, in nats per token, of counted trigrams.

    A token's probability is how often it followed the two before it in the
    training part, with `k` added to every count (Lidstone's smoothing; see
    Jurafsky & Martin, Speech and Language Processing, chapter 3). It predicts
    the same targets as `Transformer.loss` on the same arrays: x and y are
    (n, T), y the tokens that follow those of x, −1 where none does.

    >>> from types import SimpleNamespace
    >>> x, y = np.array([[0, 1, 2]]), np.array([[1, 2, 0]])
    >>> text = SimpleNamespace(x_train=x, y_train=y, x_test=x, y_test=y)
    >>> round(trigram_loss(text, k=1e-9), 6), round(trigram_loss(text, k=1e9), 6)
    (0.0, 1.098612)
    """
    checks.number("k", k)
    tokens = max(int(a.max()) for a in (text.x_train, text.y_train, text.x_test, text.y_test)) + 1
    count = np.zeros((tokens, tokens, tokens))
    np.add.at(count, _trigrams(text.x_train, text.y_train), 1)
    before, last, token = _trigrams(text.x_test, text.y_test)
    context = count.sum(axis=-1)[before, last]
    with np.errstate(divide="ignore", invalid="ignore"):  # k = 0: a trigram never seen costs ∞
        p = (count[before, last, token] + k) / (context + k * tokens)
        return float(-np.mean(np.log(p)))


def _trigrams(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Each target and the two tokens before it; before the first stands token 0."""
    before = np.concatenate([np.zeros_like(x[:, :1]), x[:, :-1]], axis=1)
    known = y >= 0
    return before[known], x[known], y[known]
