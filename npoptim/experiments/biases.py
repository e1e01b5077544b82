"""LARS where a norm is zero: biases that start at 0."""

from __future__ import annotations

from collections.abc import Sequence
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
    best,
    curve,
    decades,
    fit,
    seeds,
    where,
)
from npoptim.models.base import Arrays
from npoptim.models.mlp import MLP
from npoptim.optimizers.base import Array, Optimizer, Step, norm
from npoptim.optimizers.lars import LARS
from npoptim.view import style

TITLE = "LARS and biases that start at 0"
CLAIM = (
    "Where ‖θ‖ = 0 the local rate η ‖θ‖ / ‖g‖ of LARS (You et al. 2017) would be 0 for ever; "
    "γ = 1 there, as in most libraries, lets a bias step 1/η times further than γ = η does, and "
    "spoils the training."
)
SIZES = (64, 64, 64, 64, 10)
STARTS = {"even layers": (1, 1, 1, 1), "layers × 0.1, 10, 0.1, 10": (0.1, 10, 0.1, 10)}
LOSS = "training loss"
WORKS, WORSE = 0.5, 2.0


@dataclass
class LibraryLARS(LARS):
    """LARS with γ = 1, not η, where ‖θ‖ or the denominator is 0."""

    def update(self, p: Array, g: Array, t: int, v: Array) -> Step:
        no_quotient = norm(p) == 0 or norm(g) + self.weight_decay * norm(p) == 0
        eta = 1.0 if no_quotient else self.trust_coefficient
        return LARS.update(self.replace(trust_coefficient=eta), p, g, t, v)


RULES: dict[str, type[Optimizer]] = {"γ = η": LARS, "γ = 1": LibraryLARS}


def run(quick: bool, seed: int, bar: Bar) -> Findings:
    """Both at every lr, from even layers and from the same function with uneven ones."""
    data, model = load("digits"), MLP(SIZES)
    steps, count = (3, 1) if quick else (60, 3)
    lrs = (1.0, 10.0) if quick else decades(-0.5, 2, per=4)
    cells: list[Row] = [
        {"start": start, "where a norm is 0": rule, "lr": lr, "seed": s}
        for start, rule, lr, s in product(STARTS, RULES, lrs, seeds(seed, count))
    ]
    runs = []
    for cell in bar(cells):
        rule = RULES[cell["where a norm is 0"]](lr=cell["lr"], weight_decay=0.0)
        params = _params(model, STARTS[cell["start"]], cell["seed"])
        losses = fit(
            model, data, rule, steps=steps, batch=len(data.x_train), seed=cell["seed"],
            params=params,
        )  # fmt: skip
        runs.append({**cell, **losses})
    rows: list[Row] = []
    for start, name in product(STARTS, RULES):
        mine = where(runs, start=start, **{"where a norm is 0": name})
        won, means = best(mine, "lr", LOSS), curve(mine, "lr", LOSS)[:, 1]
        rows.append(
            {"start": start, "where a norm is 0": name, "best lr": won.pop("lr"), **won}
            | {f"lr with loss < {WORKS}": int(np.sum(means < WORKS))}
        )
    return Findings(
        rows=rows,
        parts=[_first(model, data, seed), *(_spoilt(rows, start) for start in STARTS)],
        conditions=[
            f"digits, {len(data.x_train)} training images, full batch",
            f"MLP {'-'.join(map(str, SIZES))} in float32, biases at 0",
            f"η = {LARS.trust_coefficient:g}, λ = 0, momentum {LARS.momentum:g}, constant lr",
            f"{steps} steps",
            averaged(seed, count),
        ],
        runs=runs,
        grids={"lr": lrs},
        notes=[
            "least, most: over the seeds. γ = η is the package's LARS, γ = 1 a subclass. With "
            "biases at 0 the two starts are the same function."
        ],
    )


def _params(model: MLP, factors: Sequence[float], seed: int) -> Arrays:
    params = model.init(np.random.default_rng(seed), np.float32)
    for i, factor in enumerate(factors):
        params[f"{i}.W"] *= np.float32(factor)
    return params


def _first(model: MLP, data: Any, seed: int) -> Part:
    """How much longer the first step of every bias is."""
    lengths = []
    for cls in RULES.values():
        params = model.init(np.random.default_rng(seed))
        cls(weight_decay=0.0).step(params, model.loss_and_grads(params, *_train(data))[1])
        lengths.append([float(norm(params[f"{i}.b"])) for i in range(len(SIZES) - 1)])
    ratios = np.divide(lengths[1], lengths[0])
    expected = 1 / LARS.trust_coefficient
    return Part(
        f"the first step of every bias is 1/η = {expected:g} times longer with γ = 1, to 1e-9",
        bool(np.allclose(ratios, expected, rtol=1e-9, atol=0)),
        f"{ratios.min():.10g} to {ratios.max():.10g} times",
    )


def _train(data: Any) -> tuple[Array, Array]:
    return data.x_train, data.y_train


def _spoilt(rows: list[Row], start: str) -> Part:
    eta, one = where(rows, start=start)
    return Part(
        f"{start}: with γ = 1 the loss at the best lr is {WORSE:g} times higher or more",
        one[LOSS] >= WORSE * eta[LOSS],
        f"{one[LOSS]:.3g} to {eta[LOSS]:.3g}",
    )


def draw(result: Any, theme: str) -> Any:
    """The loss against lr, a panel for each start."""
    panels: list[list[figures.Series]] = [[] for _ in STARTS]
    for start, lines in zip(STARTS, panels, strict=True):
        for i, name in enumerate(RULES):
            runs = where(result.runs, start=start, **{"where a norm is 0": name})
            lr, mean, least, most = curve(runs, "lr", LOSS).T
            own = style.of("lars") if i == 0 else style.nth(i)
            lines.append(figures.Series(lr, mean, name, own, least, most, best=True))
    fig, axes, look = figures.page(result, theme, *panels)
    for ax, start, lines in zip(axes, STARTS, panels, strict=True):
        figures.draw(ax, look, lines, f"lr,  {start}", LOSS, top=10)
    return fig
