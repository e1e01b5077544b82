"""The page of `explore`: one file, with everything in it and nothing from anywhere."""

from __future__ import annotations

import secrets
from html import escape
from itertools import groupby
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from npoptim.optimizers.box import DRIVER_LINES, pseudocode
from npoptim.trace.lines import is_start
from npoptim.trace.notation import targets
from npoptim.view import formulas, style
from npoptim.view.bands import bands
from npoptim.view.ground import box as picture_size
from npoptim.view.pages import asset, flush, packed, safe_json, script

if TYPE_CHECKING:
    from npoptim.explore import Exploration, Row, Run, Watched
    from npoptim.surfaces.base import Surface

_FRAME = """<div class="npo-{id}">
<p>The page shows itself where the notebook is trusted; .save("page.html") writes it to a file.</p>
<iframe title="{title}" srcdoc="{page}" sandbox="allow-scripts"
 style="display:block;width:100%;height:900px;border:0"></iframe>
<script>{script}</script>
</div>"""

#: Colours that no picture has: in light and in dark.
_OWN = {
    "gradient": ("#b8420f", "#ff9a66"),
    "momentum": ("#00746b", "#4fd1c1"),
    "focus": ("#0b63ce", "#7ab8ff"),
    "heat": ("#0a3d62", "#9fd0f5"),
}


def page(found: Exploration) -> str:
    """The page as HTML."""
    surface, names = found.surface, list(dict.fromkeys(w.name for w in found.watched))
    many = len(names) > 3
    title = f"{f'{len(names)} optimizers' if many else ' and '.join(names)} on {_words(surface)}"
    about = [f"{found.steps} steps", "every number is from the rule's own lines as they ran"]
    about += ["the picture is the plane of the minima"] * (surface.shape != (2,))
    return Template(asset("player.html")).substitute(
        title=escape(title),
        name=escape(surface.name),
        formula=escape(f"f({'x, y' if surface.shape == (2,) else 'X'}) = {surface.formula}"),
        about=escape(" · ".join(about)),
        count=len(found.watched),
        colours=_colours(found.watched),
        style=flush("player.css"),
        ground=bands(surface),
        data=safe_json(_data(found)),
        script=script("numbers.js", "picture.js", "box.js", "player.js"),
    )


def frame(found: Exploration) -> str:
    """The page in a frame, for a notebook: neither can disturb the other."""
    name = secrets.token_hex(4)
    return _FRAME.format(
        id=name,
        title=escape(repr(found)),
        page=escape(found.html),
        script=script("frame.js").replace("ID", name),
    )


def _words(surface: Surface) -> str:
    return surface.name.replace("_", " ").capitalize()


def _colours(watched: list[Watched]) -> str:
    """The colours as variables of CSS: the system chooses, a button overrules; paper is light."""
    names = [w.name for w in watched]
    alike = len(set(names)) < len(names)
    looks = [style.nth(i) if alike else style.of(name) for i, name in enumerate(names)]
    light, dark = (
        f"color-scheme:{theme.name};"
        + "".join(
            f"--{part}:{getattr(theme, part)};"
            for part in ("paper", "ink", "quiet", "contour", "low", "high")
        )
        + "".join(f"--{part}:{pair[theme.name == 'dark']};" for part, pair in _OWN.items())
        + "".join(f"--rule{i}:{look.colour(theme)};" for i, look in enumerate(looks))
        for theme in (style.LIGHT, style.DARK)
    )
    return (
        f":root,:root[data-theme=light]{{{light}}}\n"
        f"@media(prefers-color-scheme:dark){{:root:not([data-theme=light]){{{dark}}}}}\n"
        f":root[data-theme=dark]{{{dark}}}\n"
        f"@media print{{:root:root:root{{{light}}}}}"
    )


# ---------------------------------------------------------------- the data


def _data(found: Exploration) -> dict[str, Any]:
    """All that the scripts read."""
    surface = found.surface
    log = len(surface.minima) > 0
    bottom = float(surface.f(surface.minima[0])) if log else 0.0
    width, height = picture_size(surface)
    names = [w.name for w in found.watched]
    alike = len(set(names)) < len(names)
    return {
        "surface": {
            "bounds": surface.bounds,
            "axes": ["x", "y"] if surface.shape == (2,) else ["u", "v"],
            "ratio": round(height / width, 4),
            "minima": surface.project(surface.minima).tolist() if log else [],
            "log": log,
            "bottom": bottom,
            "loss": f"f − {bottom:.4g}".replace("− -", "+ ") if abs(bottom) > 1e-9 else "f",
        },
        "shape": surface.shape,
        "starts": [
            {"u": surface.project(x).tolist(), "p": np.ravel(x).tolist()} for x in found.starts
        ],
        "rules": [
            _rule(w, surface, bottom, style.nth(i) if alike else style.of(w.name))
            for i, w in enumerate(found.watched)
        ],
    }


def _rule(watched: Watched, surface: Surface, bottom: float, look: style.Style) -> dict[str, Any]:
    """An optimizer: how it looks, the lines of its box, its runs."""
    try:
        box = pseudocode(watched.optimizer._rule("p"), np.empty(surface.shape))
    except ValueError:  # a class of one's own may have none
        box = {}
    letters = formulas.letters(box.values())
    groups = [list(rows) for _, rows in groupby(watched.rows, _Number())]
    lines, columns = [], []
    for rows in groups:
        line, of_line = _line(rows, letters)
        lines.append(line)
        columns += of_line
    _point_arrows(lines, watched.momentum.lstrip("-"))
    slot = watched.momentum.lstrip("-")
    return {
        "label": watched.label,
        "repr": repr(watched.optimizer),
        "marker": look.marker,
        "dashes": look.dashes,
        "momentum": watched.momentum.replace(slot, letters.get(slot, slot)).replace("-", "−"),
        "lines": lines,
        "maps": _maps(lines, letters),
        "runs": [
            {
                "steps": run.steps,
                "note": run.note,
                "numbers": packed(
                    [*_paths(run, surface, bottom), *(column[k] for column in columns)]
                ),
            }
            for k, run in enumerate(watched.runs)
        ],
    }


class _Number:
    """What rows on one line of the box have in common; a row without a number stands alone."""

    def __init__(self) -> None:
        self.alone = 0

    def __call__(self, row: Row) -> Any:
        self.alone -= row.number is None
        return self.alone if row.number is None else (row.number, row.pseudocode)


def _paths(run: Run, surface: Surface, bottom: float) -> list[Any]:
    return [surface.project(run.x), run.f - bottom, run.gradient, run.momentum]


def _line(rows: list[Row], letters: dict[str, str]) -> tuple[dict[str, Any], list[Any]]:
    """A line of the box with its code, and the columns of numbers that change."""
    first = rows[0]
    found = {name: runs for row in rows for name, runs in row.values.items()}
    values, columns = [], []
    order = [*targets(first.pseudocode), *found]
    for name in sorted(found, key=order.index):
        runs = found[name]
        value: dict[str, Any] = {
            "name": name,
            "letter": letters.get(name, name),
            "shape": runs[0].shape[1:],
        }
        same = _same(runs)
        if _counts(runs):
            value["counts"] = True
        elif same is None:
            columns.append(runs)
        else:
            value["same"] = same
        values.append(value)
    line = {
        "number": first.number,
        "box": first.pseudocode,
        "code": [row.code for row in rows if row.code],
        "values": values,
        "holes": formulas.holes(first.pseudocode),
        "given": first.pseudocode.startswith("given"),
        "once": is_start(first.pseudocode),
    }
    return line, columns


def _counts(runs: list[Any]) -> bool:
    """Whether a value is the number of the step, as t is."""
    return all(x.ndim == 1 and (x == np.arange(1, len(x) + 1)).all() for x in runs)


def _same(runs: list[Any]) -> list[float] | None:
    """The value that all steps of all runs have, if there is one; of the first, if no more ran."""
    known = [x[:1] if np.isnan(x[1:]).all() else x for x in runs if len(x)]
    if not known:
        return None
    value = known[0][0]
    if np.isfinite(value).all() and all((x == value).all() for x in known):
        return [float(x) for x in np.ravel(value)]
    return None


def _point_arrows(lines: list[dict[str, Any]], momentum: str) -> None:
    """Mark the lines whose values the arrows show."""
    for line in lines:
        names = {value["name"] for value in line["values"]}
        if line["box"] == DRIVER_LINES[1]:
            line["arrow"] = "gradient"
        elif momentum in names and not line["once"]:
            line["arrow"] = "momentum"
        elif "p" in names:
            line["arrow"] = "step"


def _maps(lines: list[dict[str, Any]], letters: dict[str, str]) -> list[dict[str, Any]]:
    """The factored matrices: v of R and C."""
    shapes = {value["name"]: value["shape"] for line in lines for value in line["values"]}
    found = []
    for line in lines:
        names = formulas.outer_product(line["box"])
        if names and len(shapes.get(names[0], ())) == 2:
            product, rows, columns = ([name, letters[name]] for name in names)
            product.append(shapes[names[0]])
            found.append({"product": product, "rows": rows, "columns": columns})
    return found
