"""How the lines of an element rule run on large arrays: one cache-sized block after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

#: Bytes of one operand in a block. Up to here the temporaries of a line stay in
#: the cache and are reused; from 128 KiB on glibc maps fresh pages for each.
BLOCK = 64 * 1024


def update_in_blocks(
    update: Callable[..., tuple[Array, dict[str, Array]]],
    p: Array,
    g: Array,
    t: int,
    state: dict[str, Array],
    out: Array,
    memory: dict[str, Array],
    check: Callable[..., None],
) -> None:
    """Run `update` block by block and write what it returns to `out` and `memory`.

    All arrays have the shape of `p`; `out` and `memory` may be `p` and `state`
    themselves and must be laid out like `p`. `check` sees what `update` made
    of every block, the block, and where it lies, before anything of it is written.
    """
    flat, rows, order = _flat(p)
    P, G, target = flat(p), flat(g), flat(out)
    before, after = ({k: flat(x) for k, x in tree.items()} for tree in (state, memory))
    for start in range(0, len(P), rows):
        block = slice(start, start + rows)
        old = {k: x[block] for k, x in before.items()}
        new, slots = update(P[block], G[block], t, **old)
        check(new, slots, P[block], old, start * (p.size // len(P)), p.shape, order)
        target[block] = new
        for name, x in after.items():
            x[block] = slots[name]


def _flat(p: Array) -> tuple[Callable[[Array], Array], int, str]:
    """A view of `p` as a row of elements or slices; how many make a block; their order in `p`."""
    size = max(1, BLOCK // p.itemsize)
    if p.flags.c_contiguous:
        return lambda x: x.reshape(-1), size, "C"
    if p.flags.f_contiguous:
        return lambda x: x.T.reshape(-1), size, "F"
    return lambda x: x, max(1, size * len(p) // p.size), "C"
