"""Loss against the bytes of an optimizer's state, on the transformer."""

from __future__ import annotations

from dataclasses import replace
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
    fit,
    seeds,
    where,
)
from npoptim.models.ngram import trigram_loss
from npoptim.models.transformer import Transformer
from npoptim.optimizers import get_optimizer
from npoptim.schedules import cosine

TITLE = "What the optimizer's memory buys"
CLAIM = (
    "Adafactor (Shazeer & Stern 2018) and CAME (Luo et al. 2023) train a transformer as well as "
    "Adam with a fraction of its state."
)
LOSS = "held-out loss"
SHORT = "CAME, shorter"
GRIDS = {
    "SGD": decades(-0.5, 1),
    "Momentum": decades(-1.5, 0),
    "Nesterov": decades(-1.5, 0),
    "LARS": decades(0, 1.5),
    "Lion": decades(-3.5, -2),
    "Adam": decades(-3, -1.5),
    "AdamW": decades(-3, -1.5),
    "LAMB": decades(-3, -1.5),
    "Adafactor": decades(-2, -0.5),
    "CAME": decades(-4, -2.5),
    SHORT: decades(-3, -1.5),
}


def run(quick: bool, seed: int, bar: Bar) -> Findings:
    """Every optimizer at every lr of its grid."""
    data = _held_out(load("names"), 100 if quick else 1000)
    context = data.x_train.shape[1]
    model = Transformer(data.tokenizer.vocabulary, context, width=32, hidden=128)
    steps, count = (4, 1) if quick else (500, 3)
    grids = {name: grid[2:3] if quick else grid for name, grid in GRIDS.items()}
    cells: list[Row] = [
        {"optimizer": name, "lr": lr, "seed": s}
        for name in GRIDS
        for lr, s in product(grids[name], seeds(seed, count))
    ]
    runs = []
    for cell in bar(cells):
        own = {"betas": (0.9, 0.95, 0.995)} if cell["optimizer"] == SHORT else {}
        lr = cosine(cell["lr"], steps, warmup=steps // 10)
        rule = get_optimizer(cell["optimizer"].split(",")[0], lr=lr, **own)
        losses = fit(model, data, rule, steps=steps, batch=32, seed=cell["seed"])
        runs.append({**cell, **losses, "state bytes": rule.state_nbytes})
    size = sum(4 * p.size for p in model.init(np.random.default_rng(seed)).values())
    rows: list[Row] = []
    for name in GRIDS:
        mine = where(runs, optimizer=name)
        won, nbytes = best(mine, "lr", LOSS), max(run["state bytes"] for run in mine)
        rows.append(
            {"optimizer": name, "state bytes": nbytes, "of the parameters": nbytes / size}
            | {"best lr": won.pop("lr"), **won}
        )
    (adam,) = where(rows, optimizer="Adam")
    rows = [row | {"above Adam": row[LOSS] - adam[LOSS]} for row in rows]
    return Findings(
        rows=rows,
        parts=[_near(rows, name) for name in ("Adafactor", "CAME")],
        conditions=[
            f"surnames, {len(data.x_train):,} to train on and {len(data.x_test):,} held out",
            f"one-block transformer of width 32 in float32, {size:,} bytes of parameters",
            f"{steps} steps of 32 names, a tenth warm-up, then cosine to 0",
            averaged(seed, count),
        ],
        runs=runs,
        grids={f"{name} lr": grid for name, grid in grids.items()},
        notes=[
            f"{SHORT}: with β (0.9, 0.95, 0.995), memories that fit into so few steps.",
            "least, most: over the seeds. Adafactor's lr is relative to the weights, in the place "
            f"of its own schedule. A counted trigram model has {LOSS} {trigram_loss(data):.3f}.",
        ],
    )


def _held_out(data: Any, n: int) -> Any:
    """With n of the held-out names, enough to tell losses apart."""
    return replace(data, x_test=data.x_test[:n], y_test=data.y_test[:n])


def _near(rows: list[Row], name: str) -> Part:
    adam, sgd, ours = (where(rows, optimizer=who)[0] for who in ("Adam", "SGD", name))
    share = ours["state bytes"] / adam["state bytes"]
    return Part(
        f"{name}'s mean loss is nearer to Adam's, or below, than to that of SGD, which has no "
        "state, with at most 60 % of Adam's",
        ours[LOSS] < (adam[LOSS] + sgd[LOSS]) / 2 and share <= 0.6,
        f"{name} {ours[LOSS]:.3f} ({ours['least']:.3f} to {ours['most']:.3f}), "
        f"Adam {adam[LOSS]:.3f}, SGD {sgd[LOSS]:.3f}; {share:.1%} of the state",
    )


def draw(result: Any, theme: str) -> Any:
    """Loss with its spread against the state's size."""
    points = [
        figures.Series(
            [row["of the parameters"]], [row[LOSS]], row["optimizer"],
            low=[row["least"]], high=[row["most"]],
        )
        for row in result.rows
    ]  # fmt: skip
    fig, (ax,), look = figures.page(result, theme, [], size=(6.2, 4.4))
    words = "state / parameters, in bytes", f"{LOSS} at the best lr"
    figures.points(ax, look, points, *words, ticks=(0, 1, 2))
    return fig
