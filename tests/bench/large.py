"""A step on one large array, as a ratio to other libraries' in the same run.

    python tests/bench/large.py                  # all rules, 2500×4000 float32, two cores
    python tests/bench/large.py lamb came --rounds 31

prints Markdown. On the same cores everyone takes a step in turn, `rounds` times over; a ratio is
the median over the rounds, with quartiles. `blocks off` are the rule's plain lines as they run on
small arrays. `memory` is the most that a step takes beside parameters, gradients and state.
Libraries that are not installed are left out: torch, optax, pytorch-optimizer, lion-pytorch and
came-pytorch. With `--quiet` (Linux) rounds that other processes disturb do not count.
"""

import argparse
import os
import platform
import sys
import time
import tracemalloc
from functools import partial
from importlib import import_module, metadata

import numpy as np

import npoptim as npo
from npoptim.optimizers import fused

SGD = {"lr": 1e-2}
MOMENTUM = SGD | {"momentum": 0.9}
NESTEROV = MOMENTUM | {"nesterov": True}
FUSED = {"fused": True}
PEERS = {  # rule -> the eager one, and the best compiled one
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
LIBRARIES = ("numpy", "torch", "optax", "jax", "pytorch_optimizer", "lion-pytorch", "came-pytorch")


def own(rule, p, g, blocks=True):
    """A step of npoptim's."""
    opt, p = npo.get_optimizer(rule), p.copy()

    def step():
        usual, fused.LARGE = fused.LARGE, fused.LARGE if blocks else sys.maxsize
        opt.step(p, g)
        fused.LARGE = usual

    return step


def torch_step(make, settings, p, g, threads):
    import torch

    torch.set_num_threads(threads)
    w = torch.nn.Parameter(torch.from_numpy(p.copy()))
    w.grad = torch.from_numpy(g)
    return make([w], **settings).step


def optax_step(make, settings, p, g, threads):
    import jax
    import optax

    rule, grads = make(**settings), jax.numpy.asarray(g)
    held = [jax.numpy.array(p), rule.init(jax.numpy.asarray(p))]

    @partial(jax.jit, donate_argnums=(0, 1))
    def update(w, state, grads):
        changes, state = rule.update(grads, state, w)
        return optax.apply_updates(w, changes), state

    def step():
        held[:] = jax.block_until_ready(update(*held, grads))

    return step


def everyone(rule, p, g, threads):
    """Name -> a call that takes a step."""
    steps = {"npoptim": own(rule, p, g), "blocks off": own(rule, p, g, blocks=False)}
    for path, settings in PEERS[rule]:
        module, _, name = path.rpartition(".")
        try:
            make = getattr(import_module(module), name)
        except ImportError:
            continue
        build = optax_step if module == "optax" else torch_step
        compiled = "fused " if "fused" in settings else "jit " if module == "optax" else ""
        steps[compiled + path] = build(make, settings, p, g, threads)
    return steps


def others():
    """Seconds for which the cores have worked for other processes."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, *rest = map(int, file.readline().split()[1:9])
    busy = (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")
    return busy - sum(os.times()[:2])


def measure(steps, rounds, quiet):
    """Name -> seconds of a step, in every round."""
    times = {name: [] for name in steps}
    for n in range(-2, 10**9):  # two rounds to warm up
        if len(times["npoptim"]) == rounds:
            break
        before, begin = others() if quiet else 0, time.perf_counter()
        taken = []
        for step in steps.values():
            start = time.perf_counter()
            step()
            taken.append(time.perf_counter() - start)
        if quiet and others() - before > 0.1 * (time.perf_counter() - begin):
            time.sleep(0.5)
        elif n >= 0:
            for name, seconds in zip(steps, taken, strict=True):
                times[name].append(seconds)
    return {name: np.array(seconds) for name, seconds in times.items()}


def memory(step):
    """Bytes that a step takes, at most."""
    tracemalloc.start()
    step()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def spread(x):
    low, middle, high = np.percentile(x, [25, 50, 75])
    return f"{middle:.2f} ({low:.2f} … {high:.2f})"


def version(library):
    try:
        return f"{library} {metadata.version(library)}"
    except metadata.PackageNotFoundError:
        return f"no {library}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rules", nargs="*", default=list(PEERS), metavar="rule")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--shape", default="2500,4000", help="of the parameter")
    parser.add_argument("--quiet", action="store_true", help="count undisturbed rounds only")
    given = parser.parse_args()
    os.environ["NPOPTIM_THREADS"] = str(given.threads)
    if hasattr(os, "sched_setaffinity"):  # before jax asks how many there are
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.threads])
    rng = np.random.default_rng(0)
    shape = tuple(map(int, given.shape.split(",")))
    p, g = (rng.normal(size=shape).astype(np.float32) for _ in range(2))
    print(f"{shape} float32, {given.threads} threads, {given.rounds} rounds: median (quartiles); "
          f"{platform.machine()}, Python {platform.python_version()}, "
          f"{', '.join(map(version, LIBRARIES))}.\n")  # fmt: skip
    print("| rule | ns a parameter | memory, MiB | npoptim's time / … |\n| --- | --- | --- | --- |")
    for rule in given.rules:
        steps = everyone(rule, p, g, given.threads)
        times = measure(steps, given.rounds, given.quiet)
        mine = times.pop("npoptim")
        ratios = "; ".join(f"{name} {spread(mine / x)}" for name, x in times.items())
        extra = memory(steps["npoptim"]) / 2**20
        print(f"| {rule} | {spread(mine / p.size * 1e9)} | {extra:.1f} | {ratios} |", flush=True)


if __name__ == "__main__":
    main()
