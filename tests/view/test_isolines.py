"""The outlines of level sets: closed, where they should be, and holding what they should hold."""

import numpy as np
import pytest

from npoptim import surfaces
from npoptim.view.bands import GRID, bands
from npoptim.view.isolines import regions, thinned


def holds(lines, points):
    """Whether each point is inside by the even-odd rule."""
    inside = np.zeros(len(points), dtype=bool)
    x, y = points.T
    for line in lines:
        for (x0, y0), (x1, y1) in zip(line, np.roll(line, -1, axis=0), strict=True):
            between = (y0 > y) != (y1 > y)
            with np.errstate(all="ignore"):
                inside ^= between & (x < x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    return inside


@pytest.mark.parametrize("name", ["himmelblau", "rastrigin", "monkey_saddle", "beale"])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.8])
def test_a_region_holds_the_grid_points_at_or_above_the_level(name, share):
    surface = surfaces.get(name)
    (x0, x1), (y0, y1) = surface.bounds
    x, y = np.linspace(x0, x1, 40), np.linspace(y0, y1, 40)
    heights = surface.f(np.stack(np.meshgrid(x, y), axis=-1))
    level = np.quantile(heights, share) + 1e-3  # no grid point is at it
    rows, columns = np.mgrid[1:39, 1:39]
    points = np.stack([columns.ravel(), rows.ravel()], axis=-1) + 1e-6
    expected = heights[1:39, 1:39].ravel() >= level
    np.testing.assert_array_equal(holds(regions(heights, level), points), expected)


def test_the_outline_of_a_disc_is_where_it_belongs():
    y, x = np.mgrid[-20:21, -20:21] / 10.0
    [line] = regions(-np.hypot(x, y), -1.0)
    radii = np.hypot(*((line - 20) / 10).T)
    np.testing.assert_allclose(radii, 1, atol=0.01)


def test_no_region_no_line():
    assert regions(np.zeros((5, 5)), 1.0) == []
    assert regions(np.full((5, 5), np.nan), 0.0) == []


def test_corners_that_only_touch_are_apart():
    heights = np.zeros((4, 4))
    heights[1, 1] = heights[2, 2] = 1.0
    assert [len(line) for line in regions(heights, 0.5)] == [4, 4]
    assert [len(line) for line in regions(heights[::-1], 0.5)] == [4, 4]


def test_infinite_heights_are_inside():
    heights = np.zeros((7, 7))
    heights[2:5, 2:5] = np.inf
    [line] = regions(heights, 1.0)
    assert holds([line], np.array([[3.1, 3.1], [1.1, 1.1]])).tolist() == [True, False]


def test_thinning_keeps_within_the_tolerance():
    t = np.linspace(0, 7, 500)
    line = np.stack([100 * t, 100 * np.sin(t)], axis=-1)
    few = thinned(line, 1.0)
    assert len(few) < 50
    away = np.abs(line[:, 1] - np.interp(line[:, 0], *few.T))
    assert 0.1 < away.max() < 1.5


@pytest.mark.slow
@pytest.mark.parametrize("name", surfaces.names())
def test_a_page_s_ground_is_small_and_in_its_square(name):
    text = bands(surfaces.get(name))
    assert text.count("<path") in (13, 14)
    assert len(text) < 100_000
    starts = [p.partition("l")[0].split() for p in text.split("M")[1:]]
    margin = 2 * GRID / 500
    assert all(-margin <= float(c) <= GRID + margin for start in starts for c in start)
