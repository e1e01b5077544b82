"""AMSGrad: a rule that is not shipped; lying in the folder is all it takes."""

from dataclasses import dataclass

import numpy as np

from npoptim.optimizers.base import Array, Number, Optimizer, State, Step


@dataclass
class AMSGrad(Optimizer):
    """AMSGrad: Adam with a second moment that never falls.

    >>> rule, p = AMSGrad(lr=0.1), np.zeros(1)
    >>> p, state = rule.update(p, np.array([5.0]), 1, **rule.init(p))
    >>> rule.update(p, np.array([0.0]), 2, **state)[1]["s"] == state["v"]
    array([ True])

    Reddi, Kale & Kumar, On the Convergence of Adam and Beyond, ICLR 2018,
    https://arxiv.org/abs/1904.09237, in the form of PyTorch::

         1  given lr, β₁, β₂, ε
         2  t ← 0, m ← 0, v ← 0, s ← 0
         3  t ← t + 1
         4  g ← ∇f(θ)
         5  m ← β₁ m + (1 − β₁) g
         6  v ← β₂ v + (1 − β₂) g²
         7  s ← max(s, v)
         8  m̂ ← m / (1 − β₁ᵗ)
         9  ŝ ← s / (1 − β₂ᵗ)
        10  θ ← θ − lr m̂ / (√ŝ + ε)
    """

    lr: Number = 1e-3  #: step size
    betas: tuple[Number, Number] = (0.9, 0.999)  #: β₁, β₂, memory of m and v
    eps: Number = 1e-8  #: ε, bounds the step where v vanishes

    scope = "element"

    def init(self, p: Array) -> State:
        return {"m": np.zeros_like(p), "v": np.zeros_like(p), "s": np.zeros_like(p)}  # line 2

    def update(self, p: Array, g: Array, t: int, m: Array, v: Array, s: Array) -> Step:
        lr, eps = self.lr, self.eps  # line 1
        beta1, beta2 = self.betas  # line 1
        m = beta1 * m + (1 - beta1) * g  # line 5
        v = beta2 * v + (1 - beta2) * g**2  # line 6
        s = np.maximum(s, v)  # line 7
        m_hat = m / (1 - beta1**t)  # line 8
        s_hat = s / (1 - beta2**t)  # line 9
        p = p - lr * m_hat / (np.sqrt(s_hat) + eps)  # line 10
        return p, {"m": m, "v": v, "s": s}
