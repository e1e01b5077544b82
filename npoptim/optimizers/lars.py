"""LARS: momentum with a rate for every layer."""

from dataclasses import dataclass

import numpy as np

from npoptim.optimizers.base import Array, Number, Optimizer, State, Step, norm, ratio


@dataclass
class LARS(Optimizer):
    """LARS: momentum with a rate for every layer.

    η stands in the local rate (equation 6 of the paper; its box forgot it),
    the norms are added separately, and lr is inside the buffer. Where ‖θ‖
    or the denominator is 0 the quotient is 1, so that γ = η. The first step
    without decay has length lr η ‖θ‖:

    >>> rule, p = LARS(lr=1.0, trust_coefficient=0.1, weight_decay=0), np.array([3.0, 4.0])
    >>> q, state = rule.update(p, np.array([0.0, 1e6]), 1, **rule.init(p))
    >>> p - q
    array([0. , 0.5])

    You, Gitman & Ginsburg, Large Batch Training of Convolutional Networks,
    2017, Algorithm 1, https://arxiv.org/abs/1708.03888::

         1  given lr, η, μ, λ
         2  v ← 0
         3  g ← ∇f(θ)
         4  γ ← η ‖θ‖ / (‖g‖ + λ ‖θ‖)
         5  v ← μ v + lr γ (g + λ θ)
         6  θ ← θ − v
    """

    lr: Number = 1.0  #: step size, of all layers
    trust_coefficient: Number = 1e-3  #: η, how far a layer may go, relative to its norm
    momentum: Number = 0.9  #: μ, what the ball keeps of its velocity
    weight_decay: Number = 5e-4  #: λ, pull of every weight towards 0

    scope = "tensor"

    def init(self, p: Array) -> State:
        return {"v": np.zeros_like(p)}  # line 2

    def update(self, p: Array, g: Array, t: int, v: Array) -> Step:
        lr, eta, mu, wd = (
            self.lr,
            self.trust_coefficient,
            self.momentum,
            self.weight_decay,
        )  # line 1
        gamma = eta * ratio(norm(p), norm(g) + wd * norm(p))  # line 4
        v = mu * v + lr * gamma * (g + wd * p)  # line 5
        p = p - v  # line 6
        return p, {"v": v}
