"""nbgrader itself on the shipped homework: three submissions, expected scores.

Runs where nbgrader is installed beside npoptim (the extra `course`).
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
gradebook = pytest.importorskip("nbgrader.api", reason="nbgrader is not installed: extra 'course'")

COURSE = Path(__file__).parents[1] / "notebooks" / "homework"
NAME = "04_adam"
TIMEOUT = 20  # the endless submission waits so long, once
CONFIG = f"""
c = get_config()
c.CourseDirectory.course_id = "npoptim"
c.ExecutePreprocessor.timeout = {TIMEOUT}
c.ExecutePreprocessor.interrupt_on_timeout = True
c.Execute.timeout = {TIMEOUT}
c.Execute.interrupt_on_timeout = True
c.ClearSolutions.code_stub = {{"python": "# your code here\\n..."}}
"""


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course with one assignment released, handed in by three students, graded."""
    root = tmp_path_factory.mktemp("course")
    shutil.copytree(COURSE / "source" / NAME, root / "source" / NAME)
    (root / "nbgrader_config.py").write_text(CONFIG, encoding="utf-8")
    nbgrader(root, "generate_assignment", NAME)
    source = (root / "source" / NAME / f"{NAME}.ipynb").read_text(encoding="utf-8")
    right = json.loads(source)
    for student, (old, new) in {
        "ada": ("", ""),
        "alan": ("1 - beta2**t", "1 - beta1**t"),
        "loop": ("beta1, beta2 = self", "while 1: pass\\n        beta1, beta2 = self"),
    }.items():
        path = root / "submitted" / student / NAME / f"{NAME}.ipynb"
        path.parent.mkdir(parents=True)
        notebook = handed_in(root, right)
        if student == "loop":  # it would wait in these cells too, and they give no points
            tried = [c for c in notebook["cells"] if "MyAdam" in "".join(c["source"])]
            untried = [c for c in tried if c["cell_type"] == "code" and not role(c)]
            assert len(untried) == 2
            for cell in untried:
                cell["source"] = []
        text = json.dumps(notebook, ensure_ascii=False)
        assert old in text
        path.write_text(text.replace(old, new) if old else text, encoding="utf-8")
    nbgrader(root, "autograde", NAME)
    nbgrader(root, "generate_feedback", NAME)
    return root


def nbgrader(root, *args):
    env = {**os.environ, "PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"]}
    line = [sys.executable, "-m", "nbgrader", *args, "--force"]
    done = subprocess.run(line, cwd=root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def handed_in(root, source):
    """The released notebook with the solution cells of the source."""
    path = root / "release" / NAME / f"{NAME}.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    solved = {role(c)["grade_id"]: c for c in source["cells"] if role(c).get("solution")}
    for cell in notebook["cells"]:
        if role(cell).get("solution") and cell["cell_type"] == "code":
            cell["source"] = solved[role(cell)["grade_id"]]["source"]
    return notebook


def role(cell):
    return cell["metadata"].get("nbgrader", {})


def score(root, student):
    """The points of the test cell; the questions are the teacher's to mark."""
    with gradebook.Gradebook(f"sqlite:///{root / 'gradebook.db'}") as book:
        submission = book.find_submission(NAME, student)
        grades = {g.name: g.score for n in submission.notebooks for g in n.grades}
    return grades["adam_check"]


def test_nbgraders_release_is_ours(course):
    made = json.loads((course / "release" / NAME / f"{NAME}.ipynb").read_text(encoding="utf-8"))
    ours = json.loads((COURSE / "release" / NAME / f"{NAME}.ipynb").read_text(encoding="utf-8"))
    for a, b in zip(made["cells"], ours["cells"], strict=True):
        if a["cell_type"] == "code":
            assert "".join(a["source"]) == "".join(b["source"])


@pytest.mark.parametrize(("student", "points"), [("ada", 6), ("alan", 4), ("loop", 0)])
def test_the_scores_are_the_expected_ones(course, student, points):
    assert score(course, student) == points


def test_the_feedback_names_the_wrong_line(course):
    page = (course / "feedback" / "alan" / NAME / f"{NAME}.html").read_text(encoding="utf-8")
    assert "line 8" in page
