"""A function as the recorder sees it: the stretches of source that run as one."""

from __future__ import annotations

import ast
import inspect
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from textwrap import dedent
from typing import Any, NamedTuple

from npoptim.optimizers.box import TAG, parsed

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_OPAQUE = (*_DEFINITIONS, ast.Lambda)  # what stands inside does not run with the line
_SILENT = (*_DEFINITIONS, ast.Pass, ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal)


@dataclass(frozen=True)
class Unit:
    """Statements that share source lines: what lies between two stops of the recorder."""

    lineno: int  # in the file
    code: str
    numbers: tuple[int, ...]  # the box lines it says it carries
    targets: tuple[str, ...]  # names, and attributes as "self.m", that it writes in plain sight
    reads: tuple[str, ...]  # attributes that it mentions
    parts: tuple[ast.AST, ...]  # statements; of one with a body, what stands before the body
    silent: bool  # computes nothing


@dataclass(frozen=True)
class Source:
    """The units of a function, and whom its own names stand for."""

    function: Any
    units: dict[int, Unit]  # by every line number, in the file, that belongs to one
    roles: dict[str, str]  # its own name -> the driver's, where they differ

    @property
    def init(self) -> bool:
        """Whether it makes a fresh memory."""
        return str(self.function.__name__).startswith("init")

    @property
    def tagged(self) -> bool:
        """Whether any line says which line of the box it is."""
        return any(unit.numbers for unit in self.units.values())


@lru_cache(maxsize=128)
def source_of(function: Callable[..., Any]) -> Source:
    """The units of a function; OSError where Python has kept no source."""
    try:
        lines, first = inspect.getsourcelines(function)
        text = dedent("".join(lines))
        definition = parsed(text).body[0]
    except (OSError, TypeError, SyntaxError):
        definition = None
    if not isinstance(definition, ast.FunctionDef):
        raise OSError(
            f"{function.__qualname__} cannot be traced: Python has kept no source of it, as for "
            f"code run by exec() or typed at a plain prompt. Put the class in a file or a notebook."
        )
    comments = _comments(text)
    source = text.splitlines()
    units: dict[int, Unit] = {}
    for start, stop, parts, numbers in _stretches(definition, comments):
        code = [
            source[n - 1][: comments[n].column if n in comments else None]
            for n in range(start, stop + 1)
        ]
        unit = Unit(
            lineno=first + start - 1,
            code=_one_line(code),
            numbers=numbers,
            targets=tuple(dict.fromkeys(t for part in parts for t in _targets(part))),
            reads=tuple(dict.fromkeys(a for part in parts for a in _attributes(part))),
            parts=tuple(parts),
            silent=all(_silent(part) for part in parts),
        )
        units.update(dict.fromkeys(range(first + start - 1, first + stop), unit))
    return Source(function, units, _roles(definition))


class _Comment(NamedTuple):
    column: int
    text: str


def _comments(text: str) -> dict[int, _Comment]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {
        t.start[0]: _Comment(t.start[1], t.string) for t in tokens if t.type == tokenize.COMMENT
    }


def _one_line(code: list[str]) -> str:
    text = " ".join(line.strip() for line in code).strip()
    return re.sub(r"(?<=[\[({]) +|,? +(?=[\])}])", "", text) if len(code) > 1 else text


def _stretches(
    definition: ast.FunctionDef, comments: dict[int, _Comment]
) -> list[tuple[int, int, list[ast.AST], tuple[int, ...]]]:
    """First line, last line, statements and box lines of every unit, in order."""
    found: list[tuple[int, int, list[ast.AST], tuple[int, ...]]] = []
    for start, stop, part, numbers in _parts(definition.body, comments, ()):
        if found and start <= found[-1][1]:
            first, last, parts, before = found.pop()
            found.append((first, max(last, stop), [*parts, part], before or numbers))
        else:
            found.append((start, stop, [part], numbers))
    return found


def _parts(
    body: list[ast.stmt], comments: dict[int, _Comment], outer: tuple[int, ...]
) -> Iterator[tuple[int, int, ast.AST, tuple[int, ...]]]:
    """Every statement with its lines; of one with a body its head, then the body.

    A statement that names no line of the box takes those of the block around it.
    """
    for node in body:
        head = _head(node)
        ends = [node] if head is None else head
        stop = max([node.lineno, *(getattr(end, "end_lineno", 0) for end in ends)])
        numbers = _numbers(node.lineno, stop, comments) or outer
        yield node.lineno, stop, node if head is None else _Head(node, head), numbers
        if head is not None:
            for block in _blocks(node):
                yield from _parts(block, comments, numbers)


def _numbers(start: int, stop: int, comments: dict[int, _Comment]) -> tuple[int, ...]:
    """The box lines that the comments on some source lines name."""
    tags = (TAG.search(comments[n].text) for n in range(start, stop + 1) if n in comments)
    return tuple(int(number) for tag in tags if tag for number in tag[1].split(","))


class _Head(ast.AST):
    """`if test`, `while test`, `for target in iter`, `with items`: what runs before the body."""

    _fields = ("head",)

    def __init__(self, node: ast.stmt, head: list[ast.AST]) -> None:
        super().__init__()
        self.node, self.head = node, head


def _head(node: ast.stmt) -> list[ast.AST] | None:
    """The expressions before a statement's body; None where there is no body to step into."""
    if isinstance(node, (ast.If, ast.While)):
        return [node.test]
    if isinstance(node, (ast.For, ast.AsyncFor)):
        return [node.target, node.iter]
    if isinstance(node, (ast.With, ast.AsyncWith)):
        return [x for i in node.items for x in (i.context_expr, i.optional_vars) if x]
    if isinstance(node, ast.Match):
        return [node.subject]
    return [] if isinstance(node, (ast.Try, ast.TryStar)) else None


def head_of(part: ast.AST) -> list[Any]:
    """What the head of a compound statement computes."""
    head = part.head if isinstance(part, _Head) else []
    return [node for node in head if not isinstance(getattr(node, "ctx", None), ast.Store)]


def _blocks(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    yield getattr(node, "body", [])
    for inner in (*getattr(node, "handlers", []), *getattr(node, "cases", [])):
        yield inner.body
    yield getattr(node, "orelse", [])
    yield getattr(node, "finalbody", [])


def _walk(part: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a part but those inside the functions and classes it defines."""
    yield part
    if not isinstance(part, _OPAQUE):
        for child in ast.iter_child_nodes(part):
            yield from _walk(child)


def _targets(part: ast.AST) -> Iterator[str]:
    for node in _walk(part):
        if isinstance(node, ast.Assign):
            yield from (name for target in node.targets for name in written(target))
        elif isinstance(node, (ast.AnnAssign, ast.AugAssign, ast.NamedExpr)):
            yield from written(node.target)
        elif isinstance(node, ast.keyword) and node.arg == "out":
            yield from written(node.value)


def written(target: ast.AST) -> Iterator[str]:
    """The names behind the left side of an assignment: m of `m`, `m[i]` and `(m, v)`; self.m."""
    if isinstance(target, ast.Name):
        yield target.id
    elif isinstance(target, (ast.Tuple, ast.List)):
        for element in target.elts:
            yield from written(element)
    elif isinstance(target, (ast.Subscript, ast.Starred)):
        yield from written(target.value)
    elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
        yield f"{target.value.id}.{target.attr}"


def _attributes(part: ast.AST) -> Iterator[str]:
    for node in _walk(part):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"


def _silent(part: ast.AST) -> bool:
    if isinstance(part, ast.Return):
        return not _computed(part.value)
    if isinstance(part, ast.Expr):
        return isinstance(part.value, ast.Constant)
    if isinstance(part, _Head):
        constant = all(isinstance(node, ast.Constant) for node in part.head)
        return constant or isinstance(part.node, (ast.With, ast.AsyncWith))
    return isinstance(part, _SILENT)


def returned(part: ast.AST, init: bool) -> dict[str, ast.expr]:
    """The expressions of a return statement by what the driver takes them for."""
    value = part.value if isinstance(part, ast.Return) else None
    if init:
        return _slots(value)
    if isinstance(value, ast.Tuple) and len(value.elts) == 2:
        return {"p": value.elts[0], **_slots(value.elts[1])}
    return {}


def returns_anew(part: ast.AST, init: bool) -> set[str] | None:
    """What a return statement computes itself; None for everything, out of sight."""
    parts = returned(part, init)
    return {slot for slot, value in parts.items() if _computed(value)} if parts else None


def _slots(node: ast.AST | None) -> dict[str, ast.expr]:
    """What `{"m": m, …}` or `dict(m=m, …)` puts under each name."""
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {str(k.value): v for k, v in pairs if isinstance(k, ast.Constant)}
    if isinstance(node, ast.Call) and _is_dict(node):
        return {k.arg: k.value for k in node.keywords if k.arg}
    return {}


def _is_dict(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args


def _computed(value: ast.AST | None) -> bool:
    """Whether an expression is more than names, constants and displays of them."""
    plain = (ast.Name, ast.Constant, ast.Tuple, ast.Dict, ast.keyword, ast.expr_context)
    return value is not None and any(
        not isinstance(node, plain) and not (isinstance(node, ast.Call) and _is_dict(node))
        for node in ast.walk(value)
    )


def _roles(definition: ast.FunctionDef) -> dict[str, str]:
    """`theta` -> `p` by the order of the arguments, `m_new` -> `m` by what is returned."""
    arguments = [a.arg for a in (*definition.args.posonlyargs, *definition.args.args)]
    init = definition.name.startswith("init")
    roles = dict(zip(arguments[1:], ("p",) if init else ("p", "g", "t"), strict=False))
    for node in (n for statement in definition.body for n in _walk(statement)):
        for slot, value in returned(node, init).items():
            if isinstance(value, ast.Name) and value.id not in arguments:
                roles.setdefault(value.id, slot)
    return {own: role for own, role in roles.items() if own != role}
