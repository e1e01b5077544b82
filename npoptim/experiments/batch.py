"""The best lr against the batch size, at equal epochs."""

from __future__ import annotations

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
    best,
    decades,
    distinct,
    exponent,
    fit,
    per_seed,
    seeds,
    vertex,
    where,
)
from npoptim.models.mlp import MLP
from npoptim.optimizers import get_optimizer
from npoptim.schedules import linear

TITLE = "Large batches at equal epochs"
CLAIM = (
    "The best lr grows with the root of the batch (You et al. 2020), and with layer-wise rates "
    "large batches lose less: LARS less than momentum (You et al. 2017), LAMB less than Adam."
)
SIZES = (64, 64, 10)
LOSS = "held-out loss"
PAIRS = (("LARS", "Momentum"), ("LAMB", "Adam"))
GRIDS = {
    "Momentum": decades(-2, 0.5),
    "LARS": decades(-0.5, 2),
    "Adam": decades(-3, -0.5),
    "LAMB": decades(-3, -0.5),
}


def run(quick: bool, seed: int, bar: Bar) -> Findings:
    """Every optimizer at every lr and batch size, for equally many epochs."""
    data, model = load("digits"), MLP(SIZES)
    full = len(data.x_train)
    epochs, count = (1, 1) if quick else (20, 5)
    batches = (64, full) if quick else (16, 64, 256, full)
    grids = {name: grid[1::3] if quick else grid for name, grid in GRIDS.items()}
    cells: list[Row] = [
        {"optimizer": name, "batch": batch, "lr": lr, "seed": s}
        for name, batch in product(GRIDS, batches)
        for lr, s in product(grids[name], seeds(seed, count))
    ]
    runs = []
    for cell in bar(cells):
        steps = epochs * -(-full // cell["batch"])
        rule = get_optimizer(cell["optimizer"], lr=linear(cell["lr"], steps, warmup=steps // 10))
        own = {"weight_decay": 0.0} if "weight_decay" in rule.hyper() else {}
        losses = fit(
            model, data, rule.replace(**own), steps=steps, batch=cell["batch"], seed=cell["seed"]
        )
        runs.append({**cell, **losses})
    rows = []
    for name, batch in product(GRIDS, batches):
        mine = where(runs, optimizer=name, batch=batch)
        won = best(mine, "lr", LOSS)
        rows.append(
            {"optimizer": name, "batch": batch, "best lr": won.pop("lr"), **won}
            | {"between": vertex(mine, "lr", LOSS)}
        )
    return Findings(
        rows=rows,
        parts=[_root(rows), *(_kept(runs, *pair) for pair in PAIRS)],
        conditions=[
            f"digits, {full} training and {len(data.x_test)} held-out images",
            f"MLP {'-'.join(map(str, SIZES))} in float32",
            f"{epochs} epochs at every batch size",
            "a tenth of the steps warm-up, then linear to 0; weight decay 0",
            averaged(seed, count),
        ],
        runs=runs,
        grids={f"{name} lr": grid for name, grid in grids.items()},
        notes=[
            "least, most: over the seeds. between: the best lr between those of the grid, from a "
            "parabola through the best three; exponents are fitted to it."
        ],
    )


def _exponent(rows: list[Row], name: str) -> float:
    mine = where(rows, optimizer=name)
    return exponent([row["batch"] for row in mine], [row["between"] for row in mine])


def _root(rows: list[Row]) -> Part:
    laws = {name: _exponent(rows, name) for name in GRIDS}
    return Part(
        "LAMB's best lr grows like the batch to the power 0.35 to 0.65",
        0.35 <= laws["LAMB"] <= 0.65,
        "powers " + ", ".join(f"{name} {law:.2f}" for name, law in laws.items()),
    )


def _kept(runs: list[Row], layerwise: str, plain: str) -> Part:
    """Whether the full batch costs the layer-wise rule less."""
    full, costs = [], []
    for name in (layerwise, plain):
        mine = where(runs, optimizer=name)
        by_batch = [per_seed(where(mine, batch=b), "lr", LOSS) for b in distinct(mine, "batch")]
        means = [losses.mean() for losses in by_batch]
        full.append(by_batch[-1])
        costs.append(means[-1] / min(means))
    lower = int(np.sum(full[0] < full[1]))
    return Part(
        f"with the full batch {layerwise} ends lower than {plain} on every seed, and its loss has "
        "grown by a smaller factor from that of its best batch size",
        lower == len(full[0]) and costs[0] < costs[1],
        f"lower on {lower} of {len(full[0])}, {full[0].mean():.3f} to {full[1].mean():.3f}; "
        f"factors {costs[0]:.2f} and {costs[1]:.2f}",
    )


def draw(result: Any, theme: str) -> Any:
    """Best lr and held-out loss against the batch size."""
    batches = [row["batch"] for row in where(result.rows, optimizer="LAMB")]
    groups = {name: where(result.rows, optimizer=name) for name in GRIDS}
    lrs, losses = (
        [figures.Series(batches, [row[key] for row in rows], name) for name, rows in groups.items()]
        for key in ("between", LOSS)
    )
    fig, (left, right), look = figures.page(result, theme, lrs, losses)
    figures.draw(left, look, lrs, "batch size", "best lr", ticks=batches)
    low = min(lrs[0].y) * 2
    figures.guide(left, look, batches, [low * (b / batches[0]) ** 0.5 for b in batches], "∝ √batch")
    figures.draw(right, look, losses, "batch size", f"{LOSS} at the best lr", ticks=batches)
    return fig
