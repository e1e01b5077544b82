"""LAMB: Adam's direction with a length for every layer."""

from dataclasses import dataclass

import numpy as np

from npoptim.optimizers.base import Array, Number, Optimizer, State, Step, norm, ratio


@dataclass
class LAMB(Optimizer):
    """LAMB: Adam's direction with a length for every layer.

    With the bias correction of the paper's fifth version, whose hats stay
    out of the memory; φ is the identity; the quotient of norms is 1 where
    one is 0. Every step has length lr ‖θ‖, whatever the gradient:

    >>> rule, p = LAMB(lr=0.1), np.array([3.0, 4.0])
    >>> q, state = rule.update(p, np.array([-2.0, 1e6]), 1, **rule.init(p))
    >>> norm(p - q).round(12)
    np.float64(0.5)

    You et al., Large Batch Optimization for Deep Learning: Training BERT in
    76 minutes, ICLR 2020, Algorithm 2, https://arxiv.org/abs/1904.00962v5::

         1  given lr, β₁, β₂, ε, λ
         2  t ← 0, m ← 0, v ← 0
         3  t ← t + 1
         4  g ← ∇f(θ)
         5  m ← β₁ m + (1 − β₁) g
         6  v ← β₂ v + (1 − β₂) g²
         7  m̂ ← m / (1 − β₁ᵗ)
         8  v̂ ← v / (1 − β₂ᵗ)
         9  r ← m̂ / (√v̂ + ε)
        10  u ← r + λ θ
        11  θ ← θ − lr ‖θ‖ / ‖u‖ u
    """

    lr: Number = 1e-3  #: step length, relative to a layer's norm
    betas: tuple[Number, Number] = (0.9, 0.999)  #: β₁, β₂, memory of m and v
    eps: Number = 1e-6  #: ε, bounds the step where v vanishes
    weight_decay: Number = 1e-2  #: λ, pull of every weight towards 0

    scope = "tensor"

    def init(self, p: Array) -> State:
        return {"m": np.zeros_like(p), "v": np.zeros_like(p)}  # line 2

    def update(self, p: Array, g: Array, t: int, m: Array, v: Array) -> Step:
        lr, eps, wd = self.lr, self.eps, self.weight_decay  # line 1
        beta1, beta2 = self.betas  # line 1
        m = beta1 * m + (1 - beta1) * g  # line 5
        v = beta2 * v + (1 - beta2) * g**2  # line 6
        m_hat = m / (1 - beta1**t)  # line 7
        v_hat = v / (1 - beta2**t)  # line 8
        r = m_hat / (np.sqrt(v_hat) + eps)  # line 9
        u = r + wd * p  # line 10
        p = p - lr * ratio(norm(p), norm(u)) * u  # line 11
        return p, {"m": m, "v": v}
