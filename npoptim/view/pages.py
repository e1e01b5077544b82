"""What goes into a page: the files of `assets`, data, numbers in few letters."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TINY, _HUGE = 1.18e-38, 3.4e38  # what is smaller or larger is stored as these; as in numbers.js
_LETTERS = np.frombuffer(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", dtype=np.uint8
)


def asset(name: str) -> str:
    """A text file of the folder `assets`."""
    return files("npoptim.view").joinpath("assets", name).read_text(encoding="utf-8")


def script(*names: str) -> str:
    """Script files as one, with nothing of theirs in the global scope."""
    return "(() => {\n" + "\n".join(map(flush, names)) + "\n})();"


def flush(name: str) -> str:
    """A style or script without its indentation, which is a fifth of it."""
    return "\n".join(line.strip() for line in asset(name).splitlines() if line.strip())


def safe_json(content: Any) -> str:
    """JSON that can stand in a script element, whatever is in it.

    >>> safe_json({"name": "</script>"})
    '{"name":"\\\\u003c/script>"}'
    """
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def packed(columns: Iterable[NDArray[Any]]) -> str:
    """Numbers in five letters each: float32 without its last two bits, six digits.

    What float32 cannot say is the nearest that it can.

    >>> packed([np.array([1.0, -0.1])])
    'P4AAAvczMz'
    """
    x = np.concatenate([np.ravel(column) for column in columns]).astype(np.float64)
    x = np.where((x != 0) & (np.abs(x) < _TINY), np.copysign(_TINY, x), x)
    x = np.where(np.isfinite(x), np.clip(x, -_HUGE, _HUGE), x)
    bits: Any = x.astype(np.float32).view(np.uint32)
    bits = np.where(np.isfinite(x), bits + 2, bits) >> 2  # rounded, not cut
    letters = bits[:, None] >> np.array([24, 18, 12, 6, 0], dtype=np.uint32) & 63
    return str(_LETTERS[letters].tobytes().decode())
