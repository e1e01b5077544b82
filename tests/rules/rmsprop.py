"""RMSProp: a rule that is not shipped; lying in the folder is all it takes."""

from dataclasses import dataclass

import numpy as np

from npoptim.optimizers.base import Array, Number, Optimizer, State, Step


@dataclass
class RMSProp(Optimizer):
    """RMSProp: a step size for every coordinate, without momentum.

    >>> rule, p = RMSProp(lr=0.1, alpha=0.75, eps=0), np.zeros(2)
    >>> p, state = rule.update(p, np.array([5.0, -0.1]), 1, **rule.init(p))
    >>> p
    array([-0.2,  0.2])

    Tieleman & Hinton, Lecture 6.5 of Neural Networks for Machine Learning,
    2012::

         1  given lr, α, ε
         2  v ← 0
         3  g ← ∇f(θ)
         4  v ← α v + (1 − α) g²
         5  θ ← θ − lr g / (√v + ε)
    """

    lr: Number = 1e-2  #: step size
    alpha: Number = 0.99  #: α, memory of v
    eps: Number = 1e-8  #: ε, bounds the step where v vanishes

    scope = "element"

    def init(self, p: Array) -> State:
        return {"v": np.zeros_like(p)}  # line 2

    def update(self, p: Array, g: Array, t: int, v: Array) -> Step:
        lr, alpha, eps = self.lr, self.alpha, self.eps  # line 1
        v = alpha * v + (1 - alpha) * g**2  # line 4
        p = p - lr * g / (np.sqrt(v) + eps)  # line 5
        return p, {"v": v}
