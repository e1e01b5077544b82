"""How long steps take, as ratios to other libraries' in the same run.

Everyone takes a turn, round after round, so that whatever else the machine
does falls on all; a ratio is the median over the rounds, with quartiles.
Libraries that cannot be imported are left out.
"""

from __future__ import annotations

import importlib
import os
import platform
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

import npoptim as npo
from npoptim.optimizers import fused
from npoptim.optimizers.threads import kept

Step = Callable[[], object]

SGD: dict[str, Any] = {"lr": 1e-3}
MOMENTUM = SGD | {"momentum": 0.9}
NESTEROV = MOMENTUM | {"nesterov": True}
FUSED = {"fused": True}

#: rule -> its peers: the eager one, then the best compiled one where there is one
PEERS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "sgd": [("torch.optim.SGD", SGD), ("torch.optim.SGD", SGD | FUSED)],
    "momentum": [("torch.optim.SGD", MOMENTUM), ("torch.optim.SGD", MOMENTUM | FUSED)],
    "nesterov": [("torch.optim.SGD", NESTEROV), ("torch.optim.SGD", NESTEROV | FUSED)],
    "adam": [("torch.optim.Adam", {}), ("torch.optim.Adam", FUSED)],
    "adamw": [("torch.optim.AdamW", {}), ("torch.optim.AdamW", FUSED)],
    "lion": [("lion_pytorch.Lion", {}), ("optax.lion", {"learning_rate": 1e-4})],
    "lars": [("pytorch_optimizer.LARS", {}), ("optax.lars", {"learning_rate": 1.0})],
    "lamb": [("pytorch_optimizer.Lamb", {}), ("optax.lamb", {"learning_rate": 1e-3})],
    "adafactor": [("torch.optim.Adafactor", {}), ("optax.adafactor", {})],
    "came": [("came_pytorch.CAME", {"lr": 2e-4})],
}

LIBRARIES = ("torch", "optax", "jax", "pytorch_optimizer", "lion-pytorch", "came-pytorch")


@dataclass
class Table:
    """One question, its rows, and what was measured how."""

    title: str
    unit: str  #: of npoptim's own time
    note: str
    rows: list[dict[str, Any]] = field(default_factory=list)

    def markdown(self) -> str:
        """The table as Markdown: own time, then npoptim's time over everybody else's."""
        extra = [k for k in ("memory, MiB",) if any(k in row for row in self.rows)]
        head = ["", self.unit, *extra, "ratio to …"]
        lines = [f"| {' | '.join(head)} |", f"| {' | '.join(['---'] * len(head))} |"]
        for row in self.rows:
            ratios = [
                f"{k}: **{x[0]:.3g}** ({x[1]:.3g} … {x[2]:.3g})" for k, x in row["ratio"].items()
            ]
            own = "{:.3g} ({:.3g} … {:.3g})".format(*row["time"])
            cells = [row["what"], own, *(f"{row[k]:.1f}" for k in extra), "<br>".join(ratios)]
            lines.append(f"| {' | '.join(cells)} |")
        return f"## {self.title}\n\n{self.note}\n\n" + "\n".join(lines)

    def add(self, what: str, times: dict[str, NDArray[Any]], scale: float, **more: Any) -> None:
        """A row, from everybody's seconds, "npoptim" among them."""
        mine = times["npoptim"]
        ratio = {k: quartiles(mine / x) for k, x in times.items() if k != "npoptim"}
        self.rows.append({"what": what, "time": quartiles(mine * scale), "ratio": ratio, **more})


def quartiles(x: NDArray[Any]) -> tuple[float, float, float]:
    """Median, lower and upper quartile."""
    low, middle, high = np.percentile(x, [25, 50, 75])
    return float(middle), float(low), float(high)


def measure(steps: dict[str, Step], rounds: int, times: int = 1) -> dict[str, NDArray[Any]]:
    """Seconds of a call, in every round, after two rounds to warm up; `times` calls in a row."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds + 2):
        for name, step in steps.items():
            start = time.perf_counter()
            for _ in range(times):
                step()
            taken[name].append((time.perf_counter() - start) / times)
    return {name: np.array(seconds[2:]) for name, seconds in taken.items()}


def setting() -> str:
    """The machine and all versions, on one line."""
    found = [f"NumPy {np.__version__}"]
    for name in LIBRARIES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"no {name}")
    cores = os.cpu_count()
    return f"{platform.machine()}, {cores} cores, Python {platform.python_version()}, " + (
        ", ".join(found)
    )


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let everyone use so many threads, on as many cores."""
    before, own = os.environ.get("NPOPTIM_THREADS"), None
    os.environ["NPOPTIM_THREADS"] = str(count)
    if hasattr(os, "sched_setaffinity"):  # before jax asks how many there are
        own = os.sched_getaffinity(0)
        os.sched_setaffinity(0, sorted(own)[:count])
    try:
        torch = importlib.import_module("torch")
        torch.set_num_threads(count)
    except ImportError:
        pass
    try:
        yield
    finally:
        os.environ.pop("NPOPTIM_THREADS")
        os.environ.update({"NPOPTIM_THREADS": before} if before else {})
        if own is not None:
            os.sched_setaffinity(0, own)


# ---------------------------------------------------------------- the questions


def toy(rules: Iterable[str], rounds: int = 30) -> Table:
    """A step on two numbers."""
    table = Table(
        "Two numbers",
        "µs a step",
        "A step on a float64 vector of two, checks included, one thread; ours over the eager "
        "library's.",
    )
    p, g = np.array([1.0, 1.0]), np.array([0.1, -0.2])
    with threads(1):
        for rule in rules:
            steps = _everyone(rule, p, g, compiled=False)
            table.add(rule, measure(steps, rounds, times=200), 1e6)
    return table


def loop(rules: Iterable[str], rounds: int = 9, steps: int = 1000) -> Table:
    """Gradient, step and record on Rosenbrock."""
    table = Table(
        "Rosenbrock, step by step",
        "µs a step",
        f"{steps} steps from the usual start: gradient, step and record of point, value and "
        "gradient. npoptim's gradient is derived by hand, torch's by autograd.",
    )
    with threads(1):
        for rule in rules:
            path, settings = PEERS[rule][0]
            own = npo.get_optimizer(rule, lr=1e-3)
            runs: dict[str, Step] = {"npoptim": partial(npo.run, "rosenbrock", own, steps=steps)}
            if (make := _imported(path)) is not None:
                runs[path] = partial(_torch_run, make, settings | {"lr": 1e-3}, steps)
            table.add(rule, measure(runs, rounds), 1e6 / steps)
    return table


def many(rounds: int = 5, runs: int = 1000, steps: int = 1000) -> Table:
    """Many runs at once."""
    table = Table(
        f"{runs} runs of AdamW on Rosenbrock",
        "s",
        f"{steps} steps from {runs} starts, everything recorded. “One by one” is a run alone times "
        f"{runs}; optax runs under jit, vmap and scan, with and without the time to compile.",
    )
    starts = np.random.default_rng(0).uniform(-2, 2, (runs, 2))
    surface, opt = npo.surfaces.get("rosenbrock"), npo.AdamW(lr=1e-2)
    everyone: dict[str, Step] = {
        "npoptim": partial(npo.run, surface, opt, starts, steps),
        "one by one": partial(npo.run, surface, opt, starts[0], steps),
    }
    if _imported("optax.adamw") is not None:
        everyone |= {
            "optax, to compile and run": lambda: _optax_runs(starts, steps)(),
            "optax, compiled": _optax_runs(starts, steps),
        }
    with threads(min(2, os.cpu_count() or 1)):
        times = measure(everyone, rounds)
    times["one by one"] *= runs
    table.add("AdamW", times, 1.0)
    return table


def large(
    rules: Iterable[str], rounds: int = 15, count: int = 2, shape: tuple[int, ...] = (2500, 4000)
) -> Table:
    """A step on one large array."""
    table = Table(
        f"{'×'.join(map(str, shape))} float32",
        "ns a parameter",
        f"One parameter, {count} threads for everyone. “blocks off” are the rule's plain lines; "
        "memory is the most that a step takes beside parameter, gradient and state.",
    )
    rng = np.random.default_rng(0)
    p, g = (rng.normal(size=shape).astype(np.float32) for _ in range(2))
    with threads(count):
        for rule in rules:
            steps = _everyone(rule, p, g) | {"blocks off": _plain(_own(rule, p, g))}
            times = measure(steps, rounds)
            extra = {"memory, MiB": _memory(steps["npoptim"]) / 2**20}
            table.add(rule, times, 1e9 / p.size, **extra)
    return table


# ---------------------------------------------------------------- everyone's steps


def _everyone(rule: str, p: Any, g: Any, compiled: bool = True) -> dict[str, Step]:
    """Name -> a call that takes a step."""
    steps = {"npoptim": _own(rule, p, g)}
    for path, settings in PEERS[rule][: 2 if compiled else 1]:
        if (make := _imported(path)) is None:
            continue
        jit = path.startswith("optax")
        kind = "fused " if "fused" in settings else "jit " if jit else ""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other libraries' deprecations are theirs
            steps[kind + path] = (_optax_step if jit else _torch_step)(make, settings, p, g)
    return steps


def _imported(path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError:
        return None


def _own(rule: str, p: Any, g: Any) -> Step:
    opt, p = npo.get_optimizer(rule), p.copy()
    return partial(opt.step, p, g)


def _plain(step: Step) -> Step:
    def plain() -> None:
        with fused.plain_lines():
            step()

    return plain


def _torch_step(make: Any, settings: dict[str, Any], p: Any, g: Any) -> Step:
    torch = importlib.import_module("torch")
    w = torch.nn.Parameter(torch.from_numpy(p.copy()))
    w.grad = torch.from_numpy(g.copy())
    step: Step = make([w], **settings).step
    return step


def _optax_step(make: Any, settings: dict[str, Any], p: Any, g: Any) -> Step:
    jax, optax = importlib.import_module("jax"), importlib.import_module("optax")
    rule, grads = make(**settings), jax.numpy.asarray(g)
    held = [jax.numpy.array(p), rule.init(jax.numpy.asarray(p))]

    @partial(jax.jit, donate_argnums=(0, 1))
    def update(w: Any, state: Any, grads: Any) -> Any:
        changes, state = rule.update(grads, state, w)
        return optax.apply_updates(w, changes), state

    def step() -> None:
        held[:] = jax.block_until_ready(update(*held, grads))

    return step


def _torch_run(make: Any, settings: dict[str, Any], steps: int) -> list[Any]:
    torch = importlib.import_module("torch")
    w = torch.nn.Parameter(torch.tensor([-1.2, 1.0], dtype=torch.float64))
    opt, record = make([w], **settings), []
    for _ in range(steps):
        opt.zero_grad()
        x, y = w[0], w[1]
        f = (1 - x) ** 2 + 100 * (y - x**2) ** 2
        f.backward()
        record.append((w.detach().clone(), f.item(), w.grad.clone()))
        opt.step()
    return record


def _optax_runs(starts: Any, steps: int) -> Step:
    jax, optax = importlib.import_module("jax"), importlib.import_module("optax")
    jnp, rule = jax.numpy, optax.adamw(1e-2, weight_decay=1e-2)

    def f(x: Any) -> Any:
        return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2

    def one(x: Any) -> Any:
        def step(held: Any, _: Any) -> Any:
            x, state = held
            value, g = jax.value_and_grad(f)(x)
            change, state = rule.update(g, state, x)
            return (optax.apply_updates(x, change), state), (x, value, g, state[0].mu, state[0].nu)

        return jax.lax.scan(step, (x, rule.init(x)), None, length=steps)

    run = jax.jit(jax.vmap(one))
    return lambda: jax.block_until_ready(run(jnp.asarray(starts)))


def _memory(step: Step) -> int:
    """Bytes that a step takes, at most, what it keeps for the next one included."""
    kept.clear()
    tracemalloc.start()
    step()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak
