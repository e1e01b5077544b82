"""What every surface shares: checks, batches, and the way back to the caller's shape."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from typing import Any, TypeAlias

import numpy as np
from numpy import array, ndarray
from numpy.typing import ArrayLike, NDArray

from npoptim.optimizers import checks
from npoptim.optimizers.quiet import quiet

Array: TypeAlias = NDArray[Any]

FLOAT = np.dtype(np.float64)


def constant(values: Any) -> Array:
    """A read-only float64 array, safe to share between all users of a surface."""
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array


def real(x: ArrayLike, shape: tuple[int, ...], what: str = "x") -> Array:
    """`x` as an array of float32 or float64 whose last axes are `shape`."""
    if type(x) is np.ndarray and x.dtype is FLOAT and x.shape[-len(shape) :] == shape:
        return x
    array: Array = x if type(x) in checks.ARRAY_TYPES else np.asarray(x)  # type: ignore[assignment]
    if array.dtype.kind not in "fiu":
        raise TypeError(
            f"{what} must be an array of real numbers. Got dtype {array.dtype} instead."
        )
    if array.shape[-len(shape) :] != shape:
        wanted = ", ".join(map(str, shape))
        raise ValueError(
            f"{what} must have shape (..., {wanted}). Got shape {array.shape} instead."
        )
    return array if array.dtype == np.float32 else array.astype(np.float64, copy=False)


def polynomial(slope: Any) -> Any:
    """Mark a slope of sums and products alone, with x * x for x².

    It is given the numbers of a single point, not arrays of one element: the
    same bits in a quarter of the time.
    """
    slope.polynomial = True
    return slope


class Surface(ABC):
    """A function of the plane, f, with its gradient derived by hand.

    Points x have shape (..., 2): any number of leading axes, the same formula
    for one point and for a million, with the same bits. float32 stays float32,
    all else is float64. Where f is too large for its dtype it is inf or NaN,
    without a warning: optimizers with too large a step get there.

    Raises ValueError for points of another shape, TypeError for points that
    are not real numbers.

    A surface of your own is a subclass; `height` and `slope` get the two
    coordinates as arrays of one axis:

    >>> class Bowl(Surface):
    ...     name, formula = "bowl", "x² + 3y²"
    ...     minima = constant([[0, 0]])
    ...     start = constant([2, 1])
    ...     bounds = (-3, 3), (-2, 2)
    ...
    ...     def height(self, x, y):
    ...         return x**2 + 3 * y**2
    ...
    ...     def slope(self, x, y):
    ...         return 2 * x, 6 * y
    >>> bowl = Bowl()
    >>> bowl.grad([[2, 1], [0, 0]])
    array([[4., 6.],
           [0., 0.]])
    """

    name: str  #: as `get` takes it
    formula: str  #: f on one line, for captions
    minima: Array  #: the global minimisers, shape (k, 2); k = 0 where f has none
    start: Array  #: where pictures and races begin, shape (2,); read-only
    bounds: tuple[tuple[float, float], tuple[float, float]]  #: (x0, x1), (y0, y1) of a picture
    shape: tuple[int, ...] = (2,)  #: the shape of one point
    #: the plane of pictures: its origin, and two orthonormal directions in it
    plane: tuple[Array, Array] = constant(np.zeros(2)), constant(np.eye(2))

    @abstractmethod
    def height(self, x: Array, y: Array) -> Any:
        """f at the coordinates x and y."""

    @abstractmethod
    def slope(self, x: Array, y: Array) -> tuple[Any, Any]:
        """∂f/∂x and ∂f/∂y at the coordinates x and y."""

    def f(self, x: ArrayLike) -> Any:
        """The value at x, shape (...,)."""
        x = real(x, self.shape)
        at = self._coordinates(x)
        with quiet():
            return self._per_point(self.height(at[0], at[1]), x)

    def grad(self, x: ArrayLike) -> Array:
        """The gradient at x, shape of x."""
        slope = self.slope
        one = type(x) is ndarray and x.dtype is FLOAT and x.shape == (2,)
        if one and hasattr(slope, "polynomial"):
            a, b = x.tolist()  # type: ignore[union-attr]
            return array(slope(a, b), FLOAT)
        x = real(x, self.shape)
        at = self._coordinates(x)
        g = np.empty_like(at)
        with quiet():
            g[0], g[1] = slope(at[0], at[1])
        if at.ndim > x.ndim:
            return g[..., 0]
        return g.reshape(math.prod(self.shape), -1).T.copy().reshape(x.shape)

    def distance(self, x: ArrayLike) -> Any:
        """The distance from x to the nearest global minimum, shape (...,); NaN if there is none."""
        point = real(x, self.shape)
        at = self._coordinates(point)
        x, y = at[0], at[1]
        nearest = np.full_like(x, np.inf if len(self.minima) else np.nan)
        with quiet():
            for a, b in self.minima.tolist():
                nearest = np.minimum(nearest, np.hypot(x - a, y - b))
        return self._per_point(nearest, point)

    def project(self, x: ArrayLike) -> Array:
        """The coordinates of x in the plane of pictures, shape (..., 2): here x itself."""
        return real(x, self.shape)

    def lift(self, u: ArrayLike) -> Array:
        """The points with coordinates u in the plane of pictures: here u itself."""
        return real(u, (2,), "u")

    def __repr__(self) -> str:
        names = inspect.signature(type(self)).parameters
        return f"{self.name}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    def _coordinates(self, x: Array) -> Array:
        # contiguous arrays, never scalars: NumPy computes these otherwise, and a batch would
        # differ from single points in the last bit. (Powers above the square are products in all
        # surfaces: np.power is the C library's, and its last bit changes with the machine.)
        if x.shape == self.shape and type(x) is np.ndarray and x.flags.c_contiguous:
            return x[..., None]
        return x.reshape(-1, math.prod(self.shape)).T.copy().reshape(*self.shape, -1)

    def _per_point(self, values: Array, x: Array) -> Any:
        return values.reshape(x.shape[: x.ndim - len(self.shape)])[()]
