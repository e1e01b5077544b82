"""A grid of runs on any executor: in order, failures recorded, and resumable."""

from __future__ import annotations

import inspect
import itertools
import json
import math
import os
import pickle
import re
import socket
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npoptim.extras import need

Point = dict[str, Any]  #: name -> value
Outcome = dict[str, Any]  #: what became of a point: {"values": …} or {"error": …}


@dataclass(frozen=True, eq=False, repr=False)
class Sweep:
    """What a sweep leaves behind: a row for every point, in the order of the grid."""

    #: the point's values and what `fn` returned; in place of that "error" where it failed
    rows: list[dict[str, Any]]
    #: name -> values; empty where the points were given as a list
    axes: dict[str, list[Any]] = field(default_factory=dict)
    results: tuple[str, ...] = ()  #: the names of what `fn` returned

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The rows of points that raised."""
        return [row for row in self.rows if "error" in row]

    def best(self, key: str | None = None, largest: bool = False) -> dict[str, Any]:
        """The row in which `key`, by default the first result, is the lowest, or the `largest`.

        Raises ValueError where no point has a finite one.
        """
        rows = self.ranked(key, largest)
        if not rows:
            raise ValueError(f"no point has a finite {self._key(key)!r}.")
        return rows[0]

    def ranked(self, key: str | None = None, largest: bool = False) -> list[dict[str, Any]]:
        """The rows with a finite `key`, by default the first result, the best first."""
        key, sign = self._key(key), -1 if largest else 1
        rows = [row for row in self.rows if _finite(row.get(key))]
        return sorted(rows, key=lambda row: sign * row[key])

    def array(self, key: str | None = None) -> NDArray[Any]:
        """One result at every point, in the shape of the grid; NaN where there is none.

        A list of points gives one axis. Results that are no numbers come as
        objects, with None where there is none.
        """
        key = self._key(key)
        values = [row.get(key) for row in self.rows]
        shape = tuple(map(len, self.axes.values())) or (len(values),)
        if all(v is None or isinstance(v, (int, float)) for v in values):
            return np.array([math.nan if v is None else v for v in values]).reshape(shape)
        return np.array([*values, None], dtype=object)[:-1].reshape(shape)

    def table(self) -> str:
        """The rows as text."""
        from npoptim.view import tables

        names = list(dict.fromkeys(name for row in self.rows for name in row))
        digits = {name: tables.cell if name in self.results else _exact for name in names}
        rows = [[digits[name](row.get(name)) for name in names] for row in self.rows]
        return tables.text(names, rows)

    def plot(self, key: str | None = None, **options: Any) -> Any:
        """A heat map of one result, or a curve over one axis; see `npoptim.view.heatmap`."""
        from npoptim.view import heatmap

        return heatmap.sweep(self, self._key(key), **options)

    def __repr__(self) -> str:
        grid = " × ".join(f"{name} ({len(values)})" for name, values in self.axes.items())
        parts = [f"{len(self.rows)} points" + (f", {grid}" if grid else "")]
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        for key in self.results[:1]:
            found = [row[key] for row in self.ranked(key)]
            parts += [f"{key} {found[0]:.3g} … {found[-1]:.3g}"] if found else []
        return f"<Sweep: {'; '.join(parts)}>"

    def _key(self, key: str | None) -> str:
        if key is None and self.results:
            return self.results[0]
        if not self.results:
            raise ValueError(f"every point failed, the first with {self.rows[0].get('error')}")
        if key not in self.results:
            raise ValueError(
                f"key must be one of {', '.join(self.results)}, what fn returned. Got {key!r}."
            )
        return key


def sweep(
    fn: Callable[..., Any],
    grid: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]],
    executor: Executor | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Sweep:
    """Call a function at every point of a grid and collect what it returns.

    `grid` is a dict name -> values, of which every combination is a point, or
    a list of points. `fn` takes the names as keywords and returns a number
    (then called "value") or a dict of numbers and words. `executor` is any
    `concurrent.futures.Executor`: a process pool, Dask's, MPI's; None computes
    here, one point after the other. The result is the same with all of them.

    A point that raises is recorded with its error, and the others go on. With
    `path`, each result is appended to that file as a line of JSON when it
    comes in; points found there are not computed again unless they failed.

    >>> result = sweep(lambda a, b: a - 2 * b, {"a": [1, 2], "b": [0, 1, 2]})
    >>> result
    <Sweep: 6 points, a (2) × b (3); value -3 … 2>
    >>> result.best()
    {'a': 1, 'b': 2, 'value': -3}
    >>> result.array()
    array([[ 1, -1, -3],
           [ 2,  0, -2]])

    Raises TypeError or ValueError for a function that does not take the names,
    a grid of another kind, a point given twice, or a file of another sweep,
    and OSError where a worker does not run the npoptim that is run here.
    """
    points, axes = _points(grid)
    _check(fn, points, executor)
    keys = [_match(point, path is not None) for point in points]
    if len(set(keys)) < len(keys):
        twice = next(i for i, key in enumerate(keys) if key in keys[:i])
        raise ValueError(f"grid must hold a point once. Got {points[twice]} twice.")
    file = None if path is None else _File(Path(path), _name(fn))
    known = file.load() if file else {}
    outcomes = {i: known[key] for i, key in enumerate(keys) if key in known}
    todo = [i for i in range(len(points)) if i not in outcomes]
    start = _here if executor is None else partial(_there, executor=executor)
    with closing(start(fn, points, todo)) as arriving:
        for i, outcome in _bar(arriving, progress, len(outcomes), len(points)):
            outcomes[i] = outcome
            if file:
                file.append({"point": points[i], **outcome})
    return _collected(points, axes, [outcomes[i] for i in range(len(points))])


# ---------------------------------------------------------------- the grid


def _points(grid: Any) -> tuple[list[Point], dict[str, list[Any]]]:
    axes: dict[str, list[Any]] = {}
    if isinstance(grid, Mapping):
        for name, values in grid.items():
            if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
                raise TypeError(f"grid[{name!r}] must be a list of values. Got {values!r} instead.")
            axes[name] = list(map(_plain, values))
        grid = [dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values())]
    points = list(grid) if hasattr(grid, "__iter__") else [grid]
    if not all(isinstance(point, Mapping) for point in points):
        raise TypeError(f"grid must be a dict, or a list of dicts. Got {grid!r} instead.")
    if not points or not all(points):
        raise ValueError("grid must hold at least one name, and each name a value.")
    for name in {name for point in points for name in point}:
        if not isinstance(name, str) or name == "error":
            raise ValueError(f"grid must have words other than 'error' as names. Got {name!r}.")
    return [{name: _plain(v) for name, v in point.items()} for point in points], axes


def _plain(value: Any) -> Any:
    """Python's own numbers: NumPy's would turn float32 arrays into float64 ones."""
    return value.item() if getattr(value, "shape", None) == () else value


def _match(point: Point, stored: bool) -> str:
    """What tells a point from others, in a file too."""

    def odd(value: Any) -> str:
        if stored:
            raise TypeError(f"path needs points of numbers and words. Got {value!r} in {point}.")
        return repr(value)

    return json.dumps(point, sort_keys=True, default=odd)


def _check(fn: Any, points: list[Point], executor: Any) -> None:
    if not callable(fn):
        raise TypeError(f"fn must be a function. Got {fn!r} instead.")
    if executor is not None and not isinstance(executor, Executor):
        raise TypeError(
            f"executor must be a concurrent.futures.Executor. Got {executor!r} instead."
        )
    try:
        signature = inspect.signature(fn)
    except ValueError:  # some functions written in C tell nothing
        signature = None
    for names in {tuple(point): None for point in points}:
        try:
            if signature:
                signature.bind(**dict.fromkeys(names))
        except TypeError as error:
            raise TypeError(
                f"fn must take the names of the grid as keywords, {', '.join(names)}: {error}."
            ) from None
    if type(executor).__module__ in ("concurrent.futures.process", "mpi4py.futures.pool"):
        try:
            pickle.dumps(fn)
        except Exception as error:
            raise TypeError(
                f"fn must stand at the top level of a module to be called in other processes. "
                f"Got {_name(fn)}: {error}."
            ) from None


# ---------------------------------------------------------------- the runs


def _call(fn: Callable[..., Any], point: Point) -> tuple[tuple[str, str], Outcome]:
    """Where a point was computed, and what became of it."""
    try:
        values = _returned(fn(**point), point)
    except Exception as error:
        return origin(), {"error": _text(error)}
    return origin(), {"values": values}


def _returned(value: Any, point: Point) -> dict[str, Any]:
    values = dict(value) if isinstance(value, Mapping) else {"value": value}
    for name, v in values.items():
        v = values[name] = _plain(v)
        if v is not None and not isinstance(v, (bool, int, float, str)):
            raise TypeError(
                f"fn must return a number or a dict of numbers and words. Got {v!r} for {name!r}."
            )
        if not isinstance(name, str) or name in point or name == "error":
            raise ValueError(f"fn must return names that the grid does not have. Got {name!r}.")
    return values


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _here(
    fn: Callable[..., Any], points: list[Point], todo: list[int]
) -> Generator[tuple[int, Outcome], None, None]:
    for i in todo:
        yield i, _call(fn, points[i])[1]


def _there(
    fn: Callable[..., Any], points: list[Point], todo: list[int], executor: Executor
) -> Generator[tuple[int, Outcome], None, None]:
    """Points and outcomes in the order in which they come in."""
    if type(executor).__module__.startswith("distributed."):
        check_dask(executor._client)  # type: ignore[attr-defined]  # a worker without npoptim hangs
    futures: dict[Future[Any], int] = {}
    try:
        for i in todo:
            try:
                futures[executor.submit(_call, fn, points[i])] = i
            except BrokenExecutor as error:
                yield i, {"error": _text(error)}
        for future in as_completed(futures):
            yield futures[future], _outcome(future)
    finally:
        for future in futures:
            future.cancel()


def _outcome(future: Future[Any]) -> Outcome:
    try:
        where, outcome = future.result()
    except Exception as error:  # fn's own errors are caught there; this one took the worker
        return {"error": _text(error)}
    _same(where)
    return outcome  # type: ignore[no-any-return]


def check_dask(client: Any) -> None:
    """Raise OSError unless a Dask scheduler and its workers import the npoptim of here."""
    try:
        there = [client.run_on_scheduler(origin), *client.run(origin).values()]
    except Exception as error:
        if "npoptim" not in str(error):
            raise
        raise OSError(f"{client!r} cannot import npoptim: {error}. {_ALIKE}") from error
    for where in there:
        _same(where)


def _same(where: tuple[str, str]) -> None:
    here = origin()
    # one folder is one npoptim, though its files may have been edited since the start
    if where[0] != here[0] and where[1] != here[1]:
        raise OSError(f"{where[1]} is npoptim {where[0]}, {here[1]} is npoptim {here[0]}. {_ALIKE}")


_ALIKE = "Every worker, Dask's scheduler and this process must import the same npoptim."


@cache
def origin() -> tuple[str, str]:
    """Version and checksum of the npoptim of this process, and where it lies."""
    import hashlib

    import npoptim

    folder, digest = Path(npoptim.__file__).parent, hashlib.sha256()
    for file in sorted(folder.rglob("*.py"), key=lambda file: file.relative_to(folder).parts):
        digest.update("/".join(file.relative_to(folder).parts).encode())
        digest.update(file.read_bytes().replace(b"\r\n", b"\n"))
    source = f"{npoptim.__version__} (source {digest.hexdigest()[:8]})"
    return source, f"{socket.gethostname()}:{folder}"


def _bar(arriving: Iterator[Any], progress: bool, done: int, total: int) -> Any:
    if not progress:
        return arriving
    tqdm = need("tqdm.auto", extra="plot").tqdm
    return tqdm(arriving, initial=done, total=total, unit="point", leave=False)


def _collected(points: list[Point], axes: dict[str, list[Any]], outcomes: list[Outcome]) -> Sweep:
    rows = []
    names: dict[str, None] = {}
    for point, outcome in zip(points, outcomes, strict=True):
        values = outcome.get("values", {})
        names |= dict.fromkeys(values)
        rows.append({**point, **values, **{k: v for k, v in outcome.items() if k == "error"}})
    return Sweep(rows, axes, tuple(names))


# ---------------------------------------------------------------- the file


class _File:
    """Lines of JSON: what sweep this is, then a point and its outcome a line."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name

    def load(self) -> dict[str, Outcome]:
        """The outcomes of points that did not fail, by `_match`."""
        head = _line({"sweep": self.name})
        text = self.path.read_bytes() if self.path.exists() else b""
        if head.startswith(text):  # no file yet, or one cut off in its first line
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_bytes(head)
            return {}
        whole = text.rfind(b"\n") + 1  # a crash may have cut off the last line
        first, *lines = text[:whole].splitlines() or [text]
        found: dict[str, Outcome] = {}
        try:
            name = json.loads(first)["sweep"]
            for entry in map(json.loads, lines):
                key = _match(entry["point"], True)
                if "values" in entry:
                    found[key] = {"values": entry["values"]}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.path} is not the file of a sweep: {error!r}.") from None
        if name != self.name:
            raise ValueError(
                f"{self.path} holds a sweep of {name}, this is one of {self.name}. "
                f"Choose another path, or remove the file."
            )
        os.truncate(self.path, whole)
        return found

    def append(self, entry: dict[str, Any]) -> None:
        # one write a line, so that a crash can only cut the last line short
        with open(self.path, "ab", buffering=0) as file:
            file.write(_line(entry))


def _line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, ensure_ascii=False).encode() + b"\n"


def _name(fn: Any) -> str:
    """A name that a function has in every process."""
    if isinstance(fn, partial):
        given = [*map(repr, fn.args), *(f"{k}={v!r}" for k, v in fn.keywords.items())]
        return f"{_name(fn.func)}({', '.join([*given, '…'])})"
    name = getattr(fn, "__qualname__", None)
    return f"{fn.__module__}.{name}" if name else re.sub(r" at 0x[0-9a-fA-F]+", "", repr(fn))


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _exact(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else "–" if value is None else str(value)
