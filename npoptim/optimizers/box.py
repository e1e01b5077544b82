"""The box in a rule's docstring, and the code lines that carry its numbers."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
import threading
from typing import Any

_BOX_LINE = re.compile(r"^ {0,8}(\d+)  (\S.*)$")
#: The comment of a code line: which lines of the box it carries.
TAG = re.compile(r"#\s*lines? (\d+(?:\s*,\s*\d+)*)\s*$")

#: Held while a syntax tree is made or compiled: CPython 3.11 counts their depth for all threads
#: together, and fails when two are at it.
PARSING = threading.Lock()

#: Lines of a box that the driver runs: the step counter and the gradient.
DRIVER_LINES = ("t ← t + 1", "g ← ∇f(θ)")


def parsed(source: str, mode: str = "exec") -> Any:
    """The syntax tree of some source."""
    with PARSING:
        return ast.parse(source, mode=mode)


def boxes(cls: type) -> list[dict[int, str]]:
    """Every box in the docstring of a class, or of the nearest base that has one."""
    return next(filter(None, map(own_boxes, cls.__mro__)), [])


def own_boxes(cls: type) -> list[dict[int, str]]:
    """Every box in the docstring of this very class: a box begins at its line 1."""
    found: list[dict[int, str]] = []
    for line in inspect.cleandoc(cls.__dict__.get("__doc__") or "").splitlines():
        match = _BOX_LINE.match(line)
        if match and match[1] == "1":
            found.append({})
        if match and found:
            found[-1][int(match[1])] = match[2].rstrip()
    return found


def pseudocode(rule: Any, p: Any = None) -> dict[int, str]:
    """The paper's box of a rule (a class or an instance): line number -> text.

    With an array `p`, the box that holds for it: Adafactor and CAME have a
    second one for arrays of fewer than two axes.

    >>> from npoptim import SGD
    >>> pseudocode(SGD)
    {1: 'given lr', 3: 'g ← ∇f(θ)', 4: 'θ ← θ − lr g'}

    Raises TypeError for anything but an optimizer, ValueError without a box.
    """
    cls = rule if isinstance(rule, type) else type(rule)
    if not hasattr(cls, "update"):
        raise TypeError(f"pseudocode takes an optimizer class or instance. Got {rule!r} instead.")
    found = boxes(cls)
    if not found:
        raise ValueError(
            f"the docstring of {cls.__name__} has no box: numbered lines from '1  given …'."
        )
    vector = p is not None and p.ndim < 2 and hasattr(cls, "update_vector")
    return found[-1 if vector else 0]


def tagged(function: Any) -> dict[int, list[str]]:
    """Line number of the box -> the code lines of `function` that carry it.

    A statement over several source lines may carry its tag on any of them.
    """
    source = textwrap.dedent(inspect.getsource(function))
    lines = source.splitlines()
    found: dict[int, list[str]] = {}
    for statement in _statements(parsed(source)):
        first, last = statement.lineno - 1, statement.end_lineno or statement.lineno
        for line in lines[first:last]:
            match = TAG.search(line)
            if match:
                code = " ".join(TAG.sub("", s).strip() for s in lines[first:last])
                for number in re.split(r"\s*,\s*", match[1]):
                    found.setdefault(int(number), []).append(code)
    return found


def _statements(tree: ast.AST) -> list[ast.stmt]:
    """The statements that hold no others, in the order of the source."""
    return [n for n in ast.walk(tree) if isinstance(n, ast.stmt) and not hasattr(n, "body")]
