"""The notation of the boxes: parsed, and computed from named numbers.

    line    = "given" letters | letter "←" sum {"," letter "←" sum}
    sum     = ["−"] product {("+" | "−") product}
    product = factor {["/" | "·"] factor}, from left to right
    factor  = ("√" | "Σᵢ" | "Σⱼ") factor | atom {"²" | "ᵗ" | "^" ["−"] atom}
    atom    = number | letter | "(" sum ")" | "‖" sum "‖" | function "(" sums ")" | "∇f(θ)"

Juxtaposition is a product. Letters of rows carry the index i, of columns j,
all others both; a product joins indices, Σ removes one, norms and RMS run
over the whole parameter. A quotient of norms is 1 where either is 0.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, NoReturn

_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<number>\d+(?:\.\d+)?(?:[eE][-−]?\d+)?)|(?P<gradient>∇f\(θ\))"
    r"|(?P<mark>[-−+/·^(),←√‖Σ∑])|(?P<word>[A-Za-z][A-Za-z0-9_]*|[^\W\d_])|(?P<other>.)"
)
_ACCENTS = {"\u0302": "hat", "\u0303": "tilde", "\u0304": "bar", "\u0305": "bar", "\u0307": "dot"}
_SPECIAL = {"θ": "p", "λ": "wd", "ε": "eps"}
_FUNCTIONS = {"sign": 1, "exp": 1, "log": 1, "RMS": 1, "max": 2, "min": 2}


class NotationError(ValueError):
    """A line that is not in the notation, with a caret where reading stopped."""

    def __init__(self, text: str, at: int, message: str) -> None:
        before = unicodedata.normalize("NFD", text)[:at]
        width = sum(not unicodedata.combining(c) for c in before)
        super().__init__(f"{message}\n    {text}\n    {' ' * width}^")


@dataclass(frozen=True)
class Node:
    """A piece of a formula: an operation on others, or a leaf with its text."""

    kind: str
    at: int
    parts: tuple[Node, ...] = ()
    text: str = ""


@dataclass(frozen=True)
class Formula:
    """`letter ← expression`: the letter's name in code, and the parsed expression."""

    name: str
    text: str
    tree: Node


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def code_name(letter: str) -> str:
    """The name in code of a letter of the box.

    >>> [code_name(x) for x in ("θ", "β₁", "m̂", "β̂₂", "lr", "γ", "v̄")]
    ['p', 'beta1', 'm_hat', 'beta2_hat', 'lr', 'gamma', 'v_bar']
    """
    base = digits = accents = ""
    for c in unicodedata.normalize("NFD", letter):
        if c in _ACCENTS:
            accents += f"_{_ACCENTS[c]}"
        elif _script(c) == "<sub>":
            digits += unicodedata.normalize("NFKD", c)
        elif c.isascii():
            base += c
        else:
            c = unicodedata.normalize("NFKC", c)
            base += _SPECIAL.get(c) or unicodedata.name(c).split()[-1].lower()
    return base + digits + accents


@lru_cache(maxsize=1024)
def parse(text: str) -> tuple[Formula, ...]:
    """The assignments of a line of the box; none for a line of givens.

    Raises NotationError, with a caret, for anything else.
    """
    return tuple(_Parser(text).line())


@lru_cache(maxsize=1024)
def targets(text: str) -> tuple[str, ...]:
    """The names in code that a line gives or assigns; none for a line that is not in the notation.

    >>> targets("given lr, β₁, ε"), targets("t ← 0, m ← 0"), targets("θ ← θ − lr g")
    (('lr', 'beta1', 'eps'), ('t', 'm'), ('p',))
    """
    try:
        parser = _Parser(text)
        return parser.givens() or tuple(formula.name for formula in parser.line())
    except NotationError:
        return ()


@lru_cache(maxsize=1024)
def reads(text: str) -> frozenset[str]:
    """The names in code that a line computes from.

    >>> sorted(reads("m̂ ← m / (1 − β₁ᵗ)"))
    ['beta1', 'm', 't']
    """
    try:
        nodes = [formula.tree for formula in parse(text)]
    except NotationError:
        return frozenset()
    for node in nodes:
        nodes.extend(node.parts)
    return frozenset(code_name(node.text) for node in nodes if node.kind == "letter")


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = unicodedata.normalize("NFD", text)
        self.tokens = list(self._tokens())
        self.position = 0
        self.in_norm = False  # where ‖ closes rather than opens

    def _tokens(self) -> Iterator[_Token]:
        at = 0
        while at < len(self.text):
            script = _script(self.text[at])
            end = at
            while end < len(self.text) and script and _script(self.text[end]) == script:
                end += 1
            if script:
                plain = unicodedata.normalize("NFKD", self.text[at:end])
                yield _Token({"<super>": "super", "<sub>": "sub"}[script], plain, at)
                at = end
                continue
            match = _TOKEN.match(self.text, at)
            assert match  # `other` takes any character
            kind, end = str(match.lastgroup), match.end()
            if kind == "word":
                while end < len(self.text) and (
                    unicodedata.combining(self.text[end]) or _script(self.text[end]) == "<sub>"
                ):
                    end += 1
            if kind == "other":
                self.fail(f"{match[0]!r} is no part of the notation.", at)
            if kind != "space":
                yield _Token(match[0] if kind == "mark" else kind, self.text[at:end], at)
            at = end

    # ------------------------------------------------------------ helpers

    @property
    def next(self) -> str:
        return self.tokens[self.position].kind if self.position < len(self.tokens) else "end"

    def fail(self, message: str, at: int | None = None) -> NoReturn:
        raise NotationError(self.text, self.at() if at is None else at, message)

    def take(self, kind: str, what: str = "") -> _Token:
        if self.next != kind:
            self.fail(f"{what or repr(kind)} is expected here.")
        self.position += 1
        return self.tokens[self.position - 1]

    def accept(self, *kinds: str) -> _Token | None:
        return self.take(self.next) if self.next in kinds else None

    # ------------------------------------------------------------ grammar

    def givens(self) -> tuple[str, ...]:
        if not self.tokens or self.tokens[0].text != "given":
            return ()
        self.take("word")
        names = [code_name(self.take("word", "a letter").text)]
        while self.accept(","):
            names.append(code_name(self.take("word", "a letter").text))
        return tuple(names)

    def line(self) -> list[Formula]:
        formulas = []
        more = not self.givens()
        while more:
            name = self.take("word", "a letter").text
            self.take("←")
            start = self.position
            tree = self.sum()
            stop = self.tokens[self.position].at if self.next != "end" else len(self.text)
            text = self.text[self.tokens[start].at : stop].strip()
            formulas.append(Formula(code_name(name), f"{name} ← {text}", tree))
            more = self.accept(",") is not None
        if self.next != "end":
            self.fail("the line should end here.")
        return formulas

    def sum(self) -> Node:
        at = self.at()
        minus = self.accept("−", "-")
        left = self.product()
        if minus:
            left = Node("negative", minus.at, (left,))
        while sign := self.accept("+", "−", "-"):
            kind = "plus" if sign.kind == "+" else "minus"
            left = Node(kind, at, (left, self.product()))
        return left

    def product(self) -> Node:
        at = self.at()
        parts = [self.factor()]
        while True:
            if slash := self.accept("/"):
                parts.append(Node("over", slash.at, (self.factor(),)))
            elif self.accept("·") or self.starts():
                parts.append(self.factor())
            else:
                return parts[0] if len(parts) == 1 else Node("product", at, tuple(parts))

    def factor(self) -> Node:
        at = self.at()
        if self.accept("√"):
            return Node("root", at, (self.factor(),))
        if self.accept("Σ", "∑"):
            index = self.take("sub", "an index, ᵢ or ⱼ,")
            if index.text not in ("i", "j"):
                self.fail("the index of a sum is ᵢ or ⱼ.", index.at)
            return Node("total", at, (self.factor(),), index.text)
        base = self.atom()
        while True:
            if power := self.accept("super"):
                exponent = _Parser(power.text).sum()
                base = Node("power", at, (base, _moved(exponent, power.at)))
            elif self.accept("^"):
                minus = self.accept("−", "-")
                exponent = self.atom()
                if minus:
                    exponent = Node("negative", minus.at, (exponent,))
                base = Node("power", at, (base, exponent))
            else:
                return base

    def atom(self) -> Node:
        at = self.at()
        if token := self.accept("number"):
            return Node("number", at, text=token.text.replace("−", "-"))
        if self.accept("gradient"):
            return Node("letter", at, text="g")
        if self.accept("("):
            return self.inside(")")[0]
        if self.next == "‖" and not self.in_norm:
            self.take("‖")
            return Node("norm", at, (self.inside("‖")[0],))
        token = self.take("word", "a number, a letter or '('")
        if token.text not in _FUNCTIONS:
            if len(token.text) > 2 and self.next == "(" and self.at() == at + len(token.text):
                self.fail(f"the functions are {', '.join(_FUNCTIONS)}.", at)
            return Node("letter", at, text=token.text)
        self.take("(")
        parts = self.inside(")", _FUNCTIONS[token.text])
        return Node(token.text, at, parts)

    def inside(self, close: str, count: int = 1) -> tuple[Node, ...]:
        """`count` sums with commas between them, up to the closing mark."""
        outer, self.in_norm = self.in_norm, close == "‖"
        parts = [self.sum()]
        while len(parts) < count:
            self.take(",")
            parts.append(self.sum())
        self.take(close)
        self.in_norm = outer
        return tuple(parts)

    def starts(self) -> bool:
        """Whether a factor begins here."""
        if self.next == "‖":
            return not self.in_norm
        return self.next in ("number", "word", "gradient", "(", "√", "Σ", "∑")

    def at(self) -> int:
        """Where the next token begins."""
        return self.tokens[self.position].at if self.next != "end" else len(self.text)


def _moved(node: Node, at: int) -> Node:
    """A formula out of a superscript, all of it at the place of the superscript."""
    return Node(node.kind, at, tuple(_moved(part, at) for part in node.parts), node.text)


def _script(c: str) -> str:
    """`<super>` or `<sub>` for small raised and lowered characters."""
    kind = unicodedata.decomposition(c).partition(" ")[0]
    return kind if kind in ("<super>", "<sub>") else ""
