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
    text = page()
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line[:2] == "| "]
    assert {len(row) for row in cells} == {6}
    assert [row[0].strip() for row in cells[2:]] == [str(n) for n in NUMBERS]
    others = json.loads((HERE / "others.json").read_text(encoding="utf-8"))
    for library, told in others.items():
        assert f"{library} {told['version']}" in text
        for words in told["rows"].values():
            assert words.replace("|", "\\|") in text
