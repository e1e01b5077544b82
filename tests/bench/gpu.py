"""A step of 100 M float32 on a GPU: npoptim on CuPy against torch and the memory's bandwidth.

    python tests/bench/gpu.py

prints Markdown: ms a step, as kernels and line by line, and the floor, the time in which the card reads and writes parameter,
gradient and state once. Also checks each rule on the card against the host, in float64.
"""

import time

import numpy as np

import npoptim as npo
from npoptim.optimizers.fused import plain_lines

SIZE = (10_000, 10_000)
TORCH = {
    "sgd": ("SGD", {"lr": 1e-3}),
    "momentum": ("SGD", {"lr": 1e-3, "momentum": 0.9}),
    "nesterov": ("SGD", {"lr": 1e-3, "momentum": 0.9, "nesterov": True}),
    "adam": ("Adam", {}),
    "adamw": ("AdamW", {}),
    "adafactor": ("Adafactor", {}),
}


def seconds(step, wait, rounds=20):
    for _ in range(3):
        step()
    wait()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        step()
        wait()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def conformance(rule):
    """Largest relative difference to the host after 20 steps in float64."""
    rng = np.random.default_rng(0)
    here = {"W": rng.normal(size=(2000, 1500)), "b": rng.normal(size=300)}  # kernels, and lines
    there, a, b = npo.to_device(here), npo.get_optimizer(rule), npo.get_optimizer(rule)
    there = {k: x.copy() for k, x in there.items()}
    for _ in range(20):
        grads = {k: rng.normal(size=x.shape) for k, x in here.items()}
        a.step(here, grads)
        b.step(there, npo.to_device(grads))
    back = npo.to_host(there)
    return max(float(np.max(np.abs(back[k] - x)) / np.max(np.abs(x))) for k, x in here.items())


def main():
    npo.use_backend("cupy")  # says so where there is no GPU
    import cupy

    wait = cupy.cuda.Device().synchronize
    name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    p, g = (cupy.random.standard_normal(SIZE, dtype="f4") for _ in range(2))
    copy = seconds(lambda: cupy.copyto(p, g), wait)  # reads and writes once
    print(f"{name}, {SIZE[0]}×{SIZE[1]} float32; copying takes {copy * 1e3:.2f} ms.\n")
    print("| rule | npoptim, ms | floor, ms | line by line, ms | torch foreach, ms | torch fused, ms "
          "| to the host |")  # fmt: skip
    print("| --- " * 7 + "|")
    for rule in npo.optimizers():
        opt = npo.get_optimizer(rule)
        mine = seconds(lambda opt=opt: opt.step(p, g), wait)
        state = opt.state_nbytes / p.nbytes
        floor = copy / 2 * (3 + 2 * state)  # p and state are read and written, g is read
        with plain_lines():
            lines = seconds(lambda opt=opt: opt.step(p, g), wait)
        row = [rule, *(f"{s * 1e3:.2f}" for s in (mine, floor, lines)), *torch_times(rule)]
        print(f"| {' | '.join(row)} | {conformance(rule):.0e} |", flush=True)
        del opt
        cupy.get_default_memory_pool().free_all_blocks()


def torch_times(rule):
    try:
        import torch
    except ImportError:
        return "", ""
    if rule not in TORCH:
        return "", ""
    name, settings = TORCH[rule]
    found = []
    for kind in ("foreach", "fused"):
        w = torch.nn.Parameter(torch.randn(SIZE, device="cuda"))
        w.grad = torch.randn(SIZE, device="cuda")
        try:
            step = getattr(torch.optim, name)([w], **settings, **{kind: True}).step
            found.append(f"{seconds(step, torch.cuda.synchronize) * 1e3:.2f}")
        except (TypeError, RuntimeError):  # there is no such form of it
            found.append("")
        del w
        torch.cuda.empty_cache()
    return found


if __name__ == "__main__":
    main()
