"""A trace as HTML: a table that reads on its own, and a stepper where scripts run."""

from __future__ import annotations

import secrets
from html import escape
from typing import Any

from npoptim.trace.lines import Line, Part, Trace, is_start
from npoptim.trace.values import summary
from npoptim.view.pages import flush, script
from npoptim.view.terminal import _goes_on as goes_on

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>
<style>body{{margin:16px;font-family:system-ui,sans-serif}}
@media(prefers-color-scheme:dark){{body{{background:#14171c}}}}</style></head>
<body>{body}</body></html>
"""


def html(trace: Trace) -> str:
    """The trace as a piece of HTML, for a notebook or any page; several stand side by side.

    A table of all lines, with the values before and after, which a script
    turns into a stepper. Nothing is loaded from anywhere.
    """
    name = f"npo-{secrets.token_hex(4)}"  # so that every script finds its own table alone
    rows = "".join(_part(part, trace) for part in trace.parts)
    # data-lm-…: JupyterLab would take the arrow keys for itself
    return (
        f'<div class="npo-trace {name}" data-lm-suppress-shortcuts="true">'
        f"<style>{flush('stepper.css')}</style>"
        f"<table><caption>{escape(trace.optimizer)}</caption><thead><tr>"
        f'<th scope="col">line</th><th scope="col" style="text-align:left">box, code, numbers</th>'
        f'<th scope="col">before</th><th scope="col">after</th></tr></thead>{rows}</table>'
        f"<script>{script('stepper.js').replace('NAME', name)}</script></div>"
    )


def page(trace: Trace) -> str:
    """The trace as a page of its own."""
    return _PAGE.format(title=escape(f"Trace of {trace.optimizer}"), body=html(trace))


def _part(part: Part, trace: Trace) -> str:
    """One step of one parameter."""
    shape = getattr(trace.params.get(part.param), "shape", ())
    title = f"step {part.step} · {part.param} {shape or ''}".rstrip()
    lines, shown = [], None
    for line, after in zip(part.lines, [*part.lines[1:], None], strict=True):
        again = shown is not None and line.number == shown.number is not None
        lines.append(_line(line, again, goes_on(line, after)))
        shown = line
    head = f'<tr><th colspan="4" scope="rowgroup" style="text-align:left">{escape(title)}</th></tr>'
    return f"<tbody>{head}{''.join(lines)}</tbody>"


def _line(line: Line, again: bool, goes_on: bool) -> str:
    """One line: box and code, each once where several lines share them."""
    number = "" if line.number is None or again else str(line.number)
    box = "" if again else line.pseudocode
    text = [f"<b>{escape(box)}</b>"] if box else []
    if line.code and not goes_on:
        text.append(f"<code>{escape(line.code)}</code>")
        if line.substituted and not line.pseudocode.startswith("given") and not is_start(box):
            text.append(f'<code class="npo-put">= {escape(line.substituted)}</code>')
    before = {name: line.before[name] for name in line.values if name in line.before}
    after = _values(line.values) + ("<br>failed here" if line.failed else "")
    return (
        f'<tr class="line"><th scope="row">{number}</th>'
        f'<td style="text-align:left">{"<br>".join(text)}</td>'
        f"<td>{_values(before)}</td><td>{after}</td></tr>"
    )


def _values(values: dict[str, Any]) -> str:
    return "<br>".join(escape(f"{name} = {summary(value)}") for name, value in values.items())
