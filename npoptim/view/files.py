"""How pictures and texts get into files: whole, or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any


def writable(folder: str | os.PathLike[str]) -> Path:
    """The folder, once it is sure that files can be made in it; it is not made yet.

    Raises NotADirectoryError or PermissionError, or OSError for what else the
    file system has against it.
    """
    folder = Path(folder)
    existing = folder.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise NotADirectoryError(f"cannot write to {folder}: {existing} is not a folder.")
    try:
        with tempfile.TemporaryFile(dir=existing):
            return folder
    except OSError as error:
        raise type(error)(f"cannot write to {folder}: {error.strerror or error}.") from None


def save_figure(figure: Any, path: str | os.PathLike[str]) -> Path:
    """Write a figure in the format that the file's ending names; folders are made."""
    path = Path(path)
    return _whole(path, lambda file: figure.savefig(file, format=path.suffix[1:] or "png"))


def save_gif(pictures: list[Any], path: str | os.PathLike[str], milliseconds: list[int]) -> Path:
    """Write pictures of Pillow's as a GIF that starts over; folders are made."""
    first, *others = pictures
    options = {"append_images": others, "duration": milliseconds, "loop": 0, "optimize": True}
    return _whole(Path(path), lambda file: first.save(file, "GIF", save_all=True, **options))


def save_text(text: str, path: str | os.PathLike[str]) -> Path:
    """Write a text as UTF-8; folders are made.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_text("f(x) = x²", f"{folder}/new/formula.txt").read_text(encoding="utf-8")
    'f(x) = x²'
    """
    return _whole(Path(path), lambda file: file.write(text.encode()))


def _whole(path: Path, write: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    # in the same folder, since os.replace cannot move between file systems
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            write(file)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return path
