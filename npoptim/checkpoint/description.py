"""An optimizer as plain values, and made again from them."""

from __future__ import annotations

import sys
from dataclasses import fields
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from npoptim import schedules
from npoptim.checkpoint.archive import CheckpointError
from npoptim.optimizers import modules, rule_class
from npoptim.optimizers.groups import Groups


def describe(opt: Any) -> dict[str, Any]:
    """The class and the hyper-parameters of `opt`; what no file can hold, by its name alone.

    >>> from npoptim import AdamW
    >>> describe(AdamW(lr=schedules.constant(0.1)))["hyper"]["lr"]
    {'schedule': 'constant', 'fields': {'peak': 0.1, 'warmup': 0}}
    >>> describe(AdamW(lr=lambda t: 1 / t))["hyper"]["lr"]
    {'outside': 'function npoptim.checkpoint.description.<lambda>'}
    """
    cls = type(opt)
    if cls is Groups:
        return {"groups": [(pattern, describe(rule)) for pattern, rule in opt.rules.items()]}
    name = cls.__name__
    if name.lower() in modules() and rule_class(name.lower()) is cls:
        hyper = opt.hyper()
        if hyper.keys() == {f.name for f in fields(opt)}:
            return {"rule": name, "hyper": {k: _described(v) for k, v in hyper.items()}}
    return {"rule": name, "outside": f"class {cls.__module__}.{cls.__qualname__}"}


def build(tree: Any, calls: bool = True) -> Any:
    """The optimizer that `describe` described.

    Unless `calls`, a schedule stands in for each function named in the file,
    so that none of them is called.
    """
    match tree:
        case {"groups": list(groups)}:
            rules = {pattern: build(rule, calls) for pattern, rule in groups}
            if len(rules) != len(groups):
                raise CheckpointError("a pattern of its groups stands twice")
            return Groups(rules)
        case {"rule": str(name), "outside": str(what)}:
            raise CheckpointError(
                f"its optimizer {name} is the {what}, which no file can hold: pass "
                f"opt={name}(…) to load"
            )
        case {"rule": str(name), "hyper": dict(hyper)}:
            if name.lower() not in modules() or rule_class(name.lower()).__name__ != name:
                raise CheckpointError(f"npoptim has no optimizer {name!r}")
            cls = rule_class(name.lower())
            return _made(cls, {k: _value(v, f"{k} of {name}", calls) for k, v in hyper.items()})
    raise CheckpointError("its optimizer is of no known kind")


def classes(tree: dict[str, Any]) -> Any:
    """The names of the classes in a description, by pattern where there are groups.

    >>> from npoptim import SGD
    >>> classes(describe(Groups({"*.b": SGD(), "*": SGD(lr=1.0)})))
    [('*.b', 'SGD'), ('*', 'SGD')]
    """
    if "groups" in tree:
        return [(pattern, classes(rule)) for pattern, rule in tree["groups"]]
    return tree["rule"]


def _described(value: Any) -> Any:
    cls = type(value)
    if cls in (bool, int, float) or isinstance(value, np.generic):
        return value
    if cls is tuple:
        return tuple(map(_described, value))
    if cls.__name__ in schedules.__all__ and getattr(schedules, cls.__name__) is cls:
        content = {f.name: _described(getattr(value, f.name)) for f in fields(value)}
        return {"schedule": cls.__name__, "fields": content}
    if isinstance(value, FunctionType):
        if _function(value.__module__, value.__name__) is value:
            return {"function": [value.__module__, value.__name__]}
        return {"outside": f"function {value.__module__}.{value.__qualname__}"}
    return {"outside": f"{cls.__module__}.{cls.__qualname__} object"}


def _value(node: Any, what: str, calls: bool) -> Any:
    match node:
        case tuple():
            return tuple(_value(v, what, calls) for v in node)
        case {"schedule": str(name), "fields": dict(content)}:
            if name not in schedules.__all__:
                raise CheckpointError(f"npoptim has no schedule {name!r}")
            values = {k: _value(v, f"{what}, {k}", calls) for k, v in content.items()}
            return _made(getattr(schedules, name), values)
        case {"function": [str(module), str(name)]}:
            function = _function(module, name)
            if function is None:
                raise CheckpointError(
                    f"{what} is the function {module}.{name}, which is not imported here: import "
                    f"{module} first, or pass opt=…"
                )
            return function if calls else schedules.constant(0.5)
        case {"outside": str(held)}:
            raise CheckpointError(
                f"{what} is the {held}, which no file can hold: pass opt=… to load"
            )
    return node


def _made(cls: Any, values: dict[str, Any]) -> Any:
    """A dataclass with every field given: a default may change, a file must not."""
    if values.keys() != {f.name for f in fields(cls)}:
        raise CheckpointError(f"{cls.__name__} is not made of {list(values)}")
    return cls(**values)


def _function(module: str, name: str) -> FunctionType | None:
    """The plain function of that name at the top of a module that is imported already.

    No module is imported because a file names it, no attribute computed and no
    function found that the module only borrows. Those of the standard library,
    which delete files, are not found.
    """
    home = sys.modules.get(module)
    if not isinstance(home, ModuleType) or module.partition(".")[0] in sys.stdlib_module_names:
        return None
    found = vars(home).get(name)
    if type(found) is not FunctionType or (found.__module__, found.__qualname__) != (module, name):
        return None
    return found
