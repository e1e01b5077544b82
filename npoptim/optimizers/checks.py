"""What a rule and a step demand of their input, in sentences."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np

from npoptim.optimizers.quiet import quiet
from npoptim.optimizers.threads import total

ARRAY_TYPES: set[type] = {np.ndarray, np.memmap}  # exact types; a GPU backend adds its own


class NonFiniteError(ValueError, FloatingPointError):
    """A gradient, parameter or state with a NaN or an infinity; nothing was changed."""


# ---------------------------------------------------------------- hyper-parameters


class Range(NamedTuple):
    """An interval of floats: `text` as it is printed, `holds` as it is tested."""

    text: str
    holds: Callable[[float], bool]


NON_NEGATIVE = Range("[0, inf)", lambda x: 0 <= x < math.inf)
UNIT = Range("[0, 1)", lambda x: 0 <= x < 1)
POSITIVE = Range("(0, inf]", lambda x: x > 0)
FINITE = Range("(-inf, inf)", math.isfinite)

RANGES = {
    "lr": NON_NEGATIVE,
    "betas": UNIT,
    "momentum": UNIT,
    "eps": NON_NEGATIVE,
    "weight_decay": NON_NEGATIVE,
    "trust_coefficient": NON_NEGATIVE,
    "decay": NON_NEGATIVE,
    "clip": POSITIVE,
}

# what other libraries and papers call them
SYNONYMS = {
    "learning_rate": "lr",
    "step_size": "lr",
    "alpha": "lr",
    "rho": "lr",
    "beta": "betas",
    "beta1": "betas",
    "beta2": "betas",
    "b1": "betas",
    "b2": "betas",
    "mu": "momentum",
    "mass": "momentum",
    "epsilon": "eps",
    "wd": "weight_decay",
    "l2": "weight_decay",
    "trust_coeff": "trust_coefficient",
    "eta": "trust_coefficient",
    "clip_threshold": "clip",
    "clipping_threshold": "clip",
    "decay_rate": "decay",
}


def nearest(name: str, known: Iterable[str]) -> str:
    """ " Did you mean 'lr'?", or nothing when no known name is near."""
    known = list(known)
    near = [SYNONYMS[name]] if SYNONYMS.get(name) in known else []
    near = near or difflib.get_close_matches(name, known, n=2)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


class InitSignature:
    """The signature of `__init__`, so that help and editors show the hyper-parameters."""

    def __get__(self, rule: object, cls: type) -> inspect.Signature:
        signature = inspect.signature(_init(cls))
        return signature.replace(parameters=list(signature.parameters.values())[1:])


def _init(cls: type) -> Any:
    return cls.__init__  # type: ignore[misc]  # its signature is read, it is not called


def keywords(cls: type, given: Mapping[str, object]) -> None:
    """TypeError for a keyword that the class does not take."""
    if not given:
        return
    known = inspect.signature(_init(cls)).parameters
    if any(p.kind is p.VAR_KEYWORD for p in known.values()):
        return
    names = [name for name in known if name != "self"]
    for name in given:
        if name not in names:
            raise TypeError(
                f"{cls.__name__} has no hyper-parameter {name!r}.{nearest(name, names)} "
                f"It has: {', '.join(names)}."
            )


def hyper(cls: type, name: str, value: object) -> object:
    """`value` in canonical form (Python floats, tuples), or an error naming it."""
    if name.startswith("_") or name == "t":
        return value
    fields = getattr(cls, "__dataclass_fields__", None)
    if fields is not None and name not in fields and not hasattr(cls, name):
        raise AttributeError(
            f"{cls.__name__} has no hyper-parameter {name!r}.{nearest(name, fields)} "
            f"It has: {', '.join(fields)}."
        )
    default = getattr(cls, name, None)
    size = len(default) if isinstance(default, tuple) else None
    return _checked(name, value, name, size)


def hyper_at(cls: type, name: str, value: Any, t: int) -> object:
    """The value of a hyper-parameter with schedules at step `t`, validated."""
    called = tuple(_call(v, t) for v in value) if isinstance(value, tuple) else _call(value, t)
    default = getattr(cls, name, None)
    size = len(default) if isinstance(default, tuple) else None
    return _checked(name, called, f"{name} at step {t}", size, final=True)


def has_schedule(value: object) -> bool:
    """Whether a hyper-parameter is a schedule, or a tuple with one."""
    return callable(value) or (isinstance(value, tuple) and any(map(callable, value)))


def _call(value: Any, t: int) -> Any:
    return value(t) if callable(value) else value


def _checked(name: str, value: Any, what: str, size: int | None, final: bool = False) -> object:
    if callable(value) and not final:
        return value
    if size is None and not (name == "betas" and isinstance(value, (tuple, list))):
        return number(value, what, RANGES.get(name), known=name in RANGES)
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{what} must be a tuple of {size} floats. Got {value!r} instead.")
    if size is not None and len(value) != size:
        raise ValueError(f"{what} must be a tuple of {size} floats. Got {value!r} instead.")
    return tuple(
        v if callable(v) and not final else number(v, f"{what}[{i}]", RANGES.get(name, FINITE))
        for i, v in enumerate(value)
    )


def number(value: Any, what: str, allowed: Range | None = None, known: bool = True) -> Any:
    """`value` as a Python float within `allowed`; unless `known` to be a number, others pass."""
    if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool):
        allowed = allowed or FINITE
        try:
            number = float(value)
        except OverflowError:  # an int beyond all floats
            value = number = math.inf if value > 0 else -math.inf
        if not allowed.holds(number):
            raise ValueError(
                f"{what} must be a float in the range {allowed.text}. Got {value} instead."
            )
        return number
    if known:
        text = (allowed or FINITE).text
        raise TypeError(f"{what} must be a float in the range {text}. Got {value!r} instead.")
    return value


# ---------------------------------------------------------------- arrays


def named(arrays: Any, what: str) -> dict[str, Any]:
    """A dict name -> array; one array is named "p"."""
    if type(arrays) is dict:
        return arrays
    if type(arrays) in ARRAY_TYPES:
        return {"p": arrays}
    if isinstance(arrays, Mapping):
        return dict(arrays)
    if isinstance(arrays, (np.generic, float, int)):
        raise TypeError(
            f"{what} must be an array that can change in place. "
            f"Got the number {arrays!r}; use np.array({arrays})."
        )
    if isinstance(arrays, np.ndarray):
        raise TypeError(
            f"{what} must be a plain numpy.ndarray. Got {type(arrays).__name__}; use np.asarray(…)."
        )
    raise TypeError(
        f"{what} must be a dict name -> array, or one array. Got {type(arrays).__name__} instead: "
        f"name the parameters in a dict."
    )


def array(x: Any, what: str) -> None:
    """TypeError unless `x` is exactly an array of NumPy's or the backend's."""
    if type(x) in ARRAY_TYPES:
        return
    if isinstance(x, np.ndarray):
        hint = f"a {type(x).__name__}; use np.asarray(…)"
    elif isinstance(x, np.generic):
        hint = f"the number {x!r}, which cannot change in place; use np.array({x})"
    elif x is None:
        hint = "None"
    elif hasattr(x, "__array_ufunc__"):
        hint = f"an array of {type(x).__module__}; see npoptim.use_backend"
    else:
        hint = f"{type(x).__name__}; use np.array(…)"
    raise TypeError(f"{what} must be a numpy.ndarray. Got {hint}.")


def parameter(name: str, p: Any) -> None:
    """Errors unless `p` is a real floating array that can be written."""
    if type(name) is not str or not name:
        raise TypeError(f"names of parameters must be non-empty strings. Got {name!r} instead.")
    array(p, f"parameter {name!r}")
    if p.dtype.kind != "f":
        raise TypeError(f"parameter {name!r} must be of a floating dtype. Got {p.dtype} instead.")
    if isinstance(p, np.ndarray) and not p.flags.writeable:
        raise ValueError(f"parameter {name!r} is read-only: a step changes it in place.")


def gradient(name: str, g: Any, p: Any) -> None:
    """Errors unless `g` is a real array like `p`."""
    if type(g) is not type(p):
        if g is None:
            raise TypeError(
                f"gradient of {name!r} is None. To freeze a parameter use Groups with "
                f"SGD(lr=0), or leave it out of both dicts from the start."
            )
        array(g, f"gradient of {name!r}")
        if not (isinstance(g, np.ndarray) and isinstance(p, np.ndarray)):
            raise TypeError(
                f"gradient of {name!r} is a {type(g).__module__} array, the parameter a "
                f"{type(p).__module__} array: move both to one device with npoptim.to_device."
            )
    if g.dtype.kind not in "fiu":
        raise TypeError(f"gradient of {name!r} must be of a real dtype. Got {g.dtype} instead.")
    if g.shape != p.shape:
        raise ValueError(
            f"gradient of {name!r} must have the parameter's shape {p.shape}. "
            f"Got {g.shape} instead."
        )


def same_names(given: Iterable[str], wanted: Iterable[str], what: str) -> None:
    """ValueError that lists what is missing and what is too many."""
    given, wanted = set(given), set(wanted)
    missing, extra = sorted(wanted - given), sorted(map(str, given - wanted))
    if missing or extra:
        parts = [f"missing {missing}"] if missing else []
        parts += [f"unexpected {extra}"] if extra else []
        raise ValueError(f"{what}: {', '.join(parts)}.")


def layout(params: Mapping[str, Any], fixed: Mapping[str, tuple[Any, Any]]) -> None:
    """ValueError unless names, shapes and dtypes are those of the first step."""
    if params.keys() != fixed.keys():
        same_names(params, fixed, "the names of the parameters are fixed at the first step")
    for name, p in params.items():
        shape, dtype = fixed[name]
        if p.shape != shape or p.dtype != dtype:
            raise ValueError(
                f"parameter {name!r} was {dtype}{list(shape)} at the first step. "
                f"Got {p.dtype}{list(p.shape)} instead."
            )


def no_overlap(params: Mapping[str, Any]) -> None:
    """ValueError when two parameters, or two elements of one, share memory."""
    spans = []
    for name, p in params.items():
        if not isinstance(p, np.ndarray) or p.size == 0:
            continue
        if not p.flags.forc and _overlaps_itself(p):
            raise ValueError(f"parameter {name!r} overlaps itself: elements share memory; copy it.")
        spans.append((*np.lib.array_utils.byte_bounds(p), name))
    spans.sort()
    for i, (_, end, name) in enumerate(spans):
        for start, _, other in spans[i + 1 :]:
            if start >= end:
                break
            if _share(params[name], params[other]):
                raise ValueError(
                    f"parameters {name!r} and {other!r} share memory: a step would change it twice."
                )


def _share(a: Any, b: Any) -> bool:
    try:
        work: Any = 10_000  # the exact question can take exponential time
        return bool(np.shares_memory(a, b, max_work=work))
    except np.exceptions.TooHardError:
        return True


def _overlaps_itself(p: Any) -> bool:
    reach = p.itemsize
    for stride, n in sorted((abs(s), n) for s, n in zip(p.strides, p.shape, strict=True) if n > 1):
        if stride < reach:
            return True
        reach += stride * (n - 1)
    return False


FEW = 8  #: elements up to which Python's floats are faster than NumPy's sum


def finite(x: Any) -> bool:
    """Whether every element is finite; a device array is taken at its word."""
    if not isinstance(x, np.ndarray):
        return True  # looking would be a round trip to the host
    if x.size <= FEW and x.itemsize <= 8:  # a longdouble may be no float and yet finite
        return all(map(math.isfinite, x.ravel().tolist()))
    with quiet():  # a finite sum says yes at once
        s = total(x) if x.size >= 4096 and x.flags.forc else np.add.reduce(x, axis=None)
    return math.isfinite(s) or bool(np.isfinite(x).all())


def not_finite(
    x: Any,
    what: str,
    why: str = "",
    before: int = 0,
    shape: Any = None,
    order: Literal["C", "F"] = "C",
    begun: bool = False,
) -> NoReturn:
    """NonFiniteError that names the first offending element.

    `x` may be a block of an array of that `shape`, with so many elements `before` it in that
    `order`; `begun` says that other arrays or blocks have been written.
    """
    i = int(np.argmin(np.isfinite(x)))
    at = tuple(map(int, np.unravel_index(before + i, shape or x.shape, order)))
    end = "" if begun else "; nothing was changed"
    raise NonFiniteError(f"{what} is {x.flat[i]} at index {at}{why}{end}.")


def all_finite(x: Any, what: str) -> None:
    """NonFiniteError unless every element is finite."""
    if not finite(x):
        not_finite(x, what)
