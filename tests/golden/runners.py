"""How each library is driven through the problem, npoptim included.

A runner takes the constructor and its arguments, of which any may be a `Rate`, and returns the
trajectory: name -> array of shape (kept steps, *shape of the parameter).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module, metadata, util
from platform import python_version
from types import ModuleType
from typing import Any

import numpy as np
from problem import KEPT, STEPS, Arrays, Rate, gradient, start

Arguments = dict[str, Any]
Change = Callable[[Arrays, Arrays, int], Arrays]


def follow(names: Iterable[str], step: Callable[[int, Arrays], Arrays]) -> Arrays:
    """The trajectory of `step(t, grads) -> params`, each gradient taken at what came back."""
    params = {name: p for name, p in start().items() if name in names}
    kept: dict[str, list[np.ndarray]] = {name: [] for name in params}
    for t in range(1, STEPS + 1):
        params = step(t, {name: gradient(name, p, t) for name, p in params.items()})
        if t in KEPT:
            for name, p in params.items():
                kept[name].append(np.array(p))
    return {name: np.stack(steps) for name, steps in kept.items()}


def rates(arguments: Arguments, t: int) -> Arguments:
    """Those arguments that follow a schedule, at step `t`."""
    return {name: value(t) for name, value in arguments.items() if isinstance(value, Rate)}


def run_npoptim(
    build: Callable[..., Any],
    arguments: Arguments,
    names: Iterable[str],
    change: Change | None = None,
) -> Arrays:
    """npoptim's trajectory; `change(params, grads, t) -> grads` makes a wrong variant."""
    optimizer = build(**arguments)
    params = {name: p for name, p in start().items() if name in names}

    def step(t: int, grads: Arrays) -> Arrays:
        optimizer.step(params, change(params, grads, t) if change else grads)
        return params

    return follow(names, step)


def run_torch(build: Callable[..., Any], arguments: Arguments, names: Iterable[str]) -> Arrays:
    """Anything with the interface of torch.optim; schedules are set in the parameter group."""
    import torch

    params = {k: torch.nn.Parameter(torch.from_numpy(p)) for k, p in start().items() if k in names}
    optimizer = build(list(params.values()), **arguments | rates(arguments, 1))

    def step(t: int, grads: Arrays) -> Arrays:
        optimizer.param_groups[0].update(rates(arguments, t))
        for name, p in params.items():
            p.grad = torch.from_numpy(grads[name])
        optimizer.step()
        return {name: p.detach().numpy() for name, p in params.items()}

    return follow(names, step)


def run_optax(build: Callable[..., Any], arguments: Arguments, names: Iterable[str]) -> Arrays:
    """Optax in float64; its schedules count from 0 and are traced, hence the table."""
    import jax
    import jax.numpy as jnp
    import optax

    def schedule(rate: Rate) -> Callable[[Any], Any]:
        table = jnp.array([rate(t) for t in range(1, STEPS + 1)])
        return lambda count: table[count]

    with jax.enable_x64(True):
        optimizer = build(
            **{k: schedule(v) if isinstance(v, Rate) else v for k, v in arguments.items()}
        )
        params = {name: jnp.asarray(p) for name, p in start().items() if name in names}
        state = optimizer.init(params)
        update = jax.jit(optimizer.update)

        def step(t: int, grads: Arrays) -> Arrays:
            nonlocal params, state
            updates, state = update({k: jnp.asarray(g) for k, g in grads.items()}, state, params)
            params = optax.apply_updates(params, updates)
            return {name: np.asarray(p) for name, p in params.items()}

        return follow(names, step)


def run_keras(build: Callable[..., Any], arguments: Arguments, names: Iterable[str]) -> Arrays:
    """Keras in float64 on its torch backend."""
    import keras

    usual = keras.config.floatx()
    keras.config.set_floatx("float64")
    try:
        params = {k: keras.Variable(p, dtype="float64") for k, p in start().items() if k in names}
        optimizer = build(**arguments | rates(arguments, 1))
        optimizer.build(list(params.values()))

        def step(t: int, grads: Arrays) -> Arrays:
            for name, value in rates(arguments, t).items():
                setattr(optimizer, name, value)
            optimizer.apply([keras.ops.convert_to_tensor(grads[name]) for name in params])
            return {name: keras.ops.convert_to_numpy(p.value) for name, p in params.items()}

        return follow(names, step)
    finally:
        keras.config.set_floatx(usual)


def run_tinygrad(build: Callable[..., Any], arguments: Arguments, names: Iterable[str]) -> Arrays:
    """tinygrad in float64, interpreted in Python, so that no compiler is needed."""
    from tinygrad import Context, Tensor, dtypes

    with Context(DEV="PYTHON", TRAINING=1):
        params = {k: Tensor(p, dtype=dtypes.float64) for k, p in start().items() if k in names}
        optimizer = build(list(params.values()), **arguments | rates(arguments, 1))

        def step(t: int, grads: Arrays) -> Arrays:
            for name, value in rates(arguments, t).items():
                getattr(optimizer, name).assign(Tensor([value], dtype=dtypes.float64)).realize()
            for name, p in params.items():
                p.grad = Tensor(grads[name], dtype=dtypes.float64)
            optimizer.step()
            return {name: p.numpy() for name, p in params.items()}

        return follow(names, step)


@dataclass(frozen=True)
class Library:
    """A library's name in the registry, what drives it, what it stands on, and its settings."""

    distribution: str
    run: Callable[[Callable[..., Any], Arguments, Iterable[str]], Arrays]
    beneath: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)  # read when it is imported

    def missing(self, module: str) -> str | None:
        """Why it cannot run here, or None."""
        absent = [m for m in (module, *self.beneath) if util.find_spec(m) is None]
        return f"{', '.join(absent)} not installed" if absent else None

    def versions(self) -> dict[str, str]:
        """Versions of everything that has a hand in the numbers."""
        found = {d: metadata.version(d) for d in (self.distribution, *self.beneath)}
        return found | {"numpy": np.__version__, "python": python_version()}


FLOAT64 = {"DEFAULT_FLOAT": "float64", "OPTIM_DTYPE": "float64"}
LIBRARIES = {
    "torch": Library("torch", run_torch),
    "optax": Library("optax", run_optax, ("jax", "jaxlib")),
    "keras": Library("keras", run_keras, ("torch",), {"KERAS_BACKEND": "torch"}),
    "tinygrad": Library("tinygrad", run_tinygrad, environment=FLOAT64),
    "timm": Library("timm", run_torch, ("torch",)),
    "transformers": Library("transformers", run_torch, ("torch",)),
    "lion_pytorch": Library("lion-pytorch", run_torch, ("torch",)),
    "came_pytorch": Library("came-pytorch", run_torch, ("torch",)),
    "pytorch_optimizer": Library("pytorch_optimizer", run_torch, ("torch",)),
    "torch_optimizer": Library("torch-optimizer", run_torch, ("torch",)),
}


def constructor(path: str) -> Callable[..., Any]:
    """The class or function at a dotted path, `torch.optim.SGD`."""
    module, _, name = path.rpartition(".")
    library = module.partition(".")[0]
    os.environ.update(LIBRARIES[library].environment)
    if library == "timm" and util.find_spec("torchvision") is None:
        _timm_without_models()
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


def _timm_without_models() -> None:
    """Make timm.optim importable: timm's models need torchvision, its optimizers do not."""
    if "timm.models" not in sys.modules:
        spec = util.find_spec("timm")
        assert spec is not None
        sys.modules["timm"] = util.module_from_spec(spec)
        models = ModuleType("timm.models")
        models.__dict__["group_parameters"] = None
        sys.modules["timm.models"] = models
