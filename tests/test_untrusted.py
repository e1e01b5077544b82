"""What comes from others: code that is hostile, answers that are forged, names that are HTML."""

import copy
import csv
import gc
import io
import json
import random
import sys
import threading
from dataclasses import dataclass

import numpy as np
import pytest

import npoptim as npo
from npoptim.cli import main
from npoptim.homework import course, grading, isolation
from npoptim.homework.isolation import Limits, SubmissionError
from npoptim.homework.wire import FIELDS, pack_trace
from npoptim.trace import Trace

HEAD = """from dataclasses import dataclass
import numpy as np
import npoptim as npo
from npoptim.optimizers.base import Array, Number, Optimizer, State, Step
"""
RIGHT = HEAD + grading.solution("adam")
FIRST = "        lr, eps = self.lr, self.eps  # line 1"
assert FIRST in RIGHT


def doing(code):
    """The right submission, which does something else first whenever it is run."""
    return RIGHT.replace(FIRST, f"        {code}\n{FIRST}")


# ---------------------------------------------------------------- a process of its own

slow = pytest.mark.slow
WHILE_RUN = [
    ("while True: pass", "endless loop"),
    ("np.ones(2**33)", "memory"),
    pytest.param("kept = [bytearray(2**26) for _ in range(2**20)]", "memory", marks=slow),
    ("import os; os._exit(0)", "ended without a result (exit status 0)"),
    ("raise SystemExit(0)", "SystemExit"),
    ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    pytest.param("return self.update(p, g, t, m, v)", "RecursionError|MiB", marks=slow),
    pytest.param("print('x' * 10**8)", "wrote more than 1 MiB", marks=slow),
    ("import sys; sys.stderr.write('x' * 10**8)", "wrote more than 1 MiB"),
    ("import ctypes; ctypes.string_at(0)", "ended without a result"),
    ("import os; os.closerange(0, 99)", "ended without a result"),
    pytest.param("import threading, time; threading.Thread(target=time.sleep, args=(99,)).start()", "endless loop", marks=slow),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("code", "words"), WHILE_RUN)
def test_what_a_step_may_do_gets_a_verdict(code, words):
    limits = Limits(4 if "endless" in words else 40, memory=2**30, output=2**20)
    grade = grading.grade_source("adam", doing(code), limits=limits)
    assert grade.score == 0
    assert any(w in grade.message for w in words.split("|")), grade.message


FILES = [
    ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
    ("import os; os._exit(3)", "exit status 3"),
    ("MyAdam = npo.Adam", "no class that inherits from npoptim.Optimizer"),
    ("class MyAdam(npo.Adam): pass", "the library's own Adam is switched off"),
    ("MyAdam = type('MyAdam', (npo.Adam,), {'__module__': __name__})", "is switched off"),
    ("class MyAdam(npo.Optimizer):\n    lr = 0.1\n    update = npo.Adam.update", "switched off"),
]


@pytest.mark.parametrize(("code", "words"), FILES)
def test_check_has_a_clear_verdict(code, words, tmp_path, capsys):
    path = tmp_path / "my_adam.py"
    path.write_text(f"{HEAD}{code}\n", encoding="utf-8")
    assert main(["check", str(path), "--task", "adam"]) == 1
    said = capsys.readouterr().out
    assert words in said
    assert said.count("\n") == 1


SPY = '''
import gc, sys, types

def everything():
    """Functions and values that can be reached from here, by whatever way."""
    frame = sys._getframe()
    while frame:
        yield from frame.f_locals.values()
        yield from frame.f_globals.values()
        frame = frame.f_back
    for module in list(sys.modules.values()):
        yield from list(vars(module).values())
    yield from gc.get_objects()

def own(f):
    return f.__module__ == "npoptim.optimizers.adam" and f.__name__ in ("init", "update")

FOUND = [f for f in everything() if isinstance(f, types.FunctionType) and own(f)]
assert not FOUND, "found the library's own lines"
'''


def test_the_library_s_own_lines_are_nowhere_to_be_found_in_a_submission_s_process():
    during = doing(
        "assert not [f for f in everything() if isinstance(f, types.FunctionType) and own(f)]"
    )
    assert grading.grade_source("adam", during.replace(HEAD, HEAD + SPY)).passed


def test_in_a_notebook_no_right_value_exists_while_a_submission_runs():
    """There is one process, and the library can be read; but its results are not lying about."""
    spied = []

    @dataclass
    class MySGD(npo.Optimizer):
        lr: float = 0.1

        def update(self, p, g, t):
            frame = sys._getframe()
            while frame:
                spied.extend(x for x in frame.f_locals.values() if isinstance(x, Trace))
                frame = frame.f_back
            spied.extend(x for x in gc.get_objects() if isinstance(x, Trace))
            return p - self.lr * g, {}

    gc.collect()
    before = {id(x) for x in gc.get_objects() if isinstance(x, Trace)}
    grade = npo.homework.check("sgd", MySGD)
    assert grade.passed
    ours = {x.optimizer for x in spied if id(x) not in before and x.params}
    assert not {text for text in ours if text.startswith("SGD")}


def test_two_grades_at_once():
    """The library's rules are switched off for all threads: one grade waits for the other."""

    @dataclass
    class MySGD(npo.Optimizer):
        lr: float = 0.1

        def update(self, p, g, t):
            return p - self.lr * g, {}

    grades = []
    threads = [
        threading.Thread(target=lambda: grades.append(npo.homework.grade("sgd", MySGD)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [g.score for g in grades] == [grades[0].max_score] * 3
    npo.SGD().step(np.ones(2), np.ones(2))  # switched on again


# ---------------------------------------------------------------- forged answers

FORGED = [
    "'[' * 10**5",
    "'{}'",
    "'[]'",
    "'{\"cases\": []}'",
    "'{\"cases\": 3}'",
    "'{\"cases\": [3, 3, 3]}'",
    "'{\"cases\": ' + '[' * 900 + ']' * 900 + '}'",
    '\'{"cases": [{"trace": {"optimizer": 1, "params": {}, "parts": []}}] * 3}\'',
    '\'{"name": "MyAdam"}\'',
    "'1' * 10**4",
    "b'\\xff\\xfe'.decode('latin-1')",
]


@pytest.mark.parametrize("text", FORGED)
def test_an_answer_written_by_the_submission_is_no_answer(text):
    """It finds the descriptor that the worker writes to, and is first."""
    forger = f"""
import os
for fd in range(3, 20):
    try:
        os.write(fd, ({text}).encode())
    except OSError:
        pass
os._exit(0)
"""
    grade = grading.grade_source("adam", RIGHT + forger)
    assert grade.score == 0
    assert "tampered" in grade.message or "without a result" in grade.message


ODD = [
    None, 0, -1, True, 1e400, float("nan"), 10**30, "", "x", [], [1], {}, {"a": 1},
    {"array": ["<f8", [2], ""]}, {"array": ["<f8", [0], ""]}, {"array": ["|b1", [], "AQ=="]},
    {"array": ["|O", [1], ""]}, {"row": [1, 2], "tuple": True}, {"dict": [["m", 1]]}, {"dict": []},
]  # fmt: skip


def places(tree, path=()):
    """Every path into lists and dicts."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*path, key))


def test_forged_traces_are_graded_without_an_error():
    """Something else in one place of a right answer: a grade or a SubmissionError, never a crash."""
    tried = list(grading.cases(npo.Adam, 0, True))
    right = [{"trace": pack_trace(grading.traced(npo.Adam, case))} for case in tried]
    right = json.loads(json.dumps(right))
    everywhere, rng = list(places(right)), random.Random(0)
    tampered = graded = 0
    for _ in range(150):
        forged, path = copy.deepcopy(right), rng.choice(everywhere)
        place = forged
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = rng.choice(ODD)
        try:
            found = isolation.results(forged, len(tried))
        except SubmissionError:
            tampered += 1
            continue
        grade = graded_as_found(tried, found)
        assert 0 <= grade.score <= grade.max_score
        assert course.feedback("ada", [course.Result("ada", "04_adam", grade)])
        graded += 1
    assert min(tampered, graded) > 20


@pytest.mark.parametrize("field", range(len(FIELDS)), ids=list(FIELDS))
def test_every_field_of_a_forged_line_is_looked_at(field):
    case = next(grading.cases(npo.SGD, 0, True))
    answer = {"trace": pack_trace(grading.traced(npo.SGD, case))}
    assert len(isolation.results([answer], 1)) == 1
    for odd in (0.5, {"array": ["<f8", [0], ""]}):
        answer["trace"]["parts"][0]["lines"][0][field] = odd
        with pytest.raises(SubmissionError, match="tampered"):
            isolation.results([answer], 1)


def graded_as_found(tried, results):
    answers = iter(results)

    def run(case):
        result = next(answers)
        if isinstance(result, SubmissionError):
            raise result
        return result

    return grading.graded("adam", npo.Adam, run, iter(tried))


# ---------------------------------------------------------------- texts that are obeyed elsewhere

HOSTILE = "</pre><script>document.title = 'taken'</script><img src=x onerror=alert(1)>"


def test_feedback_is_text():
    right = "(1 - beta2) * g**2  # line 6"
    assert right in RIGHT
    hostile = f"(1 - beta2) * g**2 * len({HOSTILE!r})  # line 6"
    wrong = grading.grade_source("adam", RIGHT.replace(right, hostile))
    assert wrong.number == 6
    assert HOSTILE in wrong.line.code
    raising = grading.grade_source("adam", RIGHT + f"\nraise ValueError({HOSTILE!r})")
    renamed = grading.grade_source("adam", RIGHT + f"\nMyAdam.__name__ = {HOSTILE!r}; raise MyAdam")
    results = [course.Result(HOSTILE, HOSTILE, g) for g in (wrong, raising, renamed)]
    page = course.feedback(HOSTILE, results)
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("&lt;script&gt;") >= 6


def test_a_spreadsheet_takes_no_text_for_a_formula():
    grade = grading.Grade("adam", 0, 6, None, None, "=HYPERLINK(1)")
    table = course.as_csv([course.Result(f"{c}cmd", "a,b", grade) for c in "=+-@"])
    rows = list(csv.reader(io.StringIO(table)))[1:]
    assert [row[0] for row in rows] == ["'=cmd", "'+cmd", "'-cmd", "'@cmd"]
    assert {row[5] for row in rows} == {"'=HYPERLINK(1)"}


@pytest.mark.parametrize("code", [r"raise ValueError('\x1b]0;taken\x07\x9b31m')", "x = \x1b"])
def test_a_verdict_does_not_steer_the_terminal(code, tmp_path, capsys):
    path = tmp_path / "my_adam.py"
    path.write_text(f"{RIGHT}\n{code}\n", encoding="utf-8")
    assert main(["check", str(path)]) == 1
    said = capsys.readouterr().out
    assert "Error" in said
    assert all(c.isprintable() or c == "\n" for c in said)
