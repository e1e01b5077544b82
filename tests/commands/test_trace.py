"""`npoptim trace`: steps of a rule on random numbers, printed, as JSON and as a page."""

import json

import numpy as np
import pytest

import npoptim as npo
from npoptim.cli import main


def printed(capsys, *args):
    assert main(["trace", *args]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", list(npo.optimizers()))
def test_every_rule_prints_two_steps_in_80_columns(capsys, name):
    out = printed(capsys, name)
    assert "── step 1 · p" in out
    assert "── step 2 · p" in out
    assert "── step 3" not in out
    for text in npo.pseudocode(npo.get_optimizer(name), np.ones((2, 3))).values():
        assert text.split(" − ")[0] in out
    assert "\033" not in out
    assert max(len(line) for line in out.splitlines()) <= 90  # combining marks take no column


def test_steps_and_the_step_alone(capsys):
    three = printed(capsys, "adam", "--steps", "3")
    assert [f"── step {t} ·" in three for t in (1, 2, 3, 4)] == [True, True, True, False]
    alone = printed(capsys, "adam", "--step", "3")
    assert "── step 3 ·" in alone
    assert "── step 2 ·" not in alone
    assert alone.partition("── step 3")[2].strip() == three.partition("── step 3")[2].strip()


def test_json_is_the_trace_of_those_numbers(capsys):
    found = json.loads(printed(capsys, "lion", "--shape", "2,2", "--lr", "0.5", "--json"))
    assert found["optimizer"] == "Lion(lr=0.5, betas=(0.9, 0.99), weight_decay=0.0)"
    g, p = (
        [line["values"][name]["data"] for line in found["lines"] if name in line["values"]]
        for name in "gp"
    )
    start = next(line for line in found["lines"] if "p" in line["values"])["before"]["p"]["data"]
    theta = np.array(start)
    opt = npo.Lion(lr=0.5)
    for gradient, after in zip(g, p, strict=True):
        opt.step(theta, np.array(gradient))
        np.testing.assert_allclose(theta, after, atol=1e-6)


def test_the_seed_makes_the_numbers(capsys):
    assert printed(capsys, "sgd") == printed(capsys, "sgd", "--seed", "0")
    assert printed(capsys, "sgd") != printed(capsys, "sgd", "--seed", "1")


@pytest.mark.parametrize(("name", "shape"), [("came", "[2,3]"), ("adam", "[3]")])
def test_matrices_for_those_that_factor_them(capsys, name, shape):
    out = json.loads(printed(capsys, name, "--json"))
    assert out["params"]["p"]["shape"] == json.loads(shape)


def test_a_page_is_written(capsys, tmp_path):
    file = tmp_path / "new" / "adamw.html"
    out = printed(capsys, "adamw", "--html", str(file))
    assert out.endswith(f"page: {file}\n")
    page = file.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "m̂ ← m / (1 − β₁ᵗ)" in page


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["adan"], "adam"),
        (["adam", "--lr", "-1"], "lr must be"),
        (["adam", "--shape", "0,3"], "shape"),
        (["adam", "--steps", "0"], "steps"),
        (["adam", "--steps", "2", "--step", "2"], "not allowed"),
        (["adam", "--html", "/dev/null/x/y.html"], "cannot write"),
    ],
)
def test_bad_input_is_one_line_and_status_2(args, words, capsys):
    assert main(["trace", *args]) == 2
    error = capsys.readouterr().err
    assert error.startswith("npoptim: ")
    assert error.count("\n") == 1
    assert words in error
