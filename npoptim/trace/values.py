"""Numbers on the way into a trace and out of it: copied, shortened, summarised."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

#: Arrays up to this size are shown and stored in JSON whole.
WHOLE = 16


def keep(x: Any) -> Any:
    """A copy of a number, an array or a tuple, list or dict of these; None for all else.

    Arrays of a GPU are brought to the host.
    """
    if isinstance(x, np.ndarray):
        return np.array(x)
    if isinstance(x, (bool, int, float, np.number, np.bool_)):
        return x
    if isinstance(x, (tuple, list)):
        kept = [keep(v) for v in x]
        return None if any(v is None for v in kept) else tuple(kept)
    if isinstance(x, dict):
        named = {str(k): keep(v) for k, v in x.items()}
        return None if any(v is None for v in named.values()) else named
    if hasattr(x, "__array_ufunc__") and hasattr(x, "get"):
        return x.get()
    return None


def same(kept: Any, x: Any) -> bool:
    """Whether `x` still is what was kept of it, to the bit."""
    if isinstance(kept, np.ndarray) and isinstance(x, np.ndarray):
        if kept.shape != x.shape or kept.dtype != x.dtype:
            return False
        return np.array_equal(kept, x) or np.array_equal(kept, x, equal_nan=True)
    if isinstance(kept, tuple) and isinstance(x, (tuple, list)):
        return len(kept) == len(x) and all(map(same, kept, x))
    if isinstance(kept, dict) and isinstance(x, dict):
        return kept.keys() == x.keys() and all(same(kept[k], x[k]) for k in kept)
    now = keep(x)
    return type(now) is type(kept) and (
        same(kept, now) if isinstance(now, np.ndarray) else bool(now == kept or now != now)
    )


def short(x: Any, room: int = 6) -> str:
    """A value on one line: four digits a number, `room` numbers an array.

    >>> short(0.1 + 0.2), short(np.eye(2)), short(np.arange(9.0), room=3)
    ('0.3', '[[1 0] [0 1]]', '[0 1 2 …]')
    """
    if isinstance(x, np.ndarray) and x.ndim:
        if x.size == 0:
            return f"[] {x.shape}"
        if x.size > room:
            return f"[{' '.join(map(short, x.flat[: max(1, room)]))} …]"
        return f"[{' '.join(short(row, room) for row in x)}]"
    if isinstance(x, dict):
        return f"{{{', '.join(f'{k}: {short(v, room)}' for k, v in x.items())}}}"
    if isinstance(x, tuple):
        return f"({', '.join(short(v, room) for v in x)})"
    number = x.item() if isinstance(x, (np.ndarray, np.generic)) else x
    return f"{number:.4g}" if isinstance(number, (float, np.floating)) else str(number)


def summary(x: Any) -> str:
    """A value on one line: whole if it is small, else shape, norm, extremes and head.

    >>> summary(np.arange(100.0).reshape(4, 25))
    '(4, 25) ‖573‖ 0 … 99 [0 1 2 3 …]'
    """
    if isinstance(x, np.ndarray) and x.size > 6:
        return f"{x.shape} ‖{short(_norm(x))}‖ {short(x.min())} … {short(x.max())} {short(x, 4)}"
    if isinstance(x, dict):
        return f"{{{', '.join(f'{k}: {summary(v)}' for k, v in x.items())}}}"
    return short(x)


def as_json(x: Any) -> Any:
    """A value for JSON: a number, a list or dict of these; large arrays summarised.

    >>> as_json(np.float32(0.1)), as_json(np.array([1.0, np.inf]))
    (0.1, {'shape': [2], 'data': [1.0, 'inf']})
    >>> as_json(np.zeros((3, 7)))["shape"], sorted(as_json(np.zeros((3, 7))))
    ([3, 7], ['dtype', 'head', 'max', 'min', 'norm', 'shape'])
    """
    if isinstance(x, np.ndarray) and x.ndim:
        shape = list(x.shape)
        if x.size <= WHOLE:
            return {"shape": shape, "data": _nested(x.tolist())}
        return {
            "shape": shape,
            "dtype": str(x.dtype),
            "norm": as_json(_norm(x)),
            "min": as_json(x.min()),
            "max": as_json(x.max()),
            "head": _nested(x.flat[:4].tolist()),
        }
    if isinstance(x, dict):
        return {k: as_json(v) for k, v in x.items()}
    if isinstance(x, tuple):
        return [as_json(v) for v in x]
    return _nested(x.item() if isinstance(x, (np.ndarray, np.generic)) else x)


def _nested(x: Any) -> Any:
    """Six digits are enough to read; JSON knows no nan and no inf."""
    if isinstance(x, list):
        return [_nested(v) for v in x]
    if isinstance(x, (float, np.floating)):
        return float(f"{x:.6g}") if math.isfinite(x) else str(x)
    return x


def _norm(x: Any) -> float:
    largest = float(np.max(np.abs(x)))
    if largest == 0 or not math.isfinite(largest):
        return largest
    return largest * float(np.linalg.norm((x / largest).ravel()))
