"""The file: an npz of plain arrays, compared with its own list of contents, never trusted."""

from __future__ import annotations

import json
import math
import os
import re
import zipfile
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from npoptim import __version__

FORMAT, VERSION = "npoptim checkpoint", 1

# dtypes whose bytes are the whole value, as `dtype.str` writes them
_PLAIN = re.compile(r"[<>|]([biufc]\d{1,2}|[SU][1-9]\d{0,8}|[mM]8(\[([1-9]\d{0,8})?[a-zA-Z]+\])?)")


class CheckpointError(ValueError):
    """A file that is no whole checkpoint, or holds less than was asked of it."""


def storable(dtype: np.dtype[Any]) -> bool:
    """Whether an array of this dtype is its bytes: no objects, no fields.

    >>> storable(np.dtype("f4")), storable(np.dtype(object)), storable(np.dtype("f4, f4"))
    (True, False, False)
    """
    return _PLAIN.fullmatch(dtype.str) is not None


def write(file: BinaryIO, content: Any, arrays: list[NDArray[Any]]) -> None:
    """Write `content` (made of what JSON has) and `arrays`: `numpy.load` can open the file."""
    # the order of the axes in memory is kept: sums in another order round differently
    orders = [_axes(x) for x in arrays]
    stored = [x.transpose(order) for x, order in zip(arrays, orders, strict=True)]
    meta = {
        "format": FORMAT,
        "version": VERSION,
        "npoptim": __version__,
        "arrays": [
            [x.dtype.str, x.shape, np.argsort(order).tolist()]
            for x, order in zip(stored, orders, strict=True)
        ],
        "content": content,
    }
    # a lone surrogate is a legal str: escaped as ASCII, two of them would come back as one letter
    text = json.dumps(meta, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")
    stored.insert(0, np.frombuffer(text, np.uint8))
    with zipfile.ZipFile(file, "w") as archive:
        for name, x in zip(_names(len(arrays)), stored, strict=True):
            head = _header(x.dtype.str, x.shape)
            info = zipfile.ZipInfo(name)
            info.file_size = len(head) + x.nbytes  # beyond 4 GiB the entry takes another form
            with archive.open(info, "w") as member:
                member.write(head)
                member.write(np.ascontiguousarray(x).reshape(-1).view(np.uint8).data)


def read(file: BinaryIO) -> tuple[Any, list[NDArray[Any]]]:
    """What `write` wrote. A damaged directory makes zipfile raise almost any exception."""
    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if not members or members[0].filename != "meta.npy":
            raise CheckpointError("it is no checkpoint of npoptim: it does not begin with meta.npy")
        meta = _meta(_stored(archive, members[0], size))
        if [m.filename for m in members] != _names(len(meta["arrays"])):
            raise CheckpointError("its arrays are not those of its list")
        if sum(m.file_size for m in members) > size:
            raise CheckpointError("its arrays are larger than the file")
        arrays = [
            _array(_stored(archive, member, size), *entry)
            for member, entry in zip(members[1:], meta["arrays"], strict=True)
        ]
    return meta["content"], arrays


def _axes(x: NDArray[Any]) -> list[int]:
    """The axes of `x`, from the one with the largest stride in memory to the smallest."""
    return sorted(range(x.ndim), key=lambda i: -abs(x.strides[i]))


def _names(n: int) -> list[str]:
    return ["meta.npy", *(f"array_{i}.npy" for i in range(n))]


def _header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """What an npy file of version 1.0 begins with, to the byte: so none has to be parsed."""
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode("ascii")


def _stored(archive: zipfile.ZipFile, member: zipfile.ZipInfo, size: int) -> bytes:
    """The bytes of a member, which must lie in the file as they are; zipfile checks their CRC."""
    if member.compress_type != zipfile.ZIP_STORED or not (
        member.file_size == member.compress_size <= size
    ):
        raise CheckpointError(f"{member.filename} is compressed or larger than the file")
    return archive.read(member)


def _meta(raw: bytes) -> dict[str, Any]:
    skip = len(_header("|u1", (len(raw),)))
    if not raw.startswith(_header("|u1", (len(raw) - skip,))):
        raise CheckpointError("meta.npy is not an array of bytes")
    text = raw[skip:].decode("utf-8", "surrogatepass")
    meta = json.loads(text, parse_float=_finite, parse_constant=_finite)
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise CheckpointError("it is no checkpoint of npoptim")
    version = meta.get("version")
    if type(version) is int and version > VERSION:
        raise CheckpointError(
            f"it was made by a newer npoptim ({meta.get('npoptim')}): its format is {version}, "
            f"npoptim {__version__} reads {VERSION}"
        )
    if type(version) is not int or version != VERSION:
        raise CheckpointError(f"its format is {version!r}, npoptim reads {VERSION}")
    return meta


def _finite(text: str) -> float:
    if not math.isfinite(x := float(text)):
        raise CheckpointError(f"its metadata hold {text} in the place of a number")
    return x


def _array(raw: bytes, dtype: str, shape: list[int], axes: list[int]) -> NDArray[Any]:
    if not _PLAIN.fullmatch(dtype) or np.dtype(dtype).str != dtype:
        raise CheckpointError(f"it holds an array of dtype {dtype}")
    if any(type(n) is not int or n < 0 for n in shape):
        raise CheckpointError(f"it holds an array of shape {shape}")
    head, nbytes = _header(dtype, tuple(shape)), math.prod(shape) * np.dtype(dtype).itemsize
    if len(raw) != len(head) + nbytes or not raw.startswith(head):
        raise CheckpointError(f"an array is not {dtype}{shape} as its list says")
    x: NDArray[Any] = np.ndarray(shape, dtype, raw, len(head))
    return x.transpose(axes).copy(order="K")
