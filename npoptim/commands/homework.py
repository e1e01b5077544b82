"""`npoptim homework`: build the release of a course, grade a class."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "build the release of a course's homework, or grade a class"


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments of `npoptim homework`."""
    from npoptim.cli import count, positive

    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    build = actions.add_parser("release", help="build release/ from source/", allow_abbrev=False)
    build.add_argument("folder", type=Path, metavar="FOLDER", help="the course: holds source/")
    build.add_argument("--out", type=Path, metavar="DIR", help="default: FOLDER/release")
    mark = actions.add_parser("grade", help="grade STUDENT/NAME/NAME.ipynb", allow_abbrev=False)
    mark.add_argument("folder", type=Path, metavar="FOLDER", help="holds the submissions")
    mark.add_argument("--seed", type=count, default=0, metavar="S", help="of every student's own")
    mark.add_argument("--seconds", type=positive, default=20, metavar="N", help="for each notebook")
    mark.add_argument("--out", type=Path, metavar="DIR", help="default: FOLDER/feedback")
    mark.add_argument("--json", action="store_true", help="print the grades as JSON")


def run(args: argparse.Namespace) -> int:
    """Release or grade."""
    if not args.folder.is_dir():
        raise NotADirectoryError(f"{args.folder} is not a folder.")
    return _release(args) if args.action == "release" else _grade(args)


def _release(args: argparse.Namespace) -> int:
    from npoptim.homework.course import release
    from npoptim.view.files import writable

    writable(args.out or args.folder)
    for path in release(args.folder, args.out):
        print(path)
    return 0


def _grade(args: argparse.Namespace) -> int:
    import itertools
    import json

    from npoptim.extras import need
    from npoptim.homework.course import as_csv, feedback, grade_folder
    from npoptim.homework.isolation import Limits
    from npoptim.view import tables
    from npoptim.view.files import save_text, writable

    out = writable(args.out or args.folder / "feedback")
    bar = need("tqdm.auto", extra="plot").tqdm
    results = grade_folder(
        args.folder,
        args.seed,
        Limits(seconds=args.seconds),
        lambda found: bar(found, unit=" notebooks", leave=False, disable=None),
    )
    files = [save_text(as_csv(results), out / "grades.csv")]
    for student, own in itertools.groupby(results, key=lambda r: r.student):
        files.append(save_text(feedback(student, list(own)), out / f"{student}.html"))
    rows = [
        {"student": r.student, "assignment": r.assignment, "score": r.grade.score,
         "of": r.grade.max_score, "line": r.grade.number}
        for r in results
    ]  # fmt: skip
    if args.json:
        print(json.dumps({"grades": rows, "files": list(map(str, files))}))
    else:
        print(tables.records(rows))
        print(f"feedback: {out}")
    return 0
