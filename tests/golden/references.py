"""Every implementation that npoptim is compared with: what it is called and with which arguments.

Data for make.py, the tests and whoever writes about the differences: `REFERENCES`. The arguments
are those of the recipes of npoptim.libraries, which are tested here by being used.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from problem import SHAPES, Arrays, Rate
from runners import LIBRARIES, Arguments, constructor

import npoptim as npo
from npoptim.libraries import Call, calls_of, eps_hat
from npoptim.libraries.calls import spelled

ALL = tuple(SHAPES)


@dataclass(frozen=True)
class Reference:
    """One implementation of one rule, with the arguments that make it npoptim's `ours`.

    `exact` says whether it stays within 1e-12. `why` says why it does not, or, of an exact one,
    why its arguments are not the rule's usual ones.
    """

    rule: str
    path: str
    arguments: Arguments
    ours: Arguments
    exact: bool = True
    why: str = ""
    tensors: tuple[str, ...] = ALL
    build: Callable[..., Any] | None = field(default=None, repr=False)

    @property
    def library(self) -> str:
        """The module that has it: "torch", "optax"."""
        return self.path.partition(".")[0]

    @property
    def recipe(self) -> str:
        """The call, and the parameters if not all: the name under which its numbers are kept."""
        part = "" if self.tensors == ALL else f" on {', '.join(self.tensors)}"
        made = f" by references.{self.build.__name__}" if self.build else ""
        return f"{self.path}{made}({spelled(self.arguments)}){part}"

    @property
    def missing(self) -> str | None:
        """Why it cannot run here, or None."""
        return LIBRARIES[self.library].missing(self.library)

    @property
    def versions(self) -> dict[str, str]:
        """Versions of everything that has a hand in its numbers."""
        return LIBRARIES[self.library].versions()

    def run(self) -> Arrays:
        """Its trajectory: name -> array (kept steps, *shape)."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other libraries' deprecations are theirs
            build = self.build or constructor(self.path)
            return LIBRARIES[self.library].run(build, self.arguments, self.tensors)


def adafactor_chain(learning_rate: Any, decay: float, eps: float, floor: float, clip: float) -> Any:
    """optax.adafactor, built from its own parts with a decay that is not rounded to float32."""
    import jax.numpy as jnp
    import optax

    return optax.chain(
        optax.scale_by_factored_rms(
            min_dim_size_to_factor=1,
            decay_rate=decay,
            epsilon=eps,
            decay_rate_fn=lambda i, exponent: 1 - (jnp.float64(i) + 1) ** -exponent,
        ),
        optax.clip_by_block_rms(clip),
        optax.scale_by_learning_rate(learning_rate, flip_sign=False),
        optax.scale_by_param_block_rms(floor),
        optax.scale(-1),
    )


REFERENCES: list[Reference] = []


def made(rule: str, ours: Arguments) -> Any:
    """npoptim's rule with these hyper-parameters."""
    return npo.get_optimizer(rule, **ours)


def called(rule: str, ours: Arguments, library: str) -> Call:
    """What npoptim.libraries knows of a rule in a library, for these hyper-parameters."""
    return next(c for c in calls_of(rule, library) if c.when(made(rule, ours)))


def same(rule: str, ours: Arguments, library: str, tensors: tuple[str, ...] = ALL) -> None:
    """Enter a recipe of npoptim.libraries: a call that computes what npoptim computes."""
    call = called(rule, ours, library)
    why = "; ".join(d.remark for d in call.departures if d.remark)
    recipe = call.recipe(made(rule, ours))
    REFERENCES.append(Reference(rule, call.path, recipe, ours, True, why, tensors))


def departs(rule: str, ours: Arguments, library: str, /, without: str = "") -> None:
    """Enter a recipe at hyper-parameters at which it fails, or without an argument it needs."""
    call = called(rule, ours, library)
    recipe = call.recipe(made(rule, ours))
    if without:
        recipe.pop(without)
        shown = [d for d in call.departures if without in d.fixed and d.shows(made(rule, ours))]
    else:
        parts = [d for d in call.departures if d.prevents(made(rule, ours)) or d.rounding]
        shown = parts + [d for d in call.departures if "axes" in d.only]
    assert shown, f"nothing says why {call.path} departs"
    why = "; ".join(d.what for d in shown)
    REFERENCES.append(Reference(rule, call.path, recipe, ours, False, why))


def also(
    rule: str,
    ours: Arguments,
    path: str,
    why: str,
    /,
    exact: bool = False,
    tensors: tuple[str, ...] = ALL,
    build: Callable[..., Any] | None = None,
    **arguments: Any,
) -> None:
    """Enter a call that is no recipe: a well-known mistake, or a roundabout way."""
    REFERENCES.append(Reference(rule, path, arguments, ours, exact, why, tensors, build))


SGD: Arguments = {"lr": Rate(0.3)}
BALL: Arguments = {"lr": Rate(0.15), "momentum": 0.8}
CONSTANT_BALL: Arguments = {"lr": 0.1, "momentum": 0.8}
ADAM: Arguments = {"lr": Rate(0.1), "betas": (0.8, 0.9), "eps": 1e-2}
ADAM_HAT: Arguments = ADAM | {"eps": eps_hat(1e-2, beta2=0.9)}
ADAMW: Arguments = ADAM | {"weight_decay": 0.1}
ADAMW_HAT: Arguments = ADAM_HAT | {"weight_decay": 0.1}
LARS: Arguments = {"lr": Rate(2.0), "trust_coefficient": 0.05, "momentum": 0.8, "weight_decay": 0.1}
LARS_CONSTANT = LARS | {"lr": 1.0}
LARS_FREE = LARS | {"weight_decay": 0}
LARS_CONSTANT_FREE = LARS_CONSTANT | {"weight_decay": 0}
LAMB: Arguments = {"lr": Rate(0.1), "betas": (0.8, 0.9), "eps": 1e-2, "weight_decay": 0.1}
LAMB_FREE = LAMB | {"weight_decay": 0}
LION: Arguments = {"lr": Rate(0.05), "betas": (0.7, 0.9), "weight_decay": 0.5}
ADAFACTOR: Arguments = {"lr": Rate(0.1), "decay": 0.7, "eps": (1e-2, 0.3), "clip": 0.9}
ADAFACTOR_FLAT = ADAFACTOR | {"lr": Rate(1e-4), "eps": (1e-2, 1e3)}  # α = 1e3 ρ throughout
ADAFACTOR_TORCH = ADAFACTOR | {"eps": (1e-30, 0.3), "clip": 1.0}
ADAFACTOR_OWN: Arguments = {"decay": 0.7, "eps": (1e-2, 0.3), "clip": 0.9}
ADAFACTOR_OPTAX = ADAFACTOR | {"eps": (1e-2, 1e-3)}
CAME: Arguments = {
    "lr": Rate(0.05), "betas": (0.8, 0.9, 0.95), "eps": (1e-2, 1e-2), "clip": 0.8,
    "weight_decay": 0.1,
}  # fmt: skip

for library in ("torch", "optax", "keras", "tinygrad"):
    same("sgd", SGD, library)
for rule in ("momentum", "nesterov"):
    for library in ("torch", "optax", "tinygrad"):
        same(rule, BALL, library)
    same(rule, CONSTANT_BALL, "keras")
    departs(rule, BALL, "keras")

for rule, usual, hat in (("adam", ADAM, ADAM_HAT), ("adamw", ADAMW, ADAMW_HAT)):
    same(rule, usual, "torch")
    same(rule, usual, "optax")
    same(rule, hat, "keras")
    departs(rule, usual, "keras")
    departs(rule, usual, "tinygrad")
also(
    "adamw", ADAMW, "torch.optim.Adam", "weight_decay is added to the gradient (L2)",
    lr=Rate(0.1), betas=(0.8, 0.9), eps=1e-2, weight_decay=0.1,
)  # fmt: skip

same("lars", LARS, "tinygrad")
same("lars", LARS_FREE, "optax")
same("lars", LARS_CONSTANT, "timm")
same("lars", LARS_CONSTANT, "torch_optimizer")
same("lars", LARS_CONSTANT, "pytorch_optimizer", tensors=("W", "K"))
departs("lars", LARS, "optax")
departs("lars", LARS, "timm")
departs("lars", LARS, "torch_optimizer")
departs("lars", LARS, "pytorch_optimizer")
departs("lars", LARS_CONSTANT, "timm", without="eps")
departs("lars", LARS_CONSTANT, "torch_optimizer", without="eps")
departs("lars", LARS_CONSTANT_FREE, "timm", without="always_adapt")
departs("lars", LARS_CONSTANT_FREE, "torch_optimizer")
departs("lars", LARS_CONSTANT, "pytorch_optimizer")

same("lamb", LAMB, "optax")
same("lamb", LAMB, "timm")
same("lamb", LAMB_FREE, "keras")
departs("lamb", LAMB, "keras")
departs("lamb", LAMB, "timm", without="max_grad_norm")
departs("lamb", LAMB_FREE, "timm", without="always_adapt")
departs("lamb", LAMB, "tinygrad")
departs("lamb", LAMB, "torch_optimizer")
departs("lamb", LAMB, "pytorch_optimizer")
departs("lamb", LAMB, "pytorch_optimizer", without="weight_decouple")
also(
    "lamb", LAMB, "torch_optimizer.Lamb", "debias=True multiplies lr, after the trust ratio",
    lr=Rate(0.1), betas=(0.8, 0.9), eps=1e-2, weight_decay=0.1, clamp_value=1e9, debias=True,
)  # fmt: skip

for library in ("optax", "lion_pytorch", "timm", "pytorch_optimizer", "keras"):
    same("lion", LION, library)
also(
    "lion", LION | {"lr": 0.05}, "lion_pytorch.Lion", "weight_decay is divided by the first lr",
    lr=0.05, betas=(0.7, 0.9), weight_decay=0.5, decoupled_weight_decay=True,
)  # fmt: skip

same("adafactor", ADAFACTOR_TORCH, "torch")
same("adafactor", {}, "torch")
same("adafactor", ADAFACTOR, "transformers")
same("adafactor", ADAFACTOR_OWN, "transformers")
same("adafactor", ADAFACTOR, "pytorch_optimizer")
same("adafactor", ADAFACTOR_OWN, "pytorch_optimizer")
same("adafactor", ADAFACTOR, "torch_optimizer", tensors=("W", "b"))
same("adafactor", ADAFACTOR_OWN, "torch_optimizer", tensors=("W", "b"))
same("adafactor", ADAFACTOR_OWN, "timm", tensors=("W", "b"))
also(
    "adafactor", ADAFACTOR, "optax.chain",
    "optax.adafactor from its parts, with β̂₂ in float64; the two largest axes are the matrix",
    exact=True, tensors=("W", "b"), build=adafactor_chain,
    learning_rate=Rate(0.1), decay=0.7, eps=1e-2, floor=0.3, clip=0.9,
)  # fmt: skip
also(
    "adafactor", ADAFACTOR_FLAT, "timm.optim.AdafactorBigVision",
    "without RMS(θ), as is Adafactor with a large ε₂; the two largest axes are the matrix",
    exact=True, tensors=("W", "b"),
    lr=Rate(0.1), decay_rate=0.7, eps=1e-2, clipping_threshold=0.9, momentum=None,
    min_dim_size_to_factor=1,
)  # fmt: skip
departs("adafactor", ADAFACTOR_TORCH | {"eps": (1e-2, 0.3)}, "torch")
departs("adafactor", ADAFACTOR_OPTAX, "optax")
departs("adafactor", ADAFACTOR_OPTAX, "optax", without="min_dim_size_to_factor")
departs("adafactor", ADAFACTOR, "optax")
departs("adafactor", ADAFACTOR, "keras")
departs("adafactor", ADAFACTOR_OWN, "keras")
departs("adafactor", ADAFACTOR_OWN, "timm")
departs("adafactor", ADAFACTOR_OWN, "timm", without="min_dim_size_to_factor")
departs("adafactor", ADAFACTOR, "timm")
departs("adafactor", ADAFACTOR, "pytorch_optimizer", without="betas")

same("came", CAME, "came_pytorch")
same("came", CAME, "pytorch_optimizer")
also(
    "came", CAME, "pytorch_optimizer.CAME", "the decay is added to the gradient (L2)",
    lr=Rate(0.05), betas=(0.8, 0.9, 0.95), eps1=1e-2, eps2=1e-2, clip_threshold=0.8,
    weight_decay=0.1, weight_decouple=False,
)  # fmt: skip

#: What a rule is usually compared at; references that cannot do that have their own.
USUAL: dict[str, Arguments] = {
    "sgd": SGD,
    "momentum": BALL,
    "nesterov": BALL,
    "adam": ADAM,
    "adamw": ADAMW,
    "lars": LARS,
    "lamb": LAMB,
    "lion": LION,
    "adafactor": ADAFACTOR,
    "came": CAME,
}
