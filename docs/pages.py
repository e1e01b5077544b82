"""The live parts of an optimizer's page: stepper, players, memory, advice, exercises."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import npoptim as npo
from npoptim import recipes
from npoptim.optimizers.advance import fresh_state
from npoptim.race import race
from npoptim.view import stepper as trace_page

HERE = Path(__file__).parent
PACKAGE = Path(npo.__file__).parent
EXTRA = HERE / "_generated" / "extra"  # copied beside the pages as it is

SHAPE = (1024, 768)
STEPS = 200

#: What a player is made by: it is drawn again when one of these changes.
_MAKERS = ("explore.py", "race.py", "optimizers", "surfaces", "trace", "view")

#: Hyper-parameters under which two steps show something; the rule's own lr is often too small.
_SHOWN: dict[str, dict[str, Any]] = {"lars": {"lr": 100.0}}

#: Two surfaces, the second a matrix where the rule has a box for one.
_SURFACES = {
    "rosenbrock": "Rosenbrock's valley",
    "ravine": "A ravine",
    "factorisation": "Factoring a matrix",
}

#: rule -> the tutorial about it.
_TUTORIALS = {
    "sgd": "01", "momentum": "02", "nesterov": "02", "adam": "03", "adamw": "04",
    "lars": "05", "lamb": "06", "lion": "07", "adafactor": "08", "came": "09",
}  # fmt: skip

#: The headings of docs/rules/NAME.md.
ADVICE = ("How to choose", "When it helps, and when not")


def name_of(rule: type) -> str:
    """The rule's lower-case name."""
    return rule.__name__.lower()


# ---------------------------------------------------------------- the stepper


def stepper(rule: type) -> str:
    """The section with the stepper."""
    return (
        "## Step by step\n\n"
        "Two steps with small numbers, as the class computes them. The buttons or the arrow keys "
        f"go from line to line.\n\n{live(rule)}"
    )


def live(rule: type) -> str:
    """Two steps of a small example, line by line; a table where scripts do not run."""
    name = name_of(rule)
    matrix = rule.scope == "matrix"  # type: ignore[attr-defined]
    p = np.array([[1.0, -0.5], [0.2, 2.0]] if matrix else [1.0, -0.5])
    g = np.array([[0.4, -1.0], [0.1, 0.0]] if matrix else [0.4, -1.0])
    found = npo.trace(rule(**_SHOWN.get(name, {"lr": 0.1})), p, [g, np.flip(g) * -0.5])
    # a name of its own at every call would be another page at every build
    html = re.sub(r"npo-[0-9a-f]{8}", f"npo-{name}", trace_page.html(found))
    return f"`````{{raw}} html\n{html}\n`````"


# ---------------------------------------------------------------- the players


def players(rule: type) -> str:
    """The rule on two surfaces, each on a page of its own that a frame shows."""
    second = "factorisation" if rule.scope == "matrix" else "ravine"  # type: ignore[attr-defined]
    tabs = []
    for surface in ("rosenbrock", second):
        path = player(rule, surface)
        title = f"{rule.__name__} on {surface}: contours with the path, the box with its numbers"
        tabs.append(
            f":::{{tab-item}} {_SURFACES[surface]}\n```{{raw}} html\n"
            f'<iframe class="player" src="../../{path}" loading="lazy" title="{title}"></iframe>\n'
            f'<p class="player"><a href="../../{path}">On a page of its own</a></p>\n```\n:::'
        )
    return (
        "## On a surface\n\n"
        f"{STEPS} steps at the best of 33 learning rates. A click on the picture begins elsewhere, "
        "a click on the curve goes to that step; the box shows every line's numbers.\n\n"
        "::::{tab-set}\n" + "\n".join(tabs) + "\n::::"
    )


def player(rule: type, surface: str) -> str:
    """The path of a player below `EXTRA`, made if there is none of this source."""
    path = f"players/{name_of(rule)}_{surface}.html"
    file, mark = EXTRA / path, f"<!-- {_source()} -->"
    if not file.exists() or not file.read_text(encoding="utf-8").endswith(mark):
        ground = npo.surfaces.get(surface)
        best = race(ground, [rule()], steps=STEPS).entries[0].optimizer
        file.parent.mkdir(parents=True, exist_ok=True)
        html = npo.explore(ground, best, steps=STEPS).html
        file.write_text(html + mark, encoding="utf-8")
    return path


@cache
def _source() -> str:
    """A check sum of what players are made by."""
    found = hashlib.sha256()
    for maker in _MAKERS:
        top = PACKAGE / maker
        for file in sorted(top.rglob("*.*")) if top.is_dir() else [top]:
            if file.suffix != ".pyc":
                found.update(file.read_bytes())
    return found.hexdigest()[:16]


# ---------------------------------------------------------------- memory


def memory(rule: type) -> str:
    """Bytes of state for one matrix, measured, this rule's and the others'."""
    p = np.zeros(SHAPE, np.float32)
    slots = fresh_state(rule().at(1), p)
    held = ", ".join(f"`{k}` {list(x.shape)}" for k, x in slots.items()) or "nothing"
    groups: dict[int, list[str]] = {}
    for other in npo.optimizers().values():
        nbytes = sum(x.nbytes for x in fresh_state(other().at(1), p).values())
        label = f"**{other.__name__}**" if other is rule else f"[{other.__name__}]({_page(other)})"
        groups.setdefault(nbytes, []).append(label)
    rows = [
        f"| {', '.join(names)} | {nbytes:,} | {nbytes / p.nbytes:.4g} |"
        for nbytes, names in sorted(groups.items())
    ]
    return (
        "## What it remembers\n\n"
        f"For a float32 matrix of {SHAPE[0]:,} × {SHAPE[1]}, {p.nbytes:,} bytes itself: {held}.\n\n"
        "| optimizer | bytes of state | times the parameter |\n|---|---:|---:|\n" + "\n".join(rows)
    )


def _page(rule: type) -> str:
    return f"{name_of(rule)}.md"


# ---------------------------------------------------------------- advice and exercises


def advice(rule: type) -> str:
    """The hand-written text of docs/rules, and the rates that suit the ready-made models."""
    file = HERE / "rules" / f"{name_of(rule)}.md"
    if not file.exists():
        return ""
    first, second = (f"## {heading}" for heading in ADVICE)
    choose, _, helps = file.read_text(encoding="utf-8").partition(second)
    assert choose.startswith(first), file
    return f"{choose.strip()}\n\n{_rates(rule)}\n\n{second}\n\n{helps.strip()}"


def _rates(rule: type) -> str:
    name = name_of(rule)
    known = {model: rates[name] for model, rates in recipes.RATES.items() if name in rates}
    if not known:
        return ""
    listed = ", ".join(f"{rate:g} for `{model}` on {_data(model)}" for model, rate in known.items())
    return (
        "Peak learning rates found for the ready-made models on grids of factors 2 to 3: "
        f"{listed}. "
        f"They are what `npoptim train MODEL --optimizer {name}` takes."
    )


def _data(model: str) -> str:
    return recipes.DATA[model]


def exercises(rule: type) -> str:
    """The exercises of the tutorial about the rule."""
    number = _TUTORIALS.get(name_of(rule))
    if number is None:
        return ""
    [file] = (HERE.parent / "notebooks").glob(f"{number}_*.ipynb")
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    sources = ("".join(cell["source"]) for cell in cells)
    text = next(s for s in sources if "## Exercises" in s).partition("## Exercises")[2]
    listed = re.findall(r"^\d+\. .*$", text, re.M)
    return (
        f"## Exercises\n\nFrom tutorial {number}, which `npoptim learn` opens; "
        f"[the answers](../../answers/{number}.md).\n\n" + "\n".join(listed)
    )


# ---------------------------------------------------------------- the page of all


def overview() -> str:
    """All optimizers at a glance, and the list of their pages."""
    p = np.zeros(SHAPE, np.float32)
    rows = []
    for rule in npo.optimizers().values():
        nbytes = sum(x.nbytes for x in fresh_state(rule().at(1), p).values())
        lines = max(npo.pseudocode(rule))
        rows.append(
            f"| [{rule.__name__}]({_page(rule)}) | {sentence(rule)} | {lines} | "
            f"{nbytes / p.nbytes:.4g} |"
        )
    pages = "\n".join(npo.optimizers())
    return (
        "# The optimizers\n\nFrom the shortest box to the longest. *Memory* is the state of a "
        f"matrix of {SHAPE[0]:,} × {SHAPE[1]}, in units of the matrix itself.\n\n"
        "| | in one sentence | lines | memory |\n|---|---|---:|---:|\n"
        + "\n".join(rows)
        + f"\n\n```{{toctree}}\n:hidden:\n\n{pages}\n```\n"
    )


def sentence(rule: type) -> str:
    """What the rule is, in one sentence."""
    first = (rule.__doc__ or "").strip().partition("\n")[0].split(": ", 1)[-1]
    return first[0].upper() + first[1:]
