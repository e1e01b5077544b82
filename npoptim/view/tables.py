"""Tables in plain text."""

from __future__ import annotations

import math
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from npoptim.optimizers import modules, rule_class
from npoptim.race import Memory, Race


def text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under a header: the first column to the left, the others to the right.

    >>> print(text(["rule", "lr"], [["SGD", "0.1"], ["Adam", "0.001"]]))
    rule     lr
    ----  -----
    SGD     0.1
    Adam  0.001
    """
    widths = [max(map(width, column)) for column in zip(header, *rows, strict=True)]
    lines = []
    for first, *rest in [header, ["-" * w for w in widths], *rows]:
        padded = [first + " " * (widths[0] - width(first))]
        padded += [" " * (w - width(c)) + c for c, w in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def records(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows, column -> value, as a table; all have the columns of the first.

    >>> print(records([{"rule": "SGD", "lr": 0.1}, {"rule": "Adam", "lr": 1 / 3}]))
    rule     lr
    ----  -----
    SGD     0.1
    Adam  0.333
    """
    header = list(rows[0]) if rows else []
    return text(header, [[cell(row[name]) for name in header] for row in rows])


def cell(value: Any) -> str:
    """A value in few letters: floats in three digits, – where there is none.

    >>> cell(0.000123456), cell(None), cell(float("nan")), cell(12345)
    ('0.000123', '–', '–', '12345')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def width(letters: str) -> int:
    """Columns of a terminal that a text takes: combining marks, as in m̂, take none."""
    return sum(not unicodedata.combining(letter) for letter in letters)


def label(name: str) -> str:
    """The class name of the optimizer `name`; any other name as it is.

    >>> label("adamw"), label("run 1")
    ('AdamW', 'run 1')
    """
    return rule_class(name).__name__ if name in modules() else name


def size(nbytes: int) -> str:
    """Bytes for people.

    >>> size(0), size(7168), size(3 * 2**30)
    ('0', '7 KiB', '3 GiB')
    """
    if nbytes < 1024:
        return f"{nbytes} B" if nbytes else "0"
    power = min((nbytes.bit_length() - 1) // 10, 5)
    return f"{nbytes / 1024**power:.4g} {'KMGTP'[power - 1]}iB"


def grid(values: Sequence[float]) -> str:
    """The values of a grid.

    >>> grid([0.00001, 1.0])
    '1e-05 1'
    """
    return " ".join(f"{value:g}" for value in values)


def race(result: Race) -> str:
    """The outcome of a race: a row for every optimizer in the order of arrival, and the terms."""
    endless = not len(result.surface.minima)
    left = [e for e in result.entries if e.trajectory.steps < result.steps and not endless]
    rows = [
        {
            "optimizer": entry.label,
            "best lr": cell(entry.lr) + "*" * entry.edge,
            "final f": cell(entry.f) + "†" * (entry in left),
            "distance": entry.distance,
            "steps": entry.steps,
            "state bytes": entry.state_nbytes,
            "µs/step": f"{entry.us_per_step:.1f}",
        }
        for entry in result.entries
    ]
    terms = [
        f"{'; '.join(result.conditions)}.",
        f"lr tried: {grid(result.grid)}.",
        "best lr: the fastest of those with the lowest final f.",
        f"steps: until f ≤ {result.target:.3g} for good.",
    ]
    if endless:
        terms.append(
            "There is no minimum: f falls for ever, and the first out of the picture wins."
        )
    if any(entry.edge for entry in result.entries):
        terms.append("*: at the edge of what was tried; an lr beyond it may be better.")
    if left:
        terms.append("†: ended where it left the picture.")
    return "\n".join([records(rows), "", *(textwrap.fill(term, 99) for term in terms)])


def memory(result: Memory) -> str:
    """Bytes of state: a row for every optimizer, the leanest on top."""
    shares = result.against()
    rows = [
        {
            "optimizer": label(name),
            "bytes": f"{n:,}",
            "": size(n),
            "of Adam's": f"{100 * shares[name]:.3g} %",
        }
        for name, n in result.nbytes.items()
    ]
    shape = " × ".join(map(str, result.shape))
    own = f"{result.parameter_nbytes:,} bytes ({size(result.parameter_nbytes)})"
    return f"{records(rows)}\n\nThe parameter itself, {result.dtype} of shape {shape}: {own}."
