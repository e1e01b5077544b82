"""A small convolutional network: convolve, bend, pool; then a linear map.

The numbers in parentheses are those of docs/derivations/conv.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from npoptim.models import checks
from npoptim.models.base import Array, Arrays, Cache, Model
from npoptim.models.layers import (
    ACTIVATIONS,
    KERNEL,
    convolve,
    cross_entropy,
    flip,
    max_pool,
    max_pool_backward,
    outer,
    total,
)


@dataclass(frozen=True)
class ConvNet(Model):
    """A small convolutional network: convolve, bend, pool; then a linear map.

    x is (n, side²), the rows of square grey pictures; y (n,) of class indices.
    Each of the `channels` is a 3 × 3 convolution padded with 0, `activation`,
    and the maximum of each 2 × 2 square.

    LeCun et al., Gradient-Based Learning Applied to Document Recognition,
    1998, https://doi.org/10.1109/5.726791.

    >>> ConvNet(side=8, channels=(8, 16), classes=10).shapes["2.W"]
    (64, 10)
    """

    side: int = 8
    channels: Sequence[int] = (8, 16)
    classes: int = 10
    activation: str = "relu"  #: "relu", "tanh" or "gelu"

    task = "classification"

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", checks.sizes("channels", self.channels, least=1))
        checks.size("side", self.side)
        checks.size("classes", self.classes, least=2)
        checks.one_of("activation", self.activation, tuple(ACTIVATIONS))
        if self.side % 2 ** len(self.channels):
            raise ValueError(
                f"side must be a multiple of {2 ** len(self.channels)}, as each of the "
                f"{len(self.channels)} poolings halves it. Got {self.side} instead."
            )

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        inputs = 1
        for i, outputs in enumerate(self.channels):
            shapes |= {f"{i}.W": (KERNEL, KERNEL, inputs, outputs), f"{i}.b": (outputs,)}
            inputs = outputs
        last, side = len(self.channels), self.side // 2 ** len(self.channels)
        return shapes | {
            f"{last}.W": (side * side * inputs, self.classes),
            f"{last}.b": (self.classes,),
        }

    def std(self, name: str) -> float:
        shape = self.shapes[name]
        bend = math.sqrt(2) if len(shape) == 4 and self.activation != "tanh" else 1.0
        return bend / math.sqrt(math.prod(shape[:-1]))

    def forward(self, params: Arrays, x: Array) -> tuple[Array, Cache]:
        bend, last = ACTIVATIONS[self.activation], len(self.channels)
        h, caches = x.reshape(-1, self.side, self.side, 1), []
        for i in range(last):
            u, near = convolve(h, params[f"{i}.W"])  # u = patches(h) W + b  (1)
            a, slope = bend(u + params[f"{i}.b"])  # a = φ(u)  (2)
            h, share = max_pool(a)  # h = max of each square of a  (3)
            caches.append((near, slope, share))
        flat = h.reshape(len(x), -1)
        z = flat @ params[f"{last}.W"] + params[f"{last}.b"]  # z = h W + b  (4)
        return z, (caches, h.shape, flat)

    def criterion(self, z: Array, y: Array) -> tuple[Array, Array]:
        return cross_entropy(z, y)  # ∂L/∂z = (p − e) / n  (5)

    def backward(self, params: Arrays, cache: Cache, dz: Array) -> Arrays:
        caches, shape, flat = cache
        grads, last = {}, len(self.channels)
        grads[f"{last}.b"] = total(dz)  # ∂L/∂b = Σ ∂L/∂z  (6)
        grads[f"{last}.W"] = outer(flat, dz)  # ∂L/∂W = hᵀ ∂L/∂z  (7)
        dh = (dz @ params[f"{last}.W"].T).reshape(shape)  # ∂L/∂h = ∂L/∂z Wᵀ  (8)
        for i in reversed(range(last)):
            near, slope, share = caches[i]
            da = max_pool_backward(dh, share)  # ∂L/∂a = share ∂L/∂h  (9)
            du = da * slope  # ∂L/∂u = ∂L/∂a φ′(u)  (10)
            grads[f"{i}.b"] = total(du)  # ∂L/∂b = Σ ∂L/∂u  (11)
            W = params[f"{i}.W"]
            grads[f"{i}.W"] = outer(near, du).reshape(W.shape)  # ∂L/∂W = patches(h)ᵀ ∂L/∂u  (12)
            if i > 0:
                dh, _ = convolve(du, flip(W))  # ∂L/∂h = patches(∂L/∂u) flip(W)  (13)
        return grads

    def check_x(self, x: Array, dtype: np.dtype[Any]) -> Array:
        return checks.features(x, self.side**2, dtype)

    def check_y(self, y: Array, x: Array) -> None:
        checks.labels(y, len(x), self.classes)
