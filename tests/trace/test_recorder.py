# ruff: noqa: E701, E702, RET504  # students write so
"""The recorder: every way Python reports lines, every way a student writes them."""

import ast
import inspect
import sys
import textwrap
from contextlib import suppress

import numpy as np
import pytest

import npoptim as npo
from npoptim.trace import recorder as recorder_module
from npoptim.trace.recorder import recording
from npoptim.trace.source import source_of

MONITORING = hasattr(sys, "monitoring")
WAYS = [False, True] if MONITORING else [False]


def events(function, *args, monitoring=False):
    """(code, names and values, failed) of everything recorded in a call."""
    with suppress(ArithmeticError), recording([source_of(function)], monitoring) as recorder:
        function(*args)
    return [(e.unit.code, e.values, e.failed) for call in recorder.calls for e in call.events]


def codes(function, *args, monitoring=False):
    return [
        (code, {k: np.asarray(v).tolist() for k, v in values.items()})
        for code, values, failed in events(function, *args, monitoring=monitoring)
    ]


# ---------------------------------------------------------------- what students write


def straight(self, x, y):
    a = x + y
    b = (
        a  # a comment
        * 2
    )
    return b


def branches(self, x):
    if x > 1:
        a = x
    elif x > 0:
        a = -x
    else:
        a = 0
    return a


def loops(self, n):
    total = 0
    for i in range(n):
        total += i
    while total > 1:
        total -= 2
    return total


def one_liners(self, x):
    # fmt: off
    a = 1; b = 2
    if x: a = 5
    for i in range(3): b += i
    # fmt: on
    return a + b


def in_place(self, m, g):
    m *= 2.0
    m[0] = 9.0
    np.add(m, g, out=m)
    np.copyto(m, 0.0)
    m *= 0.0
    view = m[1:]
    view += 1.0
    m.fill(3.0)
    return m


def comprehensions(self, xs):
    a = [x * 2 for x in xs]
    b = {"sum": sum(x for x in a)}
    c = lambda x: x + 1  # noqa: E731
    return c(b["sum"])


def nested(self, x):
    def helper(y):
        z = y + 1
        return z

    a = helper(x)
    return a


def catches(self, x):
    try:
        a = 1 / x
    except ZeroDivisionError:
        a = 0.0
    finally:
        b = a
    with np.errstate(all="ignore"):
        c = b
    return c


def matches(self, x):
    match x:
        case 0:
            a = "zero"
        case n if n > 0:
            a = 1
        case _:
            a = -1
    return a


def on_self(self, x):
    self.memory = x + 1
    y = self.memory * self.factor
    return y


def fails(self, x):
    a = x
    b = a / 0 + a
    return b


class Holder:
    factor = 2

    def __init__(self):
        self.factor = 3


CASES = [
    (straight, (1, 2), [("a = x + y", {"a": 3}), ("b = (a * 2)", {"b": 6})]),
    (branches, (2,), [("if x > 1:", {}), ("a = x", {"a": 2})]),
    (branches, (1,), [("if x > 1:", {}), ("elif x > 0:", {}), ("a = -x", {"a": -1})]),
    (branches, (0,), [("if x > 1:", {}), ("elif x > 0:", {}), ("a = 0", {"a": 0})]),
    (
        loops,
        (3,),
        [
            ("total = 0", {"total": 0}),
            ("for i in range(n):", {"i": 0}),
            ("total += i", {"total": 0}),
            ("for i in range(n):", {"i": 1}),
            ("total += i", {"total": 1}),
            ("for i in range(n):", {"i": 2}),
            ("total += i", {"total": 3}),
            ("for i in range(n):", {}),
            ("while total > 1:", {}),
            ("total -= 2", {"total": 1}),
            ("while total > 1:", {}),
        ],
    ),
    (
        one_liners,
        (True,),
        [
            ("a = 1; b = 2", {"a": 1, "b": 2}),
            ("if x: a = 5", {"a": 5}),
            ("for i in range(3): b += i", {"b": 5, "i": 2}),
        ],
    ),
    (
        in_place,
        (np.array([1.0, 2.0]), np.array([1.0, 1.0])),
        [
            ("m *= 2.0", {"m": [2, 4]}),
            ("m[0] = 9.0", {"m": [9, 4]}),
            ("np.add(m, g, out=m)", {"m": [10, 5]}),
            ("np.copyto(m, 0.0)", {"m": [0, 0]}),
            ("m *= 0.0", {"m": [0, 0]}),
            ("view = m[1:]", {"view": [0]}),
            ("view += 1.0", {"view": [1], "m": [0, 1]}),
            ("m.fill(3.0)", {"m": [3, 3], "view": [3]}),
        ],
    ),
    (
        comprehensions,
        ([1, 2],),
        [
            ("a = [x * 2 for x in xs]", {"a": [2, 4]}),
            ('b = {"sum": sum(x for x in a)}', {"b": {"sum": 6}}),
            ("c = lambda x: x + 1", {}),
        ],
    ),
    (nested, (1,), [("a = helper(x)", {"a": 2})]),
    (catches, (2.0,), [("a = 1 / x", {"a": 0.5}), ("b = a", {"b": 0.5}), ("c = b", {"c": 0.5})]),
    (
        catches,
        (0,),
        [("a = 1 / x", {}), ("a = 0.0", {"a": 0}), ("b = a", {"b": 0}), ("c = b", {"c": 0})],
    ),
    (matches, (5,), [("match x:", {}), ("a = 1", {"a": 1})]),
]


@pytest.mark.parametrize("monitoring", WAYS)
@pytest.mark.parametrize(("function", "args", "wanted"), CASES)
def test_what_is_recorded(function, args, wanted, monitoring):
    args = [x.copy() if isinstance(x, np.ndarray) else x for x in args]
    got = codes(function, None, *args, monitoring=monitoring)
    assert [x for x in got if not x[0].startswith("return")] == wanted


@pytest.mark.parametrize("monitoring", WAYS)
def test_attributes_are_names_too(monitoring):
    with recording([source_of(on_self)], monitoring) as recorder:
        on_self(Holder(), 4)
    (call,) = recorder.calls
    assert [e.values for e in call.events] == [{"self.memory": 5}, {"y": 15}]
    assert call.events[1].before == {"x": 4, "self.memory": 5, "self.factor": 3}
    assert call.result == 15
    assert call.arguments == [4]


@pytest.mark.parametrize("monitoring", WAYS)
def test_the_line_that_fails(monitoring):
    got = events(fails, None, 1, monitoring=monitoring)
    assert got == [("a = x", {"a": 1}, False), ("b = a / 0 + a", {}, True)]


@pytest.mark.parametrize("monitoring", WAYS)
def test_a_function_that_recovers_from_one_it_calls(monitoring):
    def caller(self, x):
        a = x
        try:
            fails(self, a)
        except ZeroDivisionError:
            a = 7
        return a

    with recording([source_of(caller), source_of(fails)], monitoring) as recorder:
        caller(None, 1)
    (call,) = recorder.calls
    assert [(e.unit.code, e.values, e.failed) for e in call.events] == [
        ("a = x", {"a": 1}, False),
        ("a = x", {"a": 1}, False),
        ("b = a / 0 + a", {}, True),
        ("fails(self, a)", {}, False),
        ("a = 7", {"a": 7}, False),
    ]
    assert call.result == 7


@pytest.mark.skipif(not MONITORING, reason="sys.monitoring came with Python 3.12")
@pytest.mark.parametrize("cls", npo.optimizers().values())
def test_monitoring_and_settrace_agree(cls, make, monkeypatch):
    one = make.steps(make.telling(cls))
    monkeypatch.setattr(recorder_module, "_tool_id", lambda: None)
    two = make.steps(make.telling(cls))
    assert one.to_json() == two.to_json()


# ---------------------------------------------------------------- the oracle


@pytest.mark.parametrize("cls", npo.optimizers().values())
@pytest.mark.parametrize("monitoring", WAYS)
def test_statements_executed_one_by_one_give_the_same(cls, monitoring, make):
    rng = np.random.default_rng(0)
    p, g, rule = rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), make.telling(cls)
    state = rule.init(p)
    with recording([source_of(cls.update)], monitoring) as recorder:
        rule.update(p, g, 2, **state)
    names = {"self": rule, "p": p, "g": g, "t": 2, **state}
    wanted = []
    source = textwrap.dedent(inspect.getsource(cls.update))
    for statement in ast.parse(source).body[0].body[:-1]:
        code = compile(ast.Module([statement], []), "<statement>", "exec")
        exec(code, vars(sys.modules[cls.__module__]), names)
        stored = {
            n.id
            for n in ast.walk(statement)
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        wanted.append({k: np.array(names[k]).tobytes() for k in stored if k != "_"})
    got = [
        {k: np.array(v).tobytes() for k, v in event.values.items()}
        for call in recorder.calls
        for event in call.events
    ]
    assert got == wanted
