"""The benchmark measures what it says; no test here depends on how fast anything is."""

import json
import time

import numpy as np
import pytest

from npoptim import bench, cli
from npoptim.optimizers import fused


def test_everyone_takes_turns():
    turns = []
    taken = bench.measure({"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}, 3, 2)
    assert "".join(turns) == "aabb" * 5  # two rounds to warm up
    assert [len(x) for x in taken.values()] == [3, 3]


def test_a_ratio_is_ours_over_theirs():
    table = bench.Table("T", "µs", "note")
    steps = {"npoptim": lambda: time.sleep(0.02), "other": lambda: time.sleep(0.002)}
    table.add("x", bench.measure(steps, 3), 1e6)
    (row,) = table.rows
    assert row["ratio"]["other"][0] > 2
    assert row["time"][0] >= 20_000
    assert row["time"][1] <= row["time"][0] <= row["time"][2]
    assert "| x |" in table.markdown()
    assert "other: **" in table.markdown()


def test_large_arrays_with_and_without_blocks():
    table = bench.large(["adamw"], rounds=1, count=1, shape=(2, fused.LARGE // 8))
    (row,) = table.rows
    assert "blocks off" in row["ratio"]
    assert row["memory, MiB"] > 0
    assert not fused.PLAIN.get()


def test_many_runs_scale_the_one():
    table = bench.many(rounds=1, runs=50, steps=20)
    (row,) = table.rows
    assert row["ratio"]["one by one"][0] < 1


def test_threads_are_put_back(monkeypatch):
    import os

    monkeypatch.setenv("NPOPTIM_THREADS", "3")
    with bench.threads(1):
        assert os.environ["NPOPTIM_THREADS"] == "1"
    assert os.environ["NPOPTIM_THREADS"] == "3"


def test_the_command_prints_tables(capsys):
    assert cli.main(["bench", "toy", "loop", "--rules", "sgd,Lion", "--rounds", "1"]) == 0
    out = capsys.readouterr().out
    assert "## Two numbers" in out
    assert "## Rosenbrock" in out
    assert "| lion |" in out
    assert f"NumPy {np.__version__}" in out


def test_the_command_prints_json(capsys):
    assert cli.main(["bench", "toy", "--rules", "sgd", "--rounds", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tables"][0]["rows"][0]["what"] == "sgd"


@pytest.mark.parametrize("wrong", [["toys"], ["--rules", "adamm"], ["--rounds", "0"]])
def test_bad_input_is_one_line(wrong, capsys):
    assert cli.main(["bench", *wrong]) == 2
    assert capsys.readouterr().err.count("\n") == 1
