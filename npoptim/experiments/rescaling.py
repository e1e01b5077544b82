"""Rescaling the layers of a network without changing its function."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from npoptim.data import load
from npoptim.experiments import figures
from npoptim.experiments.base import Bar, Findings, Part, Row, decades
from npoptim.models.base import Arrays, Cache
from npoptim.models.mlp import MLP
from npoptim.optimizers import get_optimizer
from npoptim.training import train

TITLE = "The same function, its layers rescaled"
CLAIM = (
    "Steps relative to a layer's own size do not see how the scale of a network is spread over "
    "its layers: LARS, LAMB and Adafactor train alike after a rescaling that leaves the function "
    "unchanged, SGD, Adam and Lion do not (You et al. 2017 and 2020; Shazeer & Stern 2018)."
)
SIZES = (64, 32, 32, 32, 10)
FACTORS = (8, 10)
RULES: dict[str, dict[str, Any]] = {
    "LARS, λ = 0": {"weight_decay": 0.0},
    "LAMB, λ = 0, ε = 1e-30": {"weight_decay": 0.0, "eps": 1e-30},
    "Adafactor": {},
    "LAMB, λ = 0": {"weight_decay": 0.0},
    "LAMB": {},
    "LARS": {},
    "CAME": {},
    "Adam": {},
    "AdamW": {},
    "Lion": {},
    "Momentum": {},
    "SGD": {},
}
INVARIANT = list(RULES)[:3]
CHANGED = ["SGD", "Adam", "Lion"]


class BiasFree(MLP):
    """An MLP whose biases stay 0."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: shape for name, shape in super().shapes.items() if name.endswith(".W")}

    def forward(self, params: Arrays, x: np.ndarray[Any, Any]) -> tuple[Any, Cache]:
        biases = {name: np.zeros((), params["0.W"].dtype) for name in super().shapes}
        return super().forward(biases | params, x)


def run(quick: bool, seed: int, bar: Bar) -> Findings:
    """Full-batch runs from the same function in three parametrizations."""
    steps, lrs = (5, (0.1,)) if quick else (60, decades(-4, 2, per=1))
    data, model = load("digits"), BiasFree(SIZES)
    cells: list[Row] = [{"optimizer": name, "lr": lr} for name in RULES for lr in lrs]
    tuning = [{**c, "loss": _losses(model, data, 1, steps, seed, **c)[-1]} for c in bar(cells)]
    rows: list[Row] = []
    for name in RULES:
        lr = min((run for run in tuning if run["optimizer"] == name), key=_loss)["lr"]
        plain, *others = (_losses(model, data, c, steps, seed, name, lr) for c in (1, *FACTORS))
        row = {"optimizer": name, "lr": lr, "loss at the end": float(plain[-1])}
        for c, losses in zip(FACTORS, others, strict=True):
            row[f"difference, × {c}"] = float(np.abs(losses - plain).max())
        rows.append(row)
    differences = {row["optimizer"]: [row[f"difference, × {c}"] for c in FACTORS] for row in rows}
    most = max(max(differences[name]) for name in INVARIANT)
    least = min(min(differences[name]) for name in CHANGED)
    exact = [differences[name][0] for name in INVARIANT]
    parts = [
        Part(
            f"the losses of {'; '.join(INVARIANT)} stay within 1e-6",
            most <= 1e-6,
            f"at most {most:.2g}; by the power of two, {', '.join(f'{x:.2g}' for x in exact)}",
        ),
        Part(
            f"those of {', '.join(CHANGED)} change by 0.1 or more",
            least >= 0.1,
            "by " + ", ".join(figures.number(min(differences[name])) for name in CHANGED),
        ),
    ]
    return Findings(
        rows=rows,
        parts=parts,
        conditions=[
            f"digits, {len(data.x_train)} training images, full batch",
            f"MLP {'-'.join(map(str, SIZES))} without biases in float64",
            "layers × c, 1/c, c, 1/c",
            f"{steps} steps at a constant lr, the best on the unscaled network",
            f"seed {seed}",
        ],
        runs=[{**cell, "loss": float(cell["loss"])} for cell in tuning],
        grids={"lr": lrs},
        notes=[
            "difference: the largest of a step's loss from that of the unscaled network.",
            "Not named λ and ε are the package's defaults. The network without biases is a "
            "subclass of the MLP: a bias at 0 has no size of its own.",
        ],
    )


def _loss(run: Row) -> float:
    return float(run["loss"])


def _losses(
    model: BiasFree, data: Any, factor: float, steps: int, seed: int, optimizer: str, lr: float
) -> np.ndarray[Any, Any]:
    """The loss at every step and after the last; inf from where a run diverged."""
    params = model.init(np.random.default_rng(seed))
    for i, name in enumerate(params):
        params[name] *= factor if i % 2 == 0 else 1 / factor
    opt = get_optimizer(optimizer.split(",")[0], lr=lr, **RULES[optimizer])
    history = train(
        model, (data.x_train, data.y_train), opt, steps=steps + 1, seed=seed, params=params,
        batch_size=len(data.x_train), nan_policy="propagate",
    )  # fmt: skip
    losses = np.full(steps + 1, math.inf)
    losses[: len(history.loss)] = np.nan_to_num(history.loss, nan=math.inf)
    return losses


def draw(result: Any, theme: str) -> Any:
    """The differences as dots on a logarithmic axis."""
    names = [row["optimizer"] for row in result.rows]
    values = {f"× {c}": [row[f"difference, × {c}"] for row in result.rows] for c in FACTORS}
    fig, ax, look = figures.dots_page(result, theme, names)
    figures.dots(ax, look, names, values, "largest difference of the loss")
    return fig
