"""A line of code with its numbers put in."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from npoptim.optimizers.box import PARSING, parsed
from npoptim.trace.source import Unit, head_of
from npoptim.trace.values import keep, short

_OPERATORS = (ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop)
_INDICES = (ast.Subscript, ast.Slice, ast.Tuple)
_LEAVES = (ast.Name, ast.Constant, ast.expr_context)


def substituted(unit: Unit, before: Mapping[str, Any], constants: Mapping[str, Any]) -> str:
    """What a unit computes, with the values its names had before: `0.9 * 0 + 0.1 * 0.3`.

    `constants` are the numbers of the module. Sums and powers of plain
    numbers within a formula are worked out: 0.1 for `1 - beta1`.
    """
    known = _Known(before, constants)
    return "; ".join(known.shown(text) for text in _texts(unit))


@lru_cache(maxsize=1024)
def _texts(unit: Unit) -> list[str]:
    return [ast.unparse(e) for part in unit.parts for e in _formulas(part)]


def _formulas(part: ast.AST) -> list[ast.expr]:
    """The expressions a statement computes, without those that only name a place."""
    if isinstance(part, ast.AugAssign):
        return [ast.BinOp(part.target, part.op, part.value)]
    if isinstance(part, ast.Return) and isinstance(part.value, (ast.Tuple, ast.Dict)):
        parts = part.value.elts if isinstance(part.value, ast.Tuple) else [part.value]
        values = [v for x in parts for v in (x.values if isinstance(x, ast.Dict) else [x])]
        return [v for v in values if not isinstance(v, ast.Name)]
    if isinstance(part, (ast.Assign, ast.AnnAssign, ast.Expr, ast.Return)):
        return [part.value] if part.value else []
    if isinstance(part, ast.Assert):
        return [part.test]
    return head_of(part)


class _Known(ast.NodeTransformer):
    """Puts values for names, each as a name that reads like the value."""

    def __init__(self, before: Mapping[str, Any], constants: Mapping[str, Any]) -> None:
        self.before, self.constants = before, constants
        self.folding = True

    def shown(self, expression: str) -> str:
        tree = parsed(expression, "eval").body
        elements = tree.elts if isinstance(tree, ast.Tuple) else [tree]
        shown = (ast.unparse(self.whole(e)) for e in elements)
        return ", ".join(shown).replace(" ** ", "**")

    def whole(self, tree: ast.expr) -> ast.expr:
        """An expression that is nothing but plain numbers is not worked out: it is the line."""
        self.folding = not self.plain(tree)
        return self.visit(tree)  # type: ignore[no-any-return]

    def value(self, name: str) -> Any:
        """The number or array behind a name; None if there is none."""
        if name in self.before:
            return self.before[name]
        x = self.constants.get(name)
        return x if isinstance(x, (float, int, np.ndarray, np.generic)) else None

    def plain(self, node: ast.AST) -> bool:
        """Whether it is made of Python's own numbers alone: hyper-parameters, t, constants."""
        return isinstance(node, (ast.BinOp, ast.UnaryOp)) and all(
            isinstance(n, (*_OPERATORS, ast.Constant, ast.expr_context))
            or (isinstance(n, ast.Name) and type(self.value(n.id)) in (float, int))
            for n in ast.walk(node)
        )

    def worked_out(self, node: ast.expr) -> Any:
        """The value of a formula of known names; None where it has none."""
        names = {n.id: self.value(n.id) for n in ast.walk(node) if isinstance(n, ast.Name)}
        whole = ast.fix_missing_locations(ast.Expression(node))
        with PARSING:
            code = compile(whole, "<substituted>", "eval")
        try:
            return keep(eval(code, {"__builtins__": {}}, names))
        except (ArithmeticError, IndexError, TypeError, ValueError):
            return None

    def visit_Name(self, node: ast.Name) -> ast.AST:
        value = self.value(node.id)
        return node if value is None else _written(value)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name):
            value = self.before.get(f"{node.value.id}.{node.attr}")
            return node if value is None else _written(value)
        return self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        simple = (*_OPERATORS, *_INDICES, *_LEAVES)
        if all(isinstance(n, simple) for n in ast.walk(node)):
            value = self.worked_out(node)
            return node if value is None else _written(value)
        return self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        return node if node.arg in ("out", "axis", "dtype") else self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        if self.folding and self.plain(node) and isinstance(node.op, (ast.Add, ast.Sub, ast.Pow)):
            value = self.worked_out(node)
            if value is not None:
                return _written(value)
        new = ast.BinOp(self.visit(node.left), node.op, self.visit(node.right))
        for side in ("left", "right"):
            operand = getattr(new, side)
            if _negative(operand) and (side == "right" or isinstance(node.op, ast.Pow)):
                setattr(new, side, ast.Name(f"({operand.id})"))
        return new


def _written(value: Any) -> ast.Name:
    return ast.Name(short(value, room=3))


def _negative(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id.startswith("-")
