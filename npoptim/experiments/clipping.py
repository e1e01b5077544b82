"""Adafactor's clipping in the place of warm-up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from npoptim.data import load
from npoptim.experiments import figures
from npoptim.experiments.base import (
    Bar,
    Findings,
    Part,
    Row,
    averaged,
    decades,
    fit,
    seeds,
    where,
)
from npoptim.models.mlp import MLP
from npoptim.optimizers.adafactor import Adafactor
from npoptim.schedules import constant
from npoptim.view import style

TITLE = "Clipping in the place of warm-up"
CLAIM = (
    "With a slow second moment, β₂ = 0.999, Adafactor without warm-up is unstable; clipping the "
    "update, d = 1, makes warm-up unnecessary (Shazeer & Stern 2018)."
)
SIZES = (64, 128, 128, 10)
LOSS = "log loss"  # losses span decades, and one lost seed is not to hide the others
WORSE, AS_GOOD = 3.0, 1.5


@dataclass(frozen=True)
class bias_corrected:
    """The `decay` that makes 1 − t^−decay the β̂₂ of Adam with a constant β₂."""

    beta2: float

    def __call__(self, t: int) -> float:
        memory = (1 - self.beta2**t) / (1 - self.beta2)  # 1 / (1 − β̂₂)
        return math.log(memory) / math.log(t) if t > 1 else 1.0


SLOW = "β₂ = 0.999"
MOMENTS: dict[str, Any] = {SLOW: bias_corrected(0.999), "β₂ = 1 − t⁻⁰·⁸": 0.8}
VARIANTS = {
    "neither": {"clip": math.inf, "warm": False},
    "warm-up": {"clip": math.inf, "warm": True},
    "clipping": {"clip": 1.0, "warm": False},
    "both": {"clip": 1.0, "warm": True},
}


def run(quick: bool, seed: int, bar: Bar) -> Findings:
    """Adafactor with and without clipping and warm-up, for two second moments."""
    data, model = load("digits"), MLP(SIZES)
    steps, count = (10, 1) if quick else (400, 5)
    warmup = steps // 8
    lrs = (0.01, 0.1) if quick else decades(-2, -0.5, per=4)
    cells: list[Row] = [
        {"second moment": moment, "with": variant, "lr": lr, "seed": s}
        for moment, variant, lr, s in product(MOMENTS, VARIANTS, lrs, seeds(seed, count))
    ]
    runs = []
    for cell in bar(cells):
        how = VARIANTS[cell["with"]]
        rule = Adafactor(
            lr=constant(cell["lr"], warmup=warmup if how["warm"] else 0),
            decay=MOMENTS[cell["second moment"]],
            clip=how["clip"],
        )
        losses = fit(model, data, rule, steps=steps, batch=64, seed=cell["seed"])
        runs.append({**cell, **losses, LOSS: math.log(min(losses["training loss"], 1e3))})
    rows: list[Row] = []
    for moment, lr in product(MOMENTS, lrs):
        row: Row = {"second moment": moment, "lr": lr}
        for variant in VARIANTS:
            mine = where(runs, **{"second moment": moment, "with": variant, "lr": lr})
            row[variant] = float(np.exp(np.mean([run[LOSS] for run in mine])))
        rows.append(row)
    return Findings(
        rows=rows,
        parts=_parts(rows),
        conditions=[
            f"digits, {len(data.x_train)} training images, batch 64",
            f"MLP {'-'.join(map(str, SIZES))} in float32",
            f"{steps} steps at constant lr (relative to the weights), warm-up {warmup} steps",
            f"training loss, geometric {averaged(seed, count)}",
        ],
        runs=runs,
        grids={"lr": lrs},
        notes=[
            "No clipping is clip = ∞. A constant β₂ with Adam's bias correction is a schedule of "
            "`decay`. A run above 1000 or diverged counts as 1000."
        ],
    )


def _parts(rows: list[Row]) -> list[Part]:
    """What the slow second moment shows; the paper's own, the other panel, is not in the claim."""
    mine = where(rows, **{"second moment": SLOW})
    needs = [row for row in mine if row["neither"] > WORSE * row["warm-up"]]
    helped = [row for row in needs if row["clipping"] <= AS_GOOD * row["warm-up"]]
    lowest = {variant: min(row[variant] for row in mine) for variant in VARIANTS}
    return [
        Part(
            f"{SLOW}: at some lr the loss with neither is over {WORSE:g} times that with warm-up",
            bool(needs),
            _pairs(needs, "neither"),
        ),
        Part(
            f"at all of these clipping alone comes within {AS_GOOD:g} times that with warm-up",
            bool(needs) and helped == needs,
            _pairs(needs, "clipping"),
        ),
        Part(
            f"with neither no lr comes within {WORSE:g} times the best loss with clipping",
            lowest["neither"] > WORSE * lowest["clipping"],
            "lowest: " + ", ".join(f"{v} {loss:.2g}" for v, loss in lowest.items()),
        ),
    ]


def _pairs(rows: list[Row], variant: str) -> str:
    """The loss of a variant and that with warm-up, at every lr."""
    pairs = [f"{row[variant]:.2g} to {row['warm-up']:.2g} at lr {row['lr']:g}" for row in rows]
    return ", ".join(pairs) or "at none"


def draw(result: Any, theme: str) -> Any:
    """The training loss against lr, a panel for each second moment."""
    panels = []
    for moment in MOMENTS:
        rows = where(result.rows, **{"second moment": moment})
        lrs = [row["lr"] for row in rows]
        panels.append(
            [
                figures.Series(lrs, [row[v] for row in rows], v, style.nth(i))
                for i, v in enumerate(VARIANTS)
            ]
        )
    fig, axes, look = figures.page(result, theme, *panels)
    for ax, moment, lines in zip(axes, MOMENTS, panels, strict=True):
        figures.draw(ax, look, lines, f"lr,  {moment}", "training loss", top=10)
    return fig
