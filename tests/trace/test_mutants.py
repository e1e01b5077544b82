"""Every operator, sign, constant and name of every update changed, one at a time.

A change that alters a value is named at its own line, one that alters none
passes. Whether it alters one is found without the recorder: the statements
are executed one by one.
"""

import ast
import sys

import numpy as np
import pytest

import npoptim as npo
from npoptim import first_difference
from npoptim.optimizers.box import TAG

OPERATORS = {"+": "-", "-": "+", "*": "/", "/": "*", "**": "*"}
SYMBOLS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
FUNCTIONS = {"sum": "max", "maximum": "minimum", "sqrt": "abs", "sign": "tanh", "rms": "norm"}
FUNCTIONS |= {"norm": "rms", "ratio": "rms"}

FORMS = [
    (name, method)
    for name, cls in npo.optimizers().items()
    for method in ("update", "update_vector")
    if hasattr(cls, method)
]


def definition(text, cls, method):
    """The function as the text of its file has it."""
    classes = [n for n in ast.parse(text).body if getattr(n, "name", "") == cls.__name__]
    return next(n for n in classes[0].body if getattr(n, "name", "") == method)


def numbers(text, statement):
    """The lines of the box that a statement carries."""
    lines = text.splitlines()[statement.lineno - 1 : statement.end_lineno]
    tags = [tag for tag in map(TAG.search, lines) if tag]
    return [int(n) for tag in tags for n in tag[1].split(",")]


def changes(text, cls, method, every):
    """(statement, where a piece of it starts and stops in the text, what to put there)."""
    function = definition(text, cls, method)
    lengths = [len(line) for line in text.splitlines(keepends=True)]

    def place(lineno, column):
        return sum(lengths[: lineno - 1]) + column  # the code is ASCII

    nodes = [(s, n) for s in function.body[:-1] for n in ast.walk(s)]
    names = sorted({n.id for _, n in nodes if isinstance(n, ast.Name) and _stored(n)} - {"_"})
    names += [a.arg for a in function.args.args[1:] if a.arg not in names]
    fields = sorted({n.attr for _, n in nodes if _field(n)})
    for statement, node in nodes:
        if not hasattr(node, "lineno"):
            continue
        start, stop = (
            place(node.lineno, node.col_offset),
            place(node.end_lineno, node.end_col_offset),
        )
        others = []
        if isinstance(node, ast.BinOp):
            start = place(node.left.end_lineno, node.left.end_col_offset)
            stop = place(node.right.lineno, node.right.col_offset)
            symbol = SYMBOLS[type(node.op)]
            others = [text[start:stop].replace(symbol, OPERATORS[symbol], 1)]
        elif isinstance(node, ast.UnaryOp):
            stop, others = start + 1, [""]
        elif isinstance(node, ast.Constant):
            others = [repr(node.value + 1)]
        elif isinstance(node, ast.Name) and node.id in names:
            others = [n for n in names if n != node.id]
        elif isinstance(node, ast.Name) and node.id in FUNCTIONS:
            others = [FUNCTIONS[node.id]]
        elif _field(node):
            start, others = stop - len(node.attr), [f for f in fields if f != node.attr]
        elif isinstance(node, ast.Attribute) and node.attr in FUNCTIONS:
            start, others = stop - len(node.attr), [FUNCTIONS[node.attr]]
        chosen = others if every or not others else [others[start % len(others)]]
        for other in chosen:
            yield statement, start, stop, other


def _stored(name):
    return isinstance(name.ctx, ast.Store)


def _field(node):
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    )


def executed(cls, opt, text, method, shape):
    """What every statement of two steps gives to names, one after the other; last what fails."""
    function = definition(text, cls, method)
    parts = [ast.Module([statement], []) for statement in function.body[:-1]]
    codes = [compile(part, "<statement>", "exec") for part in parts]
    back = compile(ast.Expression(function.body[-1].value), "<return>", "eval")
    rng = np.random.default_rng(3)
    p = rng.normal(size=shape)
    state, scope = opt.form(p)[0](p), vars(sys.modules[cls.__module__])
    for t, size in enumerate((1, -2), start=1):
        names = {"self": opt, "p": p, "g": rng.normal(size=shape) * size, "t": t, **state}
        for part, code in zip(parts, codes, strict=True):
            try:
                exec(code, scope, names)
            except Exception as error:
                yield {"error": str(error)}
                return
            stored = {n.id for n in ast.walk(part) if isinstance(n, ast.Name) and _stored(n)}
            yield {k: names[k] for k in stored}
        p, state = eval(back, scope, names)
        yield {"p": p, **state}


def same(a, b):
    """Whether two runs gave the same to the names that both gave something to."""
    return len(a) == len(b) and all(
        np.shape(x[k]) == np.shape(y[k]) and np.allclose(x[k], y[k], 1e-9, 0, equal_nan=True)
        for x, y in zip(a, b, strict=True)
        for k in x.keys() & y.keys()
        if k != "error"
    )


def tried(rule, method, make, every=True, stride=1, tagged=True):
    """(whether a value is altered, the lines of the box it stands on, what is found, where)."""
    cls = npo.optimizers()[rule]
    text, shape = make.source(cls), (3, 4) if method == "update" else (5,)
    opt = make.telling(cls)
    right, traced = list(executed(cls, opt, text, method, shape)), make.steps(opt, shape)
    for statement, start, stop, other in list(changes(text, cls, method, every))[::stride]:
        changed = text[:start] + other + text[stop:]
        altered = not same(right, list(executed(cls, opt, changed, method, shape)))
        wrong = make.telling(make.build(changed if tagged else make.untagged(changed)))
        found = first_difference(traced, make.steps(wrong, shape))
        where = f"{text[start:stop]} -> {other} in {ast.unparse(statement)}: {found}"
        yield altered, numbers(text, statement), found, where


def all_named(results):
    count = 0
    for altered, lines, found, where in results:
        assert altered == (found is not None), where
        assert not altered or found.number in lines, where
        count += altered
    assert count


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # what a changed update divides by
@pytest.mark.parametrize(("rule", "method"), FORMS)
def test_a_change_that_alters_a_value_is_named_at_its_line(rule, method, make):
    all_named(tried(rule, method, make, every=False, stride=3))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("rule", "method"), FORMS)
def test_every_change_that_alters_a_value_is_named_at_its_line(rule, method, make):
    all_named(tried(rule, method, make))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_without_numbers_of_the_box_hardly_a_change_is_named_elsewhere(make):
    results = [r for form in FORMS for r in tried(*form, make, every=False, tagged=False)]
    named = [found is not None and found.number in n for altered, n, found, _ in results if altered]
    assert not any(found for altered, _, found, _ in results if not altered)
    assert len(named) > 400
    assert np.mean(named) > 0.99
