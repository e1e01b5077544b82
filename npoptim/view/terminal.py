"""A trace in the terminal: the box, under it the code with its numbers, beside it the values."""

from __future__ import annotations

import os
import re
import unicodedata
from typing import TextIO

from npoptim.trace.lines import Line, Part, Trace, is_start
from npoptim.trace.values import summary

_MARGIN = 5  # the line number and two spaces
_BETWEEN_ARRAYS = r" (?![^\[]*\])"  # a space outside brackets
_BOLD, _DIM, _RED, _PLAIN = "\033[1m", "\033[2m", "\033[31m", "\033[0m"


def wants_colour(stream: TextIO) -> bool:
    """Whether colour is welcome: on a terminal, unless NO_COLOR or a dumb terminal says no."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def table(trace: Trace, width: int = 80, colour: bool = False) -> str:
    """The lines of a trace as text, `width` columns wide.

    >>> import numpy as np
    >>> from npoptim import SGD
    >>> from npoptim.trace import trace
    >>> print(table(trace(SGD(lr=0.5), np.array([1.0, 2.0]), np.array([4.0, 0.0])), width=40))
    SGD(lr=0.5)
    ── step 1 · p (2,) ─────────────────────
      1  given lr       lr = 0.5
         lr = self.lr
      3  g ← ∇f(θ)      g = [4 0]
      4  θ ← θ − lr g   p = [-1 2]
         p = p - lr * g
           = [1 2] - 0.5 * [4 0]
    """
    rows = []
    for text in trace.optimizer.splitlines():
        indent = " " * (len(text) - len(text.lstrip()))
        rows += [indent + row for row in wrapped(text.lstrip(), width - len(indent))]
    for part in trace.parts:
        rows += _part(part, trace, width, colour)
    return "\n".join(rows)


def columns(text: str) -> int:
    """How many columns of a terminal a text takes.

    >>> columns("m̂"), len("m̂")
    (1, 2)
    """
    return sum(_width(c) for c in text)


def _width(c: str) -> int:
    if unicodedata.category(c) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(c) in "WF" else 1


def wrapped(text: str, width: int, between: str = " ") -> list[str]:
    """A text in rows of at most `width` columns, broken at `between` where that is enough."""
    rows = [""]
    for word in re.split(between, text):
        joined = f"{rows[-1]} {word}" if rows[-1] else word
        if columns(joined) <= width:
            rows[-1] = joined
        else:
            rows.append(word)
        while columns(rows[-1]) > width:
            cut = _cut(rows[-1], width)
            rows[-1:] = [rows[-1][:cut].rstrip(), rows[-1][cut:].lstrip()]
    return rows[rows[0] == "" and len(rows) > 1 :]


def _cut(text: str, width: int) -> int:
    """Where to break a text that does not fit: at a space, else between letters."""
    room, fits = width, 0
    while fits < len(text) and room >= _width(text[fits]):
        room -= _width(text[fits])
        fits += 1
    space = text.rfind(" ", 1, fits + 1)
    return space if space > 0 else max(fits, 1)


def _part(part: Part, trace: Trace, width: int, colour: bool) -> list[str]:
    shape = getattr(trace.params.get(part.param), "shape", None) or ""
    title = f"── step {part.step} · {part.param} {shape} ".replace("  ", " ")
    rows = [_painted(title + "─" * (width - columns(title)), _BOLD, colour)]
    room = max([columns(text) for text in part.box.values()], default=20)
    room = min(room, (width - _MARGIN) // 2) + 3
    shown: Line | None = None
    for line, after in zip(part.lines, [*part.lines[1:], None], strict=True):
        again = shown is not None and line.number == shown.number is not None
        rows += _line(line, again, _goes_on(line, after), width, room, colour)
        shown = line
    return rows


def _goes_on(line: Line, after: Line | None) -> bool:
    """Whether the next line of the box is carried by the same code."""
    same = after is not None and after.code == line.code and after.lineno == line.lineno
    return same and after is not None and after.number != line.number


def _line(line: Line, again: bool, goes_on: bool, width: int, room: int, colour: bool) -> list[str]:
    """The rows of one line: box and values side by side, then code and numbers."""
    number = "" if again or line.number is None else str(line.number)
    code = _code(line, width - _MARGIN) if line.code and not goes_on else []
    text = wrapped("" if again else line.pseudocode, room - 2)
    values = _values(line, width - _MARGIN - room)
    rows: list[str] = []
    if text == [""] and code:  # nothing of the box: the code takes its place, or goes before
        if columns(code[0]) <= room - 2:
            text, code = code[:1], code[1:]
        else:
            rows, code = [" " * _MARGIN + _painted(row, _DIM, colour) for row in code], []
    for i in range(max(len(text), len(values))):
        left, right = (x[i] if i < len(x) else "" for x in (text, values))
        left = left + " " * (room - columns(left))
        start = f"{number if i == 0 else '':>{_MARGIN - 2}}  "
        paint = _RED if line.failed else _PLAIN
        painted = _painted(left, _BOLD, colour) + _painted(right, paint, colour)
        rows.append((start + painted).rstrip())
    return rows + [" " * _MARGIN + _painted(row, _DIM, colour) for row in code]


def _values(line: Line, width: int) -> list[str]:
    """The values of a line; numbers share rows, arrays do not."""
    rows: list[str] = []
    numbers = False
    for name, value in line.values.items():
        text, number = f"{name} = {summary(value)}", not getattr(value, "shape", ())
        if rows and numbers and number and columns(rows[-1]) + columns(text) + 3 <= width:
            rows[-1] += f"   {text}"
        else:
            rows += wrapped(text, width)
        numbers = number
    return [*rows, "failed here"] if line.failed else rows


def _code(line: Line, width: int) -> list[str]:
    """The source, and below its equals sign the same with numbers."""
    target, equals, _ = line.code.partition(" = ")
    indent = " " * min(columns(target) + 1, 8) if equals else "  "
    numbers = f"= {line.substituted}" if equals else line.substituted
    plain = not line.substituted or line.pseudocode.startswith("given") or is_start(line.pseudocode)
    below = [] if plain else wrapped(numbers, width - len(indent), _BETWEEN_ARRAYS)
    return [*wrapped(line.code, width), *(indent + row for row in below)]


def _painted(text: str, paint: str, colour: bool) -> str:
    return f"{paint}{text}{_PLAIN}" if colour and text.strip() and paint != _PLAIN else text
