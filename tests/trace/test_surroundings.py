"""Where a class may stand, and who else may be watching."""

import os
import subprocess
import sys
import threading
from dataclasses import dataclass

import numpy as np
import pytest

import npoptim as npo
from npoptim import trace

MONITORING = hasattr(sys, "monitoring")

# ---------------------------------------------------------------- where the source is


def run(code, *args, cwd=None, **env):
    """Run a piece of Python in a process of its own and return what it prints."""
    done = subprocess.run(
        [sys.executable, *args],
        input=code,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["", *sys.path]), **env},
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
    command = ["-m", "coverage", "run", "--include=mine.py", "use.py"]
    out = run("", *command, cwd=tmp_path, COVERAGE_CORE=core)
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
