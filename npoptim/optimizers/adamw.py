"""AdamW: Adam with decoupled weight decay."""

from dataclasses import dataclass

import numpy as np

from npoptim.optimizers.base import Array, Number, Optimizer, State, Step


@dataclass
class AdamW(Optimizer):
    """AdamW: Adam with decoupled weight decay.

    The decay is multiplied by `lr`, as in PyTorch; the paper's λ is
    `lr * weight_decay`. The first step has length `lr`, whatever the
    scale of the gradient:

    >>> rule, p = AdamW(lr=0.1, weight_decay=0), np.zeros(2)
    >>> p, state = rule.update(p, np.array([5, -0.001]), 1, **rule.init(p))
    >>> p.round(4)
    array([-0.1,  0.1])

    Loshchilov & Hutter, Decoupled Weight Decay Regularization, ICLR 2019,
    https://arxiv.org/abs/1711.05101, in the form of PyTorch::

         1  given lr, β₁, β₂, ε, λ
         2  t ← 0, m ← 0, v ← 0
         3  t ← t + 1
         4  g ← ∇f(θ)
         5  m ← β₁ m + (1 − β₁) g
         6  v ← β₂ v + (1 − β₂) g²
         7  m̂ ← m / (1 − β₁ᵗ)
         8  v̂ ← v / (1 − β₂ᵗ)
         9  θ ← θ − lr m̂ / (√v̂ + ε) − lr λ θ
    """

    lr: Number = 1e-3  #: step size
    betas: tuple[Number, Number] = (0.9, 0.999)  #: β₁, β₂, memory of m and v
    eps: Number = 1e-8  #: ε, bounds the step where v vanishes
    weight_decay: Number = 1e-2  #: λ, pull of every weight towards 0

    scope = "element"

    def init(self, p: Array) -> State:
        return {"m": np.zeros_like(p), "v": np.zeros_like(p)}  # line 2

    def update(self, p: Array, g: Array, t: int, m: Array, v: Array) -> Step:
        lr, eps, wd = self.lr, self.eps, self.weight_decay  # line 1
        beta1, beta2 = self.betas  # line 1
        m = beta1 * m + (1 - beta1) * g  # line 5
        v = beta2 * v + (1 - beta2) * g**2  # line 6
        m_hat = m / (1 - beta1**t)  # line 7
        v_hat = v / (1 - beta2**t)  # line 8
        p = p - lr * m_hat / (np.sqrt(v_hat) + eps) - lr * wd * p  # line 9
        return p, {"m": m, "v": v}
