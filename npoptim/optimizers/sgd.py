"""SGD: step against the gradient."""

from dataclasses import dataclass

from npoptim.optimizers.base import Array, Number, Optimizer, Step


@dataclass
class SGD(Optimizer):
    """SGD: step against the gradient.

    On ½θ², whose gradient is θ, every step multiplies θ by 1 − lr:

    >>> SGD(lr=0.1).update(p=1.0, g=1.0, t=1)
    (0.9, {})

    Robbins & Monro, A Stochastic Approximation Method, Annals of
    Mathematical Statistics 1951, https://doi.org/10.1214/aoms/1177729586::

         1  given lr
         3  g ← ∇f(θ)
         4  θ ← θ − lr g
    """

    lr: Number = 1e-2  #: step size

    scope = "element"

    def update(self, p: Array, g: Array, t: int) -> Step:
        lr = self.lr  # line 1
        p = p - lr * g  # line 4
        return p, {}
