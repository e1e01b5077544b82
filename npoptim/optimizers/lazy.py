"""What a rule's lines do, written down without doing it: the lines of `update` as a graph."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin


class Unknown(Exception):
    """The lines do something that blocks cannot do."""


class Lazy(NDArrayOperatorsMixin):
    """A stand-in for an array or number: the operation it comes from, and a tiny example of it.

    Every operation is tried on the examples, so that shapes and dtypes are NumPy's own.
    """

    __hash__ = object.__hash__  # a key of dicts, although == is an operation
    __iter__ = None  # else Python would try [0], [1], …

    def __init__(self, tape: Tape, probe: Any, fn: Any = None, *args: Lazy, **options: Any) -> None:
        self.tape, self.probe, self.fn, self.args, self.options = tape, probe, fn, args, options
        self.shape = tuple(tape.lengths[n] for n in getattr(probe, "shape", ()))
        self.ndim, self.size = len(self.shape), math.prod(self.shape)
        self.dtype: Any = getattr(probe, "dtype", None)
        # of the parameter's shape: computed in blocks (an index may have that shape by chance)
        self.full = self.ndim > 0 and probe.shape == tape.tiny and fn is not index
        self.wide = [a for a in args if a.full]
        same = fn is np.vdot and args[0] is args[1]  # Σ x²
        self.total = bool(self.wide) and (fn is np.sum or same)
        # how many passes over the blocks, until it is known
        self.passes: int = max([a.passes for a in args], default=0) + self.total
        self.value: Any = None

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **options: Any) -> Lazy:
        if method != "__call__" or options or ufunc.nout != 1 or ufunc.signature:
            raise Unknown(ufunc)
        return self.tape.line(ufunc, *args)

    def __array_function__(self, fn: Any, types: Any, args: Any, options: Any) -> Lazy:
        if fn not in (np.sum, np.vdot, np.where):
            raise Unknown(fn)
        return self.sum(*args[1:], **options) if fn is np.sum else self.tape.line(fn, *args)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Lazy:
        return self.tape.line(np.sum, self, axis=axis, keepdims=keepdims)

    def __pow__(self, k: Any) -> Any:
        if not self.full:  # a number's ** is not an array's, in the last digit
            return self.tape.line(operator.pow, self, k)
        return np.square(self) if type(k) in (int, float) and k == 2 else np.power(self, k)

    def __getitem__(self, key: Any) -> Lazy:
        axes = key if isinstance(key, tuple) else (key,)
        if not all(k is None or k is ... or k == slice(None) for k in axes):
            raise Unknown(key)
        return self.tape.line(index, self, key=axes)

    def __bool__(self, *args: Any, **options: Any) -> Any:
        raise Unknown("the value of an element")

    __array__ = __bool__

    def known(self) -> Any:
        """The value of a number or a small array, once those of its sums are there."""
        if self.value is None:
            self.value = self.fn(*[a.known() for a in self.args], **self.options)
        return self.value


class Tape:
    """What one call of `update` notes down, equal lines once.

    In the examples axis i has length i + 2, so that the axes of square arrays differ.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.tiny = tuple(n if n == 1 else i + 2 for i, n in enumerate(shape))
        self.lengths = {1: 1} | dict(zip(self.tiny, shape, strict=True))
        self.lines: dict[Any, Lazy] = {}

    def line(self, fn: Any, *args: Any, **options: Any) -> Lazy:
        """The result of `fn`; as a whole array it may be an operand of ufuncs and sums only."""
        lazy = [a if isinstance(a, Lazy) else self.number(a) for a in args]
        key = (fn, repr(options), *lazy)
        if key not in self.lines:
            probe = fn(*[a.probe for a in lazy], **options)
            x = self.lines[key] = Lazy(self, probe, fn, *lazy, **options)
            if x.wide and not x.total and not (x.full and isinstance(fn, np.ufunc)):
                raise Unknown(fn)
        return self.lines[key]

    def number(self, x: Any) -> Lazy:
        if not isinstance(x, (int, float, np.generic)):
            raise Unknown(x)
        if repr(x) not in self.lines:
            self.lines[repr(x)] = Lazy(self, x)
            self.lines[repr(x)].value = x
        return self.lines[repr(x)]


def index(x: Any, key: Any) -> Any:
    return x[key]


class Recorded:
    """What a step of a rule's `form` does: `results` by slot, the parameter's under None.

    They are lines, as are the `sums` on the way; what they begin with, the `gradient` and, by
    slot, what was `before`, has its value. Raises whatever the lines raise, and Unknown where the
    step changes a kind, shape or dtype.
    """

    def __init__(self, form: Any, arrays: dict[Any, Any], g: Any, t: int) -> None:
        init, update = form
        tape = Tape(g.shape)
        probe = np.ones(tape.tiny, g.dtype)
        P, self.gradient = Lazy(tape, probe), Lazy(tape, probe)
        slots = {k: Lazy(tape, x) for k, x in init(probe).items()}
        new, memory = update(P, self.gradient, t, **slots)
        self.before: dict[Any, Lazy] = {None: P, **slots}
        self.results: dict[Any, Lazy] = {}
        taken: set[Lazy] = set()
        after = {None: new, **memory}
        for k, x in after.items():
            while not x.fn or x in taken:  # each has an array of its own
                x = np.positive(x)
            taken.add(x)
            self.results[k] = x
        self.lines, tape.lines = [*tape.lines.values()], {}  # else a cycle would keep arrays alive
        self.sums = [x for x in self.lines if x.total]
        self.gradient.value = g
        for k in arrays.keys() | self.before.keys() | after.keys():
            x, y, a = self.before[k], self.results[k], arrays[k]
            same = x.full == y.full and type(x.probe) is type(y.probe)
            if not same or len({(z.shape, z.dtype) for z in (x, y, a)}) > 1:
                raise Unknown("another kind, shape or dtype")
            x.value = a


def needed(roots: Iterable[Lazy], found: dict[Lazy, None]) -> dict[Lazy, None]:
    """The lines that `roots` are computed from, in order, without what is known."""
    for x in roots:
        if x.value is None and x not in found:
            needed(x.wide, found)
            found[x] = None
    return found
