"""A course's notebooks: the release built from the source, and a folder of submissions graded.

The folders and the cells are nbgrader's: `source/NAME/NAME.ipynb` holds the
solutions, `release/NAME/NAME.ipynb` is what students get, and
`submitted/STUDENT/NAME/NAME.ipynb` what they hand in.
"""

from __future__ import annotations

import csv
import html
import io
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npoptim.homework.grading import Grade, grade_source, tasks
from npoptim.homework.isolation import Limits
from npoptim.view.files import save_text

STUB = "# your code here\n..."
_REGION = re.compile(
    r"^(?P<indent>[ \t]*)### BEGIN SOLUTION\n.*?^[ \t]*### END SOLUTION[^\n]*\n?", re.M | re.S
)
_HIDDEN = re.compile(
    r"^[ \t]*### BEGIN HIDDEN TESTS\n.*?^[ \t]*### END HIDDEN TESTS\n?", re.M | re.S
)


def released(notebook: dict[str, Any]) -> dict[str, Any]:
    """A source notebook without its solutions, hidden tests and outputs.

    Raises ValueError where a region is begun and not ended, or the other way round.
    """
    cells = []
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        text = _REGION.sub(lambda m: _indented(m["indent"]), text)
        text = _HIDDEN.sub("", text).rstrip("\n")
        if re.search(r"### (BEGIN|END) (SOLUTION|HIDDEN)", text):
            raise ValueError(f"a region is not closed in the cell that begins {text[:60]!r}.")
        role = cell["metadata"].get("nbgrader", {})
        if cell["cell_type"] == "markdown" and role.get("solution"):
            text = "Your answer here."
        cells.append({**cell, "source": text.splitlines(keepends=True)})
        if cell["cell_type"] == "code":
            cells[-1] |= {"outputs": [], "execution_count": None}
    return {**notebook, "cells": cells}


def _indented(indent: str) -> str:
    return "".join(f"{indent}{line}\n" for line in STUB.splitlines())


def sources(course: Path) -> list[Path]:
    """The source notebooks of a course, in order. Raises FileNotFoundError where there are none."""
    found = sorted(course.glob("source/*/*.ipynb"))
    if not found:
        raise FileNotFoundError(f"{course} holds no source/NAME/NAME.ipynb.")
    return found


def release(course: Path, out: Path | None = None) -> list[Path]:
    """Build the release of every source notebook of a course; returns the files written."""
    made = [
        (path, released(json.loads(path.read_text(encoding="utf-8")))) for path in sources(course)
    ]
    target = out or course / "release"
    return [
        save_text(dumped(notebook), target / path.parent.name / path.name)
        for path, notebook in made
    ]


def dumped(notebook: dict[str, Any]) -> str:
    """A notebook as text, the way Jupyter writes it."""
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


# ---------------------------------------------------------------- grading


@dataclass(frozen=True)
class Result:
    """The grade of one student's notebook."""

    student: str
    assignment: str
    grade: Grade


def submissions(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """Student, assignment and notebook of every STUDENT/NAME/NAME.ipynb below a folder."""
    root = folder / "submitted" if (folder / "submitted").is_dir() else folder
    for path in sorted(root.glob("*/*/*.ipynb")):
        yield path.parts[-3], path.parts[-2], path


def grade_folder(
    folder: Path,
    seed: int = 0,
    limits: Limits | None = None,
    progress: Callable[[list[Any]], Iterable[Any]] = iter,
) -> list[Result]:
    """Grade every optimizer homework below a folder, each in a process of its own.

    Every student gets numbers of their own, drawn from `seed` and the name.
    Raises FileNotFoundError where there is no submission of such a homework.
    """
    found = [(s, a, p) for s, a, p in submissions(folder) if task_of(a)]
    if not found:
        raise FileNotFoundError(f"{folder} holds no STUDENT/NAME/NAME.ipynb of a known homework.")
    return [
        Result(student, name, _graded(path, str(task_of(name)), own_seed(student, seed), limits))
        for student, name, path in progress(found)
    ]


def task_of(assignment: str) -> str | None:
    """The optimizer that an assignment is about: `03_adam` is about adam."""
    name = re.sub(r"^\d+_", "", assignment)
    return name if name in tasks() else None


def own_seed(student: str, seed: int) -> int:
    """A student's seed: the same on every machine."""
    return zlib.crc32(f"{seed}:{student}".encode())


def _graded(path: Path, task: str, seed: int, limits: Limits | None) -> Grade:
    try:
        source = code_of(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, OSError) as error:
        empty = grade_source(task, "", seed, limits=limits)
        return Grade(task, 0, empty.max_score, None, None, f"The notebook cannot be read: {error}")
    return grade_source(task, source, seed, limits=limits, file=path.name)


def code_of(notebook: dict[str, Any]) -> str:
    """The code of a notebook as a module, without magics and cells that only try things."""
    parts = []
    for cell in notebook["cells"]:
        role = cell.get("metadata", {}).get("nbgrader", {})
        if cell["cell_type"] == "code" and not role.get("grade"):
            text = "".join(cell["source"])
            if not re.search(r"^\s*[%!]", text, re.M) and "npo.homework" not in text:
                parts.append(text)
    return "\n\n".join(parts)


def as_csv(results: list[Result]) -> str:
    """The grades as a table for a spreadsheet."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["student", "assignment", "score", "max_score", "line", "message"])
    for r in results:
        g = r.grade
        cells = [r.student, r.assignment, g.score, g.max_score, g.number or "", g.message]
        # a spreadsheet must not take a student's text for a formula
        table.writerow([f"'{c}" if str(c)[:1] in ("=", "+", "-", "@") else c for c in cells])
    return out.getvalue()


def feedback(student: str, results: list[Result]) -> str:
    """A page for one student; everything of the student's is escaped."""
    rows = "".join(
        f"<h2>{html.escape(r.assignment)}: {r.grade.score} of {r.grade.max_score}</h2>"
        f"<p>{html.escape(r.grade.message)}</p>" + _code(r.grade)
        for r in results
    )
    name = html.escape(student)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Feedback for {name}</title>'
        f"<style>{STYLE}</style><h1>Feedback for {name}</h1>{rows}</html>\n"
    )


def _code(grade: Grade) -> str:
    if not grade.line or not grade.line.code:
        return ""
    paper = html.escape(f"{grade.number}  {grade.line.pseudocode}")
    return (
        f"<p>The paper's line:</p><pre>{paper}</pre>"
        f"<p>Yours:</p><pre>{html.escape(grade.line.code)}</pre>"
    )


STYLE = (
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;"
    "margin:2rem auto;padding:0 1rem}pre{padding:.6rem;border:1px solid #8886;overflow:auto}"
)
