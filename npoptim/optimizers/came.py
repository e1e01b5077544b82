"""CAME: Adafactor with momentum and confidence."""

from dataclasses import dataclass

import numpy as np

from npoptim.optimizers.base import Array, Number, Optimizer, State, Step, over_root, rms


@dataclass
class CAME(Optimizer):
    """CAME: Adafactor with momentum and confidence.

    A step shrinks where the clipped update û keeps away from its mean m.
    Vectors (fewer than two axes, the second box) have no confidence; the
    decay is that of the authors' code. Nothing corrects the bias of the
    confidence, so the first step of a matrix is 11 times lr:

    >>> rule, p = CAME(lr=1.0, clip=1.0), np.zeros((2, 2))
    >>> p, state = rule.update(p, np.full((2, 2), -7.0), 1, **rule.init(p))
    >>> p.round(1)
    array([[11.1, 11.1],
           [11.1, 11.1]])

    Luo et al., CAME: Confidence-guided Adaptive Memory Efficient
    Optimization, ACL 2023, Algorithm 2, https://arxiv.org/abs/2307.02047::

         1  given lr, β₁, β₂, β₃, ε₁, ε₂, d, λ
         2  m ← 0, r ← 0, c ← 0, R ← 0, C ← 0
         3  g ← ∇f(θ)
         4  r ← β₂ r + (1 − β₂) Σⱼ (g² + ε₁)
         5  c ← β₂ c + (1 − β₂) Σᵢ (g² + ε₁)
         6  v ← r c / Σᵢ r
         7  u ← g / √v
         8  û ← u / max(1, RMS(u) / d)
         9  m ← β₁ m + (1 − β₁) û
        10  U ← (û − m)²
        11  R ← β₃ R + (1 − β₃) Σⱼ (U + ε₂)
        12  C ← β₃ C + (1 − β₃) Σᵢ (U + ε₂)
        13  S ← R C / Σᵢ R
        14  θ ← θ − lr m / √S − lr λ θ

    and for vectors::

         1  given lr, β₁, β₂, ε₁, d, λ
         2  m ← 0, v ← 0
         3  g ← ∇f(θ)
         4  v ← β₂ v + (1 − β₂) (g² + ε₁)
         5  u ← g / √v
         6  û ← u / max(1, RMS(u) / d)
         7  m ← β₁ m + (1 − β₁) û
         8  θ ← θ − lr m − lr λ θ
    """

    lr: Number = 2e-4  #: step size
    betas: tuple[Number, Number, Number] = (0.9, 0.999, 0.9999)  #: β₁, β₂, β₃, memory of m, v, S
    eps: tuple[Number, Number] = (1e-30, 1e-16)  #: ε₁, ε₂, least g², least instability
    clip: Number = 1.0  #: d, largest RMS of û
    weight_decay: Number = 0.0  #: λ, pull of every weight towards 0

    scope = "matrix"

    def init(self, p: Array) -> State:
        m, r, c = (
            np.zeros_like(p),
            np.zeros_like(np.sum(p, -1)),
            np.zeros_like(np.sum(p, -2)),
        )  # line 2
        return {"m": m, "r": r, "c": c, "R": np.zeros_like(r), "C": np.zeros_like(c)}  # line 2

    def update(
        self, p: Array, g: Array, t: int, m: Array, r: Array, c: Array, R: Array, C: Array
    ) -> Step:
        lr, d, wd = self.lr, self.clip, self.weight_decay  # line 1
        beta1, beta2, beta3 = self.betas  # line 1
        eps1, eps2 = self.eps  # line 1
        r = beta2 * r + (1 - beta2) * np.sum(g**2 + eps1, axis=-1)  # line 4
        c = beta2 * c + (1 - beta2) * np.sum(g**2 + eps1, axis=-2)  # line 5
        u = over_root(g, r, c)  # lines 6, 7
        u_hat = u / np.maximum(1.0, rms(u) / d)  # line 8
        m = beta1 * m + (1 - beta1) * u_hat  # line 9
        U = (u_hat - m) ** 2  # line 10
        R = beta3 * R + (1 - beta3) * np.sum(U + eps2, axis=-1)  # line 11
        C = beta3 * C + (1 - beta3) * np.sum(U + eps2, axis=-2)  # line 12
        p = p - lr * over_root(m, R, C) - lr * wd * p  # lines 13, 14
        return p, {"m": m, "r": r, "c": c, "R": R, "C": C}

    def init_vector(self, p: Array) -> State:
        return {"m": np.zeros_like(p), "v": np.zeros_like(p)}  # line 2

    def update_vector(self, p: Array, g: Array, t: int, m: Array, v: Array) -> Step:
        lr, d, wd = self.lr, self.clip, self.weight_decay  # line 1
        beta1, beta2, _ = self.betas  # line 1
        eps1, _ = self.eps  # line 1
        v = beta2 * v + (1 - beta2) * (g**2 + eps1)  # line 4
        u = g / np.sqrt(v)  # line 5
        u_hat = u / np.maximum(1.0, rms(u) / d)  # line 6
        m = beta1 * m + (1 - beta1) * u_hat  # line 7
        p = p - lr * m - lr * wd * p  # line 8
        return p, {"m": m, "v": v}
