"""The commands `basins` and `sensitivity`: what they print, write and refuse."""

import json

import pytest

from npoptim import surfaces
from npoptim.cli import main
from npoptim.race import race


def printed(capsys, *args):
    assert main([*args, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_basins_prints_shares_and_names_its_picture(capsys, tmp_path):
    args = ["basins", "sgd", "himmelblau", "--columns", "8", "--steps", "60"]
    assert main([*args, "--out", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    file = tmp_path / "basins_sgd_himmelblau.png"
    assert file.read_bytes().startswith(b"\x89PNG")
    assert f"picture: {file}" in out
    assert " %  (3, 2)" in out
    assert "SGD(lr=" in out
    assert err == ""
    found = printed(capsys, *args, "--out", str(tmp_path))
    assert sum(found["shares"].values()) == pytest.approx(1)
    assert found["starts"] == [8, 8]
    assert found["files"] == [str(file)]


def test_the_lr_is_the_best_of_a_race_unless_given(capsys, tmp_path):
    args = ["basins", "sgd", "booth", "--columns", "4", "--steps", "30", "--out", str(tmp_path)]
    (best,) = race("booth", ["sgd"], steps=30).entries
    assert printed(capsys, *args)["optimizer"] == repr(best.optimizer)
    assert "lr=0.03)" in printed(capsys, *args, "--lr", "0.03")["optimizer"]
    assert "lr=0.01)" in printed(capsys, *args, "--lr", "default")["optimizer"]


def test_all_surfaces_may_be_asked_for(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(surfaces, "names", lambda: ["booth", "saddle", "factorisation"])
    args = ["all", "--steps", "4", "--out", str(tmp_path)]
    found = printed(capsys, "basins", "adam", *args, "--columns", "3", "--lr", "0.1")
    assert [entry["surface"].partition("(")[0] for entry in found] == surfaces.names()
    found += printed(capsys, "sensitivity", "sgd", *args)
    written = [file for entry in found for file in entry["files"]]
    assert sorted(written) == sorted(map(str, tmp_path.glob("*.png")))
    assert len(written) == 6


def test_several_rules_have_a_map_each_and_one_picture_of_curves(capsys, tmp_path):
    args = ["booth", "--steps", "9", "--out", str(tmp_path)]
    assert len(printed(capsys, "basins", "sgd,lion", *args, "--columns", "3")) == 2
    found = printed(capsys, "sensitivity", "sgd,lion", *args)
    assert found["values"] == ["sgd", "lion"]
    assert found["files"] == [str(tmp_path / "sensitivity_sgd_lion_booth.png")]
    assert main(["sensitivity", "all", *args]) == 0
    out = capsys.readouterr().out
    assert out.count("best lr") == 10
    assert "sensitivity_all_booth.png" in out


def test_sensitivity_over_another_number(capsys, tmp_path):
    args = ["sensitivity", "adam", "booth", "--steps", "30", "--out", str(tmp_path)]
    assert main([*args, "--over", "beta2", "--values", "0.9,0.999"]) == 0
    assert "best: lr " in capsys.readouterr().out
    found = printed(capsys, *args, "--over", "steps", "--values", "10,20")
    assert (found["over"], found["values"]) == ("steps", [10, 20])
    assert None in found["f"][0]  # left the picture


def test_noise_has_a_seed(capsys, tmp_path):
    args = ["sgd", "booth", "--steps", "30", "--noise", "2", "--out", str(tmp_path)]
    for command in (["sensitivity", *args], ["basins", *args, "--columns", "4", "--lr", "0.1"]):
        ends = [printed(capsys, *command, "--seed", seed) for seed in "121"]
        assert ends[0] == ends[2]
        assert ends[0] != ends[1]
        assert "seed=1" in ends[0]["surface"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["basins", "adan", "booth"], "adam"),
        (["basins", "adam", "both"], "booth"),
        (["basins", "adam", "booth", "--lr", "fast"], "default"),
        (["basins", "adam", "booth", "--columns", "0"], "columns"),
        (["basins", "adam", "booth", "--seed", "1"], "--noise"),
        (["basins", "adam", "booth", "--out", "/dev/null/x"], "cannot write"),
        (["sensitivity", "adan", "booth"], "adam"),
        (["sensitivity", "adam", "booth", "--steps", "0"], "steps"),
        (["sensitivity", "adam", "booth", "--noise", "-1"], "scale must be"),
        (["sensitivity", "adam", "booth", "--over", "beta3"], "beta2"),
        (["sensitivity", "adam", "booth", "--over", "beta1", "--values", "2"], "betas"),
        (["sensitivity", "adam", "booth", "--over", "beta1", "--values", "x"], "numbers"),
        (["sensitivity", "adam", "booth", "--values", "0.5"], "--over"),
        (["sensitivity", "sgd", "booth", "--over", "steps", "--values", "0.5"], "ints"),
        (["sensitivity", "all", "booth", "--over", "beta1"], "for one rule"),
    ],
)
def test_bad_input_is_one_line_and_status_2(args, words, capsys):
    assert main(args) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("npoptim: ")
    assert error.count("\n") == 1
    assert words in error
