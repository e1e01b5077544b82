"""Whether numbers agree, and whether a box and its code do."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from npoptim.optimizers.box import DRIVER_LINES
from npoptim.trace.lines import Line, Part, Trace, canonical, in_paper, is_start, known_names
from npoptim.trace.maths import compute
from npoptim.trace.notation import parse, reads, targets
from npoptim.trace.values import summary

_GRADIENT = DRIVER_LINES[1]


class BoxError(ValueError):
    """A box that says one thing and code that does another."""


def apart(a: Any, b: Any, rtol: float, beside: Any = 0.0) -> tuple[int, ...] | None:
    """The index where two values differ most, beyond `rtol` of the larger; None if they agree.

    `beside` is what the values were computed from: where it is larger than
    they are, what is left of it counts. In less than double precision the
    measure is 64 units in the last place of the largest element.
    """
    try:
        np.broadcast_shapes(np.shape(a), np.shape(b))
    except ValueError:
        return ()
    a, b, beside = np.broadcast_arrays(np.asarray(a), np.asarray(b), np.asarray(beside))
    eps = max((float(np.finfo(x.dtype).eps) for x in (a, b) if x.dtype.kind == "f"), default=0.0)
    with np.errstate(all="ignore"):
        size = np.maximum(np.maximum(np.abs(a), np.abs(b)), np.abs(beside))
        if 64 * eps > rtol:
            rtol, size = 64 * eps, np.full_like(size, np.max(size, initial=0))
        off = np.abs(np.subtract(a, b, dtype=np.result_type(a, b, float))) / np.where(size, size, 1)
    off = np.where(np.isnan(off), np.inf, off)
    off = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, off)
    if not off.size or off.max() <= rtol:
        return None
    return tuple(int(i) for i in np.unravel_index(np.argmax(off), off.shape))


def check_box(trace: Trace) -> None:
    """BoxError unless every line of the box, computed from what its code read, gives its value.

    Also for a line of the box that no code carries, for code without a line
    of the box, and for code in another order than the box, where that matters.
    """
    for part in trace.parts:
        _check_part(part)


def _check_part(part: Part) -> None:
    for line in part.lines:
        if line.number not in part.box:
            raise BoxError(f"code that no line of the box has: {line.code}")
    began = any(line.number and is_start(line.pseudocode) for line in part.lines)
    for number, text in part.box.items():
        lines = [line for line in part.lines if line.number == number]
        if lines:
            _check_line(number, text, lines, part)
        elif began or not is_start(text):
            raise BoxError(f"line {number} of the box, {text}, has no code.")
    _check_order(part)


def _check_order(part: Part) -> None:
    last = {line.number: i for i, line in enumerate(part.lines)}
    for first, second in combinations((n for n in part.box if n in last), 2):
        one, other = part.box[first], part.box[second]
        new, newer = set(targets(one)), set(targets(other))
        if last[second] < last[first] and (new & (newer | reads(other)) or newer & reads(one)):
            raise BoxError(
                f"the code runs line {second}, {other}, before line {first}, {one}; "
                f"in the box it comes after."
            )


def _check_line(number: int, text: str, lines: list[Line], part: Part) -> None:
    known = known_names(part.box)
    got = {canonical(k, x.roles, known): v for x in lines for k, v in x.values.items()}
    if text.startswith("given"):
        if set(got) != set(targets(text)):
            raise BoxError(f"line {number}, {text}, but the code gives {', '.join(got)}.")
        return
    if text == _GRADIENT:  # comes from outside
        return
    env = in_paper(lines[0].before, lines[0].roles)
    for formula in parse(text):
        if formula.name == "t" and formula.name not in got:  # t ← 0 is the driver's
            continue
        name, expected = compute(formula, env)
        if name not in got:
            raise BoxError(f"line {number}, {text}, but the code assigns {', '.join(got)}.")
        before = env.get(name, 0.0)
        shaped = is_start(text) or np.shape(expected) == np.shape(got[name])
        if not shaped or apart(expected, got[name], 1e-12, before) is not None:
            raise BoxError(
                f"step {part.step}, {part.param}, line {number}: {text} gives "
                f"{summary(expected)}, but {lines[-1].code} gives {summary(got[name])}."
            )
