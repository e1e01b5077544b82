"""How long an Allreduce takes, and what that makes of a training step: the tables of docs/cluster.md.

    mpiexec -n 2 python -m mpi4py tests/bench/allreduce.py

prints Markdown: the measured times, α and β fitted to them, what the cost model says of larger
clusters, and a step of the example. Rank 0 prints; the time of a round is that of its slowest rank.
"""

import argparse
import os
import platform
import sys
import time
from math import ceil, log2

import numpy as np

SIZES = (8, 2**10, 2**14, 2**18, 2**20, 2**22, 2**24)  # bytes
BATCH = 1024
MODELS = {"MLP on digits": 4_810, "ResNet-50": 25_600_000, "BERT-large": 340_000_000}  # parameters
NETWORKS = {  # α in s, β in s a byte: the nominal rate of the link, and a latency usual on it
    "10 Gb/s": (30e-6, 8 / 10e9),
    "100 Gb/s": (5e-6, 8 / 100e9),
}
RANKS = (8, 64, 512, 4096)


def ring(ranks, nbytes, alpha, beta):
    """Seconds of a ring Allreduce: 2 (p − 1) messages of n / p bytes, one after the other."""
    return 2 * (ranks - 1) * (alpha + nbytes / ranks * beta)


def halving(ranks, nbytes, alpha, beta):
    """Seconds of recursive halving and doubling: as many bytes, 2 log₂ p messages."""
    return 2 * ceil(log2(ranks)) * alpha + 2 * (ranks - 1) / ranks * nbytes * beta


def fit(ranks, times):
    """α and β of `ring` with the least squares of relative error, from bytes -> seconds."""
    nbytes = np.array(list(times), dtype=float)
    t = np.array(list(times.values()))
    columns = np.stack([np.full(len(t), 2 * (ranks - 1)), 2 * (ranks - 1) / ranks * nbytes], axis=1)
    return np.linalg.lstsq(columns / t[:, None], np.ones(len(t)), rcond=None)[0]


def slowest(comm, call, rounds):
    """Seconds of each round, on the slowest rank."""
    from mpi4py import MPI

    times = np.empty(rounds)
    for i in range(rounds):
        comm.Barrier()
        begin = time.perf_counter()
        call()
        times[i] = time.perf_counter() - begin
    worst = np.empty_like(times)
    comm.Allreduce(times, worst, op=MPI.MAX)
    return worst


def measure(comm, rounds):
    """Bytes -> seconds of every round."""
    found = {}
    for nbytes in SIZES:
        a, b = np.ones(nbytes // 8), np.empty(nbytes // 8)
        few = max(min(rounds, rounds * 2**20 // nbytes), 10)
        slowest(comm, lambda a=a, b=b: comm.Allreduce(a, b), 3)
        found[nbytes] = slowest(comm, lambda a=a, b=b: comm.Allreduce(a, b), few)
    return found


def step(comm, rounds):
    """Seconds of a step's gradients: alone on the whole batch, on a share, and with the Allreduce."""
    from mpi4py import MPI

    import npoptim as npo
    from npoptim.parallel import DataParallel

    data = npo.data.load("digits")
    x, y = data.x_train[:BATCH], data.y_train[:BATCH]
    model = npo.models.for_data("mlp", data)
    alone, shared = (DataParallel(model, c, check_every=10**9) for c in (MPI.COMM_SELF, comm))
    params = model.init(np.random.default_rng(0), np.float32)
    n = BATCH // comm.Get_size()
    calls = {
        f"all {BATCH} rows on every rank": lambda: model.loss_and_grads(params, x, y),
        f"all {BATCH} rows on every rank, in pieces": lambda: alone.loss_and_grads(params, x, y),
        f"{n} rows on each rank": lambda: model.loss_and_grads(params, x[:n], y[:n]),
        f"{n} rows on each rank, in pieces, and the Allreduce": lambda: shared.loss_and_grads(
            params, x, y
        ),
    }
    for call in calls.values():
        call()  # the first one is slower, and compares checksums
    return {name: slowest(comm, call, rounds) for name, call in calls.items()}


def table(header, rows):
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def seconds(t):
    unit, scale = ("s", 1) if t >= 1 else ("ms", 1e3) if t >= 1e-3 else ("µs", 1e6)
    return f"{t * scale:.3g} {unit}"


def size(nbytes):
    unit, scale = next((u, s) for u, s in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)) if nbytes >= s)
    return f"{nbytes / scale:.3g} {unit}"


def spread(times):
    low, middle, high = np.percentile(times, [25, 50, 75])
    return [seconds(middle), f"{seconds(low)} … {seconds(high)}"]


def cpu():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":")[1].strip() for line in file if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main():
    from mpi4py import MPI

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    rounds = parser.parse_args().rounds
    comm = MPI.COMM_WORLD
    ranks = comm.Get_size()
    if ranks < 2:
        sys.exit("An Allreduce needs two ranks: mpiexec -n 2 python -m mpi4py " + sys.argv[0])
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    times, steps = measure(comm, rounds), step(comm, rounds)
    if comm.Get_rank():
        return
    library = MPI.Get_library_version().split("\n")[0].replace("\t", " ")
    medians = {n: float(np.median(t)) for n, t in times.items()}
    alpha, beta = fit(ranks, medians)
    print(f"{ranks} ranks, {os.cpu_count()} cores ({cpu()}), {' '.join(library.split())}, "
          f"load {load:.1f} at the start; median and quartiles of up to {rounds} rounds.\n")  # fmt: skip
    rows = [
        [f"{n:,}", *spread(t), seconds(float(ring(ranks, n, alpha, beta)))]
        for n, t in times.items()
    ]
    print(table(["bytes", "median", "quartiles", "model"], rows))
    print(f"\nFitted: α = {seconds(alpha)}, 1/β = {1 / beta / 1e9:.2g} GB/s.\n")
    rows = [[name, *spread(t)] for name, t in steps.items()]
    print(table(["loss and gradients of the MLP", "median", "quartiles"], rows), end="\n\n")
    header = ["gradients, network", *(f"p = {p:,}" for p in RANKS)]
    networks = {"as fitted": (float(alpha), float(beta)), **NETWORKS}
    rows = [
        [f"{name}, {size(8 * parameters)}, {network}"]
        + [
            " / ".join(seconds(cost(p, 8 * parameters, *link)) for cost in (ring, halving))
            for p in RANKS
        ]
        for name, parameters in MODELS.items()
        for network, link in networks.items()
    ]
    print(table(header, rows))


if __name__ == "__main__":
    main()
