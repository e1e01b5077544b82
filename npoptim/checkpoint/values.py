"""What a checkpoint can hold beside arrays, written as JSON in which each array is a number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npoptim.checkpoint.archive import CheckpointError, storable

HELD = (
    "None, bool, int, float, str, numpy arrays and numbers, numpy.random.Generator, "
    "and lists, tuples and dicts of them"
)
DEPTH = 100  # of lists in lists; one that holds itself has no end
_BITS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")


def encode(x: Any, what: str, arrays: list[NDArray[Any]], depth: int = 0) -> Any:
    """`x` as JSON; its arrays are appended to `arrays`.

    JSON's own values and lists stand for themselves, all else is a dict of
    one item, kind -> content:

    >>> arrays = []
    >>> encode({"a": (1, [0.1, np.inf])}, "x", arrays)
    {'dict': {'a': {'tuple': [1, [0.1, {'float': 'inf'}]]}}}
    >>> encode(np.ones(3), "x", arrays), arrays
    ({'array': 0}, [array([1., 1., 1.])])

    Raises TypeError for what a checkpoint does not hold, naming `what`.
    """
    kind = type(x)
    if depth > DEPTH:
        raise TypeError(f"{what} is nested more than {DEPTH} deep.")
    if x is None or kind in (bool, str):
        return x
    if kind is int:  # JSON readers differ beyond 2⁵³, and Python refuses 4300 digits
        return x if abs(x) < 2**53 else {"int": hex(x)}
    if kind is float:
        return x if math.isfinite(x) else {"float": repr(x)}
    if kind in (list, tuple):
        items = [encode(v, f"{what}[{i}]", arrays, depth + 1) for i, v in enumerate(x)]
        return items if kind is list else {"tuple": items}
    if kind is dict:
        for key in x:
            if type(key) is not str:
                raise TypeError(f"the keys of {what} must be strings. Got {key!r} instead.")
        return {"dict": {k: encode(v, f"{what}[{k!r}]", arrays, depth + 1) for k, v in x.items()}}
    if kind in (np.ndarray, np.memmap) or isinstance(x, np.generic):
        array = np.asarray(x)
        if not storable(array.dtype):
            raise TypeError(f"{what} is of dtype {x.dtype}, which a checkpoint cannot hold.")
        arrays.append(array)
        return {"scalar" if isinstance(x, np.generic) else "array": len(arrays) - 1}
    if kind is np.random.Generator:
        return {"generator": encode(_unwind(x, what), what, arrays, depth + 1)}
    raise TypeError(
        f"{what} is a {kind.__module__}.{kind.__qualname__}, which a checkpoint cannot hold. "
        f"It holds {HELD}."
    )


def decode(node: Any, arrays: dict[int, NDArray[Any]], depth: int = 0) -> Any:
    """The value that `node` stands for; each array is taken out of `arrays` as it is used."""
    if depth > DEPTH:
        raise CheckpointError(f"it holds a value nested more than {DEPTH} deep")
    if node is None or isinstance(node, (bool, int, float, str)):
        return node
    if isinstance(node, list):
        return [decode(v, arrays, depth + 1) for v in node]
    [(kind, body)] = node.items()
    match kind, body:
        case "int", str():
            return int(body, 16)
        case "float", "nan" | "inf" | "-inf":
            return float(body)
        case "tuple", list():
            return tuple(decode(v, arrays, depth + 1) for v in body)
        case "dict", dict():
            return {k: decode(v, arrays, depth + 1) for k, v in body.items()}
        case "array", int():
            return arrays.pop(body)
        case "scalar", int():
            return arrays.pop(body)[()]
        case "generator", _:
            return _rewind(decode(body, arrays, depth + 1))
    raise CheckpointError(f"it holds a value of unknown kind {kind!r}")


def _unwind(rng: np.random.Generator, what: str) -> dict[str, Any]:
    """The state of `rng` and the seed that `rng.spawn` goes by."""
    bits = rng.bit_generator
    seed: Any = bits.seed_seq
    if type(bits).__name__ not in _BITS or type(seed) is not np.random.SeedSequence:
        raise TypeError(
            f"{what} draws from {type(bits).__name__} seeded by {type(seed).__name__}; "
            f"a checkpoint holds {', '.join(_BITS)} seeded by SeedSequence."
        )
    if not _quick(seed.state):
        raise TypeError(f"the seed of {what} must be ints of at most 4096 bits.")
    return {"state": bits.state, "seed": dict(seed.state)}


def _rewind(saved: dict[str, Any]) -> np.random.Generator:
    state, seed = saved["state"], saved["seed"]
    name = state["bit_generator"]
    if name not in _BITS or not _quick(seed):
        raise CheckpointError(f"it holds a random generator of unknown kind {name!r}")
    bits = getattr(np.random, name)(np.random.SeedSequence(**seed))
    # NumPy does not look where these point: outside the buffer it would read other memory
    pos, buffer_pos = state["state"].get("pos", 0), state.get("buffer_pos", 0)
    if not (0 <= pos <= 624 and 0 <= buffer_pos <= 4):
        raise CheckpointError("it holds a random generator that points outside its buffer")
    bits.state = state
    return np.random.Generator(bits)


def _quick(seed: Any) -> bool:
    """Whether a seed is hashed in no time; NumPy takes the square of an int's length."""
    entropy, key = seed["entropy"], seed["spawn_key"]
    numbers = [*(entropy if isinstance(entropy, (list, tuple)) else [entropy]), *key]
    return seed["pool_size"] <= 64 and all(
        n.bit_length() <= 4096 if isinstance(n, int) else isinstance(n, (np.integer, np.ndarray))
        for n in numbers
    )
