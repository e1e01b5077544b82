"""An experiment in words: for the terminal, and as a section of a page."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

from npoptim.experiments.base import Result
from npoptim.view import tables

#: What a page of all experiments begins with.
HEAD = """# The papers' claims at toy scale

This page is what `npoptim experiment all --markdown` prints; nothing in it is typed by hand.
Each claim is split into statements with a criterion, and the verdict counts them: all hold, some,
or none. The runs are short, the data small, the seeds few: they check directions, not sizes, and
what does not show here may well show at the scale it was published for.
"""

_HELD = {True: "yes", False: "no"}


def text(result: Result) -> str:
    """Title, claim, table and verdict in plain text."""
    held = [f"{_HELD[p.holds]:<3} {p.statement}: {p.numbers}." for p in result.parts]
    sections = [
        [result.title, _wrapped(result.claim)],
        [tables.text(result.columns, _cells(result))],
        [_wrapped(line) for line in _conditions(result)],
        [f"Verdict: {result.verdict}.", *(_wrapped(line, "  ", "      ") for line in held)],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections)


def _wrapped(line: str, first: str = "", others: str = "") -> str:
    return textwrap.fill(
        line, 100, initial_indent=first, subsequent_indent=others, break_long_words=False
    )


def markdown(result: Result, picture: str = "") -> str:
    """The same as a section of a Markdown page, with a link to the picture if there is one."""
    sections = [
        f"## {result.title}",
        f"`npoptim experiment {result.name}`: {result.claim}",
        table(result.columns, _cells(result)),
        *([f"![{result.title}]({picture})"] if picture else []),
        "\n".join(f"- {line}" for line in _conditions(result)),
        f"**Verdict: {result.verdict}.**",
        table(
            ["what would have to hold", "", "measured"],
            [[p.statement, _HELD[p.holds], p.numbers] for p in result.parts],
            numbers=False,
        ),
    ]
    return "\n\n".join(sections) + "\n"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: bool = True) -> str:
    """A Markdown table; all columns but the first to the right if they hold numbers.

    >>> print(table(["rule", "lr"], [["SGD", "0.1"]]))
    | rule | lr |
    | :--- | ---: |
    | SGD | 0.1 |
    """
    rule = [":---", *(["---:" if numbers else ":---"] * (len(header) - 1))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, rule, *rows])


def _cells(result: Result) -> list[list[str]]:
    return [[_cell(row.get(key, "")) for key in result.columns] for row in result.rows]


def _cell(x: Any) -> str:
    return "diverged" if x == math.inf else tables.cell(x)


def _conditions(result: Result) -> list[str]:
    """What was run, what was tried, how variants are made, and a warning where it is due."""
    lines = ["; ".join(result.conditions) + "."]
    lines += [f"{name} tried: {tables.grid(grid)}." for name, grid in result.grids.items()]
    if any(row.get("edge") for row in result.rows):
        lines.append("edge: the best is the lowest or highest of the grid; beyond may be better.")
    lines += result.notes
    if result.quick:
        lines.append("A quick run: too short to say anything that is not exact.")
    return lines
