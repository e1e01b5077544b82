"""A race as a moving picture, for slides."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from npoptim.extras import need
from npoptim.race import Race
from npoptim.view import plots
from npoptim.view.files import save_gif

_FRAMES = 60
_DPI = 90  # of a page 8 inches wide
_EVERY, _LAST = 80, 2000  # ms that a frame stands


def race(
    result: Race, path: str | os.PathLike[str], theme: str = "light", frames: int = _FRAMES
) -> Path:
    """The paths of a race as they grow, in a GIF that starts over.

    All run at the same pace; the first steps, in which most happens, take more
    of the pictures, of which there are `frames`, or one for every step.

    Raises ModuleNotFoundError without matplotlib, ValueError for fewer than
    two frames or another theme.
    """
    if frames < 2:
        raise ValueError(f"frames must be an int in the range [2, inf). Got {frames} instead.")
    image = need("PIL.Image", extra="plot")
    figure = plots.race(result, theme)
    figure.set_dpi(_DPI)
    ax = figure.axes[0]
    paths = [(line, line.get_xydata().copy()) for line in ax.lines if 3 <= line.get_zorder() < 4]
    pictures = []
    for t in np.unique(np.rint(result.steps * np.linspace(0, 1, frames) ** 2).astype(int)):
        for line, points in paths:
            shown = points[: t + 1]
            line.set(data=shown.T, markevery=[len(shown) - 1])
        figure.canvas.draw()
        pictures.append(image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()))
    # one set of colours for all pictures, or those at rest would flicker
    palette = pictures[-1].quantize(255)
    few = [one.quantize(palette=palette, dither=image.Dither.NONE) for one in pictures]
    return save_gif(few, path, [_EVERY] * (len(few) - 1) + [_LAST])
