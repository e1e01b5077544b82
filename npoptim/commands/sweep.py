"""`npoptim sweep`: an optimizer at every point of a grid, on one machine or many."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

HELP = "tune an optimizer on a grid of hyper-parameters, on one machine or many"

LRS = tuple(float(f"{10 ** (k / 2):.2g}") for k in range(-10, 3))
MOST_ROWS = 40  # of the table; the file has all
THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments of `npoptim sweep`."""
    from npoptim.cli import count, folder, positive

    parser.add_argument("target", metavar="MODEL-or-SURFACE", help="mlp, rosenbrock, …")
    parser.add_argument("--optimizer", required=True, metavar="NAME")
    parser.add_argument(
        "--grid", action="append", metavar="NAME=A,B,…",
        help="values of a hyper-parameter (beta1, beta2, … for betas), or of a model's "
        "batch_size or seed; may be given several times; default: lr from 1e-5 to 10",
    )  # fmt: skip
    parser.add_argument("--steps", type=positive, metavar="N", help="default: 500; for a model 300")
    parser.add_argument("--data", metavar="NAME", help="data set; default: the model's own")
    parser.add_argument("--batch-size", type=positive, metavar="N", help="default: 64")
    parser.add_argument("--seed", type=count, metavar="S", help="of the training; default: 0")
    parser.add_argument(
        "--executor", choices=("process", "dask", "mpi"), default="process",
        help="processes on this machine, Dask's workers, or the ranks that mpiexec started; "
        "default: %(default)s",
    )  # fmt: skip
    parser.add_argument("--workers", type=positive, metavar="N", help="default: one for each core")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of Dask, as tcp://10.0.0.1:8786")
    parser.add_argument("--resume", action="store_true", help="go on with an unfinished sweep")
    parser.add_argument("--theme", choices=("light", "dark"), default="light")
    parser.add_argument(
        "--out", type=folder, default="npoptim-out", metavar="DIR", help="folder of the results"
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def run(args: argparse.Namespace) -> int:
    """Run every point, print the table and the best point, draw the picture."""
    comm = _ranks() if args.executor == "mpi" else None
    # what cannot be done is said before anything is started, and by one rank
    plan = _plan(args) if comm is None or comm.Get_rank() == 0 else None
    with _executor(args, comm) as executor:
        return _sweep(args, *plan, executor) if plan else 0


@dataclass(frozen=True)
class Trial:
    """What is done at a point; its repr says all of it, and any process can do it."""

    target: str
    optimizer: str
    steps: int
    data: str = ""  #: none for a surface
    batch_size: int = 64
    seed: int = 0

    @property
    def names(self) -> dict[str, tuple[str, int | None]]:
        """What can be varied: name -> field of the optimizer, and which of several numbers."""
        from npoptim.landscapes import numbers

        found = numbers(self._start())
        return found | (dict.fromkeys(("batch_size", "seed"), ("", None)) if self.data else {})

    def __call__(self, **point: Any) -> dict[str, float]:
        import numpy as np

        import npoptim as npo

        hyper, names = self._start().hyper(), self.names
        settings = {"batch_size": self.batch_size, "seed": self.seed}
        for name, value in point.items():
            field, i = names[name]
            if not field:
                settings[name] = value
            elif i is None:
                hyper[field] = value
            else:
                hyper[field] = (*hyper[field][:i], value, *hyper[field][i + 1 :])
        opt = npo.get_optimizer(self.optimizer, **hyper)
        if not self.data:
            path = npo.run(self.target, opt, steps=self.steps)
            return {"final f": float(path.f[-1]), "distance": float(path.distance[-1])}
        data = _loaded(self.data)
        history = npo.train(
            npo.models.for_data(self.target, data), data, opt, steps=self.steps,
            batch_size=settings["batch_size"], seed=settings["seed"], dtype=np.float32,
            nan_policy="propagate", evaluate_every=self.steps,
        )  # fmt: skip
        last = {"test loss": history.test_loss, "train loss": history.loss}
        if data.task in ("classification", "language"):
            last["accuracy"] = history.accuracy
        return {what: math.nan if history.skipped else float(x[-1]) for what, x in last.items()}

    def conditions(self, varied: Collection[str]) -> str:
        """What is the same at all points, in words."""
        words = {"steps": f"{self.steps} steps"}
        if self.data:
            words |= {"data": self.data, "batch_size": f"batches of {self.batch_size}"}
            words["seed"] = f"seed {self.seed}"
        return " · ".join(text for name, text in words.items() if name not in varied)

    def _start(self) -> Any:
        from npoptim.optimizers import get_optimizer
        from npoptim.race import racers

        # as in a race: weight decay would move the minimum of a surface
        return get_optimizer(self.optimizer) if self.data else racers([self.optimizer])[0][1]


@cache
def _loaded(name: str) -> Any:
    from npoptim import data

    return data.load(name)


def _trial(args: argparse.Namespace) -> Trial:
    from npoptim import models, recipes, surfaces
    from npoptim.cli import UsageError, chosen_optimizers
    from npoptim.optimizers.checks import nearest

    (optimizer,) = chosen_optimizers(args.optimizer.replace(",", " "))
    if args.target in surfaces.names():
        for option in ("data", "batch_size", "seed"):
            if getattr(args, option) is not None:
                raise UsageError(
                    f"--{option.replace('_', '-')} is for models; {args.target} is a surface."
                )
        return Trial(args.target, optimizer, args.steps or 500)
    known = [*models.names(), *surfaces.names()]
    if args.target not in known:
        raise UsageError(
            f"unknown model or surface {args.target!r}.{nearest(args.target, known)} "
            f"Known: {', '.join(known)}."
        )
    data = args.data or recipes.DATA[args.target]
    models.for_data(args.target, _loaded(data))  # what does not fit is said before all else
    settings = {"batch_size": args.batch_size, "seed": args.seed}
    given = {name: value for name, value in settings.items() if value is not None}
    return Trial(args.target, optimizer, args.steps or 300, data, **given)


def _grid(args: argparse.Namespace, trial: Trial) -> dict[str, list[float]]:
    from npoptim.cli import UsageError
    from npoptim.optimizers.checks import nearest

    grid: dict[str, list[float]] = {}
    known = trial.names
    for text in args.grid or ["lr=" + ",".join(map(str, LRS))]:
        name, _, values = text.partition("=")
        if name not in known:
            raise UsageError(
                f"a sweep of {trial.optimizer} on {trial.target} has no {name!r}."
                f"{nearest(name, known)} It has: {', '.join(known)}."
            )
        if name in grid:
            raise UsageError(f"--grid must name {name!r} once. Got it twice.")
        number = float if known[name][0] else int
        try:
            grid[name] = [number(value) for value in values.split(",")]
        except ValueError:
            raise UsageError(
                f"--grid must be NAME=A,B,… with {number.__name__}s. Got {text!r} instead."
            ) from None
    return grid


def _plan(args: argparse.Namespace) -> tuple[Trial, dict[str, list[float]]]:
    """What is to be run; raises for all that can be found wrong with it before."""
    from npoptim.cli import UsageError
    from npoptim.extras import need
    from npoptim.view.files import writable

    if args.scheduler and args.executor != "dask":
        raise UsageError("--scheduler is Dask's; add --executor dask.")
    if args.workers and (args.scheduler or args.executor == "mpi"):
        raise UsageError("--workers is for processes started here; these run already.")
    trial = _trial(args)
    grid = _grid(args, trial)
    writable(args.out)
    need("matplotlib.figure", extra="plot")
    return trial, grid


def _ranks() -> Any:
    from npoptim.cli import UsageError
    from npoptim.parallel import world

    comm = world()
    if comm is None or comm.Get_size() < 2:
        raise UsageError(
            "--executor mpi needs several ranks: "
            "mpiexec -n 4 python -m mpi4py -m npoptim sweep … --executor mpi."
        )
    return comm


@contextmanager
def _executor(args: argparse.Namespace, comm: Any) -> Iterator[Any]:
    """What the points run on. The ranks of MPI but the first stay here and work."""
    from npoptim.extras import need

    workers = args.workers or os.cpu_count() or 1
    if args.executor == "mpi":
        with need("mpi4py.futures", extra="mpi").MPICommExecutor(comm) as executor:
            yield executor
    elif args.executor == "dask":
        distributed = need("distributed", extra="dask")
        options = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
        where = {"address": args.scheduler} if args.scheduler else {**options, "host": "127.0.0.1"}
        with distributed.Client(**where, timeout=10) as client:
            yield client.get_executor()
    else:
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        for name in THREADS:  # the workers share the cores; Dask's have one thread too
            os.environ.setdefault(name, "1")
        # a fork of a process with threads may hang, and Windows has none
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            yield pool


def _sweep(
    args: argparse.Namespace, trial: Trial, grid: dict[str, list[float]], executor: Any
) -> int:
    import json
    import sys

    from npoptim.sweeps import sweep
    from npoptim.view.files import save_figure

    stem = f"sweep_{trial.target}_{trial.optimizer}"
    unfinished, file = args.out / f"{stem}.part.jsonl", args.out / f"{stem}.jsonl"
    _begin(unfinished, file, args.resume)
    result = sweep(trial, grid, executor, path=unfinished, progress=sys.stderr.isatty())
    os.replace(unfinished, file)
    about, conditions = f"{trial.optimizer} on {trial.target}", trial.conditions(grid)
    ranked = result.ranked() if result.results else []
    files = [str(file)]
    if ranked:
        figure = result.plot(title=about, caption=conditions, theme=args.theme)
        files += [str(save_figure(figure, args.out / f"{stem}.png"))]
    if args.json:
        rows = [{k: _strict(v) for k, v in row.items()} for row in result.rows]
        best = rows[result.rows.index(ranked[0])] if ranked else None
        found = {"about": f"{about} · {conditions}", "best": best, "rows": rows, "files": files}
        print(json.dumps(found, allow_nan=False))
    else:
        _print(result, ranked, f"{about}: {conditions}")
        print("\n".join(f"file: {file}" for file in files))
    return 0 if ranked else 1


def _begin(unfinished: Path, file: Path, resume: bool) -> None:
    """Go on where the last sweep ended, or take care not to lose what it has."""
    if resume:
        if file.exists() and not unfinished.exists():
            os.replace(file, unfinished)
    elif unfinished.exists():
        raise FileExistsError(
            f"{unfinished} is of a sweep that was cut off; --resume goes on with it. "
            f"To begin anew, remove it."
        )


def _print(result: Any, ranked: list[dict[str, Any]], about: str) -> None:
    from dataclasses import replace

    table = result
    if len(result.rows) > MOST_ROWS and ranked:
        table = replace(result, rows=ranked[:MOST_ROWS])
        about += f" · the {len(table.rows)} best of {len(result.rows)} points"
    print(f"{about}\n\n{table.table()}\n")
    if result.failed:
        print(f"failed: {len(result.failed)} points, the first with {result.failed[0]['error']}")
    if not ranked:
        print("no point has a finite result")
        return
    print("best: " + ", ".join(f"{k} {v:.6g}" for k, v in ranked[0].items()))
    edges = [
        name
        for name, values in result.axes.items()
        if name != "seed" and len(values) > 2 and ranked[0][name] in (min(values), max(values))
    ]
    if edges:
        print(f"at the edge of the grid in {', '.join(edges)}: beyond it may be better")


def _strict(value: Any) -> Any:
    """JSON has no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
