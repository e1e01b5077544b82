"""The moving picture of a race: how many pictures, for how long, and that the paths grow."""

import numpy as np
import pytest
from PIL import Image

from npoptim.cli import main
from npoptim.race import race
from npoptim.view import animation, style


@pytest.fixture(scope="module")
def result():
    return race("booth", ["sgd", "lion"], steps=40)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_paths_grow_until_they_are_whole(result, theme, tmp_path):
    file = animation.race(result, tmp_path / "new" / "race.gif", theme, frames=6)
    rgb = tuple(int(style.of("lion").colour(style.theme(theme))[i : i + 2], 16) for i in (1, 3, 5))
    seen, times = [], []
    with Image.open(file) as gif:
        assert gif.info["loop"] == 0
        for frame in range(gif.n_frames):
            gif.seek(frame)
            times.append(gif.info["duration"])
            pixels = np.asarray(gif.convert("RGB"), dtype=int)
            # its label is there from the start
            seen.append(int((np.abs(pixels - rgb).sum(axis=-1) < 60).sum()))
    assert len(seen) == 6
    assert (np.diff(seen[:4]) > 0).all()
    assert seen[-1] > seen[0] + 200
    assert times == [80] * 5 + [2000]


def test_a_short_race_has_a_picture_for_every_step(tmp_path):
    file = animation.race(race("booth", ["sgd"], steps=3), tmp_path / "race.gif")
    with Image.open(file) as gif:
        assert gif.n_frames == 4


def test_what_is_wrong_is_said(result, tmp_path):
    with pytest.raises(ValueError, match="frames must be"):
        animation.race(result, tmp_path / "race.gif", frames=1)
    with pytest.raises(ValueError, match="theme must be"):
        animation.race(result, tmp_path / "race.gif", "sepia")
    assert list(tmp_path.iterdir()) == []


def test_the_command_names_the_file(capsys, tmp_path):
    args = ["race", "booth", "--optimizers", "sgd", "--steps", "5", "--out", str(tmp_path)]
    assert main([*args, "--gif"]) == 0
    assert f"moving picture: {tmp_path / 'race_booth.gif'}" in capsys.readouterr().out
    assert (tmp_path / "race_booth.gif").read_bytes().startswith(b"GIF89a")
