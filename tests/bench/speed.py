"""Write docs/speed.md: every question of `npoptim bench`, against whatever is installed here.

    pip install torch optax pytorch-optimizer lion-pytorch came-pytorch
    python tests/bench/speed.py --date 2026-11-22

On Linux as root everyone runs at a real-time priority, so that other processes do not disturb.
"""

import argparse
import os
from pathlib import Path

from npoptim import bench

PAGE = Path(__file__).resolve().parents[2] / "docs" / "speed.md"

HEAD = """# Speed

A rule's lines are the box's lines, in plain NumPy; what is fast about them is how they are driven. Small arrays are
recognized, so that a step of two numbers spends its time in the rule; larger ones go through the cache in blocks;
above 4 MiB the lines are recorded and run block by block in buffers that are reused, on several threads
(`NPOPTIM_THREADS`, by default one a core, at most four). The rules know nothing of it.

Every figure below is npoptim's time over a peer's in the same run: everyone takes a turn, round after round, and the
median over the rounds is given with quartiles. Below 1 npoptim is faster. `npoptim bench` prints these tables for
your machine, `tests/bench/speed.py` has written this page.

"""

TAIL = """

## Read it with care

- On two numbers, time is Python's and NumPy's cost of a call, not arithmetic. A fused C++ step of one call stays
  ahead of any rule written as ten lines.
- A single point of a polynomial surface, Rosenbrock's among them, is given to `slope` as two Python numbers: the same
  sums and products, the same bits, in a fraction of the time that arrays of one element take.
- torch's `fused=True` steps pass once over memory. NumPy passes once for every operation, in blocks that stay in the
  cache; SGD and Momentum, which do next to no arithmetic, show the difference most.
- Results in blocks equal the plain lines bit for bit for element rules; norms and means differ by rounding.
- On a GPU the same lines run on CuPy's arrays, large ones in a few kernels. No figures are given, because none were
  measured: `tests/bench/gpu.py` prints them where there is a card.
- Lion's eleven operations on two numbers hold six products with a Python number, which take NumPy almost twice as long
  as products of arrays; torch multiplies in place, by a C++ number.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--date", required=True, help="of the run, for the page")
    parser.add_argument("--rounds", type=int, default=21)
    given = parser.parse_args()
    if hasattr(os, "sched_setscheduler") and os.geteuid() == 0:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    rules = list(bench.PEERS)
    tables = [
        bench.toy(rules, given.rounds),
        bench.loop(rules, given.rounds),
        bench.many(max(3, given.rounds // 3)),
        bench.large(rules, given.rounds),
    ]
    text = "\n\n".join(table.markdown() for table in tables)
    PAGE.write_text(f"{HEAD}Measured {given.date}: {bench.setting()}.\n\n{text}{TAIL}", "utf-8")


if __name__ == "__main__":
    main()
