"""Adam: a step size for every coordinate."""

from dataclasses import dataclass

import numpy as np

from npoptim.optimizers.base import Array, Number, Optimizer, State, Step


@dataclass
class Adam(Optimizer):
    """Adam: a step size for every coordinate.

    ε stands outside the root and after the bias correction. The trajectory
    does not change when the loss is multiplied by a constant:

    >>> rule, p = Adam(lr=0.1, eps=0), np.zeros(2)
    >>> for scale in 1, 1000:
    ...     step, _ = rule.update(p, scale * np.array([3.0, -0.2]), 1, **rule.init(p))
    ...     print(step.round(6))
    [-0.1  0.1]
    [-0.1  0.1]

    Kingma & Ba, Adam: A Method for Stochastic Optimization, ICLR 2015,
    Algorithm 1, https://arxiv.org/abs/1412.6980::

         1  given lr, β₁, β₂, ε
         2  t ← 0, m ← 0, v ← 0
         3  t ← t + 1
         4  g ← ∇f(θ)
         5  m ← β₁ m + (1 − β₁) g
         6  v ← β₂ v + (1 − β₂) g²
         7  m̂ ← m / (1 − β₁ᵗ)
         8  v̂ ← v / (1 − β₂ᵗ)
         9  θ ← θ − lr m̂ / (√v̂ + ε)
    """

    lr: Number = 1e-3  #: step size
    betas: tuple[Number, Number] = (0.9, 0.999)  #: β₁, β₂, memory of m and v
    eps: Number = 1e-8  #: ε, bounds the step where v vanishes

    scope = "element"

    def init(self, p: Array) -> State:
        return {"m": np.zeros_like(p), "v": np.zeros_like(p)}  # line 2

    def update(self, p: Array, g: Array, t: int, m: Array, v: Array) -> Step:
        lr, eps = self.lr, self.eps  # line 1
        beta1, beta2 = self.betas  # line 1
        m = beta1 * m + (1 - beta1) * g  # line 5
        v = beta2 * v + (1 - beta2) * g**2  # line 6
        m_hat = m / (1 - beta1**t)  # line 7
        v_hat = v / (1 - beta2**t)  # line 8
        p = p - lr * m_hat / (np.sqrt(v_hat) + eps)  # line 9
        return p, {"m": m, "v": v}
