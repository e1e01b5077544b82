"""What each library calls the ten rules, and where it parts from their boxes: data, by hand."""

from __future__ import annotations

from typing import Any

from npoptim.libraries import calls as c
from npoptim.libraries.calls import GIVEN, RELATIVE, Call, Code, Departure

LIBRARIES = {
    "torch": "PyTorch",
    "optax": "Optax, for JAX",
    "keras": "Keras",
    "timm": "PyTorch Image Models",
    "transformers": "Hugging Face Transformers",
    "pytorch_optimizer": "kozistr's collection for PyTorch",
    "torch_optimizer": "jettify's collection for PyTorch",
    "lion_pytorch": "lucidrains' Lion",
    "came_pytorch": "the authors' CAME",
    "tinygrad": "tinygrad",
}

#: (library, rule) -> where the class really lives: it is PyTorch's under another name.
REEXPORTED = {
    (library, rule): f"{module}.{name}"
    for library, module in (("timm", "timm.optim"), ("pytorch_optimizer", "pytorch_optimizer"))
    for rule, name in {
        "sgd": "SGD", "momentum": "SGD", "nesterov": "SGD", "adam": "Adam", "adamw": "AdamW",
    }.items()
}  # fmt: skip

LR = {"lr": "lr"}
LEARNING_RATE = {"learning_rate": "lr"}
TORCH_ADAM = LR | {"betas": "betas", "eps": "eps"}
OPTAX_ADAM = LEARNING_RATE | {"b1": "betas[0]", "b2": "betas[1]", "eps": "eps"}
KERAS_BETAS = LEARNING_RATE | {"beta_1": "betas[0]", "beta_2": "betas[1]"}
TINY_ADAM = LR | {"b1": "betas[0]", "b2": "betas[1]", "eps": "eps"}
MU = {"momentum": "momentum"}
DECAY = {"weight_decay": "weight_decay"}

EPS_HAT = Departure(
    9,
    "ε is added to √v, before line 8 corrects its bias: the ε̂ form",
    unless=c.HAT,
)
POWERS = Departure(7, "β₁ᵗ and β₂ᵗ of lines 7 and 8 are kept in float32", rounding=True)
LR_OUTSIDE = Departure(5, "lr multiplies the buffer on its way out", unless=c.CONSTANT)
ZERO_NORM = Departure(4, "γ is 1, and not η, where ‖θ‖ is 0", only="parameters that are all zeros")

SGDS = [
    Call("sgd", "torch.optim.SGD", LR),
    Call("sgd", "optax.sgd", LEARNING_RATE),
    Call("sgd", "keras.optimizers.SGD", LEARNING_RATE),
    Call("sgd", "tinygrad.nn.optim.SGD", LR),
]
for _rule, _nesterov in (("momentum", False), ("nesterov", True)):
    _pick = {"nesterov": _nesterov}
    SGDS += [
        Call(_rule, "torch.optim.SGD", LR | MU, _pick),
        Call(_rule, "optax.sgd", LEARNING_RATE | MU, _pick),
        Call(_rule, "tinygrad.nn.optim.SGD", LR | MU, _pick),
        Call(
            _rule, "keras.optimizers.SGD", LEARNING_RATE | MU, _pick,
            (Departure(4, "lr is inside the buffer, v ← μ v + lr g", unless=c.CONSTANT),),
        ),
    ]  # fmt: skip

ADAMS = [
    Call("adam", "torch.optim.Adam", TORCH_ADAM),
    Call("adam", "optax.adam", OPTAX_ADAM),
    Call("adam", "keras.optimizers.Adam", KERAS_BETAS | {"epsilon": "eps.eps"}, {}, (EPS_HAT,)),
    Call("adam", "tinygrad.nn.optim.Adam", TINY_ADAM, {}, (POWERS,)),
    Call("adamw", "torch.optim.AdamW", TORCH_ADAM | DECAY),
    Call("adamw", "optax.adamw", OPTAX_ADAM | DECAY),
    Call(
        "adamw", "keras.optimizers.AdamW", KERAS_BETAS | {"epsilon": "eps.eps"} | DECAY,
        {}, (EPS_HAT,),
    ),
    Call("adamw", "tinygrad.nn.optim.AdamW", TINY_ADAM | DECAY, {}, (POWERS,)),
]  # fmt: skip

SLACK = Departure(4, "eps = 1e-8 is added to the denominator", {"eps": 0})
LARSES = [
    Call(
        "lars", "optax.lars",
        LEARNING_RATE | DECAY | {"trust_coefficient": "trust_coefficient"} | MU, {},
        (Departure(4, "the denominator is ‖g + λ θ‖, one norm", unless=c.NO_DECAY), ZERO_NORM),
    ),
    Call(
        "lars", "timm.optim.Lars", LR | MU | DECAY | {"trust_coeff": "trust_coefficient"}, {},
        (
            SLACK,
            Departure(
                4, "γ is 1 without weight decay: it is plain momentum", {"always_adapt": True},
                unless=c.SOME_DECAY,
            ),
            LR_OUTSIDE,
            ZERO_NORM,
        ),
    ),
    Call(
        "lars", "torch_optimizer.LARS",
        LR | MU | DECAY | {"trust_coefficient": "trust_coefficient"}, {},
        (
            SLACK,
            Departure(
                4, "γ is 1 without weight decay: it is plain momentum", unless=c.SOME_DECAY
            ),
            LR_OUTSIDE,
            ZERO_NORM,
        ),
    ),
    Call(
        "lars", "pytorch_optimizer.LARS",
        LR | MU | DECAY | {"trust_coefficient": "trust_coefficient"}, {},
        (
            Departure(
                4, "γ is 1 and λ is 0: it is plain momentum",
                only="parameters with fewer than two axes",
            ),
            LR_OUTSIDE,
            ZERO_NORM,
        ),
    ),
    Call(
        "lars", "tinygrad.nn.optim.LARS", LR | MU | DECAY | {"tcoef": "trust_coefficient"}, {},
        (ZERO_NORM,),
    ),
]  # fmt: skip

WIDE_PHI = "‖θ‖ is cut off at 10"
LAMBS = [
    Call("lamb", "optax.lamb", OPTAX_ADAM | DECAY),
    Call(
        "lamb", "timm.optim.Lamb", TORCH_ADAM | DECAY, {},
        (
            Departure(
                4, "all gradients together are clipped to a norm of 1", {"max_grad_norm": None}
            ),
            Departure(
                11, "the quotient of norms is 1 without weight decay: it is Adam",
                {"always_adapt": True}, unless=c.SOME_DECAY,
            ),
        ),
    ),
    Call(
        "lamb", "keras.optimizers.Lamb", KERAS_BETAS | {"epsilon": "eps"} | DECAY, {},
        (
            Departure(
                10, "λ θ is not in u: the decay is AdamW's, outside the quotient of norms",
                unless=c.NO_DECAY,
            ),
        ),
    ),
    Call("lamb", "tinygrad.nn.optim.LAMB", TINY_ADAM | DECAY, {}, (POWERS,)),
    Call(
        "lamb", "torch_optimizer.Lamb", TORCH_ADAM | DECAY, {},
        (
            Departure(
                7, "nothing corrects the bias of m and v, as in the paper's third version; "
                "debias=True multiplies lr by the correction, after the quotient of norms",
            ),
            Departure(11, WIDE_PHI, {"clamp_value": 1e9}),
        ),
    ),
    Call(
        "lamb", "pytorch_optimizer.Lamb", TORCH_ADAM | DECAY, {},
        (
            Departure(
                7, "nothing corrects the bias of m and v; lr is divided by 1 − β₁ᵗ instead, after "
                "the quotient of norms",
            ),
            Departure(10, "λ θ is not in u: the decay is outside the quotient of norms",
                      {"weight_decouple": False}, unless=c.NO_DECAY),
            Departure(11, f"{WIDE_PHI}, and ε is added to ‖u‖"),
        ),
    ),
]  # fmt: skip

LIONS = [
    Call("lion", "optax.lion", LEARNING_RATE | {"b1": "betas[0]", "b2": "betas[1]"} | DECAY),
    Call("lion", "lion_pytorch.Lion", LR | {"betas": "betas"} | DECAY),
    Call("lion", "timm.optim.Lion", LR | {"betas": "betas"} | DECAY),
    Call("lion", "pytorch_optimizer.Lion", LR | {"betas": "betas"} | DECAY),
    Call("lion", "keras.optimizers.Lion", KERAS_BETAS | DECAY),
]

# A number that makes the library's own min(lr, 1/√t) the paper's relative step.
PAPER_STEP: dict[str, Any] = {"lr": 0.01}
OWN_STEP: dict[str, Any] = {"lr": None, "relative_step": True}
CAP = Departure(
    4, "ρ is min(lr, 1/√t), the same through step 1/lr²", only="steps in which lr is above 1/√t"
)
CLAMP = (
    Departure(
        7, "ε₁ is a lower bound of v and not added to g² (in float32 write 1e-15 for 1e-30, whose "
        "square is 0 there: a row without gradient becomes NaN)", unless=c.TINY_EPS,
    ),
    Departure(11, "d below 1 is refused", unless=c.LOOSE_CLIP),
)  # fmt: skip
TORCH_FACTOR = {"beta2_decay": "-decay", "eps": "eps", "d": "clip"}
KERAS_FACTOR = {
    "beta_2_decay": "-decay", "epsilon_1": "eps[0]", "epsilon_2": "eps[1]",
    "clip_threshold": "clip",
}  # fmt: skip
KERAS_MINIMUM = Departure(
    4, "max(ε₂, RMS(θ)) and ρ are rounded to float32, on the torch backend", rounding=True
)
OPTAX_FACTOR = {"decay_rate": "decay", "eps": "eps[0]", "clipping_threshold": "clip"}
OPTAX_PARTS = (
    Departure(4, "ε₂ is 0.001 and no argument", unless=c.USUAL_FLOOR),
    Departure(6, "β̂₂ is computed in float32", rounding=True),
    Departure(
        7, "nothing is factored that has an axis below 128", {"min_dim_size_to_factor": 1}
    ),
    Departure(
        7, "the two largest axes are the matrix", only="parameters with more than two axes"
    ),
)  # fmt: skip
HF_FACTOR = {"decay_rate": "-decay", "eps": "eps", "clip_threshold": "clip"}
KOZISTR_FACTOR = {
    "decay_rate": "-decay", "eps1": "eps[0]", "eps2": "eps[1]", "clip_threshold": "clip"
}  # fmt: skip
KOZISTR_MOMENTUM = Departure(
    12, "α û goes through a momentum in bfloat16, and β̂₂ stops at 0.999 (after 5,623 steps)",
    {"betas": (None, 0.999999999)},
)  # fmt: skip
JETTIFY_FACTOR = {"eps2": "eps", "clip_threshold": "clip", "decay_rate": "-decay"}
JETTIFY_AXES = Departure(
    9, "Σ R is broadcast along the wrong axis, which raises an error or is silently wrong",
    only="parameters with more than two axes",
)  # fmt: skip
TIMM_FACTOR = {
    "eps": "eps[0]", "eps_scale": "eps[1]", "clip_threshold": "clip", "decay_rate": "-decay"
}  # fmt: skip
TIMM_AXES = (
    Departure(
        7, "nothing is factored that has an axis of 16 or less", {"min_dim_size_to_factor": 1}
    ),
    Departure(
        7, "the first two axes are the matrix", only="parameters with more than two axes"
    ),
)  # fmt: skip
SCALED = "the scale max(ε₂, RMS(θ)) is left out where lr is given"
ADAFACTORS = [
    Call("adafactor", "torch.optim.Adafactor", TORCH_FACTOR, PAPER_STEP, CLAMP, **RELATIVE),
    Call("adafactor", "torch.optim.Adafactor", LR | TORCH_FACTOR, {}, (CAP, *CLAMP), **GIVEN),
    Call(
        "adafactor", "optax.adafactor", OPTAX_FACTOR,
        {"learning_rate": Code("lambda i: jnp.minimum(1e-2, 1 / jnp.sqrt(i + 1.0))")},
        OPTAX_PARTS, **RELATIVE,
    ),
    Call("adafactor", "optax.adafactor", LEARNING_RATE | OPTAX_FACTOR, {}, OPTAX_PARTS, **GIVEN),
    Call(
        "adafactor", "keras.optimizers.Adafactor", KERAS_FACTOR, {"learning_rate": 0.01},
        (KERAS_MINIMUM,), **RELATIVE,
    ),
    Call(
        "adafactor", "keras.optimizers.Adafactor", LEARNING_RATE | KERAS_FACTOR, {},
        (KERAS_MINIMUM, CAP), **GIVEN,
    ),
    Call(
        "adafactor", "timm.optim.Adafactor", TIMM_FACTOR, {"lr": None}, TIMM_AXES, **RELATIVE
    ),
    Call(
        "adafactor", "timm.optim.Adafactor", LR | TIMM_FACTOR, {},
        (Departure(4, SCALED), *TIMM_AXES), **GIVEN,
    ),
    Call("adafactor", "transformers.Adafactor", HF_FACTOR, OWN_STEP, **RELATIVE),
    Call("adafactor", "transformers.Adafactor", LR | HF_FACTOR, {"relative_step": False}, **GIVEN),
    Call(
        "adafactor", "pytorch_optimizer.AdaFactor", KOZISTR_FACTOR, OWN_STEP,
        (KOZISTR_MOMENTUM,), **RELATIVE,
    ),
    Call(
        "adafactor", "pytorch_optimizer.AdaFactor", LR | KOZISTR_FACTOR, {"relative_step": False},
        (KOZISTR_MOMENTUM,), **GIVEN,
    ),
    Call(
        "adafactor", "torch_optimizer.Adafactor", JETTIFY_FACTOR, OWN_STEP, (JETTIFY_AXES,),
        **RELATIVE,
    ),
    Call(
        "adafactor", "torch_optimizer.Adafactor", LR | JETTIFY_FACTOR, {"relative_step": False},
        (JETTIFY_AXES,), **GIVEN,
    ),
]  # fmt: skip

CAMES = [
    Call(
        "came", "came_pytorch.CAME",
        TORCH_ADAM | {"clip_threshold": "clip"} | DECAY,
    ),
    Call(
        "came", "pytorch_optimizer.CAME",
        LR | {"betas": "betas", "eps1": "eps[0]", "eps2": "eps[1]", "clip_threshold": "clip"}
        | DECAY,
    ),
]  # fmt: skip

CALLS: list[Call] = SGDS + ADAMS + LARSES + LAMBS + LIONS + ADAFACTORS + CAMES
