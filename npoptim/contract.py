"""What every optimizer must satisfy, as executable checks."""

from __future__ import annotations

import ast
import copy
import inspect
import pickle
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from npoptim import schedules
from npoptim.optimizers import box
from npoptim.optimizers.advance import fresh_state
from npoptim.optimizers.base import Optimizer
from npoptim.optimizers.checks import all_finite
from npoptim.standin import DeviceArray

Array = NDArray[Any]

SHAPES = ((7, 5), (5,), (4, 3, 2, 2), ())


class ContractError(AssertionError):
    """A check that an optimizer does not pass, in a sentence."""


def check_optimizer(optimizer: Any) -> None:
    """Put an optimizer, a class or an instance, through every check of the contract.

    >>> from npoptim import AdamW
    >>> check_optimizer(AdamW)

    Raises ContractError with a sentence at the first check that fails,
    TypeError for anything but an optimizer.
    """
    rule = optimizer() if isinstance(optimizer, type) else optimizer
    if not isinstance(rule, Optimizer):
        raise TypeError(f"check_optimizer takes an npoptim.Optimizer. Got {optimizer!r} instead.")
    for check in CHECKS:
        check(rule.fresh())


def fail(rule: Any, sentence: str) -> NoReturn:
    """Say what `rule` does not satisfy."""
    raise ContractError(f"{type(rule).__name__} {sentence}")


def _discriminating(rule: Any) -> Any:
    """The rule with numbers under which mistakes show; schedules become constants."""
    values: dict[str, Any] = {
        "eps": 1e-2,
        "weight_decay": 0.1,
        "betas": (0.9, 0.8, 0.7),
        "lr": 0.05,
    }
    chosen = {}
    for name, now in rule.at(1).hyper().items():
        if name in values and isinstance(now, tuple):
            value = values[name]
            chosen[name] = value[: len(now)] if isinstance(value, tuple) else now
        else:
            chosen[name] = values.get(name, now)
    return rule.replace(**chosen)


def _problems(rule: Any, dtype: Any = float) -> Iterator[tuple[Array, Array, dict[str, Array]]]:
    """Parameter, gradient and a memory two steps old, of every shape."""
    for shape in SHAPES:
        rng = np.random.default_rng(len(shape))
        p = np.asarray(rng.normal(size=shape), dtype)
        state = fresh_state(rule, p)
        for t in (1, 2):
            p, state = update_once(rule, p, np.asarray(rng.normal(size=shape), dtype), t, state)
        yield p, np.asarray(rng.normal(size=shape), dtype), state


def update_once(rule: Any, p: Any, g: Any, t: int, state: Any) -> tuple[Any, Any]:
    """What `update` makes of plain arrays at step `t`; scalars become arrays again."""
    with np.errstate(all="ignore"):
        new, after = rule.at(t).form(p)[1](p, g, t, **state)
    if isinstance(p, np.ndarray) and p.ndim == 0:
        return np.asarray(new), {k: np.asarray(v) for k, v in after.items()}
    return new, after


def _source(function: Any) -> ast.Module | None:
    try:
        return box.parsed(textwrap.dedent(inspect.getsource(function)))  # type: ignore[no-any-return]
    except (OSError, TypeError):
        return None  # typed into a session that keeps no source


def _forms(rule: Any) -> Iterator[tuple[str, Any, Any]]:
    yield "", rule.init, rule.update
    if hasattr(rule, "update_vector"):
        yield "_vector", rule.init_vector, rule.update_vector


def box_covered(rule: Any) -> None:
    """Every line of the box has code, and every numbered code line stands in the box."""
    boxes, cls = box.boxes(type(rule)), type(rule)
    forms = list(_forms(rule))
    if any(_source(f) is None for _, *pair in forms for f in pair):
        return
    tags = [box.tagged(init) | box.tagged(update) for _, init, update in forms]
    if not any(tags) and not box.own_boxes(cls):
        return  # a student's first version: no box of its own, no numbers
    if len(boxes) != len(forms):
        fail(rule, f"has {len(boxes)} boxes in its docstring for {len(forms)} forms of update.")
    for (suffix, _, _), lines, numbers in zip(forms, boxes, tags, strict=True):
        for n, text in lines.items():
            if n not in numbers and text not in box.DRIVER_LINES:
                fail(rule, f"has no code for line {n} of its box, {text!r} (update{suffix}).")
        for n in numbers:
            if n not in lines:
                fail(
                    rule, f"has code for line {n} in update{suffix}, but its box has no such line."
                )
            if lines[n] in box.DRIVER_LINES:
                fail(rule, f"has code for line {n}, {lines[n]!r}, which is the driver's.")


def straight_line(rule: Any) -> None:
    """`update` has no branch, no loop, no in-place write and no truth value of an array."""
    wrong = {
        ast.If: "an if", ast.IfExp: "an if", ast.For: "a loop", ast.While: "a loop",
        ast.AugAssign: "an in-place operation", ast.BoolOp: "and/or, which ask for a truth value",
        ast.Try: "a try", ast.With: "a with", ast.ListComp: "a loop", ast.Delete: "a del",
    }  # fmt: skip
    for suffix, _, update in _forms(rule):
        for node in ast.walk(_source(update) or ast.Module([], [])):
            what = wrong.get(type(node))
            if isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.ctx, ast.Store):
                what = "a write into an array or object"
            called = (
                node.func.id
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
                else ""
            )
            if called in ("float", "int", "bool", "max", "min", "len"):
                what = f"{called}(), which takes an array off its device"
            if what:
                fail(rule, f"has {what} in update{suffix}: it must be a straight line of arrays.")


def declared_state(rule: Any) -> None:
    """The arguments of `update`, the slots of `init` and the slots returned are the same."""
    for suffix, init, update in _forms(rule.at(1)):
        wanted = list(inspect.signature(update).parameters)
        p = np.ones((7, 5) if not suffix else 5)
        slots = init(p)
        if wanted[:3] != ["p", "g", "t"] or wanted[3:] != list(slots):
            fail(
                rule,
                f"must have update{suffix}(self, p, g, t, {', '.join(slots)}), the slots of "
                f"init{suffix}. Got ({', '.join(wanted)}).",
            )
        _, after = update(p, p, 1, **slots)
        if set(after) != set(slots):
            fail(rule, f"returns the slots {sorted(after)} and has declared {sorted(slots)}.")
        for slot, x in after.items():
            if x.shape != slots[slot].shape:
                fail(rule, f"returns state {slot!r} as {x.shape}, init made {slots[slot].shape}.")


def pure(rule: Any) -> None:
    """The same input gives the same output; nothing given is written to, kept or shared."""
    for p, g, state in _problems(rule):
        before = copy.deepcopy((p, g, state, rule.hyper()))
        for x in (p, g, *state.values()):
            x.flags.writeable = False
        try:
            new, after = update_once(rule, p, g, 3, state)
            again, after2 = update_once(rule, p, g, 3, state)
        except ValueError as error:
            if "read-only" in str(error):
                fail(rule, f"writes into what it was given: {error}.")
            raise
        if not _same((new, after), (again, after2)):
            fail(rule, "gives another result for the same input a second time.")
        if not _same((p, g, state), before[:3]) or rule.hyper() != before[3]:
            fail(rule, "changes its input, or itself.")
        for x in (p, g, *state.values()):
            for y in (new, *after.values()):
                if np.shares_memory(x, y) and x.size:
                    fail(rule, "returns memory that it was given: return new arrays.")
        outputs = [new, *after.values()]
        for i, x in enumerate(outputs):
            if any(np.shares_memory(x, y) for y in outputs[i + 1 :]):
                fail(rule, "returns two names for one array: the next step would change both.")


def _same(a: Any, b: Any) -> bool:
    """Equal bit for bit, through tuples and dicts."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(_same, a, b))
    return np.asarray(a).tobytes() == np.asarray(b).tobytes()


def scope_kept(rule: Any) -> None:
    """An element rule sees elements alone, a tensor rule no order, a matrix rule no row order."""
    tight = _discriminating(rule)
    for p, g, state in _problems(tight):
        new, _ = update_once(tight, p, g, 3, state)
        if rule.scope == "element" and p.size > 1:
            half = p.size // 2
            parts = [
                update_once(
                    tight, p.ravel()[cut], g.ravel()[cut], 3,
                    {k: v.ravel()[cut] for k, v in state.items()},
                )
                for cut in (slice(None, half), slice(half, None))
            ]  # fmt: skip
            joined = np.concatenate([part[0] for part in parts])
            if not _same(joined, new.ravel()):
                fail(rule, "has scope 'element' and gives something else element by element.")
        if rule.scope == "tensor" and p.ndim > 1:
            flat = update_once(
                tight, p.ravel(), g.ravel(), 3, {k: v.ravel() for k, v in state.items()}
            )
            if not np.allclose(flat[0], new.ravel(), rtol=1e-12, atol=1e-14):
                fail(rule, "has scope 'tensor' and depends on the shape of a parameter.")
        if rule.scope == "matrix" and p.ndim > 1:
            fresh = fresh_state(tight, p)
            turned = update_once(tight, p[..., ::-1, :], g[..., ::-1, :], 1, fresh)
            straight = update_once(tight, p, g, 1, fresh)
            if not np.allclose(turned[0], straight[0][..., ::-1, :], rtol=1e-12, atol=1e-14):
                fail(rule, "has scope 'matrix' and depends on the order of the rows.")
    if rule.scope not in ("element", "tensor", "matrix"):
        fail(rule, f"has scope {rule.scope!r}; it must be 'element', 'tensor' or 'matrix'.")


def dtype_kept(rule: Any) -> None:
    """float32 stays float32 and float64 float64, in parameter and state, at every shape."""
    for dtype in (np.float32, np.float64):
        for p, g, state in _problems(rule, dtype):
            new, after = update_once(rule, p, g, 3, state)
            for what, x in {"the parameter": new, **after}.items():
                if x.dtype != dtype:
                    fail(rule, f"turns {what} from {np.dtype(dtype)} into {x.dtype}.")
            if new.shape != p.shape:
                fail(rule, f"turns a parameter of shape {p.shape} into {new.shape}.")


def zero_gradient(rule: Any) -> None:
    """Without a gradient a first step is finite and, without decay, moves nothing."""
    calm = rule.replace(weight_decay=0.0) if "weight_decay" in rule.hyper() else rule
    for shape in (*SHAPES, (0,), (3, 0)):
        for p in (np.ones(shape), np.zeros(shape)):
            for version in (rule, calm):
                new, after = update_once(version, p, np.zeros(shape), 1, fresh_state(version, p))
                for what, x in {"the parameter": new, **after}.items():
                    try:
                        all_finite(x, what)
                    except ValueError as error:
                        fail(rule, f"at a zero gradient of shape {shape}: {error}")
            if not _same(new, p):
                fail(rule, f"moves a parameter of shape {shape} that has no gradient and no decay.")


def descends(rule: Any) -> None:
    """The first step goes against the gradient."""
    calm = rule.replace(weight_decay=0.0) if "weight_decay" in rule.hyper() else rule
    for shape in SHAPES:
        rng = np.random.default_rng(1)
        p, g = np.asarray(rng.normal(size=shape)), np.asarray(rng.normal(size=shape))
        new, _ = update_once(calm, p, g, 1, fresh_state(calm, p))
        if not np.sum((new - p) * g) < 0:
            fail(rule, "does not go downhill at its first step: is a sign wrong?")


def resumes(rule: Any) -> None:
    """Saved, loaded, copied or pickled, it goes on bit for bit."""
    rng = np.random.default_rng(2)
    gradients = [{str(s): np.asarray(rng.normal(size=s)) for s in SHAPES} for _ in range(6)]
    start = {str(s): np.asarray(rng.normal(size=s)) for s in SHAPES}

    def after(opt: Any, params: Any, part: slice) -> Any:
        for g in gradients[part]:
            opt.step(params, g)
        return opt, params

    straight, wanted = after(rule.fresh(), copy.deepcopy(start), slice(6))
    half, params = after(rule.fresh(), copy.deepcopy(start), slice(3))
    loaded = rule.fresh()
    loaded.load_state_dict(half.state_dict())
    ways = {"load_state_dict": loaded, "deepcopy": copy.deepcopy(half)}
    if "<locals>" not in type(rule).__qualname__ and type(rule).__module__ != "__main__":
        ways["pickle"] = pickle.loads(pickle.dumps(half))  # only what can be imported
    for way, opt in ways.items():
        _, got = after(opt, copy.deepcopy(params), slice(3, 6))
        if not (_same(got, wanted) and _same(opt.state, straight.state)):
            fail(
                rule,
                f"does not go on bit for bit after {way}: is something kept outside the state?",
            )


def takes_schedules(rule: Any) -> None:
    """A schedule in the place of a number acts at each step, without a trace of the last."""
    names = [k for k, v in rule.at(1).hyper().items() if type(v) is float]
    rng = np.random.default_rng(3)
    p, g = rng.normal(size=(7, 5)), rng.normal(size=(2, 7, 5))
    for name in names:
        fixed, moving = p.copy(), p.copy()
        value = rule.at(1).hyper()[name]
        plain, scheduled = rule.fresh(), rule.fresh()
        setattr(plain, name, value)
        setattr(scheduled, name, schedules.constant(value))
        for gradient in g:
            plain.step(fixed, gradient)
            scheduled.step(moving, gradient)
        if not _same(fixed, moving):
            fail(rule, f"gives something else with a schedule for {name} than with its number.")


def device(rule: Any) -> None:
    """Its lines run on arrays that neither leave their device nor mix with the host's."""
    for p, g, state in _problems(rule):
        if p.ndim == 0:
            continue  # a host array without axes becomes a scalar, which a device takes
        on_device = {k: DeviceArray(v) for k, v in state.items()}
        try:
            new, after = update_once(rule, DeviceArray(p), DeviceArray(g), 3, on_device)
            made = rule.form(p)[0](DeviceArray(p))
        except (TypeError, AttributeError) as error:
            fail(rule, f"would not run on a GPU: {error}")
        if not all(isinstance(x, DeviceArray) for x in (new, *after.values(), *made.values())):
            fail(rule, "leaves the device: make state with np.zeros_like(p), not np.zeros(shape).")
        host = update_once(rule, p, g, 3, state)
        if not _same((new.get(), {k: v.get() for k, v in after.items()}), host):
            fail(rule, "gives something else on a device than on the host.")


def first_step(rule: Any) -> None:
    """What a paper says of the first step holds, for rules with a known name among their bases."""
    from npoptim.facts import FACTS

    for base in type(rule).__mro__:
        fact = FACTS.get(base.__name__.lower())
        if fact:
            fact(rule)
            return


#: The contract: functions of a rule without memory, each raising ContractError.
CHECKS: tuple[Callable[[Any], None], ...] = (
    declared_state,
    box_covered,
    straight_line,
    pure,
    scope_kept,
    dtype_kept,
    zero_gradient,
    descends,
    resumes,
    takes_schedules,
    device,
    first_step,
)
