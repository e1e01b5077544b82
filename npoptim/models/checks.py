"""What models demand of their input, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from npoptim.models.base import Array, Arrays, Model


def generator(rng: object) -> None:
    """A seed is no generator: two models would start alike without anyone having said so."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a numpy.random.Generator. Got {rng!r} instead.")


def size(name: str, value: object, least: int = 1) -> None:
    """A count of things is a whole number, and True is none."""
    text = f"{name} must be an int in the range [{least}, inf). Got {value!r} instead."
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(text)
    if value < least:
        raise ValueError(text)


def sizes(name: str, values: object, least: int) -> tuple[int, ...]:
    """A row of counts, as a tuple."""
    if not isinstance(values, (list, tuple)):
        raise TypeError(f"{name} must be a list of ints. Got {values!r} instead.")
    if len(values) < least:
        raise ValueError(f"{name} must hold at least {least} ints. Got {values!r} instead.")
    for i, value in enumerate(values):
        size(f"{name}[{i}]", value)
    return tuple(map(int, values))


def number(name: str, value: object, least: float = 0, most: float = np.inf) -> None:
    """A finite number from `least` to `most`."""
    end = f"{most:g}]" if most < np.inf else "inf)"
    text = f"{name} must be a float in the range [{least:g}, {end}. Got {value!r} instead."
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise TypeError(text)
    if not (least <= value <= most and value < np.inf):
        raise ValueError(text)


def flag(name: str, value: object) -> None:
    """True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False. Got {value!r} instead.")


def one_of(name: str, value: object, options: tuple[str, ...]) -> None:
    """An option is one of a few words."""
    if value not in options:
        words = ", ".join(map(repr, options))
        raise ValueError(f"{name} must be one of {words}. Got {value!r} instead.")


def parameters(model: Model, params: Arrays) -> None:
    """The names and shapes of the model, in any order, holding floating-point numbers."""
    if not isinstance(params, dict):
        raise TypeError(f"params must be a dict of named arrays. Got {_kind(params)} instead.")
    shapes = model.shapes
    if params.keys() != shapes.keys():
        lacking = [repr(name) for name in shapes if name not in params]
        surplus = [repr(name) for name in params if name not in shapes]
        parts = ["lacks " + ", ".join(lacking)] * bool(lacking)
        parts += ["has no place for " + ", ".join(surplus)] * bool(surplus)
        raise ValueError(f"params must have the names of {model!r}: it {' and '.join(parts)}.")
    for name, shape in shapes.items():
        p = params[name]
        if not hasattr(p, "dtype") or p.dtype.kind != "f":
            found = p.dtype if hasattr(p, "dtype") else _kind(p)
            raise TypeError(f"params[{name!r}] must be an array of floats. Got {found} instead.")
        if p.shape != shape:
            raise ValueError(f"params[{name!r}] must have shape {shape}. Got {p.shape} instead.")


def features(x: Array, inputs: int, dtype: np.dtype[Any]) -> Array:
    """Rows of numbers, one row per example, in `dtype`."""
    _array("x", x, "iuf", "numbers")
    if x.ndim != 2 or x.shape[1] != inputs:
        raise ValueError(f"x must have shape (n, {inputs}). Got {x.shape} instead.")
    return x.astype(dtype, copy=False)


def numbers(y: Array, n: int) -> None:
    """One number per example."""
    _array("y", y, "iuf", "numbers")
    if y.shape != (n,):
        raise ValueError(
            f"y must have shape ({n},), one number per row of x. Got {y.shape} instead."
        )
    _some(n)


def labels(y: Array, n: int, classes: int) -> None:
    """One class index per example."""
    _array("y", y, "iub", "class indices")
    if y.shape != (n,):
        raise ValueError(
            f"y must have shape ({n},), one class per row of x. Got {y.shape} instead."
        )
    _some(n)
    within("y", y, 0, classes - 1)


def indices(name: str, x: Array) -> None:
    """Whole numbers, signed or not, or 0 and 1 as bool."""
    _array(name, x, "iub", "whole numbers")


def within(name: str, index: Array, low: int, high: int) -> None:
    """Whole numbers low … high.

    Reading the extremes waits for a GPU to finish; without it CuPy would
    wrap an index out of range and train on the wrong row.
    """
    indices(name, index)
    if index.size == 0:
        return
    for found in (int(index.min()), int(index.max())):
        if not low <= found <= high:
            raise ValueError(f"{name} must lie in the range [{low}, {high}]. Got {found} instead.")


def _array(name: str, x: object, kinds: str, what: str) -> None:
    if not hasattr(x, "dtype") or not hasattr(x, "shape"):
        raise TypeError(f"{name} must be an array of {what}. Got {_kind(x)} instead.")
    if x.dtype.kind not in kinds:
        raise TypeError(f"{name} must be an array of {what}. Got {x.dtype} instead.")


def _some(n: int) -> None:
    if n == 0:
        raise ValueError("x must hold at least one example: the mean over none is undefined.")


def _kind(x: object) -> str:
    return f"a {type(x).__name__}"
