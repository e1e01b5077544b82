"""Where libraries differ: the dated page, and a section on the page of every optimizer."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

import npoptim as npo
from npoptim.libraries import LIBRARIES, REEXPORTED, Call, Departure, calls_of, equivalent

MISTAKES = Path(__file__).with_name("mistakes.md")
FILE = Path(__file__).resolve().parents[1] / "tests" / "golden" / "differ.json"
SAME = 1e-12
NOTHING = "–"

# The columns of the table, short enough for a page; each library by the name of its module.
COLUMNS = {
    "torch": ("torch",),
    "optax": ("optax",),
    "keras": ("keras",),
    "timm": ("timm",),
    "HF": ("transformers",),
    "kozistr": ("pytorch_optimizer",),
    "jettify": ("torch_optimizer",),
    "tinygrad": ("tinygrad",),
    "own": ("lion_pytorch", "came_pytorch"),
}

HEAD = """---
html_theme.sidebar_secondary.remove: true
---

# Where libraries differ

How far the optimizers of ten libraries are from the papers' boxes, measured on {date}. Every
library ran at **its own defaults**, except for what its users set anyway: lr, β, ε, momentum and
weight decay are those of npoptim. A number is the relative difference of the parameters after
{steps} steps; **=** is none, up to rounding. Follow a number to the line of the box at which the
two part, and to the arguments that bring them together.

{table}

**=\\*** equal, but not for parameters that start at zero, or have more than two axes; the paragraph
says which. **error** an error of the library. **torch** the library hands on PyTorch's own class.
{nothing} no such optimizer. HF is `transformers`, kozistr `pytorch_optimizer`, jettify
`torch_optimizer`; own are the packages of one rule, `lion_pytorch` and `came_pytorch`, the latter
by the authors of the paper. In Python the same answers come from [`npo.equivalent`](api.md):

```python
>>> npo.equivalent("lamb", "timm", lr=0.01)
{example}
```

(libraries-measured)=
## How it was measured

`tests/golden/differ.py` follows {steps} steps of a noisy quadratic with a matrix W (7, 5), a
vector b (5) and a convolution K (4, 3, 2, 2) in float64, each side with its own gradients. The
learning rate warms up and then falls at every step, as in practice; a rule that keeps lr inside
its memory where the box does not is equal only while lr is constant, and shows here. Adafactor
takes the paper's relative steps. LARS has lr 100, since its layers move by lr η ‖θ‖ and η is
0.001; Lion and CAME, whose weight decay is 0 by default, have 0.1 and 0.01. Three numbers are
given for each library:

usual
: npoptim's other defaults, which are the papers'; the number of the table.

strong
: shorter memories, ε = 0.01 (Adafactor 0.01 and 0.3), λ = 0.1 or more: what is too small to see
  at the defaults.

from zero
: the usual ones, and b starts at zero, as biases do.

Versions: {versions}.

A recipe below was compared with the library over 60 steps and is within 1e-12 of it in every step
(`tests/golden/README.md`), unless it says that it is equal up to the rounding of float32. Its
numbers are npoptim's defaults; for yours, ask `npo.equivalent`.
"""

FOOT = """## The ε̂ form

```{eval-rst}
.. autoclass:: npoptim.libraries.calls.eps_hat
   :no-members:
```
"""


def page() -> str:
    """The page of all rules."""
    file = json.loads(FILE.read_text(encoding="utf-8"))
    rules = list(dict.fromkeys(row["rule"] for row in file["rows"]))
    rules = [name for name in npo.optimizers() if name in rules]
    versions = {k: v for row in file["rows"] for k, v in row["versions"].items()}
    head = HEAD.format(
        date=max(row["date"] for row in file["rows"]),
        steps=file["steps"],
        table=_table(
            ["", *COLUMNS],
            [[f"[{_title(rule)}](#libraries-{rule})", *_cells(rule)] for rule in rules],
        ),
        nothing=NOTHING,
        example=_wrapped(str(npo.equivalent("lamb", "timm", lr=0.01))),
        versions=", ".join(f"{name} {version}" for name, version in sorted(versions.items())),
    )
    return "\n\n".join([head.rstrip(), *(_chapter(rule) for rule in rules), FOOT])


def section(rule: type) -> str:
    """What belongs on the page of one optimizer."""
    name = rule.__name__.lower()
    rows = []
    for library in LIBRARIES:
        if (row := _row(name, library)) is not None:
            lines = sorted({d.line for d in _departures(name, library)})
            rows.append(
                [
                    f"[`{row['path']}`](#libraries-{name}-{library})",
                    *(_largest(row[key]) for key in ("usual", "strong", "zeros")),
                    ", ".join(map(str, lines)) or NOTHING,
                ]
            )
        elif (library, name) in REEXPORTED:
            torch = REEXPORTED[library, name]
            rows.append([f"`{torch}`", "PyTorch's own class", "", "", ""])
    if not rows:
        return ""
    about = (
        "Relative difference after 20 steps at each library's own defaults, with lr, β, ε, "
        "momentum and weight decay the same; **=** is none. "
        "[How it was measured](#libraries-measured), and the arguments that make a library equal."
    )
    header = ["library", "usual", "strong", "from zero", "parts at line"]
    return f"## Where libraries differ\n\n{about}\n\n{_table(header, rows)}"


def mistakes(rule: type) -> str:
    """The section of mistakes.md on one optimizer, or nothing."""
    text = MISTAKES.read_text(encoding="utf-8")
    _, found, rest = text.partition(f"\n## {rule.__name__}\n")
    items = rest.partition("\n## ")[0].strip()
    return f"## What users get wrong\n\n{items}" if found else ""


def _chapter(rule: str) -> str:
    parts = [f"(libraries-{rule})=\n## {_title(rule)}"]
    for library, name in LIBRARIES.items():
        row = _row(rule, library)
        if row is not None:
            parts.append(_paragraph(rule, library, name, row))
    aliases = [f"`{path}`" for (_, name), path in REEXPORTED.items() if name == rule]
    if aliases:
        parts.append(f"{' and '.join(aliases)} are PyTorch's own class.")
    return "\n\n".join(parts)


def _paragraph(rule: str, library: str, name: str, row: dict[str, Any]) -> str:
    words = {"usual": "usual", "strong": "strong", "zeros": "from zero"}
    numbers = {word: _each(row[key]) for key, word in words.items()}
    parts = [f"(libraries-{rule}-{library})=\n### {name}: `{row['path']}`"]
    if set(numbers.values()) == {"="}:
        parts.append("Equal, in all three settings.")
    else:
        parts.append(" · ".join(f"{word}: {text}" for word, text in numbers.items()) + ".")
    if row["defaults"]:
        listed = ", ".join(f"`{k}={v}`" for k, v in row["defaults"].items())
        parts[-1] += f" Defaults: {listed}."
    box = npo.pseudocode(npo.optimizers()[rule])
    items = [_item(d, box[d.line]) for d in _departures(rule, library)] + _other(rule, library, row)
    parts.append("\n".join(items))
    parts.append(f"```python\n{_wrapped(str(equivalent(rule, library)))}\n```")
    return "\n\n".join(part for part in parts if part)


def _other(rule: str, library: str, row: dict[str, Any]) -> list[str]:
    """Defaults that were left as they are and differ from npoptim's, as items of a list."""
    ours = npo.get_optimizer(rule)
    call = next(call for call in calls_of(rule, library) if call.when(ours))
    items = []
    for name, value in call.mapped(ours).items():
        default = row["defaults"].get(name)
        if default is not None and f"{name}=" not in row["given"] and default != repr(value):
            items.append(f"- `{name}` is {default} by default and {value!r} in npoptim.")
    return items


def _item(departure: Departure, line: str) -> str:
    """A departure as an item of a list."""
    text = f"- **Line {departure.line}**, `{line}`: {departure.what}"
    if departure.only:
        text += f"; this concerns {departure.only} and nothing else"
    if departure.unless:
        text += f"; no difference where {departure.unless.text}"
    if departure.fixed:
        fixed = ", ".join(f"`{name}={value!r}`" for name, value in departure.fixed.items())
        text += f". {fixed} ends it"
    return text + "."


def _wrapped(text: str) -> str:
    lines = []
    for line in text.splitlines():
        comment = "# " * line.startswith("# ")
        lines += textwrap.wrap(line, 96, subsequent_indent=comment or "    ")
    return "\n".join(lines)


def _departures(rule: str, library: str) -> list[Departure]:
    """Those of every call of the pair, each once, in the order of the box."""
    calls: list[Call] = calls_of(rule, library)
    found = {(d.line, d.what): d for call in calls for d in call.departures}
    return [found[key] for key in sorted(found)]


def _rows() -> dict[tuple[str, str], dict[str, Any]]:
    rows = json.loads(FILE.read_text(encoding="utf-8"))["rows"]
    return {(row["rule"], row["path"].partition(".")[0]): row for row in rows}


def _row(rule: str, library: str) -> dict[str, Any] | None:
    return _rows().get((rule, library))


def _cells(rule: str) -> list[str]:
    return [
        next((cell for library in column if (cell := _cell(rule, library)) != NOTHING), NOTHING)
        for column in COLUMNS.values()
    ]


def _cell(rule: str, library: str) -> str:
    row = _row(rule, library)
    if row is not None:
        star = "\\*" * (_largest(row["usual"]) == "=" and _partial(rule, library))
        return f"[{_largest(row['usual'])}{star}](#libraries-{rule}-{library})"
    return f"[torch](#libraries-{rule}-torch)" if (library, rule) in REEXPORTED else NOTHING


def _partial(rule: str, library: str) -> bool:
    return any(departure.only for call in calls_of(rule, library)
               if call.when(npo.get_optimizer(rule)) for departure in call.departures)  # fmt: skip


def _largest(differences: dict[str, float | None]) -> str:
    """The largest difference of all parameters, one digit of it."""
    if None in differences.values():
        return "error"
    return _digit(max(x for x in differences.values() if x is not None))


def _each(differences: dict[str, float | None]) -> str:
    if all(x is not None and x <= SAME for x in differences.values()):
        return "="
    return ", ".join(
        f"{name} {'error' if x is None else _digit(x)}" for name, x in sorted(differences.items())
    )


def _digit(x: float) -> str:
    return "=" if x <= SAME else re.sub(r"e([+-])0", r"e\1", f"{x:.1g}")


def _title(rule: str) -> str:
    return npo.optimizers()[rule].__name__


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
