"""Nesterov: momentum that looks ahead."""

from dataclasses import dataclass

import numpy as np

from npoptim.optimizers.base import Array, Number, Optimizer, State, Step


@dataclass
class Nesterov(Optimizer):
    """Nesterov: momentum that looks ahead.

    The parameters are the look-ahead points of the original scheme, so one
    gradient a step is enough. With momentum 0 it is SGD:

    >>> rule, p = Nesterov(lr=0.1, momentum=0), np.array([1.0])
    >>> p, state = rule.update(p, p, 1, **rule.init(p))
    >>> p
    array([0.9])

    Sutskever, Martens, Dahl & Hinton, On the importance of initialization
    and momentum in deep learning, ICML 2013, eq. 3 and 4,
    https://proceedings.mlr.press/v28/sutskever13.html, in the form of
    PyTorch::

         1  given lr, μ
         2  v ← 0
         3  g ← ∇f(θ)
         4  v ← μ v + g
         5  θ ← θ − lr (g + μ v)
    """

    lr: Number = 1e-2  #: step size
    momentum: Number = 0.9  #: μ, what the ball keeps of its velocity

    scope = "element"

    def init(self, p: Array) -> State:
        return {"v": np.zeros_like(p)}  # line 2

    def update(self, p: Array, g: Array, t: int, v: Array) -> Step:
        lr, mu = self.lr, self.momentum  # line 1
        v = mu * v + g  # line 4
        p = p - lr * (g + mu * v)  # line 5
        return p, {"v": v}
