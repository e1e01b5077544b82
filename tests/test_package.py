"""The package as a whole: what importing it costs and brings, and what it says when a part is missing."""

import subprocess
import sys

import pytest

import npoptim as npo


def python(code, *flags):
    return subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True)


def test_importing_npoptim_imports_nothing_else():
    """Not even NumPy: `import npoptim` is free until a name is used."""
    done = python(
        "import sys; before = set(sys.modules); import npoptim; "
        "print(*sorted(m for m in set(sys.modules) - before if not m.startswith('npoptim')))"
    )
    heavy = {"numpy", "matplotlib", "sklearn", "scipy", "tqdm", "inspect", "dataclasses"}
    assert not heavy & set(done.stdout.split()), done.stdout


def test_rules_import_numpy_and_nothing_of_the_extras():
    done = python(
        "import sys, npoptim as npo; npo.optimizers(); npo.run('booth', npo.Adam(), steps=2); "
        "print(*sorted(sys.modules))"
    )
    assert done.returncode == 0, done.stderr
    extras = {"matplotlib", "sklearn", "scipy", "tqdm", "cupy", "mpi4py", "distributed", "IPython"}
    assert not extras & set(done.stdout.split())


@pytest.mark.parametrize("name", npo.__all__)
def test_every_public_name_is_there(name):
    assert getattr(npo, name) is not None
    assert name in dir(npo)


def test_every_public_name_is_there_first_thing():
    """Whatever else has been imported may have brought the others."""
    code = "import npoptim as npo, sys\nfor n in npo.__all__:\n    getattr(npo, n)\n    "
    code += (
        "for m in [m for m in sys.modules if m.startswith('npoptim.')]: del sys.modules[m]\n    "
    )
    code += "for k in set(vars(npo)) & set(npo.__all__): delattr(npo, k)"
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_the_public_names_are_sorted_and_complete():
    assert (
        sorted(npo.__all__, key=lambda n: (not n.isupper(), not n[0].isupper(), n)) == npo.__all__
    )
    assert {cls.__name__ for cls in npo.optimizers().values()} <= set(npo.__all__)


@pytest.mark.parametrize(
    "code",
    [
        "import npoptim as npo; npo.AdamW; npo.optimizers()['adamw']",
        "import npoptim as npo; npo.optimizers()['adamw']; npo.AdamW",
        "import npoptim.optimizers.adamw; import npoptim as npo; npo.optimizers()['adamw']",
        "from npoptim import optimizers; optimizers()['adamw']; optimizers.adamw.AdamW",
        "from npoptim import *; optimizers(); AdamW(); run('booth', AdamW(), steps=1)",
    ],
)
def test_modules_and_functions_of_one_name_live_together(code):
    done = python(code, "-W", "error")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "words"), [("Adamw", "Did you mean 'AdamW'"), ("nothing", "no attribute")]
)
def test_an_unknown_name(name, words):
    with pytest.raises(AttributeError, match=words):
        getattr(npo, name)
