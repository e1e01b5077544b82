"""What happens inside a rule's functions, line by line, while somebody else calls them.

Nothing is hooked into the rule: Python itself reports every line, through
`sys.monitoring` (3.12 and later) or `sys.settrace`, to one `Recorder`.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any, NamedTuple

from npoptim.trace.source import Source, Unit, returns_anew
from npoptim.trace.values import keep, same


class Event(NamedTuple):
    """One unit that ran."""

    source: Source
    unit: Unit
    before: dict[str, Any]  # every number and array there was
    values: dict[str, Any]  # those it assigned or changed
    failed: bool = False


@dataclass
class Call:
    """One run of an observed function, with what ran inside the functions it called."""

    source: Source
    arguments: list[Any]  # without self
    events: list[Event]
    result: Any = None


@dataclass
class _Frame:
    """A function that is running: what its names hold now, and the unit under way."""

    frame: FrameType
    call: Call
    source: Source
    known: dict[str, Any] = field(default_factory=dict)  # name -> copy
    held: dict[str, Any] = field(default_factory=dict)  # name -> the object itself
    unit: Unit | None = None
    before: dict[str, Any] = field(default_factory=dict)


class Recorder:
    """Turns stops at lines into events: one for every unit, with what it changed."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self.sources = {id(s.function.__code__): s for s in sources}
        self.calls: list[Call] = []
        self._running: list[_Frame] = []

    @property
    def codes(self) -> list[CodeType]:
        return [source.function.__code__ for source in self.sources.values()]

    def line(self, frame: FrameType, lineno: int) -> None:
        """The line is about to run: what ran before it is done."""
        now = self._enter(frame)
        unit = now.source.units.get(lineno)
        if unit is now.unit and unit is not None:
            return
        self._finish(now)
        if unit is not None:
            now.unit, now.before = unit, {**now.known, **_attributes(frame, unit.reads)}

    def returned(self, frame: FrameType, value: Any) -> None:
        """The function is about to return."""
        now = self._enter(frame)
        kept = keep(value)
        self._finish(now, self._results(now, kept))
        self._running.pop()
        if not self._running:
            now.call.result = kept

    def fail(self) -> None:
        """An exception ended it all: units still under way have failed."""
        while self._running:
            self._finish(self._running.pop(), failed=True)

    def close(self) -> None:
        """All is done."""
        if self._running:
            warnings.warn(
                "a debugger took over inside update; the lines after that were not recorded. "
                "A breakpoint that is set before tracing begins does not do that.",
                RuntimeWarning,
                stacklevel=5,  # the caller of trace
            )

    def _enter(self, frame: FrameType) -> _Frame:
        """The record of a frame, those above it dropped: they ended with an exception."""
        running = self._running
        depth = next((i for i, f in enumerate(running) if f.frame is frame), None)
        if depth is not None:
            for ended in reversed(running[depth + 1 :]):
                self._finish(ended, failed=True)
            del running[depth + 1 :]
            return running[depth]
        source = self.sources[id(frame.f_code)]
        names = frame.f_code.co_varnames[: frame.f_code.co_argcount]
        if not running:
            given = [keep(frame.f_locals.get(name)) for name in names[1:]]
            self.calls.append(Call(source, given, []))
        new = _Frame(frame, self.calls[-1], source)
        if running:
            new.known.update(running[-1].known)
        self._changes(new)
        running.append(new)
        return new

    def _finish(
        self, now: _Frame, results: dict[str, Any] | None = None, failed: bool = False
    ) -> None:
        unit, now.unit = now.unit, None
        changed = self._changes(now)
        if unit is None:
            return
        plain = {t: now.known[t] for t in unit.targets if t in now.held and t in now.known}
        plain |= _attributes(now.frame, unit.targets)
        values = {**plain, **changed, **(results or {})}
        if failed or values or not unit.silent:
            if failed:
                values = {k: v for k, v in values.items() if k in changed}
            now.call.events.append(Event(now.source, unit, now.before, values, failed))

    @staticmethod
    def _changes(now: _Frame) -> dict[str, Any]:
        """The names that hold something else than when last looked at."""
        changed = {}
        for name, x in now.frame.f_locals.items():
            unchanged = now.held.get(name, now) is x and same(now.known.get(name), x)
            if unchanged or name == "_":
                continue
            now.held[name] = x
            kept = keep(x)
            if kept is not None:
                now.known[name] = changed[name] = kept
            else:
                now.known.pop(name, None)
        return changed

    @staticmethod
    def _results(now: _Frame, kept: Any) -> dict[str, Any]:
        """What a return statement computes, by the driver's names."""
        found = kept if now.source.init else None
        if isinstance(kept, tuple) and len(kept) == 2:
            found = {"p": kept[0], **(kept[1] if isinstance(kept[1], dict) else {})}
        if now.unit is None or now.unit.silent or not isinstance(found, dict):
            return {}
        anew = [returns_anew(part, now.source.init) for part in now.unit.parts]
        wanted = set(found) if None in anew else {s for slots in anew if slots for s in slots}
        return {slot: value for slot, value in found.items() if slot in wanted}


def _attributes(frame: FrameType, paths: Iterable[str]) -> dict[str, Any]:
    """The numbers behind `self.lr` and the like."""
    found = {}
    for path in paths:
        name, _, attribute = path.partition(".")
        fields = getattr(frame.f_locals.get(name), "__dict__", {}) if attribute else {}
        value = keep(fields.get(attribute))
        if value is not None:
            found[path] = value
    return found


@contextmanager
def recording(sources: Iterable[Source], monitoring: bool | None = None) -> Iterator[Recorder]:
    """Record what runs inside the block, in this thread.

    Uses `sys.monitoring` where it exists and has a tool id to spare, unless
    `monitoring` says otherwise; `sys.settrace` calls the tracer of a debugger
    or of coverage that was there before, and leaves it there.
    """
    recorder = Recorder(sources)
    tool = _tool_id() if monitoring is not False and hasattr(sys, "monitoring") else None
    with _settrace(recorder) if tool is None else _monitor(recorder, tool):
        try:
            yield recorder
        except BaseException:
            recorder.fail()
            raise
        recorder.close()


if sys.version_info >= (3, 12):

    def _tool_id() -> int | None:
        """A tool id that is free; those with a name of their own come last."""
        for tool in (4, 3, 5, 2, 1, 0):
            if sys.monitoring.get_tool(tool) is None:
                sys.monitoring.use_tool_id(tool, "npoptim.trace")
                return tool
        return None

    @contextmanager
    def _monitor(recorder: Recorder, tool: int) -> Iterator[None]:
        monitoring, events = sys.monitoring, sys.monitoring.events
        thread = threading.get_ident()

        def line(code: CodeType, lineno: int) -> None:
            if threading.get_ident() == thread and id(code) in recorder.sources:
                recorder.line(sys._getframe(1), lineno)

        def returned(code: CodeType, offset: int, value: object) -> None:
            if threading.get_ident() == thread and id(code) in recorder.sources:
                recorder.returned(sys._getframe(1), value)

        try:
            monitoring.register_callback(tool, events.LINE, line)
            monitoring.register_callback(tool, events.PY_RETURN, returned)
            for code in recorder.codes:
                monitoring.set_local_events(tool, code, events.LINE | events.PY_RETURN)
            yield
        finally:
            for code in recorder.codes:
                monitoring.set_local_events(tool, code, 0)
            monitoring.register_callback(tool, events.LINE, None)
            monitoring.register_callback(tool, events.PY_RETURN, None)
            monitoring.free_tool_id(tool)

else:

    def _tool_id() -> int | None:
        return None

    def _monitor(recorder: Recorder, tool: int) -> Any:
        raise NotImplementedError("Python before 3.12 has no sys.monitoring.")


@contextmanager
def _settrace(recorder: Recorder) -> Iterator[None]:
    tracer = _Tracer(recorder)
    sys.settrace(tracer)
    try:
        yield
    finally:
        if _installed() is tracer:
            sys.settrace(tracer.before)


def _installed() -> Any:
    return sys.gettrace()


class _Tracer:
    """A trace function that hands everything on to the one that was there before."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.before = _installed()

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        other = self._pass_on(self.before, frame, event, arg)
        return _Local(self, other) if id(frame.f_code) in self.recorder.sources else other

    def _pass_on(self, trace: Any, frame: FrameType, event: str, arg: Any) -> Any:
        if trace is None:
            return None
        result = trace(frame, event, arg)
        if _installed() is not self:  # coverage puts itself back, a debugger may leave
            self.before = _installed()
            sys.settrace(self)
        return result


class _Local:
    """The trace function of one frame."""

    def __init__(self, tracer: _Tracer, other: Any) -> None:
        self.tracer, self.other, self.raised = tracer, other, False

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        recorder = self.tracer.recorder
        if event == "line":
            self.raised = False
            recorder.line(frame, frame.f_lineno)
        elif event == "exception":
            self.raised = True
        elif event == "return" and not (self.raised and arg is None):
            recorder.returned(frame, arg)
        self.other = self.tracer._pass_on(self.other, frame, event, arg)
        return self
