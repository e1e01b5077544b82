"""A pytest plugin for courses without notebooks: `pytest my_adamw.py --npoptim-task adamw`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the plugin: without a task it does nothing."""
    group = parser.getgroup("npoptim", "homework of npoptim")
    group.addoption(
        "--npoptim-task", metavar="NAME", help="grade the files as this homework: adamw, lamb, …"
    )
    group.addoption(
        "--npoptim-seed", metavar="S", type=int, default=0, help="of the numbers tried; default: 0"
    )


def pytest_pycollect_makemodule(module_path: Path, parent: Any) -> Any:
    """A homework in the place of a module: the file is not imported here."""
    if parent.config.getoption("--npoptim-task") is None:
        return None
    return Homework.from_parent(parent, path=module_path)


class Homework(pytest.File):
    """A student's file: one test on the public cases, one on the hidden ones."""

    def collect(self) -> Iterator[pytest.Item]:
        """The two tests."""
        for name, hidden in (("public", False), ("hidden", True)):
            yield Cases.from_parent(self, name=name, hidden=hidden)


class Cases(pytest.Item):
    """The file, run in a process of its own on some cases."""

    def __init__(self, *, hidden: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hidden = hidden

    def runtest(self) -> None:
        """Grade the file; anything less than all points fails."""
        from npoptim.homework.grading import grade_source

        grade = grade_source(
            self.config.getoption("--npoptim-task"),
            self.path.read_text(encoding="utf-8"),
            self.config.getoption("--npoptim-seed"),
            hidden=self.hidden,
            file=self.path.name,
        )
        if not grade.passed:
            raise WrongLine(str(grade))

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        """The verdict alone: a traceback into the grader helps nobody."""
        if isinstance(excinfo.value, (WrongLine, ValueError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """What a report calls it."""
        return self.path, None, f"{self.path.name}: {self.name} cases"


class WrongLine(AssertionError):
    """A homework with less than all points."""
