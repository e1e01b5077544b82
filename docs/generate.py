"""What the site takes from the source: a page for every optimizer, the list of public names."""

from __future__ import annotations

import inspect
import sys
from dataclasses import fields
from pathlib import Path

import departures
import gallery
import letters
import numpy as np
import pages
import reference

import npoptim as npo
from npoptim.optimizers import box

FAULTS = Path(__file__).resolve().parents[1] / "tests" / "faults"


def write(folder: Path) -> None:
    """Write every generated page."""
    for name, rule in npo.optimizers().items():
        save(folder / "optimizers" / f"{name}.md", optimizer(rule))
    save(folder / "optimizers" / "index.md", pages.overview())
    save(folder / "stepper.txt", pages.live(npo.Adam))
    for path, text in reference.pages().items():
        save(folder / path, text)
    save(folder / "notation.md", letters.page())
    save(folder / "libraries.md", departures.page())
    save(folder / "faults.md", faults())
    draw_schedules(folder / "schedules.png")
    gallery.write(folder)


def save(path: Path, text: str) -> None:
    """Write a file if its content changes, so that Sphinx need not read it again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def optimizer(rule: type) -> str:
    """A page: the same frame for all, with what only this rule has left out."""
    story, _, _ = inspect.cleandoc(rule.__doc__ or "").partition("\n>>> ")
    _, _, rest = story.partition("\n\n")
    parts = [
        f"# {rule.__name__}",
        f"**{pages.sentence(rule)}**",
        rest.rstrip().removesuffix(":") + "." * rest.rstrip().endswith(":"),
        "## The box and the code",
        *map("\n".join, forms(rule)),
        pages.stepper(rule),
        pages.players(rule),
        pages.memory(rule),
        "## Defaults",
        table(["name", "default", "what it is"], hyper(rule)),
        pages.advice(rule),
        departures.section(rule),
        departures.mistakes(rule),
        pages.exercises(rule),
        "## The class",
        f"```{{eval-rst}}\n.. autoclass:: npoptim.{rule.__name__}\n   :no-members:\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def forms(rule: type) -> list[list[str]]:
    """The box of each form, its lines beside the code lines that carry their numbers."""
    found = []
    for i, lines in enumerate(box.boxes(rule)):
        suffix = "_vector" if i else ""
        code = box.tagged(getattr(rule, f"init{suffix}")) | box.tagged(
            getattr(rule, f"update{suffix}")
        )
        rows = [
            [
                str(n),
                text,
                "*the driver's*"
                if text in box.DRIVER_LINES
                else "<br>".join(f"`{c}`" for c in code.get(n, [])),
            ]
            for n, text in lines.items()
        ]
        both = table(["", "the paper", "the code"], rows)
        found.append(["### For vectors\n"] * bool(i) + [f":::{{div}} box\n{both}\n:::"])
    return found


def hyper(rule: type) -> list[list[str]]:
    """Name, default and comment of every field."""
    source = inspect.getsource(rule)
    notes = {}
    for field in fields(rule):
        line = next(x for x in source.splitlines() if x.strip().startswith(f"{field.name}: "))
        notes[field.name] = line.partition("#: ")[2]
    return [[f"`{f.name}`", f"`{f.default!r}`", notes[f.name]] for f in fields(rule)]


def table(header: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in lines)


def faults() -> str:
    """The table that the tests go by, with what other libraries do."""
    sys.path.insert(0, str(FAULTS))
    from page import page

    return page()


def draw_schedules(path: Path) -> None:
    """Every schedule over a hundred steps, a panel each."""
    from matplotlib.figure import Figure

    from npoptim import schedules as s

    shown = [
        s.constant(1.0, warmup=10), s.linear(1.0, total=100, warmup=10),
        s.polynomial(1.0, total=100, warmup=10), s.cosine(1.0, total=100, warmup=10),
        s.step(1.0, every=30, factor=0.3, warmup=10), s.inverse_sqrt(1.0, warmup=10),
        s.wsd(1.0, total=100, decay=30, warmup=10), s.one_cycle(1.0, total=100, warmup=30),
        s.join((s.linear(1.0, total=50), s.cosine(0.6, total=50)), until=(50,)),
    ]  # fmt: skip
    figure = Figure(figsize=(9, 6), layout="constrained")
    for ax, schedule in zip(
        figure.subplots(3, 3, sharex=True, sharey=True).flat, shown, strict=True
    ):
        t = np.arange(1, 101)
        ax.plot(t, [schedule(int(n)) for n in t], color="#1f4e79", linewidth=2)
        ax.set_title(type(schedule).__name__, fontsize=11)
        ax.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("step t")
    figure.supylabel("value, relative to the peak")
    figure.savefig(path, dpi=110)
