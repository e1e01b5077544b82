"""Other libraries' optimizers: which arguments make one equal to npoptim's, or why none do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from npoptim.libraries.calls import Call, Departure, eps_hat, spelled
from npoptim.libraries.known import CALLS, LIBRARIES, REEXPORTED
from npoptim.optimizers import get_optimizer
from npoptim.optimizers.base import Optimizer
from npoptim.optimizers.box import pseudocode
from npoptim.optimizers.checks import nearest

__all__ = ["LIBRARIES", "Call", "Departure", "Recipe", "calls_of", "eps_hat", "equivalent"]

#: How lr is set before step t where it follows a schedule; PyTorch's way unless listed.
SETTING_LR = {
    "keras": "before step t: optimizer.learning_rate = lr(t)",
    "optax": "a function of a traced count from 0, learning_rate=lambda count: table[count] with "
    "table = jnp.array([lr(t) for t in range(1, steps + 1)])",
    "tinygrad": "before step t: optimizer.lr.assign(Tensor([lr(t)])).realize()",
}
SETTING_PYTORCH = 'before step t: optimizer.param_groups[0]["{argument}"] = {field}(t)'


@dataclass(frozen=True, repr=False)
class Recipe:
    """The call that makes a library's optimizer equal to an npoptim rule, or why there is none.

    It prints as Python: the call to paste, and its remarks as comments. `bool`
    tells whether there is a call; `within` is the largest relative difference
    to expect of it in float64, and `line` the first line of the box at which
    the library parts where there is none.
    """

    rule: Optimizer
    library: str
    code: str
    remarks: tuple[str, ...] = ()
    line: int | None = None
    within: float = 1e-12

    def __bool__(self) -> bool:
        return bool(self.code)

    def __str__(self) -> str:
        comments = [f"# {remark}" for remark in self.remarks]
        return "\n".join([self.code] * bool(self.code) + comments)

    __repr__ = __str__


def equivalent(rule: str | Optimizer, library: str, /, **hyper: Any) -> Recipe:
    """The call of a library's optimizer that is equal to npoptim's rule, or why there is none.

    `rule` is a name, with its hyper-parameters, or an optimizer; `library` one
    of torch, optax, keras, timm, transformers, pytorch_optimizer,
    torch_optimizer, lion_pytorch, came_pytorch and tinygrad. Every argument is
    written out, so that no default can differ; `params` stands for the
    parameters. Each call is tested against numbers of the library itself.

    >>> equivalent("lamb", "timm", lr=0.01)  # doctest: +NORMALIZE_WHITESPACE
    timm.optim.Lamb(params, lr=0.01, betas=(0.9, 0.999), eps=1e-06, weight_decay=0.01,
                    max_grad_norm=None, always_adapt=True)
    >>> equivalent("lars", "optax", lr=2.0, weight_decay=0.1)
    # No arguments make optax.lars equal to this LARS.
    # line 4: the denominator is ‖g + λ θ‖, one norm, unless weight_decay is 0
    # the box has γ ← η ‖θ‖ / (‖g‖ + λ ‖θ‖)

    Raises ValueError for a rule or library that is not known, with the nearest
    names, and TypeError for an unknown hyper-parameter.
    """
    if isinstance(rule, Optimizer):
        if hyper:
            raise TypeError(
                f"hyper-parameters go with the name of a rule; {rule!r} has its own. "
                f"Got {spelled(hyper)} as well."
            )
    else:
        rule = get_optimizer(rule, **hyper)
    name = type(rule).__name__.lower()
    if name not in {call.rule for call in CALLS}:
        known = ", ".join(dict.fromkeys(call.rule for call in CALLS))
        raise ValueError(f"nothing is known of {name!r} in other libraries. Known: {known}.")
    module = _library(library)
    if (module, name) in REEXPORTED:
        found = equivalent(rule, "torch")
        same = f"{REEXPORTED[module, name]} is {found.code.partition('(')[0]} itself"
        return Recipe(rule, module, found.code, (*found.remarks, same))
    candidates = calls_of(name, module)
    if not candidates:
        return Recipe(rule, module, "", (f"{LIBRARIES[module]} has no {type(rule).__name__}.",))
    call = next(call for call in candidates if call.when(rule))
    if refused := _unfollowed(call, rule):
        return Recipe(rule, module, "", (refused,))
    if reasons := sorted((d for d in call.departures if d.prevents(rule)), key=lambda d: d.line):
        return _none(call, rule, reasons)
    return _call(call, rule)


def calls_of(rule: str, library: str) -> list[Call]:
    """What is known of a rule in a library: one call, or several for different settings."""
    return [call for call in CALLS if call.rule == rule and call.library == library]


def _library(name: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"the name of a library must be a string. Got {name!r} instead.")
    module = name.lower().replace("-", "_")
    if module not in LIBRARIES:
        raise ValueError(
            f"unknown library {name!r}.{nearest(module, LIBRARIES)} Known: {', '.join(LIBRARIES)}."
        )
    return module


def _unfollowed(call: Call, rule: Optimizer) -> str:
    """Which schedule the library cannot follow, or nothing."""
    for argument, field in call.scheduled(rule).items():
        in_group = call.library not in SETTING_LR and field == argument
        if field != "lr" and not (in_group and callable(getattr(rule, field))):
            return f"{field} follows a schedule, and {argument} of {call.path} is a number."
    return ""


def _none(call: Call, rule: Optimizer, reasons: list[Departure]) -> Recipe:
    box = pseudocode(type(rule))
    remarks = [f"No arguments make {call.path} equal to this {type(rule).__name__}."]
    for departure in reasons:
        remarks += [str(departure), f"the box has {box[departure.line]}"]
    return Recipe(rule, call.library, "", tuple(remarks), reasons[0].line)


def _call(call: Call, rule: Optimizer) -> Recipe:
    remarks, within = [], 1e-12
    arguments = call.recipe(rule)
    for argument, field in call.scheduled(rule).items():
        value = getattr(rule, field)
        way = SETTING_LR.get(call.library, SETTING_PYTORCH).format(argument=argument, field=field)
        remarks.append(f"{field} follows {value!r}, here at t = 1; {way}")
        arguments[argument] = value(1)
    for departure in sorted(call.departures, key=lambda d: d.line):
        if departure.rounding or departure.only:
            remarks.append(departure.remark)
        if departure.rounding:
            within = 1e-4
    code = f"{call.path}({'params, ' * call.takes_params}{spelled(arguments)})"
    return Recipe(rule, call.library, code, tuple(remarks), within=within)
