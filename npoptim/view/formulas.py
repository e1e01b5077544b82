"""Lines of a box with holes where their letters are, to be filled with numbers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

from npoptim.optimizers.box import DRIVER_LINES
from npoptim.trace.lines import is_start
from npoptim.trace.notation import Formula, Node, NotationError, code_name, parse

_PRODUCT_AFTER = re.compile(r"^ (?=$|[(√Σ‖A-Za-z])")  # a space after a letter that is a product
_PRODUCT_BEFORE = re.compile(r"(?<=[)‖]) $")  # and one before a letter
_GRADIENT = "∇f(θ)"


def letters(box: Iterable[str]) -> dict[str, str]:
    """The letters of a box by their names in code.

    >>> letters(["given lr, β₁", "m̂ ← m / (1 − β₁ᵗ)"])
    {'lr': 'lr', 'beta1': 'β₁', 'm_hat': 'm̂', 'm': 'm', 't': 't'}
    """
    found: dict[str, str] = {}
    for text in box:
        if text.startswith("given "):
            found |= {code_name(x): x for x in text.removeprefix("given ").split(", ")}
            continue
        for formula in _formulas(text):
            found[formula.name] = _composed(formula.text.partition(" ← ")[0])
            for node in _leaves(formula.tree):
                found.setdefault(code_name(node.text), _composed(node.text))
    return found


def holes(text: str) -> list[Any]:
    """The right side of a line: text, and [name in code, letter, raised] for every letter.

    Juxtaposed factors get a dot between them, for numbers need one. Empty for
    lines that are computed from nothing.

    >>> holes("m̂ ← m / (1 − β₁ᵗ)")
    [['m', 'm', 0], ' / (1 − ', ['beta1', 'β₁', 0], ['t', 'ᵗ', 1], ')']
    >>> holes("θ ← θ − lr g")
    [['p', 'θ', 0], ' − ', ['lr', 'lr', 0], ' · ', ['g', 'g', 0]]
    """
    formulas = _formulas(text)
    if len(formulas) != 1 or text in DRIVER_LINES or is_start(text):
        return []
    plain = unicodedata.normalize("NFD", text)
    at = plain.index("←") + 2
    parts: list[Any] = []
    for node in sorted(_leaves(formulas[0].tree), key=lambda node: node.at):
        length = len(_GRADIENT if plain.startswith(_GRADIENT, node.at) else node.text)
        letter = plain[node.at : node.at + length]
        between, at = plain[at : node.at], node.at + length
        if parts:
            between = _PRODUCT_AFTER.sub(" · ", between)
        raised = int(letter != node.text and letter != _GRADIENT)
        parts += [_PRODUCT_BEFORE.sub(" · ", between)] if between else []
        parts.append([code_name(node.text), _composed(letter), raised])
    return [*parts, plain[at:]] if plain[at:] else parts


def outer_product(text: str) -> tuple[str, str, str] | None:
    """Names of product, rows and columns of a line like v ← R C / Σᵢ R; None for any other.

    >>> outer_product("v ← r c / Σᵢ r"), outer_product("θ ← θ − lr g")
    (('v', 'r', 'c'), None)
    """
    for formula in _formulas(text):
        if [part.kind for part in formula.tree.parts] == ["letter", "letter", "over"]:
            rows, columns, over = formula.tree.parts
            total = over.parts[0]
            if total.kind == "total" and total.parts[0].text == rows.text:
                return formula.name, code_name(rows.text), code_name(columns.text)
    return None


def _formulas(text: str) -> tuple[Formula, ...]:
    try:
        return parse(text)
    except NotationError:
        return ()


def _leaves(node: Node) -> Iterator[Node]:
    if node.kind == "letter":
        yield node
    for part in node.parts:
        yield from _leaves(part)


def _composed(letter: str) -> str:
    return unicodedata.normalize("NFC", letter)
