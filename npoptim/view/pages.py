"""What goes into a page: the files of `assets`, data, numbers in few letters."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TINY = 1.18e-38  # what is smaller is stored as this; as in numbers.js


def asset(name: str) -> str:
    """A text file of the folder `assets`."""
    return files("npoptim.view").joinpath("assets", name).read_text(encoding="utf-8")


def script(*names: str) -> str:
    """Script files as one, with nothing of theirs in the global scope."""
    return "(() => {\n" + "\n".join(map(asset, names)) + "})();"


def safe_json(content: Any) -> str:
    """JSON that can stand in a script element, whatever is in it.

    >>> safe_json({"name": "</script>"})
    '{"name":"\\\\u003c/script>"}'
    """
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def packed(columns: Iterable[NDArray[Any]]) -> str:
    """Numbers as base64 of float32 without their last byte: four letters each, five digits.

    What float32 cannot say is the nearest that it can.

    >>> packed([np.array([1.0, -0.1])])
    'P4AAvczN'
    """
    x = np.concatenate([np.ravel(column) for column in columns]).astype(np.float64)
    x = np.where((x != 0) & (np.abs(x) < _TINY), np.copysign(_TINY, x), x)
    x = np.where(np.isfinite(x), np.clip(x, -3.4e38, 3.4e38), x)
    bits = x.astype(">f4").view(">u4")
    bits = np.where(np.isfinite(x), bits + 0x80, bits)  # rounded, not cut
    octets = bits.astype(">u4").view(np.uint8).reshape(-1, 4)[:, :3]
    return base64.b64encode(octets.tobytes()).decode()
