"""Lion: the sign of an interpolated momentum."""

from dataclasses import dataclass

import numpy as np

from npoptim.optimizers.base import Array, Number, Optimizer, State, Step


@dataclass
class Lion(Optimizer):
    """Lion: the sign of an interpolated momentum.

    The momentum is updated after the step, with the other β. Without decay
    every coordinate moves by lr or, where c is exactly 0, not at all:

    >>> rule, p = Lion(lr=0.1), np.zeros(3)
    >>> p, state = rule.update(p, np.array([5.0, -1e-9, 0.0]), 1, **rule.init(p))
    >>> p
    array([-0.1,  0.1,  0. ])

    Chen et al., Symbolic Discovery of Optimization Algorithms, NeurIPS 2023,
    Algorithm 2, https://arxiv.org/abs/2302.06675::

         1  given lr, β₁, β₂, λ
         2  m ← 0
         3  g ← ∇f(θ)
         4  c ← β₁ m + (1 − β₁) g
         5  θ ← θ − lr (sign(c) + λ θ)
         6  m ← β₂ m + (1 − β₂) g
    """

    lr: Number = 1e-4  #: step size, the same for every coordinate
    betas: tuple[Number, Number] = (0.9, 0.99)  #: β₁, β₂, weight of m in the step, memory of m
    weight_decay: Number = 0.0  #: λ, pull of every weight towards 0

    scope = "element"

    def init(self, p: Array) -> State:
        return {"m": np.zeros_like(p)}  # line 2

    def update(self, p: Array, g: Array, t: int, m: Array) -> Step:
        lr, wd = self.lr, self.weight_decay  # line 1
        beta1, beta2 = self.betas  # line 1
        c = beta1 * m + (1 - beta1) * g  # line 4
        p = p - lr * (np.sign(c) + wd * p)  # line 5
        m = beta2 * m + (1 - beta2) * g  # line 6
        return p, {"m": m}
