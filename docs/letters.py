"""The notation page: the letters of the boxes, of the papers, of the code and of the libraries."""

from __future__ import annotations

import ast
import re
import unicodedata

import npoptim as npo
from npoptim.libraries import Call, calls_of
from npoptim.optimizers import box
from npoptim.trace.notation import code_name

#: rule -> letter of the box -> letter of the paper, where the paper has another.
PAPERS = {
    "momentum": {"lr": "ε", "v": "−v / ε"},
    "nesterov": {"lr": "ε", "v": "−v / ε"},
    "adam": {"lr": "α"},
    "adamw": {"lr": "ηₜ α", "λ": "λ / α"},
    "lars": {"lr": "γ", "μ": "m", "λ": "β", "θ": "w", "γ": "λˡ"},
    "lamb": {"lr": "η", "θ": "x"},
    "lion": {"lr": "η"},
    "adafactor": {"θ": "X", "g": "G", "u": "U", "û": "Û", "v": "V̂"},
    "came": {"lr": "η"},
}

#: rule -> library -> slot of the state -> what the library calls it; found by stepping once.
STATE = {
    "momentum": {
        "torch": {"v": "momentum_buffer"},
        "optax": {"v": "trace"},
        "keras": {"v": "momentum"},
    },
    "nesterov": {
        "torch": {"v": "momentum_buffer"},
        "optax": {"v": "trace"},
        "keras": {"v": "momentum"},
    },
    "adam": {
        "torch": {"m": "exp_avg", "v": "exp_avg_sq"},
        "optax": {"m": "mu", "v": "nu"},
        "keras": {"m": "momentum", "v": "velocity"},
    },
    "lars": {"timm": {"v": "momentum_buffer"}, "optax": {"v": "trace"}},
    "lamb": {
        "timm": {"m": "exp_avg", "v": "exp_avg_sq"},
        "optax": {"m": "mu", "v": "nu"},
        "keras": {"m": "momentum", "v": "velocity"},
    },
    "lion": {
        "lion_pytorch": {"m": "exp_avg"},
        "timm": {"m": "exp_avg"},
        "optax": {"m": "mu"},
        "keras": {"m": "momentum"},
    },
    "adafactor": {
        "torch": {"R": "row_var", "C": "col_var", "v": "variance"},
        "optax": {"R": "v_row", "C": "v_col", "v": "v"},
        "keras": {"R": "_r", "C": "_c", "v": "_v"},
    },
    "came": {
        "came_pytorch": {
            "m": "exp_avg",
            "r": "exp_avg_sq_row",
            "c": "exp_avg_sq_col",
            "R": "exp_avg_res_row",
            "C": "exp_avg_res_col",
            "v": "exp_avg_sq",
        }
    },
}
STATE["adamw"] = STATE["adam"]

#: The columns: PyTorch's class, or where it has none the best known one.
_PYTORCH = ("torch", "timm", "lion_pytorch", "came_pytorch")
_COLUMNS = (_PYTORCH, ("optax",), ("keras",))

HEAD = """---
html_theme.sidebar_secondary.remove: true
---

# Notation

All boxes are written in the same letters, whatever their papers use, so that they can be compared
line by line. A letter of the box has one name in code: `update` uses that of the letter, the
field of the class its word.

| the box | in `update` | everywhere else | what it is |
|---|---|---|---|
| θ | `p` | `params` | the parameter |
| ∇f(θ), g | `g` | `grads` | its gradient |
| t | `t` | `opt.t` | number of the step, from 1 |
| lr, ρ | `lr`, `rho` | `lr` | step size; ρ where it is relative to RMS(θ) |
| μ | `mu` | `momentum` | what is kept of the velocity |
| β₁, β₂, β₃ | `beta1`, `beta2`, `beta3` | `betas` | what is kept of a running mean |
| ε, ε₁, ε₂ | `eps`, `eps1`, `eps2` | `eps` | a number that bounds a quotient |
| λ | `wd` | `weight_decay` | pull towards 0, multiplied by lr |
| η | `eta` | `trust_coefficient` | how far a layer may go, relative to its norm |
| d | `d` | `clip` | largest RMS of a step |
| m̂, û, v̄, β̂₂ | `m_hat`, `u_hat`, `v_bar`, `beta2_hat` | | an accent is a word at the end |
| ‖x‖, RMS(x) | `norm(x)`, `rms(x)` | | length and root mean square of the whole array |
| a / b of two norms | `ratio(a, b)` | | 1 where either is 0 |
| g / √(R C / Σᵢ R) | `over_root(g, R, C)` | | in an order that does not underflow |
| Σⱼ, Σᵢ | `np.sum(x, axis=-1)`, `axis=-2` | | over a row's columns, over a column's rows |

Juxtaposition is a product. R and r carry the index i of rows, C and c the index j of columns,
everything else both; a product joins indices, so that R C is a matrix, and Σ removes one. Lines
are numbered; line 1 gives the hyper-parameters, line 2 the empty memory. `t ← t + 1` and `g ←
∇f(θ)` are the driver's lines. In Python: `npo.pseudocode(npo.Adam)`.

## Rule by rule

What PyTorch, Optax and Keras call each letter. Where PyTorch has no such optimizer, the column is
that of the package it names. `–` is: no such argument, or nothing of the kind remembered. Whether
the same name means the same number is another question: [where libraries differ](libraries.md).
"""


def page() -> str:
    """The page, with a table for every rule."""
    return (
        HEAD + "\n" + "\n\n".join(_chapter(name, rule) for name, rule in npo.optimizers().items())
    )


def _chapter(name: str, rule: type) -> str:
    calls = [_first(name, column) for column in _COLUMNS]
    paper = PAPERS.get(name, {})
    header = ["the box", *["the paper"] * bool(paper), "npoptim"]
    header += [f"`{call.path}`" for call in calls if call]
    rows = []
    for letter, field in _fields(rule).items():
        theirs = [_argument(call, field) for call in calls if call]
        rows.append([letter, *[paper.get(letter, letter)] * bool(paper), f"`{field}`", *theirs])
    for letter, slot in _slots(rule).items():
        theirs = [_slot(name, call, slot) for call in calls if call]
        ours = f'`state["{slot}"]`'
        rows.append([letter, *[paper.get(letter, letter)] * bool(paper), ours, *theirs])
    others = [x for x in paper if x not in {row[0] for row in rows}]
    said = ", ".join(f"{x} is {paper[x]}" for x in others)
    return (
        f"### {rule.__name__}\n\n"
        + _table(header, rows)
        + (f"\n\nIn the paper {said}." if said else "")
    )


def _fields(rule: type) -> dict[str, str]:
    """Letter of line 1 -> the field, or its element, that holds it."""
    found: dict[str, str] = {}
    for i, lines in enumerate(box.boxes(rule)):
        places = {}
        for code in box.tagged(getattr(rule, "update_vector" if i else "update")).get(1, []):
            [statement] = ast.parse(code).body
            places |= _assigned(statement)
        for letter in lines[1].removeprefix("given ").split(", "):
            found.setdefault(letter, places[code_name(letter)])
    return found


def _assigned(statement: ast.stmt) -> dict[str, str]:
    """Name -> field of a line like `beta1, beta2 = self.betas`."""
    assert isinstance(statement, ast.Assign)
    [target], value = statement.targets, statement.value
    if not isinstance(target, ast.Tuple):
        return {ast.unparse(target): _field(value)}
    if isinstance(value, ast.Tuple):
        pairs = zip(target.elts, value.elts, strict=True)
        return {ast.unparse(name): _field(part) for name, part in pairs}
    return {ast.unparse(x): f"{_field(value)}[{i}]" for i, x in enumerate(target.elts)}


def _field(node: ast.expr) -> str:
    return ast.unparse(node).removeprefix("self.")


def _slots(rule: type) -> dict[str, str]:
    """Letter of line 2 -> slot of the state, of both boxes."""
    found: dict[str, str] = {}
    for lines in box.boxes(rule):
        for part in lines.get(2, "").split(", "):
            letter = part.partition(" ")[0]
            if letter and letter != "t":
                found.setdefault(letter, code_name(letter))
    return found


def _first(name: str, libraries: tuple[str, ...]) -> Call | None:
    found = (calls_of(name, library) for library in libraries)
    return next((calls[-1] for calls in found if calls), None)


def _argument(call: Call, field: str) -> str:
    """What a library calls a field, or an element of one."""
    whole, _, index = field.rstrip("]").partition("[")
    for argument, place in call.arguments.items():
        place, minus = place.removeprefix("-"), "−" * place.startswith("-")
        place = re.sub(r"\.\w+$", "", place)
        if place == field:
            return f"{minus}`{argument}`"
        if place == whole and index:
            return f"`{argument}[{index}]`"
    return "–"


def _slot(name: str, call: Call, slot: str) -> str:
    known = STATE.get(name, {}).get(call.library, {}).get(slot)
    return f"`{known}`" if known else "–"


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return unicodedata.normalize("NFC", "\n".join(f"| {' | '.join(line)} |" for line in lines))
