"""Pieces that several models are made of, forward and backward side by side.

The numbers in parentheses are those of docs/derivations/layers.md. A gradient
is named after its denominator: dz is ∂L/∂z and has the shape of z.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from npoptim.models.base import Array, Cache

KERNEL = 3  #: width and height of a convolution's kernel


def outer(x: Array, dz: Array) -> Array:
    """Σ xᵀ dz over all leading axes: the gradient of W where z = x W.

    >>> outer(np.ones((5, 7, 2)), np.ones((5, 7, 3)))
    array([[35., 35., 35.],
           [35., 35., 35.]])
    """
    x, dz = x.reshape(-1, x.shape[-1]), dz.reshape(-1, dz.shape[-1])
    dW: Array = x.T @ dz  # ∂L/∂W = xᵀ ∂L/∂z  (1)
    return dW


def total(dz: Array) -> Array:
    """Σ dz over all axes but the last: the gradient of b where z = x + b."""
    db: Array = dz.reshape(-1, dz.shape[-1]).sum(axis=0)  # ∂L/∂b = Σ ∂L/∂z  (2)
    return db


def gathered(index: Array, dout: Array, rows: int) -> Array:
    """The gradient of E where out = E[index]: each row of E gets the sum of its uses.

    A row without a use gets an exact 0. As a product with the one-hot index
    it is the same line on every array library.

    >>> gathered(np.array([2, 0, 2]), np.array([[1.0], [5.0], [2.0]]), rows=4).T
    array([[5., 0., 3., 0.]])
    """
    e = index.reshape(-1, 1) == np.arange(rows, like=index)
    dE: Array = outer(e.astype(dout.dtype), dout)  # ∂L/∂E = eᵀ ∂L/∂out  (3)
    return dE


def relu(z: Array) -> tuple[Array, Array]:
    """max(z, 0) and its slope; 0 is the slope at the kink."""
    slope = (z > 0).astype(z.dtype)  # ∂a/∂z = 1 where z > 0, else 0  (4)
    return np.maximum(z, 0), slope


def tanh(z: Array) -> tuple[Array, Array]:
    """tanh z and its slope."""
    a = np.tanh(z)
    slope = 1 - a * a  # ∂a/∂z = 1 − a²  (5)
    return a, slope


def gelu(z: Array) -> tuple[Array, Array]:
    """GELU in its tanh form, and its slope.

    Hendrycks & Gimpel, Gaussian Error Linear Units, 2016,
    https://arxiv.org/abs/1606.08415.
    """
    c, k = math.sqrt(2 / math.pi), 0.044715
    z2 = z * z
    h = np.tanh(z * (c + c * k * z2))
    half = 0.5 + 0.5 * h
    a = z * half  # a = ½ z (1 + h), h = tanh(c (z + k z³))  (6)
    bend = c + 3 * c * k * z2
    slope = half + a * (1 - h) * bend  # ∂a/∂z = ½ (1 + h) + a (1 − h) c (1 + 3 k z²)  (7)
    return a, slope


#: φ by name: each returns φ(z) and φ′(z), so that ∂L/∂z = ∂L/∂a φ′(z)
ACTIVATIONS: dict[str, Callable[[Array], tuple[Array, Array]]] = {
    "relu": relu,
    "tanh": tanh,
    "gelu": gelu,
}


def layer_norm(x: Array, gain: Array, b: Array, eps: float = 1e-5) -> tuple[Array, Cache]:
    """Each row of x with mean 0 and variance 1, times `gain`, plus `b`.

    Ba, Kiros & Hinton, Layer Normalization, 2016, https://arxiv.org/abs/1607.06450.

    >>> layer_norm(np.array([[1.0, 3.0]]), np.ones(2), np.zeros(2))[0].round(2)
    array([[-1.,  1.]])
    """
    centred = x - np.mean(x, axis=-1, keepdims=True)
    r = 1 / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + eps)
    n = centred * r  # n = (x − mean x) r, r = 1 / √(var x + ε)  (8)
    return n * gain + b, (n, r, gain)  # y = n gain + b  (9)


def layer_norm_backward(dy: Array, cache: Cache) -> tuple[Array, Array, Array]:
    """∂L/∂x, ∂L/∂gain and ∂L/∂b of `layer_norm` from ∂L/∂y."""
    n, r, gain = cache
    db = total(dy)  # ∂L/∂b = Σ ∂L/∂y  (10)
    dgain = total(dy * n)  # ∂L/∂gain = Σ ∂L/∂y n  (11)
    dn = dy * gain  # ∂L/∂n = ∂L/∂y gain  (12)
    along = np.mean(dn * n, axis=-1, keepdims=True)
    dx = r * (dn - np.mean(dn, axis=-1, keepdims=True) - n * along)  # ∂L/∂x = r (∂L/∂n − …)  (13)
    return dx, dgain, db


def softmax(s: Array) -> Array:
    """exp s / Σ exp s along the last axis, where −∞ becomes an exact 0."""
    e = np.exp(s - np.max(s, axis=-1, keepdims=True))
    p: Array = e / np.sum(e, axis=-1, keepdims=True)  # p = exp s / Σ exp s  (14)
    return p


def softmax_backward(dp: Array, p: Array) -> Array:
    """∂L/∂s of `softmax` from ∂L/∂p."""
    along = np.sum(dp * p, axis=-1, keepdims=True)
    ds: Array = p * (dp - along)  # ∂L/∂s = p (∂L/∂p − Σ ∂L/∂p p)  (15)
    return ds


def cross_entropy(z: Array, y: Array) -> tuple[Array, Array]:
    """−log softmax(z)ᵧ, a mean over the targets y ≥ 0, and its gradient in z.

    z is (…, classes), y (…) of integers; a negative target is left out.

    >>> loss, dz = cross_entropy(np.zeros((1, 4)), np.array([2]))
    >>> bool(np.isclose(loss, np.log(4))), dz
    (True, array([[ 0.25,  0.25, -0.75,  0.25]]))
    """
    e = (y[..., None] == np.arange(z.shape[-1], like=y)).astype(z.dtype)  # a row of 0 where y < 0
    used = np.sum(e, axis=-1, keepdims=True)
    n = np.sum(used)
    s = z - np.max(z, axis=-1, keepdims=True)
    log_p = s - np.log(np.sum(np.exp(s), axis=-1, keepdims=True))  # log p = z − log Σ exp z  (16)
    loss = -np.sum(e * log_p) / n  # L = −Σ e log p / n  (17)
    dz = (np.exp(log_p) * used - e) / n  # ∂L/∂z = (p − e) / n  (18)
    return loss, dz


def logistic(z: Array, y: Array) -> tuple[Array, Array]:
    """−log of the probability that σ(z) gives to y ∈ {0, 1}, a mean, and its gradient in z.

    >>> loss, dz = logistic(np.array([1000.0, 1000.0]), np.array([1, 0]))
    >>> float(loss), dz
    (500.0, array([0. , 0.5]))
    """
    y = y.astype(z.dtype)
    loss = np.mean(np.logaddexp(0, z) - y * z)  # L = mean(log(1 + exp z) − y z)  (19)
    p = 0.5 + 0.5 * np.tanh(0.5 * z)  # p = σ(z); exp(−z) would overflow
    dz = (p - y) / len(z)  # ∂L/∂z = (p − y) / n  (20)
    return loss, dz


def half_square(z: Array, y: Array) -> tuple[Array, Array]:
    """½ (z − y)², a mean, and its gradient in z.

    >>> half_square(np.array([1.0, 4.0]), np.array([1.0, 1.0]))
    (np.float64(2.25), array([0. , 1.5]))
    """
    error = z - y.astype(z.dtype)
    loss = 0.5 * np.mean(error * error)  # L = ½ mean (z − y)²  (21)
    dz = error / len(z)  # ∂L/∂z = (z − y) / n  (22)
    return loss, dz


def patches(x: Array) -> Array:
    """The 3 × 3 neighbourhood of every pixel of x (n, h, w, c), as rows (n, h, w, 9 c)."""
    _, h, w, _ = x.shape
    p = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    near = [p[:, i : i + h, j : j + w] for i in range(KERNEL) for j in range(KERNEL)]
    return np.concatenate(near, axis=-1)


def convolve(x: Array, W: Array) -> tuple[Array, Array]:
    """x (n, h, w, in) with the kernel W (3, 3, in, out), padded with 0; and its patches.

    >>> x, W = np.zeros((1, 4, 4, 1)), np.arange(9.0).reshape(3, 3, 1, 1)
    >>> x[0, 1, 1, 0] = 1
    >>> convolve(x, W)[0][0, :3, :3, 0]
    array([[8., 7., 6.],
           [5., 4., 3.],
           [2., 1., 0.]])
    """
    near = patches(x)
    return near @ W.reshape(-1, W.shape[-1]), near  # z = patches(x) W  (23)


def flip(W: Array) -> Array:
    """The kernel that carries a gradient back: turned half round, in and out exchanged."""
    return W[::-1, ::-1].swapaxes(2, 3)


def max_pool(x: Array) -> tuple[Array, Array]:
    """The largest of each 2 × 2 square of x (n, h, w, c), and each pixel's share in it.

    Equal pixels share: a window of one constant passes a quarter of its
    gradient to each.
    """
    n, h, w, c = x.shape
    squares = x.reshape(n, h // 2, 2, w // 2, 2, c)
    top = np.max(squares, axis=(2, 4), keepdims=True)  # y = max of the square  (24)
    share = (squares == top).astype(x.dtype)
    share = share / np.sum(share, axis=(2, 4), keepdims=True)
    return top.reshape(n, h // 2, w // 2, c), share


def max_pool_backward(dy: Array, share: Array) -> Array:
    """∂L/∂x of `max_pool` from ∂L/∂y."""
    n, h, _, w, _, c = share.shape
    dx = share * dy[:, :, None, :, None]  # ∂L/∂x = share ∂L/∂y  (25)
    return dx.reshape(n, 2 * h, 2 * w, c)
