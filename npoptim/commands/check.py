"""`npoptim check`: the maintainer's verdict on a file with an optimizer in it."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

HELP = "check the optimizer in a Python file: the first wrong line of the paper's box is named"


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments of `npoptim check`."""
    from npoptim.cli import count, positive

    parser.add_argument("file", type=Path, metavar="FILE", help="my_adamw.py")
    parser.add_argument(
        "--task", help="the paper to compare with; by default as the class is named"
    )
    parser.add_argument("--seed", type=count, default=0, metavar="S", help="of the numbers tried")
    parser.add_argument(
        "--seconds", type=positive, default=20, metavar="N", help="time limit; default: 20"
    )
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the file in a process of its own and print the verdict: status 1 unless all is right."""
    import json

    from npoptim.homework.grading import grade_source, tasks
    from npoptim.homework.isolation import Limits, SubmissionError, check_contract

    source = args.file.read_text(encoding="utf-8")
    limits = Limits(seconds=args.seconds)
    task = args.task or _guessed(source, tasks())
    if task is not None:
        grade = grade_source(task, source, args.seed, limits=limits, file=args.file.name)
        passed, said = grade.passed, str(grade)
        verdict = {"task": task, "score": grade.score, "max_score": grade.max_score}
        verdict |= {"line": grade.number, "message": grade.message}
    else:
        try:
            name = check_contract(source, limits, args.file.name)
            passed, said = True, f"{name} satisfies every check of the contract."
        except SubmissionError as error:
            passed, said = False, str(error)
        verdict = {"task": None, "message": said}
    print(json.dumps({**verdict, "passed": passed}) if args.json else said)
    return 0 if passed else 1


def _guessed(source: str, tasks: list[str]) -> str | None:
    """The task that the last class of the file is named after: MyAdamW does adamw."""
    names = re.findall(r"^class +(?:My_?)?(\w+)", source, re.MULTILINE)
    known = [name.lower() for name in names if name.lower() in tasks]
    return known[-1] if known else None
