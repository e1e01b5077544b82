"""NumPy or CuPy: where arrays live. The only file that imports cupy.

Rules, surfaces and models know nothing of it: CuPy's arrays take the same
lines through NumPy's protocols. `NPOPTIM_BACKEND=cupy` in the environment
chooses for a whole process.
"""

from __future__ import annotations

import os
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from npoptim.optimizers import checks, kernels

NAMES = ("numpy", "cupy")
VARIABLE = "NPOPTIM_BACKEND"

_chosen: str | None = None


class BackendUnavailable(RuntimeError):
    """CuPy was asked for and cannot be used; the message says what to do."""


def use_backend(name: str) -> None:
    """Let arrays live in NumPy or, on a GPU, in CuPy, from here on.

    Raises ValueError for another name and BackendUnavailable, with the
    remedy, where CuPy or the GPU is missing; the choice is then as before.

    >>> use_backend("numpy")
    >>> backend()
    'numpy'
    """
    global _chosen
    if name not in NAMES:
        hint = checks.nearest(str(name), NAMES)
        raise ValueError(f"backend must be one of {', '.join(NAMES)}. Got {name!r} instead.{hint}")
    if name == "cupy":
        _cupy()
    _chosen = name


def backend() -> str:
    """The backend in use: the one chosen, or that of NPOPTIM_BACKEND, or NumPy."""
    if _chosen is None:
        use_backend(os.environ.get(VARIABLE) or "numpy")
    return _chosen or "numpy"


def to_device(tree: Any) -> Any:
    """A tree with its arrays where the backend keeps them: itself for NumPy.

    A tree is an array, or a dict, list, tuple or dataclass of trees; what is
    no array comes back as it is.
    """
    if backend() == "numpy":
        return tree
    return _mapped(tree, (np.ndarray,), _cupy().asarray)


def to_host(tree: Any) -> Any:
    """A tree with its arrays in NumPy: itself where they are there already."""
    others = tuple(kind for kind in checks.ARRAY_TYPES if not issubclass(kind, np.ndarray))
    return _mapped(tree, others, lambda x: x.get()) if others else tree


def _mapped(tree: Any, kinds: tuple[type, ...], move: Any) -> Any:
    if isinstance(tree, kinds):
        return move(tree)
    if isinstance(tree, dict):
        return {k: _mapped(v, kinds, move) for k, v in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(_mapped(v, kinds, move) for v in tree)
    if is_dataclass(tree) and not isinstance(tree, type):
        parts = {f.name: getattr(tree, f.name) for f in fields(tree) if f.init}
        return replace(tree, **{k: _mapped(v, kinds, move) for k, v in parts.items()})
    return tree


def _cupy() -> Any:
    """The module cupy, once it is sure that it works."""
    try:
        import cupy
    except ImportError as error:
        raise BackendUnavailable(
            f"CuPy cannot be imported ({error}); pip install 'npoptim[gpu]' brings it, "
            f"and npoptim.use_backend('numpy') goes on without."
        ) from None
    if not cupy.is_available():  # the import succeeds without a GPU
        raise BackendUnavailable(
            "CuPy finds no GPU: see whether nvidia-smi lists one and the driver fits CuPy's CUDA; "
            "npoptim.use_backend('numpy') goes on without."
        )
    checks.ARRAY_TYPES.add(cupy.ndarray)
    if hasattr(cupy, "ElementwiseKernel"):  # not every stand-in has one
        kernels.MAKERS[cupy.ndarray] = cupy.ElementwiseKernel
    return cupy
