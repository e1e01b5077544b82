# ruff: noqa: E701, E702, RET504  # students write so
"""The recorder: every way Python reports lines, every way a student writes them."""

import ast
import inspect
import subprocess
import sys
import textwrap
import threading
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pytest

import npoptim as npo
from npoptim import trace
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


# ---------------------------------------------------------------- numbers of the box


def test_several_statements_in_place_blocks_and_helpers(make):
    @dataclass
    class Adam(npo.Adam):
        def moments(self, g, m, v):
            beta1, beta2 = self.betas  # line 1
            m *= beta1  # line 5
            m += (1 - beta1) * g  # line 5
            for i in range(len(v)):  # line 6
                v[i] = beta2 * v[i] + (1 - beta2) * g[i] ** 2
            return m, v

        def corrected(self, x, beta, t):
            return x / (1 - beta**t)

        def update(self, p, g, t, m, v):
            lr, eps = self.lr, self.eps  # line 1
            m, v = self.moments(g, m, v)
            m_hat = self.corrected(m, self.betas[0], t)  # line 7
            v_hat = self.corrected(v, self.betas[1], t)  # line 8
            return p - lr * m_hat / (np.sqrt(v_hat) + eps), {"m": m, "v": v}  # line 9

    tr = trace(Adam(), np.ones(2), np.ones(2))
    assert [line.number for line in tr] == [1, 1, 2, 3, 4, 5, 5, *[6] * 5, None, 7, 8, 9]
    assert [list(line.values) for line in tr][-4:] == [["m", "v"], ["m_hat"], ["v_hat"], ["p"]]
    assert next(x for x in tr if x.number is None).code == "m, v = self.moments(g, m, v)"
    assert tr[-1].values["p"] == pytest.approx(1 - 1e-3)


def test_what_super_does_is_stepped_into():
    @dataclass
    class Halved(npo.Momentum):
        def update(self, p, g, t, v):
            p, state = super().update(p, g / 2, t, v)
            return p, state

    tr = trace(Halved(lr=0.5), np.ones(1), np.ones(1))
    assert [line.number for line in tr] == [1, 2, 3, 4, 5, None]
    assert tr[-2].values["p"] == tr[-1].values["p"] == 0.75


def test_without_numbers_lines_go_by_the_names_they_assign():
    @dataclass
    class Bare(npo.Adam):
        def init(self, p):
            return {"m": np.zeros_like(p), "v": np.zeros_like(p)}

        def update(self, theta, grad, step, m, v):
            lr = self.lr
            new_m = 0.9 * m + 0.1 * grad
            v *= 0.999
            v += 0.001 * grad**2
            scale = lr / (1 - 0.9**step)
            v_hat = v / (1 - 0.999**step)
            theta = theta - scale * new_m / np.sqrt(v_hat)
            return theta, {"m": new_m, "v": v}

    tr = trace(Bare(), np.ones(2), np.ones(2))
    assert [(x.number, list(x.values)) for x in tr] == [
        (1, ["lr"]),
        (2, ["m", "v"]),
        (3, ["t"]),
        (4, ["g"]),
        (5, ["new_m"]),
        (6, ["v"]),
        (6, ["v"]),
        (None, ["scale"]),
        (8, ["v_hat"]),
        (9, ["theta"]),
    ]


def test_a_class_without_a_box():
    class Plain(npo.Optimizer):
        """Nothing numbered."""

        def update(self, p, g, t):
            step = 0.5 * g
            return p - step, {}

    tr = trace(Plain(), np.ones(1), np.ones(1))
    assert [(x.number, x.pseudocode, x.code) for x in tr] == [
        (None, "", "step = 0.5 * g"),
        (None, "", "return p - step, {}"),
    ]
    assert "p - step" in str(tr)


def test_numbers_of_a_module_are_put_in(make):
    cls = make.build(
        "import npoptim as npo\nRATE = 0.25\n"
        "class R(npo.SGD):\n    def update(self, p, g, t):\n"
        "        p = p - (RATE - 0.5) * g[0] * p.size * -g\n        return p, {}\n"
    )
    line = trace(cls(), np.ones(1), np.full(1, -3.0))[-1]
    assert line.substituted == "[1] - -0.25 * (-3) * p.size * -[-3]"


# ---------------------------------------------------------------- where the source is


def run(code, *args, env=None, cwd=None):
    """Run a piece of Python in a process of its own and return what it prints."""
    done = subprocess.run(
        [sys.executable, *args],
        input=code,
        capture_output=True,
        text=True,
        timeout=120,
        env=env,
        cwd=cwd,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


STUDENT = """
from dataclasses import dataclass
import numpy as np
import npoptim as npo

@dataclass
class Mine(npo.SGD):
    def update(self, p, g, t):
        p = p - self.lr * g  # line 4
        return p, {}
"""
USE = "print([x.number for x in npo.trace(Mine(), np.ones(1), np.ones(1))])\n"


def test_a_file_run_as_a_script(tmp_path):
    script = tmp_path / "homework.py"
    script.write_text(STUDENT + USE, encoding="utf-8")
    assert run("", str(script)) == "[3, 4]\n"


def test_a_notebook_cell():
    pytest.importorskip("IPython")
    code = f"""
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in ({STUDENT!r}, {USE!r}):
    shell.run_cell(cell).raise_error()
"""
    assert run(code, "-W", "ignore", "-") == "[3, 4]\n"


def test_exec_has_no_source():
    names = {}
    exec(STUDENT, names)
    opt, p = names["Mine"](), np.ones(1)
    with pytest.raises(OSError, match=r"Mine.update cannot be traced: .* no source .* exec\(\)"):
        trace(opt, p, np.ones(1))
    assert opt.t == 0
    assert p[0] == 1


def test_a_lambda_and_a_builtin_have_no_source_to_show():
    class Odd(npo.SGD):
        update = lambda self, p, g, t: (p, {})  # noqa: E731

    with pytest.raises(OSError, match="cannot be traced"):
        trace(Odd(), np.ones(1), np.ones(1))


# ---------------------------------------------------------------- others that trace


def test_nothing_is_left_behind():
    before = sys.gettrace()
    trace(npo.SGD(), np.ones(1), np.ones(1))
    with pytest.raises(ValueError):
        trace(npo.SGD(), np.ones(1), np.ones(2))
    assert sys.gettrace() is before
    if MONITORING:
        assert "npoptim.trace" not in map(sys.monitoring.get_tool, range(6))


def test_a_trace_function_that_was_there_sees_every_line():
    """As a debugger does, or coverage in Python."""
    seen = []

    def tracer(frame, event, arg):
        if frame.f_code.co_name in ("update", "norm"):
            seen.append((frame.f_code.co_name, event))
        return tracer

    def lines(run):
        seen.clear()
        before = sys.gettrace()
        sys.settrace(tracer)
        try:
            run()
            assert sys.gettrace() is tracer
        finally:
            sys.settrace(before)
        return list(seen)

    opt, p, g = npo.LARS(), np.ones(2), np.ones(2)
    plain = lines(lambda: opt.step(p, g))
    assert plain.count(("update", "line")) >= 5
    assert plain.count(("norm", "call")) == 3
    with_us = lines(lambda: trace(opt, p, g))
    assert with_us == plain


def test_a_debugger_that_goes_away_in_the_middle():
    """pdb's `continue` without breakpoints takes its trace function out."""

    def tracer(frame, event, arg):
        if frame.f_code.co_name == "update" and event == "line":
            sys.settrace(None)
        return tracer

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        tr = trace(npo.Adam(), np.ones(1), np.ones(1))
        assert sys.gettrace() in (None, tracer)
    finally:
        sys.settrace(before)
    assert [line.number for line in tr] == [1, 1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_a_breakpoint_in_the_middle_of_a_line_traced(tmp_path):
    """pdb stops inside `update`, shows the values there and goes on."""
    (tmp_path / "mine.py").write_text(STUDENT + USE, encoding="utf-8")
    commands = "break mine.py:9\ncontinue\nprint('p is', p)\nnext\ncontinue\nquit\n"
    out = run(commands, "-m", "pdb", "mine.py", cwd=tmp_path)
    assert "p is [1.]" in out
    assert "[3, 4]" in out


@pytest.mark.skipif(MONITORING, reason="only sys.settrace has room for one")
def test_a_debugger_that_takes_over_is_warned_of():
    @dataclass
    class Stopping(npo.SGD):
        def update(self, p, g, t):
            a = p - g
            sys.settrace(None)
            sys._getframe().f_trace = None
            return a + g, {}

    with pytest.warns(RuntimeWarning, match="a debugger took over") as caught:
        tr = trace(Stopping(), np.ones(1), np.ones(1))
    assert caught[0].filename == __file__
    assert [x.code for x in tr if x.code] == ["a = p - g"]
    assert not any(x.failed for x in tr)


@pytest.mark.parametrize("core", ["ctrace", "pytrace", "sysmon"])
def test_under_coverage(core, tmp_path):
    coverage = pytest.importorskip("coverage")
    if core == "sysmon" and not MONITORING:
        pytest.skip("sys.monitoring came with Python 3.12")
    (tmp_path / "mine.py").write_text(STUDENT, encoding="utf-8")
    (tmp_path / "use.py").write_text(f"from mine import Mine, np, npo\n{USE}", encoding="utf-8")
    env = {"COVERAGE_CORE": core, "PYTHONPATH": ":".join(["", *sys.path])}
    out = run("", "-m", "coverage", "run", "--include=mine.py", "use.py", cwd=tmp_path, env=env)
    assert out == "[3, 4]\n"
    data = coverage.CoverageData(str(tmp_path / ".coverage"))
    data.read()
    (file,) = data.measured_files()
    assert data.lines(file) == [2, 3, 4, 6, 7, 8, 9, 10]


@pytest.mark.skipif(not MONITORING, reason="sys.monitoring came with Python 3.12")
def test_where_all_tool_ids_are_taken_settrace_does():
    taken = [i for i in range(6) if sys.monitoring.get_tool(i) is None]
    for i in taken:
        sys.monitoring.use_tool_id(i, "somebody")
    try:
        tr = trace(npo.SGD(), np.ones(1), np.ones(1))
    finally:
        for i in taken:
            sys.monitoring.free_tool_id(i)
    assert [line.number for line in tr] == [1, 3, 4]


def test_threads_trace_side_by_side(make):
    wanted = make.steps(make.telling(npo.AdamW)).to_json()
    got = []

    def work():
        for _ in range(5):
            got.append(make.steps(make.telling(npo.AdamW)).to_json())

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    opt, p = make.telling(npo.AdamW), np.ones(3)
    for _ in range(50):  # untraced, while others trace the same code
        opt.step(p, np.ones(3))
    for thread in threads:
        thread.join()
    assert got == [wanted] * 15
