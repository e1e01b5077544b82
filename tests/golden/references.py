"""Every implementation that npoptim is compared with: what it is called and with which arguments.

Data for make.py, the tests and whoever writes about the differences: `REFERENCES`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from problem import SHAPES, Arrays, Rate
from runners import LIBRARIES, Arguments, constructor

ALL = tuple(SHAPES)


def spelled(arguments: Arguments) -> str:
    """Arguments as they stand in a call."""
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


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


@dataclass(frozen=True)
class EpsHat:
    """ε / √(1 − β₂ᵗ): with this ε, Adam is what the paper calls the ε̂ form with `eps`."""

    eps: float
    beta2: float

    def __call__(self, t: int) -> float:
        return self.eps / (1 - self.beta2**t) ** 0.5


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


def same(
    rule: str,
    ours: Arguments,
    path: str,
    /,
    *,
    why: str = "",
    tensors: tuple[str, ...] = ALL,
    build: Callable[..., Any] | None = None,
    **arguments: Any,
) -> None:
    """Enter an implementation that computes what npoptim computes."""
    REFERENCES.append(Reference(rule, path, arguments, ours, True, why, tensors, build))


def departs(rule: str, ours: Arguments, path: str, why: str, /, **arguments: Any) -> None:
    """Enter one that does not, and why."""
    REFERENCES.append(Reference(rule, path, arguments, ours, False, why))


# fmt: off
SGD: Arguments = {"lr": Rate(0.3)}
same("sgd", SGD, "torch.optim.SGD", lr=Rate(0.3))
same("sgd", SGD, "optax.sgd", learning_rate=Rate(0.3))
same("sgd", SGD, "keras.optimizers.SGD", learning_rate=Rate(0.3))
same("sgd", SGD, "tinygrad.nn.optim.SGD", lr=Rate(0.3))

BALL: Arguments = {"lr": Rate(0.15), "momentum": 0.8}
CONSTANT_BALL: Arguments = {"lr": 0.1, "momentum": 0.8}
INSIDE = "lr is inside the buffer: the same while lr is constant, and only then"
for rule, nesterov in (("momentum", False), ("nesterov", True)):
    same(rule, BALL, "torch.optim.SGD", lr=Rate(0.15), momentum=0.8, nesterov=nesterov)
    same(rule, BALL, "optax.sgd", learning_rate=Rate(0.15), momentum=0.8, nesterov=nesterov)
    same(rule, BALL, "tinygrad.nn.optim.SGD", lr=Rate(0.15), momentum=0.8, nesterov=nesterov)
    same(rule, CONSTANT_BALL, "keras.optimizers.SGD", why=INSIDE,
         learning_rate=0.1, momentum=0.8, nesterov=nesterov)
    departs(rule, BALL, "keras.optimizers.SGD", INSIDE,
            learning_rate=Rate(0.15), momentum=0.8, nesterov=nesterov)

ADAM: Arguments = {"lr": Rate(0.1), "betas": (0.8, 0.9), "eps": 1e-2}
ADAM_HAT: Arguments = ADAM | {"eps": EpsHat(1e-2, beta2=0.9)}
HAT = "ε̂ form: ε is added before the bias is corrected, so the box's ε is ε̂ / √(1 − β₂ᵗ)"
POWERS = "β₁ᵗ and β₂ᵗ are kept in float32"
same("adam", ADAM, "torch.optim.Adam", lr=Rate(0.1), betas=(0.8, 0.9), eps=1e-2)
same("adam", ADAM, "optax.adam", learning_rate=Rate(0.1), b1=0.8, b2=0.9, eps=1e-2)
same("adam", ADAM_HAT, "keras.optimizers.Adam", why=HAT,
     learning_rate=Rate(0.1), beta_1=0.8, beta_2=0.9, epsilon=1e-2)
departs("adam", ADAM, "keras.optimizers.Adam", HAT,
        learning_rate=Rate(0.1), beta_1=0.8, beta_2=0.9, epsilon=1e-2)
departs("adam", ADAM, "tinygrad.nn.optim.Adam", POWERS, lr=Rate(0.1), b1=0.8, b2=0.9, eps=1e-2)

ADAMW: Arguments = ADAM | {"weight_decay": 0.1}
ADAMW_HAT: Arguments = ADAM_HAT | {"weight_decay": 0.1}
same("adamw", ADAMW, "torch.optim.AdamW",
     lr=Rate(0.1), betas=(0.8, 0.9), eps=1e-2, weight_decay=0.1)
same("adamw", ADAMW, "optax.adamw",
     learning_rate=Rate(0.1), b1=0.8, b2=0.9, eps=1e-2, weight_decay=0.1)
same("adamw", ADAMW_HAT, "keras.optimizers.AdamW", why=HAT,
     learning_rate=Rate(0.1), beta_1=0.8, beta_2=0.9, epsilon=1e-2, weight_decay=0.1)
departs("adamw", ADAMW, "keras.optimizers.AdamW", HAT,
        learning_rate=Rate(0.1), beta_1=0.8, beta_2=0.9, epsilon=1e-2, weight_decay=0.1)
departs("adamw", ADAMW, "tinygrad.nn.optim.AdamW", POWERS,
        lr=Rate(0.1), b1=0.8, b2=0.9, eps=1e-2, weight_decay=0.1)
departs("adamw", ADAMW, "torch.optim.Adam", "weight_decay is added to the gradient (L2)",
        lr=Rate(0.1), betas=(0.8, 0.9), eps=1e-2, weight_decay=0.1)

LARS: Arguments = {"lr": Rate(2.0), "trust_coefficient": 0.05, "momentum": 0.8, "weight_decay": 0.1}
LARS_CONSTANT = LARS | {"lr": 1.0}
LARS_FREE = LARS | {"weight_decay": 0}
LARS_CONSTANT_FREE = LARS_CONSTANT | {"weight_decay": 0}
OUTSIDE = "lr is outside the buffer: the same while lr is constant, and only then"
JOINT = "takes ‖g + λθ‖ where the paper adds the norms; without weight decay the same"
same("lars", LARS, "tinygrad.nn.optim.LARS",
     lr=Rate(2.0), momentum=0.8, weight_decay=0.1, tcoef=0.05)
same("lars", LARS_FREE, "optax.lars", why=JOINT,
     learning_rate=Rate(2.0), weight_decay=0, trust_coefficient=0.05, momentum=0.8)
same("lars", LARS_CONSTANT, "timm.optim.Lars", why=OUTSIDE,
     lr=1.0, momentum=0.8, weight_decay=0.1, trust_coeff=0.05, eps=0, always_adapt=True)
same("lars", LARS_CONSTANT, "torch_optimizer.LARS", why=OUTSIDE,
     lr=1.0, momentum=0.8, weight_decay=0.1, trust_coefficient=0.05, eps=0)
same("lars", LARS_CONSTANT, "pytorch_optimizer.LARS", tensors=("W", "K"),
     why=OUTSIDE + "; vectors get plain SGD",
     lr=1.0, momentum=0.8, weight_decay=0.1, trust_coefficient=0.05)
departs("lars", LARS, "optax.lars", JOINT,
        learning_rate=Rate(2.0), weight_decay=0.1, trust_coefficient=0.05, momentum=0.8)
departs("lars", LARS, "timm.optim.Lars", OUTSIDE,
        lr=Rate(2.0), momentum=0.8, weight_decay=0.1, trust_coeff=0.05, eps=0, always_adapt=True)
departs("lars", LARS_CONSTANT, "timm.optim.Lars", "default eps = 1e-8 in the denominator",
        lr=1.0, momentum=0.8, weight_decay=0.1, trust_coeff=0.05, always_adapt=True)
departs("lars", LARS_CONSTANT_FREE, "timm.optim.Lars",
        "no adaptation without weight decay, unless always_adapt",
        lr=1.0, momentum=0.8, trust_coeff=0.05, eps=0)
departs("lars", LARS_CONSTANT_FREE, "torch_optimizer.LARS",
        "no adaptation without weight decay", lr=1.0, momentum=0.8, trust_coefficient=0.05, eps=0)
departs("lars", LARS_CONSTANT, "pytorch_optimizer.LARS", "vectors get plain SGD without decay",
        lr=1.0, momentum=0.8, weight_decay=0.1, trust_coefficient=0.05)

LAMB: Arguments = {"lr": Rate(0.1), "betas": (0.8, 0.9), "eps": 1e-2, "weight_decay": 0.1}
LAMB_FREE = LAMB | {"weight_decay": 0}
APART = "weight decay is outside the trust ratio; without it the same"
same("lamb", LAMB, "optax.lamb",
     learning_rate=Rate(0.1), b1=0.8, b2=0.9, eps=1e-2, weight_decay=0.1)
same("lamb", LAMB, "timm.optim.Lamb", lr=Rate(0.1), betas=(0.8, 0.9), eps=1e-2, weight_decay=0.1,
     max_grad_norm=None, always_adapt=True)
same("lamb", LAMB_FREE, "keras.optimizers.Lamb", why=APART,
     learning_rate=Rate(0.1), beta_1=0.8, beta_2=0.9, epsilon=1e-2)
departs("lamb", LAMB, "keras.optimizers.Lamb", APART,
        learning_rate=Rate(0.1), beta_1=0.8, beta_2=0.9, epsilon=1e-2, weight_decay=0.1)
departs("lamb", LAMB, "timm.optim.Lamb", "clips the gradients to a global norm of 1 by default",
        lr=Rate(0.1), betas=(0.8, 0.9), eps=1e-2, weight_decay=0.1, always_adapt=True)
departs("lamb", LAMB_FREE, "timm.optim.Lamb",
        "no trust ratio without weight decay, unless always_adapt: it is Adam",
        lr=Rate(0.1), betas=(0.8, 0.9), eps=1e-2, weight_decay=0, max_grad_norm=None)
departs("lamb", LAMB, "tinygrad.nn.optim.LAMB", POWERS,
        lr=Rate(0.1), b1=0.8, b2=0.9, eps=1e-2, weight_decay=0.1)
departs("lamb", LAMB, "torch_optimizer.Lamb",
        "no bias correction (the paper's third version)",
        lr=Rate(0.1), betas=(0.8, 0.9), eps=1e-2, weight_decay=0.1, clamp_value=1e9)
departs("lamb", LAMB, "torch_optimizer.Lamb",
        "the bias correction multiplies lr, after the trust ratio",
        lr=Rate(0.1), betas=(0.8, 0.9), eps=1e-2, weight_decay=0.1, clamp_value=1e9, debias=True)
departs("lamb", LAMB, "pytorch_optimizer.Lamb",
        "decay outside the trust ratio, and a factor 1 / (1 − β₁ᵗ) after it",
        lr=Rate(0.1), betas=(0.8, 0.9), eps=1e-2, weight_decay=0.1)

LION: Arguments = {"lr": Rate(0.05), "betas": (0.7, 0.9), "weight_decay": 0.5}
same("lion", LION, "optax.lion", learning_rate=Rate(0.05), b1=0.7, b2=0.9, weight_decay=0.5)
same("lion", LION, "lion_pytorch.Lion", lr=Rate(0.05), betas=(0.7, 0.9), weight_decay=0.5)
same("lion", LION, "timm.optim.Lion", lr=Rate(0.05), betas=(0.7, 0.9), weight_decay=0.5)
same("lion", LION, "pytorch_optimizer.Lion", lr=Rate(0.05), betas=(0.7, 0.9), weight_decay=0.5)
same("lion", LION, "keras.optimizers.Lion",
     learning_rate=Rate(0.05), beta_1=0.7, beta_2=0.9, weight_decay=0.5)
departs("lion", LION | {"lr": 0.05}, "lion_pytorch.Lion", "weight_decay is divided by the first lr",
        lr=0.05, betas=(0.7, 0.9), weight_decay=0.5, decoupled_weight_decay=True)

ADAFACTOR: Arguments = {"lr": Rate(0.1), "decay": 0.7, "eps": (1e-2, 0.3), "clip": 0.9}
ADAFACTOR_FLAT = ADAFACTOR | {"lr": Rate(1e-4), "eps": (1e-2, 1e3)}  # α = 1e3 ρ throughout
ADAFACTOR_TORCH = ADAFACTOR | {"eps": (1e-30, 0.3), "clip": 1.0}
OWN_STEP = "its own relative step, min(1e-2, 1/√t), and defaults"
CLAMP = "ε₁ is a lower bound and not a summand: the same while too small to matter"
TWO_LARGEST = "factors the two largest axes: the same on matrices and vectors"
FLOAT32 = "β̂₂ is computed in float32"
same("adafactor", ADAFACTOR_TORCH, "torch.optim.Adafactor", why=f"{CLAMP}; d < 1 is refused",
     lr=Rate(0.1), beta2_decay=-0.7, eps=(1e-30, 0.3), d=1.0)
same("adafactor", {}, "torch.optim.Adafactor", why=OWN_STEP, lr=1e-2, eps=(1e-30, 1e-3))
same("adafactor", ADAFACTOR, "transformers.Adafactor",
     lr=Rate(0.1), decay_rate=-0.7, eps=(1e-2, 0.3), clip_threshold=0.9, relative_step=False)
same("adafactor", {}, "transformers.Adafactor", why=OWN_STEP)
same("adafactor", ADAFACTOR, "pytorch_optimizer.AdaFactor",
     why="its upper bound of β̂₂, .999, is not reached in 60 steps", betas=(None, 0.999),
     lr=Rate(0.1), decay_rate=-0.7, eps1=1e-2, eps2=0.3, clip_threshold=0.9, relative_step=False)
same("adafactor", ADAFACTOR, "optax.chain", tensors=("W", "b"), build=adafactor_chain,
     why=f"{TWO_LARGEST}; in parts, since in optax.adafactor {FLOAT32}",
     learning_rate=Rate(0.1), decay=0.7, eps=1e-2, floor=0.3, clip=0.9)
same("adafactor", ADAFACTOR_FLAT, "timm.optim.AdafactorBigVision", tensors=("W", "b"),
     why=f"{TWO_LARGEST}; without RMS(θ), as is Adafactor with a large ε₂",
     lr=Rate(0.1), decay_rate=0.7, eps=1e-2, clipping_threshold=0.9, momentum=None,
     min_dim_size_to_factor=1)
departs("adafactor", ADAFACTOR_TORCH | {"eps": (1e-2, 0.3)}, "torch.optim.Adafactor", CLAMP,
        lr=Rate(0.1), beta2_decay=-0.7, eps=(1e-2, 0.3), d=1.0)
departs("adafactor", {"lr": 0.1}, "optax.adafactor", f"{FLOAT32}; {TWO_LARGEST}",
        learning_rate=0.1, min_dim_size_to_factor=1)
departs("adafactor", {"lr": 0.1}, "optax.adafactor",
        f"{FLOAT32}; nothing is factored that has an axis below 128", learning_rate=0.1)
departs("adafactor", {}, "keras.optimizers.Adafactor",
        "the minimum and maximum of two numbers is float32", learning_rate=1e-2)
departs("adafactor", {}, "timm.optim.Adafactor",
        "factors the first two axes: the same on matrices and vectors",
        lr=None, min_dim_size_to_factor=1)

CAME: Arguments = {"lr": Rate(0.05), "betas": (0.8, 0.9, 0.95), "eps": (1e-2, 1e-2),
                   "clip": 0.8, "weight_decay": 0.1}
same("came", CAME, "came_pytorch.CAME", lr=Rate(0.05), betas=(0.8, 0.9, 0.95), eps=(1e-2, 1e-2),
     clip_threshold=0.8, weight_decay=0.1)
same("came", CAME, "pytorch_optimizer.CAME", lr=Rate(0.05), betas=(0.8, 0.9, 0.95),
     eps1=1e-2, eps2=1e-2, clip_threshold=0.8, weight_decay=0.1)
departs("came", CAME, "pytorch_optimizer.CAME", "the decay is added to the gradient (L2)",
        lr=Rate(0.05), betas=(0.8, 0.9, 0.95), eps1=1e-2, eps2=1e-2, clip_threshold=0.8,
        weight_decay=0.1, weight_decouple=False)
# fmt: on

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
