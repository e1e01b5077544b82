"""How a rule's lines run on large arrays of a GPU: recorded, then a kernel for each pass.

Line by line, every operation reads and writes the card's memory; a kernel does all lines of a
pass on one element after the other. The first passes end in what the sums need, the last in the
parameter. It knows no rule's name; lines that it cannot put into C++ go the plain way.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

import numpy as np

from npoptim.optimizers.lazy import Lazy, Recorded, Unknown, needed

Slots: TypeAlias = dict[Any, Any]  # one thing for each slot; the parameter's under None

LARGE = 16 * 2**20  #: bytes of a parameter from which on it pays: to record takes the host a while

#: type of an array -> what makes kernels for it, called like `cupy.ElementwiseKernel`
MAKERS: dict[type, Callable[..., Any]] = {}

#: C++ for NumPy's functions
TEXT: dict[Any, str] = {
    np.positive: "+{}",
    np.negative: "-{}",
    np.add: "{} + {}",
    np.subtract: "{} - {}",
    np.multiply: "{} * {}",
    np.divide: "{} / {}",
    np.square: "{0} * {0}",
    np.power: "pow({}, {})",
    np.sqrt: "sqrt({})",
    np.exp: "exp({})",
    np.log: "log({})",
    np.tanh: "tanh({})",
    np.absolute: "fabs({})",
    np.sign: "sign_of({})",
    np.maximum: "larger({}, {})",
    np.minimum: "smaller({}, {})",
    np.greater: "{} > {}",
    np.greater_equal: "{} >= {}",
    np.less: "{} < {}",
    np.less_equal: "{} <= {}",
}
TYPES = {"bool": "bool", "float32": "float", "float64": "double"}

#: those of TEXT that C++ does not have; all hand on a NaN
PREAMBLE = """
template<typename T> __device__ T sign_of(T x) { return x > 0 ? T(1) : x < 0 ? T(-1) : x; }
template<typename T> __device__ T larger(T x, T y) { return x >= y || x != x ? x : y; }
template<typename T> __device__ T smaller(T x, T y) { return x <= y || x != x ? x : y; }
"""


def advance(
    form: Any, p: Any, g: Any, t: int, state: dict[str, Any], in_place: bool
) -> tuple[Any, dict[str, Any]] | None:
    """Parameter, in place if wished, and memory after step number `t` of a rule's `form`.

    None, with nothing done, for small arrays and for lines that kernels cannot do.
    """
    if p.nbytes < LARGE:
        return None
    try:
        step = Recorded(form, {None: p, **state}, g, t)
    except Exception:  # whatever it is, the plain lines will do it or say it
        return None
    try:
        _run(MAKERS[type(p)], step, p, in_place)
    except Unknown:
        return None
    except Exception as error:
        text = f"no kernel ({type(error).__name__}: {error}); the lines run one by one"
        warnings.warn(text, RuntimeWarning, stacklevel=2)
        return None
    after = {k: x.known() for k, x in step.results.items()}
    return after.pop(None), after


def _run(make: Callable[..., Any], step: Recorded, p: Any, in_place: bool) -> None:
    """Compute all results: a kernel makes what the next sums add up, and what is ready with it."""
    new = step.results[None]
    last = max(x.passes for x in step.results.values())
    for n in range(last + 1):
        sums = [x for x in step.sums if x.passes == n + 1 <= last]
        ready = [x for x in step.results.values() if x.full and x.passes == n]
        made = dict.fromkeys([a for x in sums for a in x.wide if a.value is None] + ready)
        own = new if in_place and n == last else None
        _launch(make, {x: p if x is own else np.empty_like(p, dtype=x.dtype) for x in made})
        for x in sums:
            x.known()
    if in_place and new.value is not p:
        p[...] = new.value


def _launch(make: Callable[..., Any], made: dict[Lazy, Any]) -> None:
    """Fill these arrays in one kernel, from what is known."""
    if not made:
        return
    lines = needed(made, {})
    inputs = list(dict.fromkeys(a for x in lines for a in x.args if a not in lines))
    names = {a: f"a{i}" for i, a in enumerate(inputs)}
    names |= {x: f"x{i}" for i, x in enumerate(lines)}
    values = [a.known() for a in inputs]
    given = [f"{_type(v)} {names[a]}" for a, v in zip(inputs, values, strict=True)]
    taken = [f"{_type(x)} y{i}" for i, x in enumerate(made)]
    text = [f"auto {names[x]} = {_text(x, names)};" for x in lines]
    text += [f"y{i} = {names[x]};" for i, x in enumerate(made)]  # last: p may be read and written
    _kernel(make, ", ".join(given), ", ".join(taken), "\n".join(text))(*values, *made.values())
    for x, value in made.items():
        x.value = value


def _text(x: Lazy, names: dict[Lazy, str]) -> str:
    """The line of C++, its operands in the dtype that NumPy computes in."""
    kind = np.result_type(*[a.probe for a in x.args]).name
    if x.fn not in TEXT or kind not in TYPES:
        raise Unknown(x.fn)
    return TEXT[x.fn].format(*[f"{TYPES[kind]}({names[a]})" for a in x.args])


def _type(x: Any) -> str:
    name = str(x.dtype) if hasattr(x, "dtype") else np.dtype(type(x)).name
    if name not in TYPES and name != "int64":
        raise Unknown(x)
    return name


@cache
def _kernel(make: Callable[..., Any], given: str, taken: str, text: str) -> Any:
    """Compiled once: numbers that change from step to step are operands."""
    # without fused multiply-adds: the bits of the plain lines
    return make(given, taken, text, "npoptim", preamble=PREAMBLE, options=("--fmad=false",))
