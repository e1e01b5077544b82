"""Lion on a row of an embedding with one tiny gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from npoptim.experiments import figures
from npoptim.experiments.base import Bar, Findings, Part, Row
from npoptim.optimizers import optimizers
from npoptim.optimizers.base import Optimizer
from npoptim.optimizers.lion import Lion

TITLE = "One tiny gradient, and then none"
CLAIM = (
    "A Lion step has one size for every coordinate (Chen et al. 2023), so that a row of an "
    "embedding which saw a single gradient of 1e-6 walks on at full speed, while every other "
    "optimizer leaves it near where it was."
)
LR, TINY, DECAY = 1e-3, 1e-6, 1.0
DECAYED = f"Lion, weight decay {DECAY:g}"


def run(quick: bool, seed: int, bar: Bar) -> Findings:
    """Two rows: one gets noise at every step, the other 1e-6 at the first and then 0."""
    steps = 1_000 if quick else 10_000
    marks = [10**k for k in range(5) if 10**k <= steps]
    cells: list[Row] = [{"optimizer": name, "rule": rule} for name, rule in _rules().items()]
    paths = {cell["optimizer"]: _path(cell["rule"], steps, seed) for cell in bar(cells)}
    rows: list[Row] = [
        {"optimizer": name} | {f"moved by t = {t}": float(path[t] / LR) for t in marks}
        for name, path in paths.items()
    ]
    last = {name: float(path[-1] / LR) for name, path in paths.items()}
    others = {name: far for name, far in last.items() if name not in ("Lion", DECAYED)}
    late = {name: last[name] - float(paths[name][steps // 2] / LR) for name in others}
    farthest = max(others, key=others.__getitem__)
    parts = [
        Part(
            f"after {steps} steps Lion's row has moved {steps} lr, to 0.1 %",
            abs(last["Lion"] / steps - 1) < 1e-3,
            f"{last['Lion']:.5g} lr",
        ),
        Part(
            "no other optimizer's row moves even 1 lr in the second half of the run",
            max(late.values()) < 1,
            f"at most {max(late.values()):.2g} lr; in all {farthest} moves it farthest, "
            f"{others[farthest]:.3g} lr",
        ),
        Part(
            f"weight decay λ = {DECAY:g} holds Lion's row within 1/λ of 0",
            last[DECAYED] * LR <= 1.001 / DECAY,
            f"{last[DECAYED] * LR:.4g}, or {last[DECAYED]:.4g} lr",
        ),
    ]
    return Findings(
        rows=rows,
        parts=parts,
        conditions=[
            "a 2 × 8 matrix in float32",
            "row 1 starts at N(0, 1) and gets gradients from N(0, 1) at every step",
            f"row 2 starts at 0 and gets {TINY:g} at step 1, exactly 0 after",
            f"lr {LR:g} for all, LARS with η = 1, no weight decay but where it is said",
            f"{steps} steps",
            f"seed {seed}",
        ],
        runs=[{"optimizer": name, "moved": path[marks].tolist()} for name, path in paths.items()],
        notes=[
            "Distances are means over the row's 8 numbers, in units of lr.",
            "Lion does not even stop where m underflows: in float32 0.99 m rounds back to m at "
            "7e-44, and that has a sign.",
        ],
    )


def _rules() -> dict[str, Optimizer]:
    rules: dict[str, Optimizer] = {}
    for cls in optimizers().values():
        rule = cls(lr=LR)
        own = {"weight_decay": 0.0, "trust_coefficient": 1.0}
        rules[cls.__name__] = rule.replace(**{k: v for k, v in own.items() if k in rule.hyper()})
    return {**rules, DECAYED: Lion(lr=LR, weight_decay=DECAY)}


def _path(rule: Optimizer, steps: int, seed: int) -> np.ndarray[Any, Any]:
    """How far the idle row is from its start after every step."""
    rng = np.random.default_rng(seed)
    p, g, path = np.zeros((2, 8), np.float32), np.zeros((2, 8), np.float32), np.zeros(steps + 1)
    p[0] = rng.standard_normal(8)
    g[1] = TINY
    for t in range(1, steps + 1):
        g[0] = rng.standard_normal(8)
        rule.step(p, g)
        g[1] = 0
        path[t] = np.abs(p[1]).mean()
    return path


def draw(result: Any, theme: str) -> Any:
    """The distance of the idle row over the steps."""
    marks = [int(key.split()[-1]) for key in result.columns[1:]]
    lines = [
        figures.Series(marks, [row[key] for key in result.columns[1:]], row["optimizer"])
        for row in result.rows
    ]
    lines = [line for line in lines if max(line.y) > 0]
    fig, (ax,), look = figures.page(result, theme, lines)
    figures.draw(ax, look, lines, "step", "distance of the idle row, in lr")
    return fig
