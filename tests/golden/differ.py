"""How far every library is from npoptim at its own defaults: writes differ.json.

    python tests/golden/differ.py --date 2026-11-22

Of each call of npoptim.libraries the arguments that npoptim's users set too (lr, betas, eps,
momentum, weight_decay) are given the same; all others stay what the library makes them. Adafactor
keeps its own relative steps. Twenty steps of the problem of the golden numbers are compared, with
the rate warming up and falling, in three settings:

- `usual`: npoptim's defaults for everything but lr;
- `strong`: memories so short, and ε and λ so large, that every line shows;
- `zeros`: the usual ones, with the vector b starting at zero as biases do.

Each number is max |a − b| / max |b| of a parameter, b the library's, after the last of the twenty steps. A library
that is not installed keeps what the file says of it.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import json
import re
import warnings
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import problem
import runners
from problem import KEPT, SHAPES, Rate
from references import USUAL
from runners import LIBRARIES, constructor

import npoptim as npo
from npoptim.libraries import Call
from npoptim.libraries.calls import Code, spelled
from npoptim.libraries.known import CALLS

STEPS = 20
FILE = Path(__file__).with_suffix(".json")
SHARED = ("lr", "betas", "eps", "momentum", "weight_decay")
# LARS at η = 1e-3, which its users do not set: the layers go as far as with the others.
PEAK = {"lars": Rate(100.0)}
DECAYING = {"lion": {"weight_decay": 0.1}, "came": {"weight_decay": 0.01}}


def hyper(rule: str, strong: bool) -> dict[str, Any]:
    """npoptim's hyper-parameters in a setting."""
    usual = USUAL[rule] | ({"lr": PEAK[rule]} if rule in PEAK else {})
    if strong:
        chosen = {name: value for name, value in usual.items() if name in SHARED}
    else:
        chosen = {"lr": usual["lr"]} | DECAYING.get(rule, {})
    if rule == "adafactor":
        chosen.pop("lr")
    return chosen


def arguments(call: Call, rule: Any) -> dict[str, Any]:
    """What both sides share, as the library calls it, and what picks the rule."""
    shared = {k for k, place in call.arguments.items() if re.split(r"\W", place)[0] in SHARED}
    return {k: v for k, v in call.mapped(rule).items() if k in shared or k in call.choose}


@contextlib.contextmanager
def starting_at_zero(name: str) -> Iterator[None]:
    """Let a parameter start at zero, on both sides."""
    usual = problem._START[name]
    problem._START[name] = np.zeros_like(usual)
    try:
        yield
    finally:
        problem._START[name] = usual


def difference(call: Call, ours: dict[str, Any]) -> dict[str, float | None]:
    """Of each parameter after the last step; None where the library raises an error."""
    given = arguments(call, npo.get_optimizer(call.rule, **ours))
    mine, at = runners.run_npoptim(npo.optimizers()[call.rule], ours, SHAPES), KEPT.index(STEPS)
    try:
        theirs = run(call, given, list(SHAPES))
    except RuntimeError:
        theirs = {}
        for name in SHAPES:
            with contextlib.suppress(RuntimeError):
                theirs |= run(call, given, [name])
    found: dict[str, float | None] = dict.fromkeys(SHAPES)
    for name, a in theirs.items():
        found[name] = float(f"{np.abs(mine[name][at] - a[at]).max() / np.abs(a[at]).max():.2g}")
    return found


def run(call: Call, given: dict[str, Any], names: list[str]) -> problem.Arrays:
    """The library's trajectory; other libraries' warnings are theirs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = {k: evaluated(v) if isinstance(v, Code) else v for k, v in given.items()}
        return LIBRARIES[call.library].run(constructor(call.path), values, names)


def evaluated(code: Code) -> Any:
    """The value of an argument that is code; JAX is all that any needs."""
    import jax.numpy as jnp

    return eval(code, {"jnp": jnp})


def defaults(call: Call) -> dict[str, str]:
    """The library's own default of each hyper-parameter, as it stands in its signature."""
    known = inspect.signature(constructor(call.path)).parameters
    places = {name: known[name].default for name in call.arguments if name in known}
    return {
        name: repr(value) for name, value in places.items() if value is not inspect.Parameter.empty
    }


def measured(call: Call) -> dict[str, Any]:
    """Everything the file holds of a call."""
    usual, strong = hyper(call.rule, strong=False), hyper(call.rule, strong=True)
    row: dict[str, Any] = {
        "rule": call.rule,
        "path": call.path,
        "given": spelled(arguments(call, npo.get_optimizer(call.rule, **usual))),
        "defaults": defaults(call),
        "usual": difference(call, usual),
        "strong": difference(call, strong),
    }
    with starting_at_zero("b"):
        row["zeros"] = difference(call, usual)
    return row


def compared() -> list[Call]:
    """One call for each rule and library, that of the rule's own lr."""
    return [call for call in CALLS if call.when(npo.get_optimizer(call.rule))]


def main() -> None:
    """Measure what is installed and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--date", required=True, type=date.fromisoformat, help="of this run")
    day = str(parser.parse_args().date)
    old = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {"rows": []}
    runners.STEPS = STEPS  # the problem has more
    kept = {(row["rule"], row["path"]): row for row in old["rows"]}
    rows = []
    for call in compared():
        if LIBRARIES[call.library].missing(call.library) is None:
            row = measured(call) | {"date": day, "versions": LIBRARIES[call.library].versions()}
            print(f"{call.rule:<10} {call.path:<28} {row['usual']} {row['strong']}", flush=True)
            rows.append(row)
        elif (call.rule, call.path) in kept:
            rows.append(kept[call.rule, call.path])
    rows.sort(key=lambda row: (row["rule"], row["path"]))
    text = json.dumps({"steps": STEPS, "rows": rows}, indent=1, sort_keys=True, ensure_ascii=False)
    FILE.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
