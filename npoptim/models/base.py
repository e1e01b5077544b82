"""What every model shares: checked input, a random start, loss and gradients."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from npoptim.models import checks

Array: TypeAlias = NDArray[Any]
Arrays: TypeAlias = dict[str, Array]  #: name -> array: parameters, or their gradients
Cache: TypeAlias = tuple[Any, ...]  #: what the backward pass needs of the forward pass


class Model(ABC):
    """A function of named arrays, its loss, and the gradient derived by hand.

    A model is a frozen dataclass of sizes and options; the numbers are in the
    dict that `init` returns and an optimizer changes. It defines `forward`
    and, beside it, `backward`: the same lines mirrored.
    """

    task: str  #: "classification", "regression", "rating" or "language"

    @property
    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every parameter, by name."""

    @abstractmethod
    def forward(self, params: Arrays, x: Array) -> tuple[Array, Cache]:
        """The output z for inputs x, and what `backward` needs again."""

    @abstractmethod
    def criterion(self, z: Array, y: Array) -> tuple[Array, Array]:
        """The loss L of outputs z and targets y, a mean over the batch, and ∂L/∂z."""

    @abstractmethod
    def backward(self, params: Arrays, cache: Cache, dz: Array) -> Arrays:
        """∂L/∂parameter for each parameter, from dz = ∂L/∂z."""

    @abstractmethod
    def check_x(self, x: Array, dtype: np.dtype[Any]) -> Array:
        """x as `forward` takes it, numbers in the parameters' `dtype`; raises if x is no input."""

    @abstractmethod
    def check_y(self, y: Array, x: Array) -> None:
        """Raise where y is no target for x."""

    def decide(self, z: Array) -> Array:
        """The prediction for outputs z, by default the class of the largest."""
        return z.argmax(axis=-1)  # type: ignore[no-any-return]

    def std(self, name: str) -> float:
        """Standard deviation of the random start of a weight: 1 / √inputs."""
        return 1 / math.sqrt(self.shapes[name][0])

    def init(self, rng: np.random.Generator, dtype: DTypeLike = np.float64) -> Arrays:
        """A random start: weights normal with `std`, gains 1, biases 0.

        The numbers are drawn in float64 and rounded to `dtype`, so that a
        float32 model starts where the float64 model does.
        """
        checks.generator(rng)
        params = {}
        for name, shape in self.shapes.items():
            if name.endswith(".b"):
                p = np.zeros(shape)
            elif name.endswith(".gain"):
                p = np.ones(shape)
            else:
                p = self.std(name) * rng.standard_normal(shape)
            params[name] = p.astype(dtype)
        return params

    def loss(self, params: Arrays, x: Array, y: Array) -> float:
        """The mean loss over the batch."""
        x = self._checked(params, x)
        self.check_y(y, x)
        return float(self.criterion(self.forward(params, x)[0], y)[0])

    def loss_and_grads(self, params: Arrays, x: Array, y: Array) -> tuple[float, Arrays]:
        """The mean loss over the batch and its gradient in every parameter."""
        x = self._checked(params, x)
        self.check_y(y, x)
        z, cache = self.forward(params, x)
        loss, dz = self.criterion(z, y)
        grads = self.backward(params, cache, dz)
        return float(loss), {name: grads[name] for name in params}

    def predict(self, params: Arrays, x: Array) -> Array:
        """The class of each input for a classifier, a number for a regression."""
        return self.decide(self.forward(params, self._checked(params, x))[0])

    def count(self, y: Array) -> int:
        """How many terms the mean loss of targets y has: a batch's weight in a larger mean."""
        return len(y)

    def _checked(self, params: Arrays, x: Array) -> Array:
        checks.parameters(self, params)
        # float32 parameters meet float64 data: the arithmetic must stay float32
        return self.check_x(x, np.result_type(*(p.dtype for p in params.values())))
