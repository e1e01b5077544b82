"""Lion against AdamW over batch sizes."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

from npoptim.data import load
from npoptim.experiments import figures
from npoptim.experiments.base import (
    Bar,
    Findings,
    Part,
    Row,
    averaged,
    best,
    decades,
    fit,
    seeds,
    where,
)
from npoptim.models.mlp import MLP
from npoptim.optimizers.adamw import AdamW
from npoptim.optimizers.base import Optimizer
from npoptim.optimizers.lion import Lion
from npoptim.schedules import cosine
from npoptim.view import style

TITLE = "Lion and the batch size"
CLAIM = (
    "Lion wants a learning rate 3 to 10 times below AdamW's, and its gain over AdamW grows with "
    "the batch (Chen et al. 2023)."
)
SIZES = (64, 64, 10)
LOSSES = ("held-out loss", "training loss")
RULES: dict[str, type[Optimizer]] = {"AdamW": AdamW, "Lion": Lion}


def run(quick: bool, seed: int, bar: Bar) -> Findings:
    """Both at every lr of a grid and every batch size, for equally many steps."""
    data, model = load("digits"), MLP(SIZES)
    full = len(data.x_train)
    steps, count = (10, 1) if quick else (200, 3)
    batches = (16, full) if quick else (16, 64, 256, full)
    per = 1 if quick else 4
    grids = {"AdamW": decades(-3, -0.5, per), "Lion": decades(-4, -1, per)}
    cells: list[Row] = [
        {"optimizer": name, "batch": batch, "lr": lr, "seed": s}
        for name, batch in product(RULES, batches)
        for lr, s in product(grids[name], seeds(seed, count))
    ]
    runs = []
    for cell in bar(cells):
        rule = RULES[cell["optimizer"]](lr=cosine(cell["lr"], total=steps), weight_decay=0.0)
        losses = fit(model, data, rule, steps=steps, batch=cell["batch"], seed=cell["seed"])
        runs.append({**cell, **losses})
    rows = [_row(runs, batch, loss) for loss, batch in product(LOSSES, batches)]
    return Findings(
        rows=rows,
        parts=[_ratio(rows), *(_gain(rows, loss) for loss in reversed(LOSSES))],
        conditions=[
            f"digits, {full} training and {len(data.x_test)} held-out images",
            f"MLP {'-'.join(map(str, SIZES))} in float32",
            f"{steps} steps at every batch size",
            "cosine to 0, weight decay 0",
            averaged(seed, count),
        ],
        runs=runs,
        grids={f"{name} lr": grid for name, grid in grids.items()},
        notes=["The best lr is that of the loss in the row; held-out and training loss differ."],
    )


def _row(runs: list[Row], batch: int, loss: str) -> Row:
    """The best of both at one batch size, and how they compare."""
    adamw, lion = (best(where(runs, optimizer=name, batch=batch), "lr", loss) for name in RULES)
    edges = {"AdamW": adamw["edge"], "Lion": lion["edge"]}
    return {
        "measured by": loss,
        "batch": batch,
        "AdamW lr": adamw["lr"],
        "Lion lr": lion["lr"],
        "lr ratio": adamw["lr"] / lion["lr"],
        "edge": ", ".join(f"{name} {edge}" for name, edge in edges.items() if edge),
        "AdamW loss": adamw[loss],
        "Lion loss": lion[loss],
        "Lion / AdamW": lion[loss] / adamw[loss],
    }


def _ratio(rows: list[Row]) -> Part:
    ratios = [row["lr ratio"] for row in where(rows, **{"measured by": LOSSES[0]})]
    return Part(
        "by held-out loss, AdamW's best lr is 3 to 10 times Lion's at every batch size, half a "
        "step of the grid allowed",
        all(3 / 10**0.125 <= ratio <= 10 * 10**0.125 for ratio in ratios),
        f"{', '.join(f'{ratio:.1f}' for ratio in ratios)} times",
    )


def _gain(rows: list[Row], loss: str) -> Part:
    gains = [row["Lion / AdamW"] for row in where(rows, **{"measured by": loss})]
    falls = all(b < a for a, b in pairwise(gains))
    return Part(
        f"Lion's {loss} over AdamW's falls from each batch size to the next, below 1",
        falls and gains[-1] < 1,
        ", ".join(figures.number(gain) for gain in gains),
    )


def draw(result: Any, theme: str) -> Any:
    """Best lr, and Lion's loss over AdamW's, against the batch size."""
    batches = [row["batch"] for row in where(result.rows, **{"measured by": LOSSES[0]})]
    groups = [where(result.rows, **{"measured by": loss}) for loss in LOSSES]
    lrs = [
        figures.Series(batches, [row[f"{name} lr"] for row in groups[0]], name) for name in RULES
    ]
    gains = [
        figures.Series(batches, [row["Lion / AdamW"] for row in rows], loss, style.nth(i))
        for i, (loss, rows) in enumerate(zip(LOSSES, groups, strict=True))
    ]
    fig, (left, right), look = figures.page(result, theme, lrs, gains)
    figures.draw(left, look, lrs, "batch size", "best lr, by held-out loss", ticks=batches)
    figures.draw(right, look, gains, "batch size", "Lion's loss / AdamW's", ticks=batches)
    figures.guide(right, look, [batches[0], batches[-1]], [1, 1], "equal")
    return fig
