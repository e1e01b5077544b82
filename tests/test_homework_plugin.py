"""`pytest my_adamw.py --npoptim-task adamw`: homework without notebooks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from npoptim.homework import grading

ROOT = Path(__file__).parents[1]
HEAD = """from dataclasses import dataclass
import numpy as np
import npoptim as npo
from npoptim.optimizers.base import Array, Number, State, Step
"""


def graded(folder, source, *options):
    (folder / "my_adamw.py").write_text(HEAD + source, encoding="utf-8")
    line = [sys.executable, "-m", "pytest", "-q", "-p", "npoptim.homework.plugin", "my_adamw.py"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run([*line, *options], cwd=folder, env=env, capture_output=True, text=True)


@pytest.mark.parametrize("seed", ["0", "7"])
def test_a_right_file_passes_both_tests(tmp_path, seed):
    done = graded(
        tmp_path, grading.solution("adamw"), "--npoptim-task", "adamw", "--npoptim-seed", seed
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("..")


def test_a_wrong_file_is_told_its_line(tmp_path):
    source = grading.solution("adamw").replace("- lr * wd * p", "+ lr * wd * p")
    done = graded(tmp_path, source, "--npoptim-task", "adamw")
    assert done.returncode == 1
    assert done.stdout.count("line 9, θ ← θ − lr m̂ / (√v̂ + ε) − lr λ θ") >= 2
    assert "Traceback" not in done.stdout


def test_an_unknown_task_names_the_nearest(tmp_path):
    done = graded(tmp_path, "", "--npoptim-task", "adamm")
    assert done.returncode == 1
    assert "Did you mean" in done.stdout


def test_without_a_task_it_does_nothing(tmp_path):
    done = graded(tmp_path, "def test_one():\n    assert 1\n")
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith(".")
