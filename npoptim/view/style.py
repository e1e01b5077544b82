"""How things look, everywhere the same: a colour, a marker and dashes for every optimizer."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Literal, TypeAlias

ThemeName: TypeAlias = Literal["light", "dark"]


@dataclass(frozen=True)
class Theme:
    """The colours of everything but the optimizers."""

    name: ThemeName
    paper: str  #: background
    ink: str  #: text, start and minimum
    quiet: str  #: axes, captions, guides
    contour: str  #: contour lines
    low: str  #: the ground where f is low
    high: str  #: the ground where f is high


LIGHT = Theme("light", "#ffffff", "#1b1f24", "#5d6570", "#c3c9d1", "#fcfdfe", "#dfe4ea")
DARK = Theme("dark", "#14171c", "#f0f2f4", "#a3abb6", "#3d4550", "#15191e", "#2b323b")


@dataclass(frozen=True)
class Style:
    """How one optimizer looks: its colour on either paper, and what greyscale leaves of it."""

    light: str  #: colour on light paper
    dark: str  #: colour on dark paper
    marker: str  #: in matplotlib's letters
    dashes: tuple[float, ...]  #: ink and gap in line widths; () is solid

    def colour(self, theme: Theme) -> str:
        """The colour on the paper of `theme`."""
        return self.dark if theme.name == "dark" else self.light


# Chosen by search: to normal, protan, deutan and tritan eyes (Machado, Oliveira & Fernandes 2009)
# the nearest two of the ten are at least 0.05 apart in OKLab (matplotlib's tab10: 0.007), and the
# contrast to the paper is 3 : 1 or more. Kin have kindred hues.
_KNOWN = {
    "sgd": Style("#757168", "#eceaeb", "o", ()),
    "momentum": Style("#c97b0d", "#df9f09", "s", (6, 1.5)),
    "nesterov": Style("#4a1706", "#f7afa8", "D", (3, 1.2)),
    "adam": Style("#2991ff", "#458ae8", "^", ()),
    "adamw": Style("#015ea3", "#8ab1d0", "v", (7, 1.5, 1.5, 1.5)),
    "lars": Style("#2ea450", "#52c672", "<", (1.5, 1)),
    "lamb": Style("#04482b", "#91f5ae", ">", (9, 2)),
    "lion": Style("#cc2421", "#c5704f", "X", ()),
    "adafactor": Style("#492370", "#d89bfd", "P", (5, 1.2, 1.2, 1.2, 1.2, 1.2)),
    "came": Style("#9a1c76", "#d64c99", "p", (4, 1, 1.5, 1)),
}
_SPARE_COLOURS = (
    ("#c461ce", "#fed739"),
    ("#7750d0", "#7be3f9"),
    ("#427102", "#9d76b8"),
    ("#831801", "#799c79"),
)
_SPARE_MARKERS = ("h", "8", "d")
_SPARE_DASHES: tuple[tuple[float, ...], ...] = ((8, 1.5), (2.5, 1.5), (6, 1, 1, 1, 1, 1))


def theme(name: str) -> Theme:
    """The theme "light" or "dark".

    Raises ValueError for any other name.

    >>> theme("dark").paper
    '#14171c'
    """
    for known in (LIGHT, DARK):
        if known.name == name:
            return known
    raise ValueError(f"theme must be 'light' or 'dark'. Got {name!r} instead.")


def of(optimizer: str) -> Style:
    """The style of an optimizer by name, in any case; a new name gets one that it keeps.

    >>> of("Adam").marker, of("MyOwnRule") == of("myownrule")
    ('^', True)
    """
    name = optimizer.lower()
    if name in _KNOWN:
        return _KNOWN[name]
    number = zlib.crc32(name.encode())  # unlike hash(), the same in every process
    number, colour = divmod(number, len(_SPARE_COLOURS))
    number, marker = divmod(number, len(_SPARE_MARKERS))
    dashes = _SPARE_DASHES[number % len(_SPARE_DASHES)]
    return Style(*_SPARE_COLOURS[colour], _SPARE_MARKERS[marker], dashes)


def nth(i: int) -> Style:
    """The style of the i-th of several lines that are no different optimizers."""
    return list(_KNOWN.values())[i % len(_KNOWN)]
