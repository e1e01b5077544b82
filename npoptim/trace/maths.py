"""The maths checks the code: a box computed from the numbers its code was given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from npoptim.trace.notation import Formula, Node, NotationError, code_name, parse


@dataclass(frozen=True)
class _Quantity:
    """A value with its letters' indices: an array keeps a length of 1 where it has none."""

    x: Any
    axes: frozenset[str] = frozenset()


def evaluate(text: str, env: Mapping[str, Any]) -> tuple[str, Any]:
    """A line of a box computed from named numbers: the name it assigns, in code, and the value.

    `env` maps names in code (`code_name`) to numbers and arrays; "p", where
    present, says what the shape of a parameter is. Arithmetic is in float64.

    >>> evaluate("m̂ ← m / (1 − β₁ᵗ)", {"m": 0.75, "beta1": 0.5, "t": 2})
    ('m_hat', np.float64(1.0))
    >>> evaluate("v ← R C / Σᵢ R", {"p": np.ones((2, 2)), "R": np.ones(2), "C": np.ones(2)})
    ('v', array([[0.5, 0.5],
           [0.5, 0.5]]))

    Raises NotationError, with a caret, for what is not in the notation, for
    unknown letters and for an index that is not there.
    """
    formulas = parse(text)
    if len(formulas) != 1:
        raise NotationError(text, 0, f"{len(formulas)} assignments where one is expected.")
    return compute(formulas[0], env)


def compute(formula: Formula, env: Mapping[str, Any]) -> tuple[str, Any]:
    """A parsed line computed: the name it assigns, and the value."""
    with np.errstate(all="ignore"):
        machine = _Machine(formula.text, env)
        try:
            return formula.name, machine.stored(machine.value(formula.tree))
        except NotationError:
            raise
        except ValueError as error:  # NumPy's: shapes that do not go together
            raise NotationError(formula.text, formula.tree.at, f"{error}.") from None


class _Machine:
    """Computes the nodes of one formula."""

    def __init__(self, text: str, env: Mapping[str, Any]) -> None:
        self.text, self.env = text, env
        sizes = [np.shape(env["p"])] if "p" in env else [np.shape(x) for x in env.values()]
        self.shape: tuple[int, ...] = max(sizes, key=len, default=())
        self.axes = {0: "", 1: "i"}.get(len(self.shape), "ij")  # of a parameter

    def loaded(self, letter: str, at: int) -> _Quantity:
        """The value of a letter with the indices it carries."""
        name = code_name(letter)
        if self.env.get(name) is None:
            known = ", ".join(k for k in self.env if k.isidentifier())
            raise NotationError(
                self.text, at, f"{letter} ({name}) is not known here, only {known}."
            )
        x = np.asarray(self.env[name])
        x = x if x.dtype == np.longdouble else x.astype(np.float64)
        shape = self.shape
        if x.ndim == len(shape):
            return _Quantity(x if x.ndim else x[()], frozenset(self.axes))
        if x.ndim == 0:
            return _Quantity(x[()])
        rows, columns = x.shape == shape[:-1], x.shape == shape[:-2] + shape[-1:]
        if len(shape) > 1 and (rows or columns):
            if rows and (not columns or letter[0] not in "cC"):
                return _Quantity(x[..., :, None], frozenset("i"))
            return _Quantity(x[..., None, :], frozenset("j"))
        if len(shape) > 2 and x.shape == shape[:-2]:
            return _Quantity(x[..., None, None])
        raise NotationError(self.text, at, f"{letter} of shape {x.shape} does not fit {shape}.")

    def stored(self, value: _Quantity) -> Any:
        """The array without the axes whose index it does not carry."""
        gone = [i - len(self.axes) for i, a in enumerate(self.axes) if a not in value.axes]
        return np.squeeze(value.x, axis=tuple(gone)) if np.ndim(value.x) and gone else value.x

    def value(self, node: Node) -> _Quantity:
        if node.kind == "number":
            return _Quantity(float(node.text))
        if node.kind == "letter":
            return self.loaded(node.text, node.at)
        if node.kind == "product":
            return self.product(node)
        parts = [self.value(part) for part in node.parts]
        if node.kind == "total":
            return self.total(parts[0], node)
        if node.kind == "norm":
            return _Quantity(np.sqrt(np.sum(parts[0].x ** 2)))
        if node.kind == "RMS":
            return _Quantity(np.sqrt(np.sum(parts[0].x ** 2) / max(np.size(parts[0].x), 1)))
        axes = frozenset().union(*(part.axes for part in parts))
        return _Quantity(_OPERATIONS[node.kind](*(part.x for part in parts)), axes)

    def total(self, part: _Quantity, node: Node) -> _Quantity:
        if node.text not in part.axes:
            raise NotationError(self.text, node.at, f"nothing here carries the index {node.text}.")
        axis = self.axes.index(node.text) - len(self.axes)
        return _Quantity(np.sum(part.x, axis=axis, keepdims=True), part.axes - {node.text})

    def product(self, node: Node) -> _Quantity:
        """Factors from left to right; a quotient of norms is taken first."""
        done, last, norms = _Quantity(1.0), _Quantity(1.0), False
        for part in node.parts:
            factor = self.value(part.parts[0] if part.kind == "over" else part)
            if part.kind == "over" and norms and _of_norms(part.parts[0]):
                last = _Quantity(last.x / factor.x if last.x and factor.x else 1.0)
                continue
            done = _Quantity(done.x * last.x, done.axes | last.axes)
            if part.kind == "over":
                done = _Quantity(done.x / factor.x, done.axes | factor.axes)
                factor = _Quantity(1.0)
            last, norms = factor, part.kind != "over" and _of_norms(part)
        return _Quantity(done.x * last.x, done.axes | last.axes)


_OPERATIONS = {
    "negative": np.negative,
    "plus": np.add,
    "minus": np.subtract,
    "power": np.power,
    "root": np.sqrt,
    "sign": np.sign,
    "exp": np.exp,
    "log": np.log,
    "max": np.maximum,
    "min": np.minimum,
}


def _of_norms(node: Node) -> bool:
    """Whether every term of an expression has a norm for a factor."""
    if node.kind in ("plus", "minus"):
        return all(map(_of_norms, node.parts))
    return node.kind == "norm" or (node.kind == "product" and any(map(_of_norms, node.parts)))
