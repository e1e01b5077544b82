"""Homework: right and wrong submissions, hostile ones, the release, a class graded."""

import csv
import json
from pathlib import Path

import pytest

import npoptim as npo
from npoptim.cli import main
from npoptim.homework import course, grading
from npoptim.homework.isolation import Limits

COURSE = Path(__file__).parents[1] / "notebooks" / "homework"
HEAD = """from dataclasses import dataclass
import numpy as np
import npoptim as npo
from npoptim.optimizers.base import Array, Number, State, Step, norm, over_root, ratio, rms
from npoptim.schedules import relative_step
"""
TASKS = grading.tasks()
SHIPPED = [task_path.stem for task_path in sorted(COURSE.glob("source/*/*.ipynb"))]


def solved(task):
    return HEAD + grading.solution(task)


def cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


@pytest.mark.parametrize("task", TASKS)
def test_the_solution_earns_every_point(task):
    grade = grading.grade_source(task, solved(task), seed=1)
    assert grade.passed, grade
    assert grade.line is None
    assert grade.max_score > 0


@pytest.mark.parametrize("task", TASKS)
def test_inheriting_earns_nothing(task):
    rule = npo.optimizers()[task]
    lazy = type("Lazy", (rule,), {})
    grade = npo.homework.grade(task, lazy)
    assert grade.score == 0
    assert "switched off" in grade.message
    assert npo.optimizers()[task]().step is not None
    npo.check_optimizer(rule)  # switched on again


MISTAKES = [
    ("adamw", "- lr * wd * p", "+ lr * wd * p", 9),
    ("adamw", "1 - beta2**t", "1 - beta2 ** (t - 1 or 1)", 8),
    ("adam", "(np.sqrt(v_hat) + eps)", "np.sqrt(v_hat + eps)", 9),
    ("adam", "v = beta2 * v", "v = beta1 * v", 6),
    ("adam", "(1 - beta2) * g**2", "(1 - beta2) * g", 6),  # ends in the root of a negative number
    ("momentum", "v = mu * v + g", "v = mu * v + (1 - mu) * g", 4),
    ("lion", "m = beta2 * m + (1 - beta2) * g", "m = beta1 * m + (1 - beta1) * g", 6),
    ("lars", "norm(g) + wd * norm(p)", "norm(g + wd * p)", 4),
    ("lamb", "ratio(norm(p), norm(u)) * u", "ratio(norm(p), norm(r)) * u", 11),
    ("adafactor", "u / np.maximum(1.0, rms(u) / d)", "u", 9),
    ("came", "over_root(m, R, C)", "m", 14),
]


@pytest.mark.parametrize(("task", "right", "wrong", "number"), MISTAKES)
def test_the_first_wrong_line_is_named(task, right, wrong, number):
    source = solved(task).replace(right, wrong)
    assert source != solved(task)
    grade = grading.grade_source(task, source)
    assert grade.number == number, grade
    assert 0 < grade.score < grade.max_score
    assert f"line {number}" in grade.message


HOSTILE = [
    ("while True: pass", "endless loop"),
    ("x = bytearray(2**32)", "memory"),
    ("import os; os._exit(3)", "exit status 3"),
    ("raise SystemExit(0)", "SystemExit"),
    ("import no_such_module", "no_such_module"),
    ("def f(:", "SyntaxError"),
    ("while True: print('x' * 10**6)", "MiB"),
    ("import os; os.write(1, b'[]'); os._exit(0)", "ended without a result"),
    ("class E(Exception):\n    def __str__(self): raise self\nraise E", "E"),
    ("del MyAdam", "no class"),
]


@pytest.mark.parametrize(("code", "words"), HOSTILE)
def test_a_hostile_submission_gets_a_verdict(code, words):
    limits = Limits(4 if "pass" in code else 30, memory=2 * 2**30, output=2**20)
    grade = grading.grade_source("adam", f"{solved('adam')}\n{code}\n", limits=limits)
    assert grade.score == 0
    assert words in grade.message


def test_a_submission_cannot_read_the_right_values():
    """Neither the stack nor the modules of its process hold the library's results."""
    spy = solved("adam").replace(
        "        lr, eps = self.lr, self.eps  # line 1",
        "        npo.Adam(lr=self.lr).update(p, g, t, m, v)\n        lr, eps = self.lr, self.eps  # line 1",
    )
    grade = grading.grade_source("adam", spy)
    assert grade.score < grade.max_score
    assert "switched off" in grade.message


def test_other_students_get_other_numbers():
    seeds = {course.own_seed(name, 3) for name in ("ada", "alan", "grace")}
    assert len(seeds) == 3
    assert course.own_seed("ada", 3) == course.own_seed("ada", 3)
    a, b = (next(grading.cases(npo.AdamW, seed, True)) for seed in (1, 2))
    assert a.hyper != b.hyper
    assert a.p.tolist() != b.p.tolist()


@pytest.mark.parametrize("task", TASKS)
def test_the_skeleton_is_told_that_it_is_empty(task):
    grade = grading.grade_source(task, HEAD + npo.homework.skeleton(task))
    assert grade.score == 0
    assert "returns nothing" in grade.message


# ---------------------------------------------------------------- the course


def test_there_is_a_homework_for_every_optimizer_and_two_more():
    assert len(SHIPPED) == 12
    assert {course.task_of(name) for name in SHIPPED} - {None} == set(TASKS)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_release_is_what_the_source_gives(name, tmp_path):
    made = course.release(COURSE, tmp_path)
    (path,) = [p for p in made if p.stem == name]
    kept = COURSE / "release" / name / f"{name}.ipynb"
    assert path.read_bytes() == kept.read_bytes()
    text = kept.read_text(encoding="utf-8")
    for leak in ("BEGIN SOLUTION", "END SOLUTION", "HIDDEN", "homework.grade("):
        assert leak not in text
    assert not any(cell.get("outputs") for cell in cells(kept))


@pytest.mark.parametrize("name", [n for n in SHIPPED if course.task_of(n)])
def test_no_line_of_a_solution_is_in_the_release(name):
    source, kept = (COURSE / kind / name / f"{name}.ipynb" for kind in ("source", "release"))
    body = grading.solution(course.task_of(name)).split('    scope = "')[1]
    lines = [line.strip() for line in body.splitlines() if "# line" in line]
    assert lines
    text = kept.read_text(encoding="utf-8")
    solution = source.read_text(encoding="utf-8")
    for line in lines:
        assert json.dumps(line, ensure_ascii=False)[1:-1] in solution
        assert json.dumps(line, ensure_ascii=False)[1:-1] not in text


@pytest.mark.parametrize("name", [n for n in SHIPPED if course.task_of(n)])
def test_the_source_notebooks_solution_is_right(name):
    path = COURSE / "source" / name / f"{name}.ipynb"
    grade = grading.grade_source(
        course.task_of(name), course.code_of(json.loads(path.read_text(encoding="utf-8")))
    )
    assert grade.passed, grade
    points = sum(
        c["metadata"].get("nbgrader", {}).get("points", 0)
        for c in cells(path)
        if c["cell_type"] == "code"
    )
    assert points == grade.max_score


@pytest.mark.parametrize(
    "text", ["### BEGIN SOLUTION\n1", "1\n### END SOLUTION", "### BEGIN HIDDEN TESTS"]
)
def test_an_open_region_is_refused(text):
    cell = {"cell_type": "code", "metadata": {}, "source": text}
    with pytest.raises(ValueError, match="not closed"):
        course.released({"cells": [cell]})


def classroom(tmp_path):
    """Three students: right, partly right, endless."""
    right = json.loads((COURSE / "source/04_adam/04_adam.ipynb").read_text(encoding="utf-8"))
    folder = tmp_path / "submitted"
    changes = {"ada": ("", ""), "alan": ("1 - beta2**t", "1 - beta1**t"), "loop <b>": ("beta1, beta2 =", "while 1: pass; beta1, beta2 =")}  # fmt: skip
    for student, (old, new) in changes.items():
        text = json.dumps(right, ensure_ascii=False)
        assert old in text
        path = folder / student / "04_adam" / "04_adam.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(text.replace(old, new) if old else text, encoding="utf-8")
    return folder


@pytest.mark.slow
def test_a_class_is_graded(tmp_path, capsys):
    folder = classroom(tmp_path)
    assert main(["homework", "grade", str(folder), "--seconds", "8", "--json"]) == 0
    grades = {g["student"]: g for g in json.loads(capsys.readouterr().out)["grades"]}
    assert grades["ada"]["score"] == grades["ada"]["of"] == 6
    assert 0 < grades["alan"]["score"] < 6
    assert grades["alan"]["line"] == 8
    assert grades["loop <b>"]["score"] == 0
    rows = list(
        csv.DictReader((folder / "feedback" / "grades.csv").read_text("utf-8").splitlines())
    )
    assert [row["student"] for row in rows] == ["ada", "alan", "loop <b>"]
    page = (folder / "feedback" / "loop <b>.html").read_text(encoding="utf-8")
    assert "Feedback for loop &lt;b&gt;" in page
    page = (folder / "feedback" / "alan.html").read_text(encoding="utf-8")
    assert "v̂ ← v / (1 − β₂ᵗ)" in page


def test_what_cannot_be_graded(tmp_path, capsys):
    assert main(["homework", "grade", str(tmp_path)]) == 2
    assert "holds no" in capsys.readouterr().err
    assert main(["homework", "grade", str(tmp_path / "x")]) == 2
    assert main(["homework", "release", str(tmp_path)]) == 2
    path = tmp_path / "ada" / "04_adam" / "04_adam.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text("{", encoding="utf-8")
    capsys.readouterr()
    assert main(["homework", "grade", str(tmp_path), "--json"]) == 0
    (grade,) = json.loads(capsys.readouterr().out)["grades"]
    assert (grade["score"], grade["of"]) == (0, 6)


# ---------------------------------------------------------------- npoptim check


def test_check_names_the_first_wrong_line(tmp_path, capsys):
    path = tmp_path / "my_adamw.py"
    path.write_text(solved("adamw"), encoding="utf-8")
    assert main(["check", str(path)]) == 0
    assert "6 of 6" in capsys.readouterr().out
    path.write_text(solved("adamw").replace("- lr * wd * p", ""), encoding="utf-8")
    assert main(["check", str(path), "--json"]) == 1
    verdict = json.loads(capsys.readouterr().out)
    assert (verdict["task"], verdict["line"], verdict["passed"]) == ("adamw", 9, False)


def test_check_puts_a_new_rule_through_the_contract(tmp_path, capsys):
    path = tmp_path / "rmsprop.py"
    source = (Path(__file__).parent / "rules" / "rmsprop.py").read_text(encoding="utf-8")
    path.write_text(source, encoding="utf-8")
    assert main(["check", str(path)]) == 0
    assert "satisfies every check" in capsys.readouterr().out
    path.write_text(source.replace("p - lr * g", "p + lr * g"), encoding="utf-8")
    assert main(["check", str(path)]) == 1
    assert "sign" in capsys.readouterr().out


def test_check_needs_a_file_and_a_known_task(tmp_path, capsys):
    assert main(["check", str(tmp_path / "none.py")]) == 2
    path = tmp_path / "a.py"
    path.write_text("", encoding="utf-8")
    assert main(["check", str(path), "--task", "adan"]) == 2
    assert "Did you mean" in capsys.readouterr().err


# ---------------------------------------------------------------- gradients


def gradients():
    namespace = {}
    path = COURSE / "source" / "11_gradients" / "11_gradients.ipynb"
    exec(course.code_of(json.loads(path.read_text(encoding="utf-8"))), namespace)
    return {name: namespace[f"{name}_gradient"] for name in npo.homework.derivatives.TASKS}


@pytest.mark.parametrize("task", ["softmax", "mlp", "layer_norm", "attention"])
def test_gradients_are_checked(task):
    right = gradients()[task]
    assert npo.homework.check_gradient(task, right) == ""
    assert npo.homework.check_gradient(task, right, seed=9) == ""
    assert "−1 times" in npo.homework.check_gradient(task, lambda *a: -right(*a))
    assert "3 times" in npo.homework.check_gradient(task, lambda *a: 3 * right(*a))
    assert "shape" in npo.homework.check_gradient(task, lambda *a: right(*a).T)
    assert "differences" in npo.homework.check_gradient(task, lambda *a: right(*a) + 0.01)
    assert "raises" in npo.homework.check_gradient(task, lambda *a: 1 / 0)


def test_a_forgotten_factor_is_named():
    right = gradients()
    hint = npo.homework.check_gradient("attention", lambda *a: 2**0.5 * right["attention"](*a))
    assert "√d" in hint
    with pytest.raises(ValueError, match="task must be one of"):
        npo.homework.check_gradient("relu", right["mlp"])
