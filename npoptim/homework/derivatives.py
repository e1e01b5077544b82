"""The homework on gradients: a student's derivation against differences of the function itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def softmax_loss(z: Array, y: Array) -> float:
    """The mean cross-entropy of the softmax of z (n, classes) at the classes y (n,)."""
    shifted = z - z.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(-log_p[np.arange(len(y)), y].mean())


def mlp_loss(W: Array, x: Array, v: Array) -> float:
    """½ mean square of relu(x W) v: one hidden layer, seen from its weights."""
    h = np.maximum(x @ W, 0)
    return float(0.5 * np.mean((h @ v) ** 2))


def layer_norm_loss(x: Array, c: Array) -> float:
    """Σ c · norm(x): rows of x with mean 0 and variance 1 (plus 1e-5), weighted by c."""
    d = x - x.mean(axis=1, keepdims=True)
    return float(np.sum(c * d / np.sqrt((d**2).mean(axis=1, keepdims=True) + 1e-5)))


def attention_loss(Q: Array, K: Array, V: Array, c: Array) -> float:
    """Σ c · softmax(Q Kᵀ / √d) V: attention of one head, without a mask, weighted by c."""
    s = Q @ K.T / np.sqrt(Q.shape[1])
    e = np.exp(s - s.max(axis=1, keepdims=True))
    return float(np.sum(c * (e / e.sum(axis=1, keepdims=True) @ V)))


@dataclass(frozen=True)
class Task:
    """A function, the argument to differentiate by, and numbers to try it on."""

    loss: Callable[..., float]
    numbers: Callable[[np.random.Generator], tuple[Array, ...]]
    hints: tuple[tuple[float, str], ...]  # what a student's gradient may be a multiple of


TASKS = {
    "softmax": Task(
        softmax_loss,
        lambda rng: (rng.normal(size=(4, 3)), rng.integers(3, size=4)),
        ((4.0, "The loss is a mean: divide by the number of rows."),),
    ),
    "mlp": Task(
        mlp_loss,
        lambda rng: (rng.normal(size=(3, 4)), rng.normal(size=(5, 3)), rng.normal(size=4)),
        ((5.0, "The loss is a mean: divide by the number of rows."), (2.0, "Mind the factor ½.")),
    ),
    "layer_norm": Task(
        layer_norm_loss,
        lambda rng: (rng.normal(size=(3, 5)), rng.normal(size=(3, 5))),
        (),
    ),
    "attention": Task(
        attention_loss,
        lambda rng: tuple(rng.normal(size=s) for s in ((3, 2), (4, 2), (4, 5), (3, 5))),
        ((2**0.5, "Do not forget the division by √d."),),
    ),
}


def check_gradient(task: str, gradient: Callable[..., Any], seed: int = 0) -> str:
    """Compare a student's gradient with central differences; "" if right, else a sentence.

    `gradient` takes the arguments of the loss and returns its gradient by the
    first of them. The tasks are softmax, mlp, layer_norm and attention (by Q).

    >>> def halved(z, y):
    ...     p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    ...     return (p - np.eye(z.shape[1])[y]) / len(y) / 2
    >>> check_gradient("softmax", halved)
    'Your gradient is 0.5 times the right one.'

    Raises ValueError for an unknown task.
    """
    if task not in TASKS:
        raise ValueError(f"task must be one of {', '.join(TASKS)}. Got {task!r} instead.")
    rng = np.random.default_rng(seed)
    for _ in range(3):
        arguments = TASKS[task].numbers(rng)
        right = _differences(TASKS[task].loss, *arguments)
        try:
            got = np.asarray(gradient(*(a.copy() for a in arguments)), dtype=float)
        except Exception as error:  # whatever a submission raises is its result
            return f"It raises {type(error).__name__}: {error}"
        if got.shape != right.shape:
            return f"The shape must be {right.shape}, the first argument's. Got {got.shape}."
        if not np.allclose(got, right, rtol=1e-6, atol=1e-8):
            return _said(got, right, TASKS[task])
    return ""


def points(gradients: dict[str, Callable[..., Any]], seed: int = 0) -> int:
    """How many of the gradients, by name of the task, are right."""
    return sum(not check_gradient(task, gradient, seed) for task, gradient in gradients.items())


def _differences(loss: Callable[..., float], x: Array, *rest: Array) -> Array:
    """∂loss/∂x by central differences."""
    h, grad = 1e-5, np.empty_like(x)
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += h
        down[i] -= h
        grad[i] = (loss(up, *rest) - loss(down, *rest)) / (2 * h)
    return grad


def _said(got: Array, right: Array, task: Task) -> str:
    factor = float(np.sum(got * right) / np.sum(right * right))
    if np.allclose(got, factor * right, rtol=1e-5, atol=1e-8) and factor:
        hint = next((f" {text}" for f, text in task.hints if abs(factor - f) < 1e-5), "")
        word = "−1 times: a sign" if abs(factor + 1) < 1e-5 else f"{factor:.4g} times the right one"
        return f"Your gradient is {word}.{hint}"
    at = tuple(int(i) for i in np.unravel_index(np.argmax(np.abs(got - right)), got.shape))
    return f"At {list(at)} your gradient is {got[at]:.5g}; differences give {right[at]:.5g}."
