"""The process that runs a submission: reads it and its cases, writes what it traced.

It knows the numbers of the cases and no right value. Run by `isolation.run`.
"""

from __future__ import annotations

import json
import linecache
import os
import sys
from types import ModuleType
from typing import Any

from npoptim.homework.cases import Case
from npoptim.homework.wire import pack_trace, unpack

NAME = "submission"


def main() -> None:
    """Trace the submission on stdin; the results go to what stdout was."""
    task = json.load(sys.stdin)
    results = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a submission prints is not a result
    _limit(task["memory"], task["seconds"], task["output"])
    json.dump(_run(task), results)
    results.close()


def _limit(memory: int, seconds: int, output: int) -> None:
    """Bounds that the system keeps, where it knows them; elsewhere the parent's clock is left."""
    try:
        import resource
    except ImportError:
        return
    limits = {"RLIMIT_AS": memory, "RLIMIT_CPU": seconds + 1, "RLIMIT_FSIZE": output}
    for name, value in limits.items():
        resource.setrlimit(getattr(resource, name), (value, value))


def _run(task: dict[str, Any]) -> dict[str, Any]:
    from npoptim.contract import check_optimizer
    from npoptim.homework.grading import switch_off

    if task["cases"] is None:
        try:
            cls = _class(task["source"], task["file"])
            check_optimizer(cls)
        except BaseException as error:
            return {"error": _said(error)}
        return {"name": cls.__name__}
    switch_off()  # for good: what would put the rules back is nowhere to be found
    try:
        cls = _class(task["source"], task["file"])
    except BaseException as error:
        return {"error": _said(error)}
    return {"cases": [_trace(cls, Case(**unpack(case))) for case in task["cases"]]}


def _class(source: str, file: str) -> type:
    """The optimizer that a source defines: the last one."""
    from npoptim.optimizers.base import Optimizer

    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    module = sys.modules[NAME] = ModuleType(NAME)
    exec(compile(source, file, "exec"), vars(module))
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Optimizer) and value.__module__ == NAME
    ]
    if not found:
        raise LookupError("the file defines no class that inherits from npoptim.Optimizer.")
    return found[-1]


def _trace(cls: type, case: Case) -> dict[str, Any]:
    from npoptim.homework.grading import traced

    try:
        return {"trace": pack_trace(traced(cls, case))}
    except BaseException as error:
        partial = getattr(error, "trace", None)
        return {"error": _said(error), "trace": pack_trace(partial) if partial else None}


def _said(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "MemoryError: it used more memory than a homework may."
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__


if __name__ == "__main__":
    main()
