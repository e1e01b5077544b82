"""Every row of the table of faults, on every rule it concerns; and the page made from it."""

import json
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from page import page
from table import ROWS

sys.path.pop(0)

HERE = Path(__file__).parent
NUMBERS = list(range(1, 85))


def test_no_row_is_missing():
    assert [row.number for row in ROWS] == NUMBERS
    assert all(row.rules for row in ROWS)


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        pytest.param(row, rule, id=f"{row.number}-{rule.__name__}")
        for row in ROWS
        for rule in row.rules
    ],
)
def test_row(row, rule):
    row.check(rule)


def test_the_page_has_every_row_and_what_others_do():
    lines = [line for line in page().splitlines() if line.startswith("| ")]
    head, _, *rows = ([c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines)
    assert [row[0] for row in rows] == list(map(str, NUMBERS))
    others = json.loads((HERE / "others.json").read_text(encoding="utf-8"))
    for column, library in enumerate(("torch", "optax", "keras"), start=3):
        told = others.pop(library)
        assert head[column] == f"{library} {told['version']}"
        shown = {row[0]: row[column].strip("` ").replace("\\|", "|") for row in rows if row[column]}
        assert shown == {n: words.strip("` ") for n, words in told["rows"].items()}
        assert len(shown) > 30
    assert not others
