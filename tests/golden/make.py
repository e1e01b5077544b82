"""Write the golden numbers, or compare npoptim with every library that is here.

    python tests/golden/make.py                    write the files of all rules, or of those named
    python tests/golden/make.py --compare lamb     compare live, write nothing
    python tests/golden/make.py --compare --markdown   the tables of README.md

A file RULE.npz holds the trajectories of all exact references of a rule, "0/W", "0/b", … in the
order of its JSON text `about`. A reference whose library is missing keeps its old numbers.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from problem import Arrays, difference, fingerprint
from references import REFERENCES, Reference
from runners import run_npoptim

from npoptim.libraries.calls import spelled

HERE = Path(__file__).resolve().parent
TOLERANCE = 1e-12
RULES = tuple(dict.fromkeys(reference.rule for reference in REFERENCES))


@dataclass(frozen=True)
class Golden:
    """The numbers of one reference, and what is to be known of them."""

    about: dict[str, Any]
    arrays: Arrays

    def same(self, other: Golden) -> bool:
        """Whether nothing differs, to the last bit."""
        return (
            self.about == other.about
            and self.arrays.keys() == other.arrays.keys()
            and all(np.array_equal(a, other.arrays[name]) for name, a in self.arrays.items())
        )


def describe(reference: Reference) -> dict[str, Any]:
    """What is kept beside the numbers; the call is what they are found by."""
    return {
        "recipe": reference.recipe,
        "ours": spelled(reference.ours),
        "problem": fingerprint(),
        "versions": reference.versions,
        "machine": platform.machine(),
    }


def read(rule: str, folder: Path = HERE) -> list[Golden]:
    """The golden numbers of a rule; none where there is no file."""
    path = folder / f"{rule}.npz"
    if not path.exists():
        return []
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    found = []
    for i, about in enumerate(json.loads(str(arrays.pop("about")))):
        prefix = f"{i}/"
        mine = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        found.append(Golden(about, mine))
    return found


def write(rule: str, goldens: list[Golden], folder: Path = HERE) -> None:
    """The file that `read` reads."""
    arrays = {f"{i}/{name}": a for i, g in enumerate(goldens) for name, a in g.arrays.items()}
    about = json.dumps([golden.about for golden in goldens], ensure_ascii=False)
    arrays["about"] = np.array(about)
    np.savez_compressed(folder / f"{rule}.npz", allow_pickle=False, **arrays)


def collect(rule: str, old: list[Golden]) -> list[Golden]:
    """The numbers of every exact reference of a rule, old ones where its library is missing."""
    kept = {golden.about["recipe"]: golden for golden in old}
    goldens = []
    for reference in REFERENCES:
        if reference.rule != rule or not reference.exact:
            continue
        if reference.missing is None:
            golden = Golden(describe(reference), reference.run())
        elif reference.recipe in kept and kept[reference.recipe].about["problem"] == fingerprint():
            golden = kept[reference.recipe]
            print(f"  kept as it was: {reference.recipe}: {reference.missing}")
        else:
            print(f"  left out: {reference.recipe}: {reference.missing}")
            continue
        goldens.append(golden)
    return goldens


def write_all(rules: Iterable[str]) -> None:
    """Write what has changed; an unchanged file is left alone, whose bytes hold the time."""
    for rule in rules:
        old = read(rule)
        new = collect(rule, old)
        unchanged = len(old) == len(new) and all(a.same(b) for a, b in zip(old, new, strict=True))
        if not unchanged:
            write(rule, new)
        print(f"{rule}: {len(new)} references, {'unchanged' if unchanged else 'written'}")


def ours(rule: str, reference: Reference) -> Arrays:
    """npoptim's trajectory with what corresponds to the reference's arguments."""
    import npoptim as npo

    return run_npoptim(npo.optimizers()[rule], reference.ours, reference.tensors)


@dataclass(frozen=True)
class Row:
    """One comparison: the largest relative difference per parameter, and what that means."""

    reference: Reference
    differences: dict[str, float]
    problem: str = ""

    @property
    def worst(self) -> float:
        """The largest of all; not a number where there is none."""
        return max(self.differences.values(), default=float("nan"))

    @property
    def each(self) -> str:
        """The difference of each parameter."""
        return " ".join(f"{name} {x:.0e}" for name, x in self.differences.items())

    @property
    def verdict(self) -> str:
        """`exact`, `departs`, why there is none, or in capitals what was not expected."""
        if self.problem:
            return self.problem
        exact = self.worst <= TOLERANCE
        word = "exact" if exact else "departs"
        return word if exact == self.reference.exact else word.upper()

    @property
    def unexpected(self) -> bool:
        """Whether this is not what references.py says of it."""
        return self.verdict.split(":")[0].isupper()


def compare(reference: Reference) -> Row:
    """Run both sides now. One library that fails must not hide the others, hence the net."""
    if reference.missing:
        return Row(reference, {}, reference.missing)
    try:
        theirs = reference.run()
    except Exception as error:
        return Row(reference, {}, f"FAILED: {type(error).__name__}: {error}")
    mine = ours(reference.rule, reference)
    return Row(reference, {name: difference(mine[name], a) for name, a in theirs.items()})


def show(row: Row) -> str:
    """One comparison for the terminal."""
    reference = row.reference
    line = f"{reference.rule:<10} {row.each:<23}  {row.verdict:<8} {reference.recipe}"
    return f"{line}\n{'':45}{reference.why}" if reference.why else line


def markdown(rows: list[Row]) -> str:
    """The versions and the tables of README.md."""
    versions: dict[str, str] = {}
    tables: dict[bool, list[str]] = {True: [], False: []}
    for row in rows:
        reference = row.reference
        if not row.problem:
            versions |= reference.versions
            cells = (reference.rule, f"`{reference.recipe}`", row.each, reference.why)
            tables[reference.exact].append("| " + " | ".join(cells) + " |")
    head = "\n| rule | call | largest relative difference | {} |\n|---|---|---|---|"
    return "\n".join(
        [
            ", ".join(f"{name} {version}" for name, version in sorted(versions.items())),
            head.format("remark"),
            *tables[True],
            head.format("why"),
            *tables[False],
        ]
    )


def main(arguments: list[str] | None = None) -> int:
    """The command line; 1 where a comparison is not as expected."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rules", nargs="*", metavar="RULE", help=f"of {', '.join(RULES)}")
    parser.add_argument("--write", action="store_true", help="write the files (the default)")
    parser.add_argument("--compare", action="store_true", help="compare live, write nothing")
    parser.add_argument("--markdown", action="store_true", help="with --compare: as in README.md")
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.rules) - set(RULES)):
        parser.error(f"RULE must be one of {', '.join(RULES)}. Got {unknown[0]!r} instead.")
    if options.write and options.compare:
        parser.error("--compare writes nothing; leave out --write.")
    if options.markdown and not options.compare:
        parser.error("--markdown needs --compare.")
    rules = options.rules or RULES
    if not options.compare:
        write_all(rules)
        return 0
    rows = []
    for reference in (r for r in REFERENCES if r.rule in rules):
        rows.append(compare(reference))
        if not options.markdown:
            print(show(rows[-1]), flush=True)
    if options.markdown:
        print(markdown(rows))
    return int(any(row.unexpected for row in rows))


if __name__ == "__main__":
    sys.exit(main())
