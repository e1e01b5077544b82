"""Which call of a rule's functions belonged to which parameter; blocks put together again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from npoptim.trace.recorder import Call, Event


class Run(NamedTuple):
    """What ran for one parameter in one step."""

    events: list[Event]  # of init, then of update
    given: list[Any]  # p, g, t and the slots as update got them
    result: Any  # what update returned; None if it did not


def runs(
    calls: list[Call], params: Mapping[str, Any], fresh: Mapping[str, bool]
) -> Iterator[tuple[str, Run]]:
    """Name and run of every parameter that the step came to.

    `fresh` says for which parameters `init` ran under observation.
    """
    inits = iter([call for call in calls if call.source.init])
    updates = iter([call for call in calls if not call.source.init])
    for name, p in params.items():
        init = next(inits, None) if fresh[name] else None
        events = init.events if init else []
        blocks = [call] if (call := next(updates, None)) else []
        while blocks and _size(blocks) < p.size and (call := next(updates, None)):
            blocks.append(call)
        if not blocks:
            if events:
                yield name, Run(events, [], None)
            continue
        whole = blocks[-1]  # of a step that failed half-way, the block it failed in
        if len(blocks) > 1 and _size(blocks) == p.size and whole.result is not None:
            whole = _joined(blocks, p)
        yield name, Run([*events, *whole.events], whole.arguments, whole.result)


def _size(blocks: list[Call]) -> int:
    return sum(np.size(block.arguments[0]) for block in blocks)


def _joined(blocks: list[Call], p: Any) -> Call:
    """The calls of an element rule on the blocks of `p` as one on the whole of it."""
    whole = _Join([np.shape(block.arguments[0]) for block in blocks], p)
    first = blocks[0]
    paths = [[event.unit for event in block.events] for block in blocks]
    if any(path != paths[0] for path in paths):  # they branched apart: one block after the other
        events = [event for block in blocks for event in block.events]
    else:
        events = [
            together[0]._replace(
                before=whole.dicts([event.before for event in together]),
                values=whole.dicts([event.values for event in together]),
            )
            for together in zip(*(block.events for block in blocks), strict=True)
        ]
    given = [whole(list(x)) for x in zip(*(block.arguments for block in blocks), strict=True)]
    return Call(first.source, given, events, whole([block.result for block in blocks]))


class _Join:
    """Puts the values of blocks together; the same values once."""

    def __init__(self, shapes: list[tuple[int, ...]], p: Any) -> None:
        self.shapes, self.shape = shapes, p.shape
        self.rows_first = np.empty_like(p).flags.c_contiguous
        self.seen: dict[tuple[int, ...], Any] = {}

    def __call__(self, values: list[Any]) -> Any:
        key = tuple(map(id, values))
        if key not in self.seen:
            self.seen[key] = values, self.joined(values)  # with the values, so that ids stay theirs
        return self.seen[key][1]

    def dicts(self, dicts: list[dict[str, Any]]) -> dict[str, Any]:
        return {k: self([d[k] for d in dicts]) for k in dicts[0] if all(k in d for d in dicts)}

    def joined(self, values: list[Any]) -> Any:
        first = values[0]
        if isinstance(first, dict):
            return self.dicts(values)
        if isinstance(first, tuple) and all(isinstance(v, tuple) for v in values):
            return tuple(self(list(x)) for x in zip(*values, strict=False))
        if [np.shape(v) for v in values] != self.shapes:
            return first  # the same number for every block
        x = np.concatenate(values)
        if x.shape == self.shape:
            return x
        return x.reshape(self.shape) if self.rows_first else x.reshape(self.shape[::-1]).T
