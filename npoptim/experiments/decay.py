"""The best weight decay against lr, in three conventions."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
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
    curve,
    decades,
    exponent,
    fit,
    per_seed,
    seeds,
    vertex,
    where,
)
from npoptim.models.mlp import MLP
from npoptim.optimizers.adam import Adam
from npoptim.optimizers.adamw import AdamW
from npoptim.optimizers.base import Array, Number, Optimizer, Step
from npoptim.schedules import cosine
from npoptim.view import style

TITLE = "The best weight decay and lr"
CLAIM = (
    "Decoupled from the gradient, the best weight decay no longer depends on lr, and AdamW "
    "generalizes better than Adam with L2 regularization (Loshchilov & Hutter 2019)."
)
SIZES = (64, 64, 10)
LOSS = "held-out loss"
SAME, MATTERS = 0.25, 0.97


@dataclass
class AdamL2(Adam):
    """Adam with the decay in the gradient."""

    weight_decay: Number = 0.0

    def update(self, p: Array, g: Array, t: int, m: Array, v: Array) -> Step:
        return super().update(p, g + self.weight_decay * p, t, m, v)


RULES: dict[str, type[Optimizer]] = {"AdamW": AdamW, "Adam, L2": AdamL2}
GRIDS = {"AdamW": decades(-2.5, 1), "Adam, L2": decades(-5, -1.5)}


def run(quick: bool, seed: int, bar: Bar) -> Findings:
    """Every decay at every lr; the paper's λ is lr times AdamW's, read off the same runs."""
    whole, model = load("digits"), MLP(SIZES)
    few = _few(whole, 150)
    steps, count = (10, 1) if quick else (600, 5)
    lrs = (1e-3, 1e-2) if quick else decades(-3, -1)
    grids = {name: grid[::4] if quick else grid for name, grid in GRIDS.items()}
    cells: list[Row] = [
        {"optimizer": name, "lr": lr, "decay": decay, "seed": s}
        for name, lr in product(RULES, lrs)
        for decay, s in product(grids[name], seeds(seed, count))
    ]
    runs = []
    for cell in bar(cells):
        rule = RULES[cell["optimizer"]](
            lr=cosine(cell["lr"], total=steps), weight_decay=cell["decay"]
        )
        losses = fit(model, few, rule, steps=steps, batch=32, seed=cell["seed"])
        runs.append({**cell, **losses})
    rows = [_row(where(runs, optimizer=name, lr=lr)) for name, lr in product(RULES, lrs)]
    return Findings(
        rows=rows,
        parts=_parts(rows, runs),
        conditions=[
            f"digits, {len(few.x_train)} training and {len(few.x_test)} held-out images",
            f"MLP {'-'.join(map(str, SIZES))} in float32",
            f"{steps} steps of 32 images, cosine to 0",
            averaged(seed, count),
        ],
        runs=runs,
        grids={"lr": lrs} | {f"{name} decay": grid for name, grid in grids.items()},
        notes=[
            "between: the best decay between those of the grid, from a parabola through the best "
            "three; exponents are fitted to it where the best decay is not at the edge and lowers "
            "the loss by 3 % or more below that of the least decay.",
            "AdamW here, as in PyTorch, multiplies the decay by lr; the paper's λ is the product, "
            "read off the same runs. Adam, L2 is a subclass with decay · θ in the gradient.",
        ],
    )


def _few(data: Any, n: int) -> Any:
    """The first n training images; all others are held out."""
    return replace(
        data,
        x_train=data.x_train[:n],
        y_train=data.y_train[:n],
        x_test=np.concatenate([data.x_train[n:], data.x_test]),
        y_test=np.concatenate([data.y_train[n:], data.y_test]),
    )


def _row(runs: list[Row]) -> Row:
    """The best decay of an optimizer at one lr."""
    name, lr, between = runs[0]["optimizer"], runs[0]["lr"], vertex(runs, "decay", LOSS)
    won = best(runs, "decay", LOSS)
    return {
        "optimizer": name,
        "lr": lr,
        "best decay": won.pop("decay"),
        **won,
        "least decay": float(curve(runs, "decay", LOSS)[0, 1]),
        "between": between,
        "lr · between": lr * between if name == "AdamW" else None,
    }


def _resolved(rows: list[Row], name: str) -> list[Row]:
    """The rows in which there is a best decay to speak of."""
    mine = where(rows, optimizer=name, edge="")
    return [row for row in mine if row[LOSS] <= MATTERS * row["least decay"]]


def _law(rows: list[Row], name: str, key: str) -> float:
    mine = _resolved(rows, name)
    return exponent([r["lr"] for r in mine], [r[key] for r in mine]) if len(mine) > 1 else math.nan


def _parts(rows: list[Row], runs: list[Row]) -> list[Part]:
    ours, paper = (_law(rows, "AdamW", key) for key in ("between", "lr · between"))
    l2 = _law(rows, "Adam, L2", "between")
    adamw, adam = (_lowest(rows, runs, name) for name in RULES)
    lower = int(np.sum(adamw < adam))
    return [
        Part(
            f"the paper's λ, lr · decay, changes like lr to a power within ±{SAME}",
            abs(paper) <= SAME,
            f"power {paper:.2f}",
        ),
        Part(
            f"PyTorch's decay changes like lr to a power within ±{SAME}",
            abs(ours) <= SAME,
            f"power {ours:.2f}",
        ),
        Part(
            f"that of Adam with L2 changes like lr to a power beyond ±{SAME}",
            abs(l2) > SAME,
            f"power {l2:.2f}",
        ),
        Part(
            "at its best lr and decay AdamW has the lower held-out loss on every seed",
            lower == len(adam),
            f"lower on {lower} of {len(adam)}, {adamw.mean():.3f} to {adam.mean():.3f}",
        ),
    ]


def _lowest(rows: list[Row], runs: list[Row], name: str) -> Array:
    """The losses of every seed at the best lr and decay."""
    won = min(where(rows, optimizer=name), key=lambda row: float(row[LOSS]))
    return per_seed(where(runs, optimizer=name, lr=won["lr"]), "decay", LOSS)


def draw(result: Any, theme: str) -> Any:
    """The best decay, and the loss with it, against lr."""
    names = {"AdamW": "AdamW,\nas in PyTorch", "Adam, L2": "Adam, L2"}
    mine = {name: _resolved(result.rows, name) for name in RULES}
    laws = [
        figures.Series([r["lr"] for r in rows], [r["between"] for r in rows], names[name])
        for name, rows in mine.items()
        if rows
    ]
    paper = [row["lr · between"] for row in mine["AdamW"]]
    if paper:
        laws.append(figures.Series(laws[0].x, paper, "AdamW,\nthe paper's λ", style.nth(1)))
    losses = [
        figures.Series(
            [r["lr"] for r in rows], [r[LOSS] for r in rows], name,
            low=[r["least"] for r in rows], high=[r["most"] for r in rows],
        )
        for name, rows in ((name, where(result.rows, optimizer=name)) for name in RULES)
    ]  # fmt: skip
    fig, (left, right), look = figures.page(result, theme, laws, losses)
    figures.draw(left, look, laws, "lr", "best decay")
    figures.draw(right, look, losses, "lr", f"{LOSS} with the best decay")
    return fig
