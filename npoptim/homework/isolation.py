"""A submission in a process of its own, with bounds on time, memory and output."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import npoptim
from npoptim.homework.cases import Case
from npoptim.homework.wire import pack, unpack_trace
from npoptim.trace import Trace


@dataclass(frozen=True)
class Limits:
    """What a submission may use. Where the system knows no such bounds, only the time holds."""

    seconds: int = 20
    memory: int = 4 * 2**30
    output: int = 10 * 2**20  # bytes of any one file, what it prints included


class SubmissionError(Exception):
    """What became of a submission, in a sentence; `trace` is what ran before."""

    def __init__(self, sentence: str, trace: Trace | None = None) -> None:
        super().__init__(printable(sentence))
        self.trace = trace


def printable(text: str) -> str:
    r"""A submission's text without what a terminal would obey.

    >>> printable("red: \x1b[31m")
    'red: �[31m'
    """
    return "".join(c if c.isprintable() or c == "\n" else "�" for c in text)


def run(
    source: str, cases: Sequence[Case], limits: Limits | None = None, file: str = "submission.py"
) -> list[Trace | SubmissionError]:
    """Trace the optimizer that `source` defines on every case, in another process.

    Raises SubmissionError where there is nothing to grade: no class, a
    syntax error, an endless loop, too much memory or output, an early exit.
    """
    packed = [pack({"hyper": c.hyper, "p": c.p, "g": c.g}) for c in cases]
    answer = _asked({"source": source, "file": file, "cases": packed}, limits)
    return results(answer.get("cases"), len(cases))


def results(answers: Any, wanted: int) -> list[Trace | SubmissionError]:
    """What a worker wrote of its cases. Raises SubmissionError where it is something else."""
    try:
        found = [_result(case) for case in answers]
    except Exception:  # what comes from a submission may be anything
        found = []
    if len(found) != wanted:
        raise SubmissionError("The submission tampered with its result.")
    return found


def check_contract(source: str, limits: Limits | None = None, file: str = "submission.py") -> str:
    """Put the optimizer that `source` defines through the contract; returns its name.

    Raises SubmissionError with the sentence of the first check that fails.
    """
    answer = _asked({"source": source, "file": file, "cases": None}, limits)
    if not isinstance(answer.get("name"), str):
        raise SubmissionError("The submission tampered with its result.")
    return str(answer["name"])


def _asked(task: dict[str, Any], limits: Limits | None) -> dict[str, Any]:
    limits = limits or Limits()
    with tempfile.TemporaryDirectory() as folder:
        answer = _answer(json.dumps(task | vars(limits)), limits, Path(folder))
    if "error" in answer:
        raise SubmissionError(str(answer["error"])[:1000])
    return answer


def _result(case: dict[str, Any]) -> Trace | SubmissionError:
    trace = unpack_trace(case["trace"]) if case.get("trace") else None
    if "error" in case:
        return SubmissionError(str(case["error"])[:1000], trace)
    return trace or SubmissionError("The submission was not traced.")


def _answer(task: str, limits: Limits, folder: Path) -> dict[str, Any]:
    """What the worker writes, or a sentence on why it wrote nothing."""
    out, err = folder / "out", folder / "err"
    home = str(Path(npoptim.__file__).parents[1])
    env = {k: v for k, v in os.environ.items() if k in ("PATH", "SYSTEMROOT", "LANG", "TEMP")}
    env |= {"PYTHONPATH": home, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "npoptim.homework.worker"]
    with open(out, "wb") as stdout, open(err, "wb") as stderr:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr, cwd=folder, env=env,
            start_new_session=True,
        )  # fmt: skip
        try:
            process.communicate(task.encode(), timeout=limits.seconds)
        except subprocess.TimeoutExpired:
            return {"error": f"It was stopped after {limits.seconds} s: is there an endless loop?"}
        except BrokenPipeError:
            process.wait()
        finally:
            _end(process)
    return _read(process.returncode, out, err, limits)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop the worker and, where the system groups them, every process it has started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _read(status: int, out: Path, err: Path, limits: Limits) -> dict[str, Any]:
    said = err.read_bytes()[-2000:].decode(errors="replace").strip().splitlines()
    if err.stat().st_size >= limits.output or out.stat().st_size >= limits.output:
        return {"error": f"It wrote more than {limits.output >> 20} MiB."}
    if any("MemoryError" in line for line in said):
        return {"error": f"It used more than {limits.memory >> 30} GiB of memory."}
    try:
        answer = json.loads(out.read_text(encoding="utf-8"))
    except RecursionError:
        return {"error": "It tampered with its result."}
    except ValueError:
        last = f" Its last words: {said[-1]}" if said else ""
        return {"error": f"It ended without a result (exit status {status}).{last}"}
    return answer if isinstance(answer, dict) else {"error": "It tampered with its result."}
