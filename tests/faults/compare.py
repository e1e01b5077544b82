"""Put the comparable faults to torch, optax and keras and write down what each does.

    python tests/faults/compare.py

Adam stands for each library, on parameters of 1 and gradients of 1 where a row says nothing else.
A verdict is the error raised, or what became of a parameter: "1 → 0.9". `others.json` is sorted;
a library that is not installed keeps its old verdicts.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "torch")
HERE = Path(__file__).resolve().parent
ONES = np.ones(3, np.float32)
nan, inf = float("nan"), float("inf")

Hyper = dict[str, Any]


class Torch:
    """torch.optim."""

    name = "torch"

    def __init__(self) -> None:
        import torch

        self.torch = torch

    def adam(self, params: Any, **hyper: Any) -> Any:
        if "b1" in hyper or "b2" in hyper:
            hyper["betas"] = (hyper.pop("b1", 0.9), hyper.pop("b2", 0.999))
        return self.torch.optim.Adam(params, **hyper)

    def tensor(self, x: Any) -> Any:
        return self.torch.nn.Parameter(self.torch.tensor(x), requires_grad=x.dtype.kind in "fc")

    def step(self, params: list[Any], grads: list[Any], **hyper: Any) -> list[Any]:
        tensors = [self.tensor(p) for p in params]
        opt = self.adam(tensors, **hyper)
        for p, g in zip(tensors, grads, strict=False):
            p.grad = None if g is None else self.torch.tensor(g)
        opt.step()
        return [p.detach().numpy() for p in tensors]

    def sgd(self, **hyper: Any) -> Any:
        p = self.tensor(ONES)
        opt = self.torch.optim.SGD([p], **hyper)
        p.grad = self.torch.ones(3)
        opt.step()
        return p.detach().numpy()

    def clip(self, limit: float, g: Any) -> Any:
        p = self.tensor(ONES)
        p.grad = self.torch.tensor(g)
        self.torch.nn.utils.clip_grad_norm_([p], limit)
        return p.grad.numpy()

    def schedule(self, total: int, at: int) -> float:
        opt = self.torch.optim.SGD([self.tensor(ONES)], lr=1.0)
        schedule = self.torch.optim.lr_scheduler.OneCycleLR(opt, max_lr=1.0, total_steps=total)
        for _ in range(at):
            opt.step()
            schedule.step()
        return float(opt.param_groups[0]["lr"])


class Optax:
    """optax with jax's arrays."""

    name = "optax"

    def __init__(self) -> None:
        import jax
        import jax.numpy as jnp
        import optax

        self.jax, self.jnp, self.optax = jax, jnp, optax

    def adam(self, lr: Any = 0.1, **hyper: Any) -> Any:
        make = self.optax.adamw if "weight_decay" in hyper else self.optax.adam
        return make(lr, **hyper)

    def step(self, params: list[Any], grads: list[Any], **hyper: Any) -> list[Any]:
        return self.apply(self.adam(**hyper), params, grads)

    def apply(self, opt: Any, params: list[Any], grads: list[Any]) -> list[Any]:
        tree = {str(i): self.jnp.asarray(p) for i, p in enumerate(params)}
        slope = {str(i): None if g is None else self.jnp.asarray(g) for i, g in enumerate(grads)}
        updates, _ = opt.update(slope, opt.init(tree), tree)
        return [np.asarray(p) for p in self.optax.apply_updates(tree, updates).values()]

    def sgd(self, lr: float = 0.1, **hyper: Any) -> Any:
        return self.apply(self.optax.sgd(lr, **hyper), [ONES], [ONES])[0]

    def lamb(self, lr: float = 0.1) -> Any:
        return self.apply(self.optax.lamb(lr), [0 * ONES], [ONES])[0]

    def clip(self, limit: float, g: Any) -> Any:
        clipped, _ = self.optax.clip_by_global_norm(limit).update({"p": self.jnp.asarray(g)}, None)
        return np.asarray(clipped["p"])

    def schedule(self, total: int, at: int) -> float:
        return float(self.optax.cosine_decay_schedule(1.0, total)(at))


class Keras:
    """keras.optimizers on the torch backend."""

    name = "keras"

    def __init__(self) -> None:
        import keras

        self.keras = keras

    def adam(self, lr: Any = 0.1, **hyper: Any) -> Any:
        names = {"b1": "beta_1", "b2": "beta_2", "eps": "epsilon"}
        return self.keras.optimizers.Adam(lr, **{names.get(k, k): v for k, v in hyper.items()})

    def step(self, params: list[Any], grads: list[Any], **hyper: Any) -> list[Any]:
        return self.apply(self.adam(**hyper), params, grads)

    def apply(self, opt: Any, params: list[Any], grads: list[Any]) -> list[Any]:
        held = [self.keras.Variable(p, dtype=str(p.dtype)) for p in params]
        convert = self.keras.ops.convert_to_tensor
        opt.apply([None if g is None else convert(g) for g in grads], held)
        return [self.keras.ops.convert_to_numpy(p.value) for p in held]

    def sgd(self, lr: float = 0.1, **hyper: Any) -> Any:
        return self.apply(self.keras.optimizers.SGD(lr, **hyper), [ONES], [ONES])[0]

    def lamb(self, lr: float = 0.1) -> Any:
        return self.apply(self.keras.optimizers.Lamb(lr), [0 * ONES], [ONES])[0]

    def clip(self, limit: float, g: Any) -> Any:
        opt = self.keras.optimizers.SGD(1.0, global_clipnorm=limit)
        return 0 - self.apply(opt, [0 * ONES], [g])[0]

    def schedule(self, total: int, at: int) -> float:
        return float(self.keras.optimizers.schedules.CosineDecay(1.0, total)(at))


def became(before: Any, after: Any) -> str:
    """What became of a parameter: "1 → 0.9"."""
    before, after = np.asarray(before), np.asarray(after)
    if before.shape != after.shape:
        return f"accepted: shape {before.shape} → {after.shape}"
    a, b = (x.ravel()[0].item() for x in (before, after))
    return f"accepted: {a:g} → {b:.4g}"


def stepped(**hyper: Any) -> Callable[[Any], str]:
    """One step with these hyper-parameters."""
    return lambda lib: became(ONES, lib.step([ONES], [ONES], **{"lr": 0.1} | hyper)[0])


def moved(p: Any, g: Any, **hyper: Any) -> Callable[[Any], str]:
    """One step of one parameter."""
    return lambda lib: became(p, lib.step([p], [g], **{"lr": 0.1} | hyper)[0])


def half_moved(lib: Any) -> str:
    """Two parameters and one gradient."""
    first, second = lib.step([ONES, ONES], [ONES], lr=0.1)
    return f"accepted: 1 → {first[0]:.4g} and 1 → {second[0]:.4g}"


def torch_only(trial: Callable[[Any], str]) -> Callable[[Any], str | None]:
    return lambda lib: trial(lib) if lib.name == "torch" else None


def not_torch(trial: Callable[[Any], str]) -> Callable[[Any], str | None]:
    return lambda lib: trial(lib) if lib.name != "torch" else None


def twice(lib: Torch) -> str:
    p = lib.tensor(ONES)
    opt = lib.adam([p, p], lr=0.1)
    p.grad = lib.torch.ones(3)
    opt.step()
    return became(ONES, p.detach())


def group(**extra: Any) -> Callable[[Any], str]:
    def trial(lib: Torch) -> str:
        p = lib.tensor(ONES)
        opt = lib.torch.optim.Adam([{"params": [p], **extra}], lr=0.1)
        p.grad = lib.torch.ones(3)
        opt.step()
        return became(ONES, p.detach())

    return torch_only(trial)


def loading(change: Callable[[Any, Any], Any]) -> Callable[[Any], str | None]:
    """Whether a changed state_dict is loaded, and whether the next step then works."""

    def trial(lib: Torch) -> str:
        p = lib.tensor(ONES)
        opt = lib.adam([p], lr=0.1)
        p.grad = lib.torch.ones(3)
        opt.step()
        opt.load_state_dict(change(lib, opt.state_dict()))
        try:
            opt.step()
        except Exception as error:
            return f"loaded; the next step: {said(error)}"
        return "loaded, and stepped"

    return torch_only(trial)


def _slot(lib: Torch, state: Any, value: Any) -> Any:
    if value is None:
        del state["state"][0]["exp_avg"]
    else:
        state["state"][0]["exp_avg"] = value
    return state


def _of_sgd(lib: Torch, state: Any) -> Any:
    return lib.torch.optim.SGD([lib.tensor(ONES)], lr=0.1, momentum=0.9).state_dict()


def aliased(lib: Torch) -> str:
    p = lib.tensor(ONES)
    opt = lib.adam([p], lr=0.1)
    p.grad = lib.torch.ones(3)
    opt.step()
    opt.state_dict()["state"][0]["exp_avg"].fill_(7)
    return f"the optimizer's own state becomes {opt.state[p]['exp_avg'][0].item():g}"


def said(error: BaseException) -> str:
    """An error in one short line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:80]}{'…' if len(text) > 80 else ''}"


HALF, ZERO = ONES.astype(np.float16), 0 * ONES
TRIALS: dict[int, Callable[[Any], str | None]] = {
    1: stepped(lr=-0.1),
    2: stepped(lr=0.0),
    3: stepped(lr=nan),
    4: stepped(lr=inf),
    5: stepped(lr="0.1"),
    6: stepped(lr=True),
    7: stepped(lr=np.array([0.1, 0.2])),
    8: stepped(b1=1.0),
    9: stepped(b2=1.5),
    10: stepped(b2=nan),
    11: torch_only(stepped(betas=0.9)),
    12: moved(ONES, ZERO, eps=0.0),
    13: stepped(eps=-1.0),
    14: stepped(eps=nan),
    15: stepped(weight_decay=-0.1),
    16: lambda lib: became(ONES, lib.sgd(lr=0.1, momentum=0.0, nesterov=True)),
    17: lambda lib: became(ONES, lib.sgd(lr=0.1, momentum=1.5)),
    18: stepped(learning_rat=0.1),
    19: lambda lib: "accepted" if lib.step([], [], lr=0.1) == [] else "?",
    20: torch_only(lambda lib: str(lib.adam(lib.tensor(ONES), lr=0.1))),
    25: moved(np.ones(3, np.int32), np.ones(3, np.int32)),
    26: moved(np.ones(3, np.complex64), np.ones(3, np.complex64)),
    27: moved(HALF, 0 * HALF),
    28: moved(HALF, 300 * HALF),
    33: torch_only(twice),
    42: group(weigth_decay=0.1),
    43: group(lr=-1.0),
    44: moved(ONES, None),
    46: half_moved,
    47: moved(ONES, ONES[:1]),
    48: moved(ONES, ONES[:, None]),
    50: moved(ONES, ONES.astype(np.float64)),
    52: moved(ONES, nan * ONES),
    53: moved(ONES, inf * ONES),
    54: moved(ONES, np.float32(1e30) * ONES),
    57: not_torch(lambda lib: became(ZERO, lib.lamb())),
    66: loading(lambda lib, s: _slot(lib, s, lib.torch.ones(2))),
    67: loading(lambda lib, s: _slot(lib, s, None)),
    68: loading(_of_sgd),
    69: loading(lambda lib, s: {}),
    71: torch_only(aliased),
    77: lambda lib: f"accepted: the value is {lib.schedule(0, 0):g}",
    78: lambda lib: f"the value is {lib.schedule(5, 7):g}",
    79: lambda lib: f"accepted: a gradient of 1 becomes {lib.clip(-1.0, ONES)[0]:.4g}",
    80: lambda lib: f"a gradient of 0 becomes {lib.clip(1.0, ZERO)[0]:g}",
}


def verdict(trial: Callable[[Any], str | None], lib: Any) -> str | None:
    """What a library does with a fault, in few words."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            found = trial(lib)
        except Exception as error:
            return said(error)
    told = {w.category.__name__ for w in warned if issubclass(w.category, UserWarning)}
    return f"{found} (warns)" if found and told else found


def main() -> None:
    """Write `others.json`."""
    path = HERE / "others.json"
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    found: dict[str, Any] = {}
    for kind in (Torch, Optax, Keras):
        if util.find_spec(kind.name) is None:
            found[kind.name] = old.get(kind.name, {})
            continue
        lib = kind()
        told = {str(n): verdict(trial, lib) for n, trial in TRIALS.items()}
        found[kind.name] = {
            "version": metadata.version(kind.name).partition("+")[0],
            "rows": {n: words for n, words in told.items() if words is not None},
        }
    text = json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
