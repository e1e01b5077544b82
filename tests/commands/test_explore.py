"""`npoptim explore`: the page, where it goes, and at which lr."""

import json

import pytest

from npoptim.cli import main
from npoptim.race import GRID


def explored(capsys, *args):
    assert main(["explore", *args, "--steps", "12", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_it_writes_a_page_and_says_where(capsys, tmp_path):
    assert main(["explore", "adamw", "rosenbrock", "--steps", "12", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    file = tmp_path / "explore_adamw_rosenbrock.html"
    assert out.startswith("AdamW(lr=")
    assert out.endswith(f"page: {file}\n")
    assert "<title>AdamW on Rosenbrock</title>" in file.read_text(encoding="utf-8")


def test_a_file_may_be_named_and_its_folder_is_made(capsys, tmp_path):
    file = tmp_path / "new" / "page.html"
    assert explored(capsys, "sgd", "booth", "--out", str(file))["files"] == [str(file)]
    assert file.exists()


def test_several_rules_share_a_page(capsys, tmp_path):
    for names in (["lion", "adam"], ["adam", "lion"]):
        found = explored(capsys, ",".join(names).title(), "beale", "--out", str(tmp_path))
        assert [opt.partition("(")[0].lower() for opt in found["optimizers"]] == names
        assert found["files"][0].endswith(f"explore_{'_'.join(names)}_beale.html")


def test_the_lr_is_the_best_of_a_race_unless_given(capsys, tmp_path):
    def lr(*args):
        found = explored(capsys, "adam", "booth", "--out", str(tmp_path), *args)
        return float(found["optimizers"][0].partition("lr=")[2].partition(",")[0])

    best = lr()
    assert best in GRID
    assert best > 0.1
    assert lr("--lr", "default") == 0.001
    assert lr("--lr", "0.25") == 0.25


def test_the_start_is_the_first_of_all(capsys, tmp_path):
    args = ["booth", "--lr", "0.01", "--out", str(tmp_path)]
    found = explored(capsys, "sgd", *args, "--start=-1.5,2")
    assert found["starts"][0] == [-1.5, 2.0]
    assert len(found["starts"]) > 1
    matrix = explored(capsys, "came", "factorisation", *args[1:], "--start=0.5,0.25")
    assert matrix["starts"][0] == pytest.approx([0.5, 0.25])


def test_a_run_that_diverges_is_no_error(capsys, tmp_path):
    args = ["sgd", "rosenbrock", "--lr", "1", "--out", str(tmp_path)]
    found = explored(capsys, *args)
    assert found["steps"][0] < 12
    assert found["f"] == [None] or found["f"][0] > 1e100
    assert found["notes"][0].startswith("Diverged at step")
    assert main(["explore", *args]) == 0
    assert "  Diverged at step" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["adan", "booth"], "adam"),
        (["adam", "both"], "booth"),
        (["adam", "booth", "--lr", "fast"], "default"),
        (["adam", "booth", "--lr", "-1"], "lr must be"),
        (["adam", "booth", "--start=1"], "two numbers"),
        (["adam", "booth", "--start=nan,1"], "finite"),
        (["adam", "booth", "--steps", "0"], "steps"),
        (["adam,adam", "booth"], "twice"),
        (["adam", "booth", "--out", "/dev/null/x"], "cannot write"),
    ],
)
def test_bad_input_is_one_line_and_status_2(args, words, capsys):
    assert main(["explore", *args]) == 2
    error = capsys.readouterr().err
    assert error.startswith("npoptim: ")
    assert error.count("\n") == 1
    assert words in error
