"""The table of faults as a page of the site, with what other libraries do."""

from __future__ import annotations

import json
from pathlib import Path

from table import ROWS

HERE = Path(__file__).resolve().parent
HEAD = """# Bad input and faults

What npoptim does with input that is wrong, and with faults at the wrong moment. Each row is a test, run on every
optimizer that it concerns (`tests/faults`). *Refused* means: an error that names the thing, says what is allowed and
what it got, while parameters, state and step count are bit for bit as they were.

The columns on the right were measured by `tests/faults/compare.py`, on Adam, with parameters and gradients of 1 where
the row says nothing else: the error raised, or what became of a parameter. Rows that another interface does not know
are empty."""


def page() -> str:
    """All rows, in Markdown."""
    others = json.loads((HERE / "others.json").read_text(encoding="utf-8"))
    names = ("torch", "optax", "keras")
    head = ["", "what is put in", "npoptim", *(f"{n} {others[n]['version']}" for n in names)]
    lines = [head, ["---"] * len(head)]
    for row in ROWS:
        found = [_code(others[name]["rows"].get(str(row.number), "")) for name in names]
        lines.append([str(row.number), row.fault, row.answer, *found])
    table = "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in x) + " |" for x in lines
    )
    return f"{HEAD}\n\n{table}\n"


def _code(words: str) -> str:
    return f"`` {words} ``" if words else ""  # messages hold backticks of their own
