"""Traces as JSON with every bit, so that nothing a submission sends back can run in the grader."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from npoptim.trace.lines import Line, Part, Trace

#: what a line consists of, and of which type it must be when it comes back
FIELDS: dict[str, Any] = {
    "step": int, "param": str, "number": int | None, "pseudocode": str, "code": str,
    "substituted": str, "values": dict, "before": dict, "lineno": int | None, "tagged": bool,
    "failed": bool, "roles": dict,
}  # fmt: skip


def pack(value: Any) -> Any:
    """A value as JSON holds it: arrays by their bytes; what is no data by its repr."""
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "fiub":
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
        return {"array": [value.dtype.str, list(value.shape), data]}
    if isinstance(value, (list, tuple)):
        return {"row": [pack(v) for v in value], "tuple": isinstance(value, tuple)}
    if isinstance(value, dict):
        return {"dict": [[str(k), pack(v)] for k, v in value.items()]}
    if value is None or type(value) in (bool, int, float, str):
        return value
    return f"<{type(value).__name__}>"  # never its repr: that is code of the submission's


def unpack(value: Any) -> Any:
    """The value that `pack` was given. Raises ValueError for what it did not make."""
    if not isinstance(value, dict):
        return value
    if "array" in value:
        code, shape, data = value["array"]
        dtype = np.dtype(str(code))
        if dtype.kind not in "fiub":
            raise ValueError(f"no dtype of numbers: {code!r}.")
        flat = np.frombuffer(base64.b64decode(data), dtype)
        array = flat.reshape([int(n) for n in shape]).copy()
        return array[()] if array.ndim == 0 else array
    if "row" in value:
        row = [unpack(v) for v in value["row"]]
        return tuple(row) if value.get("tuple") else row
    if "dict" in value:
        return {str(k): unpack(v) for k, v in value["dict"]}
    raise ValueError(f"no packed value: {list(value)}.")


def pack_trace(trace: Trace) -> dict[str, Any]:
    """A trace with all its arrays."""
    return {
        "optimizer": trace.optimizer,
        "params": pack(trace.params),
        "parts": [
            {
                "step": part.step,
                "param": part.param,
                "box": [[n, text] for n, text in part.box.items()],
                "outcome": pack(part.outcome),
                "lines": [[pack(getattr(line, f)) for f in FIELDS] for line in part.lines],
            }
            for part in trace.parts
        ],
    }


def unpack_trace(packed: dict[str, Any]) -> Trace:
    """The trace again. Raises some exception for what is none."""
    parts = [
        Part(
            int(part["step"]),
            str(part["param"]),
            {int(n): str(text) for n, text in part["box"]},
            [_line(line) for line in part["lines"]],
            _of_type(dict, unpack(part["outcome"]), "outcome"),
        )
        for part in packed["parts"]
    ]
    params = _of_type(dict, unpack(packed["params"]), "params")
    return Trace(str(packed["optimizer"]), parts, params)


def _line(packed: list[Any]) -> Line:
    fields = zip(FIELDS.items(), packed, strict=True)
    return Line(**{name: _of_type(kind, unpack(v), name) for (name, kind), v in fields})


def _of_type(kind: Any, value: Any, name: str) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{name} is a {type(value).__name__}.")
    return value
