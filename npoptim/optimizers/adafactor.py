"""Adafactor: a second moment from row and column sums."""

import math
from dataclasses import dataclass

import numpy as np

from npoptim.optimizers.base import Array, Number, Optimizer, State, Step, over_root, rms


@dataclass(frozen=True)
class relative_step:
    """The paper's relative step sizes ρ: t -> min(1e-2, 1/√t), Algorithm 6.

    >>> relative_step()(100), relative_step()(40_000)
    (0.01, 0.005)
    """

    def __call__(self, t: int) -> float:
        return min(1e-2, 1 / math.sqrt(t))


@dataclass
class Adafactor(Optimizer):
    """Adafactor: a second moment from row and column sums.

    lr is relative to the size of the parameter; of a matrix only m + n
    numbers are remembered, and of vectors (fewer than two axes, the second
    box) the whole second moment. On more than two axes the last two are the
    matrix. The first step without clipping has RMS ρ RMS(θ):

    >>> rule, p = Adafactor(lr=0.01), np.full((2, 3), 5.0)
    >>> q, state = rule.update(p, np.ones((2, 3)), 1, **rule.init(p))
    >>> rms(p - q).round(12), state["R"].shape, state["C"].shape
    (np.float64(0.05), (2,), (3,))

    Shazeer & Stern, Adafactor: Adaptive Learning Rates with Sublinear Memory
    Cost, ICML 2018, Algorithms 4 and 5 with the values of Algorithm 6,
    https://arxiv.org/abs/1804.04235::

         1  given ρ, decay, ε₁, ε₂, d
         2  t ← 0, R ← 0, C ← 0
         3  t ← t + 1
         4  α ← max(ε₂, RMS(θ)) ρ
         5  g ← ∇f(θ)
         6  β̂₂ ← 1 − t^−decay
         7  R ← β̂₂ R + (1 − β̂₂) Σⱼ (g² + ε₁)
         8  C ← β̂₂ C + (1 − β̂₂) Σᵢ (g² + ε₁)
         9  v ← R C / Σᵢ R
        10  u ← g / √v
        11  û ← u / max(1, RMS(u) / d)
        12  θ ← θ − α û

    and for vectors::

         1  given ρ, decay, ε₁, ε₂, d
         2  t ← 0, v ← 0
         3  t ← t + 1
         4  α ← max(ε₂, RMS(θ)) ρ
         5  g ← ∇f(θ)
         6  β̂₂ ← 1 − t^−decay
         7  v ← β̂₂ v + (1 − β̂₂) (g² + ε₁)
         8  u ← g / √v
         9  û ← u / max(1, RMS(u) / d)
        10  θ ← θ − α û
    """

    lr: Number = relative_step()  #: ρ, step size relative to RMS(θ)
    decay: Number = 0.8  #: how fast the second moment's memory grows
    eps: tuple[Number, Number] = (1e-30, 1e-3)  #: ε₁, ε₂, least g², least RMS(θ)
    clip: Number = 1.0  #: d, largest RMS of a step before scaling

    scope = "matrix"

    def init(self, p: Array) -> State:
        return {
            "R": np.zeros_like(np.sum(p, axis=-1)),
            "C": np.zeros_like(np.sum(p, axis=-2)),
        }  # line 2

    def update(self, p: Array, g: Array, t: int, R: Array, C: Array) -> Step:
        rho, decay, d = self.lr, self.decay, self.clip  # line 1
        eps1, eps2 = self.eps  # line 1
        alpha = np.maximum(eps2, rms(p)) * rho  # line 4
        beta2_hat = 1 - t**-decay  # line 6
        R = beta2_hat * R + (1 - beta2_hat) * np.sum(g**2 + eps1, axis=-1)  # line 7
        C = beta2_hat * C + (1 - beta2_hat) * np.sum(g**2 + eps1, axis=-2)  # line 8
        u = over_root(g, R, C)  # lines 9, 10
        u_hat = u / np.maximum(1.0, rms(u) / d)  # line 11
        p = p - alpha * u_hat  # line 12
        return p, {"R": R, "C": C}

    def init_vector(self, p: Array) -> State:
        return {"v": np.zeros_like(p)}  # line 2

    def update_vector(self, p: Array, g: Array, t: int, v: Array) -> Step:
        rho, decay, d = self.lr, self.decay, self.clip  # line 1
        eps1, eps2 = self.eps  # line 1
        alpha = np.maximum(eps2, rms(p)) * rho  # line 4
        beta2_hat = 1 - t**-decay  # line 6
        v = beta2_hat * v + (1 - beta2_hat) * (g**2 + eps1)  # line 7
        u = g / np.sqrt(v)  # line 8
        u_hat = u / np.maximum(1.0, rms(u) / d)  # line 9
        p = p - alpha * u_hat  # line 10
        return p, {"v": v}
