"""The multilayer perceptron: linear maps with a bend between them.

The numbers in parentheses are those of docs/derivations/mlp.md.
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
    cross_entropy,
    half_square,
    layer_norm,
    layer_norm_backward,
    outer,
    total,
)


@dataclass(frozen=True)
class MLP(Model):
    """The multilayer perceptron: linear maps with a bend between them.

    `sizes` are the inputs, the hidden layers and the outputs. x is
    (n, inputs); y (n,) holds class indices, or numbers where `task` is
    "regression" (one output). With `layer_norm` each hidden layer is
    normalized before it bends. Weights start as in He et al., Delving Deep
    into Rectifiers, 2015, https://arxiv.org/abs/1502.01852.

    >>> model = MLP([64, 32, 10])
    >>> {name: p.shape for name, p in model.init(np.random.default_rng(0)).items()}
    {'0.W': (64, 32), '0.b': (32,), '1.W': (32, 10), '1.b': (10,)}
    """

    sizes: Sequence[int]
    activation: str = "relu"  #: "relu", "tanh" or "gelu"
    layer_norm: bool = False
    task: str = "classification"

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", checks.sizes("sizes", self.sizes, least=2))
        checks.one_of("activation", self.activation, tuple(ACTIVATIONS))
        checks.one_of("task", self.task, ("classification", "regression"))
        checks.flag("layer_norm", self.layer_norm)
        if self.task == "regression" and self.sizes[-1] != 1:
            raise ValueError(f"sizes must end in 1 for a regression. Got {self.sizes} instead.")
        if self.task == "classification" and self.sizes[-1] < 2:
            raise ValueError(f"sizes must end in 2 classes or more. Got {self.sizes} instead.")

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        last = len(self.sizes) - 2
        for i, (inputs, outputs) in enumerate(zip(self.sizes, self.sizes[1:], strict=False)):
            shapes |= {f"{i}.W": (inputs, outputs), f"{i}.b": (outputs,)}
            if self.layer_norm and i < last:
                shapes |= {f"{i}.norm.gain": (outputs,), f"{i}.norm.b": (outputs,)}
        return shapes

    def std(self, name: str) -> float:
        hidden = name != f"{len(self.sizes) - 2}.W"
        bend = math.sqrt(2) if hidden and self.activation != "tanh" else 1.0
        return bend * super().std(name)

    def forward(self, params: Arrays, x: Array) -> tuple[Array, Cache]:
        bend, last = ACTIVATIONS[self.activation], len(self.sizes) - 2
        h, caches = x, []
        for i in range(last):
            u = h @ params[f"{i}.W"] + params[f"{i}.b"]  # u = h W + b  (1)
            v, norm = u, None
            if self.layer_norm:
                v, norm = layer_norm(u, params[f"{i}.norm.gain"], params[f"{i}.norm.b"])  # (2)
            below, (h, slope) = h, bend(v)  # h = φ(v)  (3)
            caches.append((below, norm, slope))
        z = h @ params[f"{last}.W"] + params[f"{last}.b"]  # z = h W + b  (4)
        return z, (h, caches)

    def criterion(self, z: Array, y: Array) -> tuple[Array, Array]:
        if self.task == "regression":
            loss, dz = half_square(z[:, 0], y)  # ∂L/∂z = (z − y) / n, or (p − e) / n  (5)
            return loss, dz[:, None]
        return cross_entropy(z, y)

    def backward(self, params: Arrays, cache: Cache, dz: Array) -> Arrays:
        h, caches = cache
        grads, last = {}, len(self.sizes) - 2
        grads[f"{last}.b"] = total(dz)  # ∂L/∂b = Σ ∂L/∂z  (6)
        grads[f"{last}.W"] = outer(h, dz)  # ∂L/∂W = hᵀ ∂L/∂z  (7)
        du = dz
        for i in reversed(range(last)):
            h, norm, slope = caches[i]
            dh = du @ params[f"{i + 1}.W"].T  # ∂L/∂h = ∂L/∂u Wᵀ of the layer above  (8)
            du = dv = dh * slope  # ∂L/∂v = ∂L/∂h φ′(v)  (9)
            if self.layer_norm:
                du, dgain, db = layer_norm_backward(dv, norm)  # (10)
                grads |= {f"{i}.norm.gain": dgain, f"{i}.norm.b": db}
            grads[f"{i}.b"] = total(du)  # ∂L/∂b = Σ ∂L/∂u  (11)
            grads[f"{i}.W"] = outer(h, du)  # ∂L/∂W = hᵀ ∂L/∂u  (12)
        return grads

    def decide(self, z: Array) -> Array:
        return z[:, 0] if self.task == "regression" else super().decide(z)

    def check_x(self, x: Array, dtype: np.dtype[Any]) -> Array:
        return checks.features(x, self.sizes[0], dtype)

    def check_y(self, y: Array, x: Array) -> None:
        if self.task == "regression":
            checks.numbers(y, len(x))
        else:
            checks.labels(y, len(x), self.sizes[-1])
