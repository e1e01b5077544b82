"""A submission's trace beside the library's: a point a line, and the first wrong one named."""

from __future__ import annotations

import inspect
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from npoptim.homework import isolation
from npoptim.homework.cases import Case, cases
from npoptim.homework.isolation import Limits, SubmissionError, printable
from npoptim.optimizers import get_optimizer, optimizers
from npoptim.optimizers.base import Optimizer
from npoptim.optimizers.box import DRIVER_LINES
from npoptim.trace import Line, Trace, first_difference, trace


@dataclass(frozen=True)
class Grade:
    """What a submission has earned; str() says it and, if it is not all, why."""

    task: str
    score: int
    max_score: int
    line: Line | None  #: the first wrong line, as the submission ran it
    number: int | None  #: its number in the paper's box
    message: str

    @property
    def passed(self) -> bool:
        """Whether every line is right."""
        return self.score == self.max_score

    def __str__(self) -> str:
        return f"{self.task}: {self.score} of {self.max_score} points. {self.message}"


Run = Callable[[Case], Trace]  #: how a submission is traced: raises what the submission raises


def tasks() -> list[str]:
    """The homeworks that ask for an optimizer: one for every rule."""
    return list(optimizers())


def check(task: str, cls: Any) -> Grade:
    """Try a class on the public cases of a homework; see `grade`.

    >>> from dataclasses import dataclass, replace
    >>> @dataclass
    ... class MySGD(Optimizer):
    ...     lr: float = 0.01
    ...
    ...     def update(self, p, g, t):
    ...         return p + self.lr * g, {}
    >>> check("sgd", MySGD).number
    4
    """
    return grade(task, cls, hidden=False)


def grade(task: str, cls: Any, seed: int = 0, hidden: bool = True) -> Grade:
    """Grade a student's class: a point for every line of the box up to the first wrong one.

    The class is traced beside the library's rule on cases drawn from `seed`.
    While it runs, the library's own rules are switched off: a class that
    only inherits earns nothing.

    Raises ValueError for an unknown task and TypeError for what is no class.
    """
    rule = type(get_optimizer(task))
    if not isinstance(cls, type):
        raise TypeError(f"grade takes a class, not {cls!r}.")

    def run(case: Case) -> Trace:
        with switched_off():
            return traced(cls, case)

    with _ALONE:
        return graded(task, rule, run, cases(rule, seed, hidden))


def grade_source(
    task: str,
    source: str,
    seed: int = 0,
    hidden: bool = True,
    limits: Limits | None = None,
    file: str = "submission.py",
) -> Grade:
    """Grade the last optimizer that a source text defines, run in a process of its own.

    That process knows the cases and no right value; see `isolation.run`.
    """
    rule = type(get_optimizer(task))
    tried = list(cases(rule, seed, hidden))
    try:
        results = iter(isolation.run(source, tried, limits, file))
    except SubmissionError as error:
        nothing = graded(task, rule, lambda case: traced(rule, case), iter(tried))
        return replace(nothing, score=0, message=str(error))

    def run(case: Case) -> Trace:
        result = next(results)
        if isinstance(result, SubmissionError):
            raise result
        return result

    return graded(task, rule, run, iter(tried))


def graded(task: str, rule: type[Optimizer], run: Run, tried: Iterator[Case]) -> Grade:
    """The grade of a submission that `run` traces; the right values are computed here."""
    points: dict[str, int] = {}  # box -> lines right in the worst of its cases
    most: dict[str, int] = {}
    worst: tuple[Line | None, int | None, str] = (None, None, "")
    # all of its cases first, while no right value is anywhere to be read
    for case, got in [(case, _attempt(run, case)) for case in tried]:
        expected = traced(rule, case)
        box, lines = _lines(expected)
        most[box] = len(lines)
        number, line, message = _first_wrong(expected, got)
        right = len(lines) if not message else sum(n < (number or 0) for n in lines)
        if message and (not worst[2] or (number or 0) < (worst[1] or 0)):
            worst = line, number, message
        points[box] = min(points.get(box, right), right)
    message = printable(worst[2]) or "Every line of the paper is right."
    return Grade(task, sum(points.values()), sum(most.values()), worst[0], worst[1], message)


def traced(cls: type, case: Case) -> Trace:
    """Three steps of a fresh instance."""
    return trace(cls(**case.hyper), case.p.copy(), [g.copy() for g in case.g])


def _lines(expected: Trace) -> tuple[str, list[int]]:
    """Which box a trace follows, and the lines of it that are the student's to write."""
    box = next(iter(expected.boxes.values()))
    written = (n for n, text in box.items() if not text.startswith("given"))
    return str(box), [n for n in written if box[n] not in DRIVER_LINES]


def _attempt(run: Run, case: Case) -> Trace | Exception:
    """The trace of a submission; whatever it raises is its result too."""
    try:
        return run(case)
    except Exception as error:
        return error


def _first_wrong(expected: Trace, got: Trace | Exception) -> tuple[int | None, Line | None, str]:
    """Number, line and sentence of the first difference; no sentence if there is none."""
    error = got if isinstance(got, Exception) else None
    ran: Trace | None = getattr(got, "trace", None) if isinstance(got, Exception) else got
    try:
        found = first_difference(expected, ran) if ran else None
    except Exception as odd:  # values that are no numbers
        return None, None, f"Its lines cannot be compared with the paper's: {_said(odd)}"
    if error is not None:
        line = ran[-1] if ran else None
        number = line.number if line else None
        # what ends in an error may have gone wrong before: a square forgotten, then a root
        if not (found and number and found.number and found.number < number):
            where = f"line {number}, {line.pseudocode}: " if line and number else ""
            return number, line, where + _said(error)
    return (found.number, found.line, str(found)) if found else (None, None, "")


def _said(error: Exception) -> str:
    """An error in a sentence; for methods that are not written yet, that."""
    if "NoneType" in str(error) or "Got None" in str(error):
        return f"A method returns nothing: write init and update. ({type(error).__name__}: {error})"
    return str(error) if isinstance(error, SubmissionError) else f"{type(error).__name__}: {error}"


Kept = list[tuple[type, str, Callable[..., Any]]]  #: class, name of the method, the method
_ALONE = threading.RLock()  # the switch is one for all threads


@contextmanager
def switched_off() -> Iterator[None]:
    """The library's own rules raise when they are run."""
    kept = switch_off()
    try:
        yield
    finally:
        for cls, name, function in kept:
            setattr(cls, name, function)


def switch_off() -> Kept:
    """Let the library's own rules raise from here on; returns what to put back."""

    def refused(self: Any) -> SwitchedOff:
        return SwitchedOff(
            f"the library's own {type(self).__mro__[1].__name__} is switched off in a homework: "
            f"write init and update yourself."
        )

    def init(self: Any, p: Any) -> NoReturn:
        raise refused(self)

    def update(self: Any, p: Any, g: Any, t: Any, *memory: Any, **state: Any) -> NoReturn:
        raise refused(self)

    off = {"init": init, "update": update, "init_vector": init, "update_vector": update}
    kept = [
        (cls, name, vars(cls)[name])
        for cls in optimizers().values()
        for name in off
        if name in vars(cls)
    ]
    for cls, name, _ in kept:
        setattr(cls, name, off[name])
    return kept


class SwitchedOff(RuntimeError):
    """A homework called the library's own rule."""


def skeleton(task: str) -> str:
    """What a student starts from: the box, the fields, and methods to fill in."""
    return _class(task, solved=False)


def solution(task: str) -> str:
    """The same class with its methods filled in, from the library's own lines."""
    return _class(task, solved=True)


def _class(task: str, solved: bool) -> str:
    rule = type(get_optimizer(task))
    source = inspect.getsource(rule)
    head, _, rest = source.partition('    scope = "')
    fields = head[head.rindex('"""') + 3 :].strip("\n")
    scope, _, body = rest.partition('"\n')
    bodies = body.strip("\n")
    if not solved:
        bodies = "\n\n".join(_stub(f"    def {m}") for m in bodies.split("    def ")[1:])
    doc = textwrap.indent("\n\n".join(_box(lines) for lines in _boxes(rule)), "    ")
    return (
        f"@dataclass\nclass My{rule.__name__}(npo.Optimizer):\n"
        f'    """My {rule.__name__}.\n\n{doc}\n    """\n\n{fields}\n\n'
        f'    scope = "{scope}"\n\n{bodies}\n'
    )


def _boxes(rule: type) -> list[dict[int, str]]:
    from npoptim.optimizers.box import boxes

    return boxes(rule)


def _box(lines: dict[int, str]) -> str:
    return "\n".join(f"{n:2}  {text}" for n, text in lines.items())


def _stub(method: str) -> str:
    signature = method[: method.index(":\n") + 1]
    return f"{signature}\n        ...  # your lines"
