"""What a rule is made of: hyper-parameters, `init`, `update`, and four helpers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from typing import Any, ClassVar, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from npoptim.optimizers import checks
from npoptim.optimizers.driver import Driver

Array: TypeAlias = NDArray[Any]
State: TypeAlias = dict[str, Array]
Step: TypeAlias = tuple[Array, State]
Number: TypeAlias = Any  # a float, or a schedule t -> float; inside `update` always a float


class Optimizer(Driver, ABC):
    """A rule: hyper-parameters as fields, `init` and `update` in the paper's letters.

    A subclass is a dataclass whose docstring holds the paper's box. It says
    how a fresh memory looks and how one step changes parameter and memory;
    everything else (checks, schedules, dtypes, blocks) is the driver's.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class SignSGD(Optimizer):
    ...     lr: float = 0.01
    ...     scope = "element"
    ...
    ...     def update(self, p, g, t):
    ...         return p - self.lr * np.sign(g), {}
    >>> p = np.array([1.0, 1.0])
    >>> SignSGD().step(p, np.array([5.0, -0.001]))
    >>> p
    array([0.99, 1.01])
    """

    #: How much of a parameter one line must see: its elements one by one, a
    #: norm of the whole, or its rows and columns.
    scope: ClassVar[Literal["element", "tensor", "matrix"]] = "tensor"

    __signature__ = checks.InitSignature()

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        checks.keywords(cls, kwargs)
        return super().__new__(cls)

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, checks.hyper(type(self), name, value))

    def init(self, p: Array) -> State:
        """The memory before the first step: name -> array, by default none."""
        return {}

    @abstractmethod
    def update(self, *args: Any, **state: Any) -> Step:
        """`update(p, g, t, **state)`: parameter and memory after step number `t` (from 1)."""

    def form(self, p: Array) -> tuple[Callable[..., State], Callable[..., Step]]:
        """`init` and `update` for an array: the vector box's below two axes, where there is one."""
        box = self._box(p)
        return getattr(self, "init" + box), getattr(self, "update" + box)

    def _box(self, p: Array) -> str:
        """How the names of `init` and `update` for an array end."""
        return "_vector" if p.ndim < 2 and hasattr(self, "update_vector") else ""

    def at(self, t: int) -> Self:
        """The rule at step `t`: itself, or with numbers in the place of its schedules.

        >>> from npoptim import SGD, schedules
        >>> SGD(lr=schedules.linear(1.0, total=4)).at(2)
        SGD(lr=0.5)
        """
        memory = self._memory
        try:
            known = self.__dict__ == memory.checked
        except ValueError:  # a whole array in the place of a number
            known = False
        if not known:
            for name, value in self.hyper().items():
                checks.hyper(type(self), name, value)
            memory.checked = dict(vars(self))
            memory.schedules = [k for k, v in self.hyper().items() if checks.has_schedule(v)]
        if not memory.schedules:
            return self
        now = {k: checks.hyper_at(type(self), k, vars(self)[k], t) for k in memory.schedules}
        return self.replace(**now)

    def hyper(self) -> dict[str, Any]:
        """The hyper-parameters by name."""
        return {k: v for k, v in vars(self).items() if not k.startswith("_")}

    def replace(self, **values: object) -> Self:
        """A rule without memory that differs in `values`, taken as they are."""
        rule = object.__new__(type(self))
        vars(rule).update(self.hyper(), **values)
        return rule

    def fresh(self) -> Self:
        """The same rule before its first step."""
        return self.replace()

    def _rule(self, name: str) -> Optimizer:
        return self

    def _rules(self, names: Collection[str], t: int) -> list[Optimizer]:
        return [self.at(t)] * len(names)


def norm(x: Array) -> Array:
    """‖x‖, the Euclidean length of the whole array."""
    return np.sqrt(np.vdot(x, x))  # type: ignore[no-any-return]


def rms(x: Array) -> Array:
    """RMS(x) = √(Σ x² / size); 0 for an array without elements."""
    return np.sqrt(np.vdot(x, x) / (x.size or 1))  # type: ignore[no-any-return]


def ratio(a: Array, b: Array) -> Array:
    """a / b; 1 where either is 0; NaN, not a silent 0, where b has overflowed."""
    both = (a != 0) & (b != 0)
    a, b = a**both, b**both  # x⁰ is 1
    return a / b * (b / b)


def over_root(x: Array, R: Array, C: Array) -> Array:
    """x / √v where v = R C / Σ R, without forming v.

    R has the shape of x less its last axis, C less its last but one. In this
    order nothing underflows when whole rows and columns are near 0:

    >>> R, C = np.full(2, 1e-30, "f"), np.full(2, 1e-30, "f")
    >>> over_root(np.zeros((2, 2), "f"), R, C)
    array([[0., 0.],
           [0., 0.]], dtype=float32)
    """
    total = np.sum(R, axis=-1)[..., None, None]
    return x / np.sqrt(R)[..., :, None] / np.sqrt(C)[..., None, :] * np.sqrt(total)  # type: ignore[no-any-return]
