"""A new rule is one new file: dropped into the folder, everything knows it.

The package and its tests are copied, two rules that are not shipped are put
into `optimizers/`, and nothing else is edited.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEW = ("RMSProp", "AMSGrad")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The copied project with two more files in it."""
    root = tmp_path_factory.mktemp("project")
    skip = shutil.ignore_patterns("__pycache__")
    for folder in ("npoptim", "tests"):
        shutil.copytree(ROOT / folder, root / folder, ignore=skip)
    shutil.copy(ROOT / "pyproject.toml", root)
    for file in (ROOT / "tests" / "rules").glob("*.py"):
        shutil.copy(file, root / "npoptim" / "optimizers")
    return root


def python(root, *args, **kwargs):
    env = {**os.environ, "PYTHONPATH": str(root), "MPLBACKEND": "agg"}
    return subprocess.run(
        [sys.executable, *args], cwd=root, env=env, capture_output=True, text=True, **kwargs
    )


def test_it_is_registered_and_documented(copy):
    code = (
        f"import npoptim as npo; assert npo.__file__.startswith({str(copy)!r}), npo.__file__\n"
        f"for name in {NEW!r}:\n"
        "    cls = getattr(npo, name)\n"
        "    assert npo.optimizers()[name.lower()] is cls\n"
        "    assert npo.get_optimizer(name.lower(), lr=0.5).lr == 0.5\n"
        "    assert npo.pseudocode(cls)[4 if name == 'RMSProp' else 7]\n"
        "    npo.check_optimizer(cls)\n"
    )
    done = python(copy, "-c", code)
    assert done.returncode == 0, done.stderr


def test_it_passes_the_checks_of_every_rule(copy):
    """The parametrised tests pick it up: contract, driver, runs, doctests."""
    done = python(
        copy, "-m", "pytest", "-q", "-k", "rmsprop or amsgrad", "-p", "no:cacheprovider",
        "tests/test_contract.py", "tests/optimizers", "tests/test_trajectory.py",
        "npoptim/optimizers/rmsprop.py", "npoptim/optimizers/amsgrad.py",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert done.stdout.count(".") > 100  # not an empty selection


def test_it_is_traced(copy):
    code = (
        "import numpy as np, npoptim as npo\n"
        "tr = npo.trace(npo.AMSGrad(), np.ones(2), np.array([0.5, -1.0]), steps=2)\n"
        "numbers = [line.number for line in tr.lines if line.step == 2]\n"
        "assert sorted(set(numbers)) == [1, 3, 4, 5, 6, 7, 8, 9, 10], numbers\n"
    )
    done = python(copy, "-c", code)
    assert done.returncode == 0, done.stderr


def test_it_is_raced_and_measured(copy, tmp_path):
    done = python(
        copy, "-m", "npoptim", "race", "booth", "--optimizers", "sgd,rmsprop,amsgrad",
        "--steps", "50", "--out", str(tmp_path), "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "rmsprop" in done.stdout.lower()
    assert "amsgrad" in done.stdout.lower()
    assert list(tmp_path.glob("*.png"))
    done = python(
        copy, "-m", "npoptim", "memory", "--shape", "8,8", "--json", "--out", str(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    assert "amsgrad" in json.dumps(done.stdout).lower()


def test_it_trains_and_is_checkpointed(copy, tmp_path):
    code = (
        "import sys, numpy as np, npoptim as npo\n"
        "x = np.linspace(-1, 1, 40)[:, None]; data = (x, 2 * x[:, 0])\n"
        "model = npo.models.LinearRegression(1)\n"
        f"for name in {NEW!r}:\n"
        "    path = sys.argv[1] + '/' + name\n"
        "    make = lambda: getattr(npo, name)(lr=npo.schedules.constant(0.1))\n"
        "    whole = npo.train(model, data, make(), epochs=4, batch_size=10)\n"
        "    npo.train(model, data, make(), epochs=2, batch_size=10, checkpoint=path)\n"
        "    on = npo.train(model, data, make(), epochs=4, batch_size=10, checkpoint=path, resume=True)\n"
        "    assert all(on.params[k].tobytes() == whole.params[k].tobytes() for k in on.params)\n"
        "    params, opt = npo.load(path)\n"
        "    assert opt == make() and opt.t == 16\n"
    )
    done = python(copy, "-c", code, str(tmp_path))
    assert done.returncode == 0, done.stderr
