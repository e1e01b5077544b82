"""Momentum: SGD with a heavy ball."""

from dataclasses import dataclass

import numpy as np

from npoptim.optimizers.base import Array, Number, Optimizer, State, Step


@dataclass
class Momentum(Optimizer):
    """Momentum: SGD with a heavy ball.

    The buffer sums gradients and lr multiplies it on the way out, as in
    PyTorch and optax; a changed lr acts at once. Under a constant gradient
    the steps grow to 1 / (1 − μ) times those of SGD:

    >>> rule, p = Momentum(lr=0.1, momentum=0.5), np.zeros(1)
    >>> p, state = rule.update(p, np.ones(1), 1, **rule.init(p))
    >>> p, state = rule.update(p, np.ones(1), 2, **state)
    >>> p, state["v"]
    (array([-0.25]), array([1.5]))

    Polyak, Some methods of speeding up the convergence of iteration methods,
    USSR Computational Mathematics and Mathematical Physics 1964,
    https://doi.org/10.1016/0041-5553(64)90137-5, in the form of PyTorch::

         1  given lr, μ
         2  v ← 0
         3  g ← ∇f(θ)
         4  v ← μ v + g
         5  θ ← θ − lr v
    """

    lr: Number = 1e-2  #: step size
    momentum: Number = 0.9  #: μ, what the ball keeps of its velocity

    scope = "element"

    def init(self, p: Array) -> State:
        return {"v": np.zeros_like(p)}  # line 2

    def update(self, p: Array, g: Array, t: int, v: Array) -> Step:
        lr, mu = self.lr, self.momentum  # line 1
        v = mu * v + g  # line 4
        p = p - lr * v  # line 5
        return p, {"v": v}
