"""A stand-in for a GPU array: CuPy's two protocols and CuPy's strictness, on NumPy.

Whatever runs on it runs on CuPy without a round trip to the host: mixing with
NumPy arrays, implicit conversion, `if` and `float()` raise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, Self

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

# NumPy functions that CuPy answers for its arrays, as far as rules and models need them
_NAMES = """
    all any arange argmax argmin broadcast_to clip concatenate cumsum diag diagonal dot einsum
    empty_like expand_dims flip full_like max mean min moveaxis ndim ones_like outer pad
    prod ravel repeat reshape roll shape size split squeeze stack std sum swapaxes take
    take_along_axis tensordot tile trace transpose tril triu var vdot where zeros_like
"""
FUNCTIONS = frozenset(getattr(np, name) for name in _NAMES.split())


class DeviceArray(NDArrayOperatorsMixin):
    """An array that refuses to leave its device.

    >>> x = DeviceArray(np.arange(3.0))
    >>> np.sqrt(x**2).sum()
    DeviceArray(3.)
    >>> if x.sum() > 0: ...
    Traceback (most recent call last):
        ...
    TypeError: a device array has no truth value without a round trip to the host; use np.where.
    """

    def __init__(self, value: NDArray[Any] | np.generic) -> None:
        self._value = np.asarray(value)

    def get(self) -> NDArray[Any]:
        """A copy on the host: the one way out, as in CuPy."""
        return self._value.copy()

    def set(self, value: NDArray[Any]) -> None:
        """Take over an array from the host: the one way in."""
        self._value[...] = value

    @property
    def shape(self) -> tuple[int, ...]:
        return self._value.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._value.dtype

    @property
    def ndim(self) -> int:
        return self._value.ndim

    @property
    def size(self) -> int:
        return self._value.size

    @property
    def nbytes(self) -> int:
        return self._value.nbytes

    @property
    def itemsize(self) -> int:
        return self._value.itemsize

    @property
    def T(self) -> Self:
        return type(self)(self._value.T)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method not in ("__call__", "reduce", "accumulate", "outer"):
            return NotImplemented
        return self._wrap(getattr(ufunc, method)(*map(_unwrap, inputs), **_unwrap(kwargs)))

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func not in FUNCTIONS:
            raise TypeError(f"numpy.{func.__name__} has no counterpart on the device.")
        return self._wrap(func(*_unwrap(args), **_unwrap(kwargs)))

    def __getitem__(self, key: Any) -> Self:
        return type(self)(self._value[_unwrap(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self._value[_unwrap(key)] = _unwrap(value)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        methods = "all any argmax astype copy max mean min ravel reshape sum swapaxes transpose"
        if name not in methods.split():
            raise AttributeError(f"a device array has no {name!r}.")
        return lambda *args, **kwargs: self._wrap(
            getattr(self._value, name)(*_unwrap(args), **_unwrap(kwargs))
        )

    def __repr__(self) -> str:
        return repr(self._value).replace("array", "DeviceArray", 1)

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "a device array has no truth value without a round trip to the host; use np.where."
        )

    def _wrap(self, result: Any) -> Any:
        if isinstance(result, tuple):
            return tuple(map(self._wrap, result))
        return type(self)(result) if isinstance(result, (np.ndarray, np.generic)) else result

    def _stay(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(
            "a device array does not become a number or a NumPy array by itself; use .get()."
        )

    __array__ = __float__ = __int__ = __complex__ = __index__ = __iter__ = __len__ = _stay


def _unwrap(x: Any) -> Any:
    if isinstance(x, DeviceArray):
        return x._value
    if isinstance(x, np.ndarray):
        raise TypeError("a NumPy array meets a device array; move it to the device first.")
    if isinstance(x, (tuple, list)):
        return type(x)(map(_unwrap, x))
    if isinstance(x, dict):
        return {k: _unwrap(v) for k, v in x.items()}
    return x
