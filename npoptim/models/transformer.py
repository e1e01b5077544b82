"""A causal transformer of one block: which token comes next?

The numbers in parentheses are those of docs/derivations/transformer.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from npoptim.models import checks
from npoptim.models.base import Array, Arrays, Cache, Model
from npoptim.models.layers import (
    ACTIVATIONS,
    cross_entropy,
    gathered,
    layer_norm,
    layer_norm_backward,
    outer,
    softmax,
    softmax_backward,
    total,
)


@dataclass(frozen=True)
class Transformer(Model):
    """A causal transformer of one block: which token comes next?

    x is (n, T) of tokens, T ≤ `context`; y (n, T) holds the token that follows
    each, −1 where there is none: it is left out of the mean. Padding goes to
    the end, where causal attention cannot see it.

    The block is that of Vaswani et al., Attention Is All You Need, 2017,
    https://arxiv.org/abs/1706.03762, with the norms before attention and MLP
    as in GPT-2. `tied` uses the token embedding as the head's weights.

    >>> model = Transformer(vocabulary=27, context=16)
    >>> x = np.array([[0, 5, 13, 13, 1]])
    >>> model.predict(model.init(np.random.default_rng(0)), x).shape
    (1, 5)
    """

    vocabulary: int
    context: int = 16  #: longest sequence, the number of learned positions
    width: int = 64  #: length of a token's vector
    heads: int = 4
    hidden: int = 256  #: width of the MLP
    activation: str = "gelu"  #: "gelu", "relu" or "tanh"
    tied: bool = False

    task = "language"

    def __post_init__(self) -> None:
        checks.size("vocabulary", self.vocabulary, least=2)
        for name in ("context", "width", "heads", "hidden"):
            checks.size(name, getattr(self, name))
        checks.one_of("activation", self.activation, tuple(ACTIVATIONS))
        checks.flag("tied", self.tied)
        if self.width % self.heads:
            raise ValueError(
                f"width must be a multiple of heads = {self.heads}. Got {self.width} instead."
            )

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        V, D, H = self.vocabulary, self.width, self.hidden
        shapes: dict[str, tuple[int, ...]] = {
            "token.embedding": (V, D),
            "position.embedding": (self.context, D),
            "attention.norm.gain": (D,),
            "attention.norm.b": (D,),
            "attention.Wq": (D, D),
            "attention.Wk": (D, D),
            "attention.Wv": (D, D),
            "attention.Wo": (D, D),
            "attention.b": (D,),
            "mlp.norm.gain": (D,),
            "mlp.norm.b": (D,),
            "mlp.0.W": (D, H),
            "mlp.0.b": (H,),
            "mlp.1.W": (H, D),
            "mlp.1.b": (D,),
            "head.norm.gain": (D,),
            "head.norm.b": (D,),
            "head.b": (V,),
        }
        return shapes if self.tied else shapes | {"head.W": (D, V)}

    def std(self, name: str) -> float:
        if name.endswith(".embedding"):
            # a tied head wants logits of order 1 from rows of √width: 1/√width
            return float(self.width**-0.5)
        return super().std(name)

    def forward(self, params: Arrays, x: Array) -> tuple[Array, Cache]:
        p, T = params, x.shape[1]
        e = p["token.embedding"][x] + p["position.embedding"][:T]  # e = E[x] + P  (1)
        a, norm1 = layer_norm(e, p["attention.norm.gain"], p["attention.norm.b"])  # (2)
        q = self._split(a @ p["attention.Wq"])  # q = a Wq  (3)
        k = self._split(a @ p["attention.Wk"])  # k = a Wk  (4)
        v = self._split(a @ p["attention.Wv"])  # v = a Wv  (5)
        s = q @ k.swapaxes(-1, -2) / self._root  # s = q kᵀ / √d  (6)
        past = np.tril(np.ones_like(s[:1, :1])) > 0
        w = softmax(np.where(past, s, -np.inf))  # w = softmax of s over the past  (7)
        o = self._merge(w @ v)  # o = w v  (8)
        h = e + o @ p["attention.Wo"] + p["attention.b"]  # h = e + o Wo + b  (9)
        m, norm2 = layer_norm(h, p["mlp.norm.gain"], p["mlp.norm.b"])  # (10)
        u = m @ p["mlp.0.W"] + p["mlp.0.b"]  # u = m W₀ + b₀  (11)
        r, slope = ACTIVATIONS[self.activation](u)  # r = φ(u)  (12)
        f = h + r @ p["mlp.1.W"] + p["mlp.1.b"]  # f = h + r W₁ + b₁  (13)
        g, norm3 = layer_norm(f, p["head.norm.gain"], p["head.norm.b"])  # (14)
        z = g @ self._head(p) + p["head.b"]  # z = g W + b, W = Eᵀ if tied  (15)
        return z, (x, norm1, a, q, k, v, w, o, norm2, m, r, slope, norm3, g)

    def criterion(self, z: Array, y: Array) -> tuple[Array, Array]:
        return cross_entropy(z, y)  # ∂L/∂z = (p − e) / n  (16)

    def backward(self, params: Arrays, cache: Cache, dz: Array) -> Arrays:
        x, norm1, a, q, k, v, w, o, norm2, m, r, slope, norm3, g = cache
        p, d, T = params, {}, x.shape[1]
        d["head.b"] = total(dz)  # ∂L/∂b = Σ ∂L/∂z  (17)
        dW = outer(g, dz)  # ∂L/∂W = gᵀ ∂L/∂z  (18)
        dg = dz @ self._head(p).T  # ∂L/∂g = ∂L/∂z Wᵀ  (19)
        df, d["head.norm.gain"], d["head.norm.b"] = layer_norm_backward(dg, norm3)  # ∂L/∂f  (20)
        d["mlp.1.b"] = total(df)  # ∂L/∂b₁ = Σ ∂L/∂f  (21)
        d["mlp.1.W"] = outer(r, df)  # ∂L/∂W₁ = rᵀ ∂L/∂f  (22)
        dr = df @ p["mlp.1.W"].T  # ∂L/∂r = ∂L/∂f W₁ᵀ  (23)
        du = dr * slope  # ∂L/∂u = ∂L/∂r φ′(u)  (24)
        d["mlp.0.b"] = total(du)  # ∂L/∂b₀ = Σ ∂L/∂u  (25)
        d["mlp.0.W"] = outer(m, du)  # ∂L/∂W₀ = mᵀ ∂L/∂u  (26)
        dm = du @ p["mlp.0.W"].T  # ∂L/∂m = ∂L/∂u W₀ᵀ  (27)
        dn, d["mlp.norm.gain"], d["mlp.norm.b"] = layer_norm_backward(dm, norm2)  # (28)
        dh = df + dn  # ∂L/∂h = ∂L/∂f + norm′(∂L/∂m)  (29)
        d["attention.b"] = total(dh)  # ∂L/∂b = Σ ∂L/∂h  (30)
        d["attention.Wo"] = outer(o, dh)  # ∂L/∂Wo = oᵀ ∂L/∂h  (31)
        do = self._split(dh @ p["attention.Wo"].T)  # ∂L/∂o = ∂L/∂h Woᵀ  (32)
        dv = self._merge(w.swapaxes(-1, -2) @ do)  # ∂L/∂v = wᵀ ∂L/∂o  (33)
        dw = do @ v.swapaxes(-1, -2)  # ∂L/∂w = ∂L/∂o vᵀ  (34)
        ds = softmax_backward(dw, w)  # ∂L/∂s = softmax′(∂L/∂w)  (35)
        dk = self._merge(ds.swapaxes(-1, -2) @ q / self._root)  # ∂L/∂k = (∂L/∂s)ᵀ q / √d  (36)
        dq = self._merge(ds @ k / self._root)  # ∂L/∂q = ∂L/∂s k / √d  (37)
        d["attention.Wv"] = outer(a, dv)  # ∂L/∂Wv = aᵀ ∂L/∂v  (38)
        d["attention.Wk"] = outer(a, dk)  # ∂L/∂Wk = aᵀ ∂L/∂k  (39)
        d["attention.Wq"] = outer(a, dq)  # ∂L/∂Wq = aᵀ ∂L/∂q  (40)
        da = dq @ p["attention.Wq"].T + dk @ p["attention.Wk"].T + dv @ p["attention.Wv"].T  # (41)
        dn, d["attention.norm.gain"], d["attention.norm.b"] = layer_norm_backward(da, norm1)  # (42)
        de = dh + dn  # ∂L/∂e = ∂L/∂h + norm′(∂L/∂a)  (43)
        dP = np.zeros_like(p["position.embedding"])
        dP[:T] = np.sum(de, axis=0)  # ∂L/∂P = Σ ∂L/∂e  (44)
        dE = gathered(x, de, self.vocabulary)  # ∂L/∂E = Σ ∂L/∂e over the uses of a token  (45)
        if self.tied:
            dE = dE + dW.T  # ∂L/∂E = … + (∂L/∂W)ᵀ  (46)
        else:
            d["head.W"] = dW
        return d | {"position.embedding": dP, "token.embedding": dE}

    def check_x(self, x: Array, dtype: np.dtype[Any]) -> Array:
        checks.within("x", x, 0, self.vocabulary - 1)
        if x.ndim != 2 or not 1 <= x.shape[1] <= self.context:
            raise ValueError(
                f"x must have shape (n, T) with T from 1 to context = {self.context}. "
                f"Got {x.shape} instead."
            )
        return x

    def check_y(self, y: Array, x: Array) -> None:
        checks.within("y", y, -1, self.vocabulary - 1)
        if y.shape != x.shape:
            raise ValueError(f"y must have the shape of x, {x.shape}. Got {y.shape} instead.")
        if self.count(y) == 0:
            raise ValueError("y must hold at least one token. Got none, or −1 everywhere.")

    def count(self, y: Array) -> int:
        return int((y >= 0).sum())

    def sample(
        self, params: Arrays, rng: np.random.Generator, count: int = 1, start: int = 0, end: int = 0
    ) -> Array:
        """`count` new sequences, (count, ≤ context) of tokens, −1 after their end.

        Each begins after the token `start`, which is not part of it, and ends
        with the token `end` or where the context is full. Parameters on the
        host.
        """
        checks.generator(rng)
        checks.size("count", count)
        x = np.full((count, 1), start)
        done = np.zeros(count, bool)
        tokens: list[Array] = []
        while len(tokens) < self.context and not done.all():
            z, _ = self.forward(params, self._checked(params, x))
            below = np.cumsum(softmax(z[:, -1].astype(np.float64)), axis=-1)
            token = np.sum(below < rng.random((count, 1)), axis=-1)
            token = np.minimum(token, self.vocabulary - 1)  # rounding: the sum may end below 1
            tokens.append(np.where(done, -1, token))
            done = done | (token == end)
            x = np.concatenate([x, token[:, None]], axis=1)
        return np.stack(tokens, axis=1)

    @property
    def _root(self) -> float:
        return math.sqrt(self.width // self.heads)

    def _split(self, x: Array) -> Array:
        """(n, T, width) as (n, heads, T, width / heads)."""
        n, T, _ = x.shape
        return x.reshape(n, T, self.heads, -1).swapaxes(1, 2)

    def _merge(self, x: Array) -> Array:
        """(n, heads, T, d) as (n, T, heads · d)."""
        n, _, T, _ = x.shape
        return x.swapaxes(1, 2).reshape(n, T, -1)

    def _head(self, params: Arrays) -> Array:
        return params["token.embedding"].T if self.tied else params["head.W"]
