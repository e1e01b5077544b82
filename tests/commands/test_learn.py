"""`npoptim learn`: copies, keeps what is there, opens JupyterLab or says what is missing."""

import subprocess
import sys
import types

import pytest

import npoptim
from npoptim.cli import main
from npoptim.commands import learn

NAMES = [path.name for path in learn.tutorials()]


@pytest.fixture
def opened(monkeypatch):
    """What JupyterLab, here a stand-in, is asked to open."""
    calls = []
    stand_in = types.ModuleType("jupyterlab.labapp")
    stand_in.main = calls.append
    monkeypatch.setitem(sys.modules, "jupyterlab", types.ModuleType("jupyterlab"))
    monkeypatch.setitem(sys.modules, "jupyterlab.labapp", stand_in)
    return calls


def test_the_tutorials_are_copied_and_the_first_is_opened(tmp_path, opened, capsys):
    folder = tmp_path / "course" / "week 1"
    assert main(["learn", "--to", str(folder)]) == 0
    assert sorted(path.name for path in folder.iterdir()) == NAMES
    for path in learn.tutorials():
        assert (folder / path.name).read_bytes() == path.read_bytes()
    assert opened == [[str(folder / NAMES[0])]]
    assert f"{len(NAMES)} tutorials copied, 0 there already" in capsys.readouterr().out


def test_what_is_there_stays(tmp_path, opened, capsys):
    (tmp_path / NAMES[1]).write_text("my own notes", encoding="utf-8")
    for copied in (len(NAMES) - 1, 0):
        assert main(["learn", "--to", str(tmp_path)]) == 0
        assert (tmp_path / NAMES[1]).read_text(encoding="utf-8") == "my own notes"
        assert f"{copied} tutorials copied" in capsys.readouterr().out


def test_the_folder_is_in_the_working_directory_by_default(tmp_path, opened, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["learn", "--no-browser"]) == 0
    assert (tmp_path / "npoptim-tutorials" / NAMES[0]).is_file()
    assert opened[0][1:] == ["--no-browser"]


def test_without_jupyterlab_the_extra_is_named_and_nothing_copied(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "jupyterlab", None)
    assert main(["learn", "--to", str(tmp_path / "new")]) == 2
    assert "pip install 'npoptim[notebooks]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_refused(tmp_path, opened, capsys):
    (tmp_path / "file").touch()
    assert main(["learn", "--to", str(tmp_path / "file")]) == 2
    assert "is not a folder" in capsys.readouterr().err
    assert opened == []


def test_an_installation_without_tutorials_says_so(tmp_path, opened, capsys, monkeypatch):
    monkeypatch.setattr(npoptim, "__file__", str(tmp_path / "npoptim" / "__init__.py"))
    assert main(["learn", "--to", str(tmp_path / "new")]) == 2
    assert "holds no tutorials" in capsys.readouterr().err


def test_an_installed_package_has_them_inside(tmp_path, monkeypatch):
    inside = tmp_path / "npoptim" / "notebooks"
    inside.mkdir(parents=True)
    (inside / "00_a.ipynb").touch()
    (inside / "homework").mkdir()
    monkeypatch.setattr(npoptim, "__file__", str(tmp_path / "npoptim" / "__init__.py"))
    assert learn.tutorials() == [inside / "00_a.ipynb"]


@pytest.mark.slow
def test_a_wheel_brings_the_tutorials(tmp_path):
    """Built, installed into a folder of its own, and found there; the solutions are not."""
    root = learn.tutorials()[0].parent.parent
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    target = ["install", "--no-deps", "--target", str(tmp_path / "site"), str(root)]
    subprocess.run([*pip, *target], check=True)
    installed = tmp_path / "site" / "npoptim" / "notebooks"
    assert sorted(p.name for p in installed.glob("*.ipynb")) == NAMES
    assert not list(installed.glob("homework/source/**/*.ipynb"))
