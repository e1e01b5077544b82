"""Surfaces: the derivations, the minima, the batches, the noise."""

import copy
import pickle

import numpy as np
import pytest

from npoptim import surfaces

PLANAR = [name for name in surfaces.names() if name != "factorisation"]
PARAMETERS = [
    ("quadratic", {"condition": 1}),
    ("quadratic", {"condition": 1e4}),
    ("rotated_quadratic", {"condition": 50, "angle": -115}),
]
ALL = [surfaces.get(name) for name in surfaces.names()]
ALL += [surfaces.get(name, **given) for name, given in PARAMETERS]
# no table entry for a surface without a minimum
LOWEST = {name: 0.0 for name in surfaces.names() if "saddle" not in name}
LOWEST["styblinski_tang"] = -78.33233140754282  # as tabulated, twice -39.16616570377141

every = pytest.mark.parametrize("s", ALL, ids=repr)


def points(s, n, seed=0):
    """n points: uniform over the picture, and for matrices off its plane as well."""
    rng = np.random.default_rng(seed)
    low, high = np.transpose(s.bounds)
    x = s.lift(rng.uniform(low, high, (n, 2)))
    return x if s.shape == (2,) else x + rng.normal(0, 0.5, x.shape)


def gradient_error(s, x, h=1e-3):
    """The largest relative error of s.grad against differences of s.f of fourth order."""
    differences = np.zeros_like(x)
    for i in np.ndindex(s.shape):
        e = np.zeros(s.shape)
        e[i] = h
        near, far = s.f(x + e) - s.f(x - e), s.f(x + 2 * e) - s.f(x - 2 * e)
        differences[..., *i] = (8 * near - far) / (12 * h)
    axes = tuple(range(-len(s.shape), 0))
    error = np.sqrt(np.sum((s.grad(x) - differences) ** 2, axis=axes))
    scale = np.sqrt(np.sum(differences**2, axis=axes))
    return np.max(error / np.maximum(scale, np.median(scale)))


def test_at_least_fourteen_surfaces_and_the_matrix_one():
    names = surfaces.names()
    assert len(set(names)) == len(names) >= 15
    assert names[-1] == "factorisation"


@every
def test_gradient_agrees_with_differences(s):
    x = points(s, 500)
    if s.name == "ackley":  # differences across its kink say nothing
        x = x[s.distance(x) > 0.05]
    assert gradient_error(s, x, h=2e-4 if s.name in ("ackley", "rastrigin") else 1e-3) < 1e-7


@pytest.mark.parametrize("name", surfaces.names())
def test_the_difference_check_sees_a_wrong_sign(name):
    class Wrong(type(surfaces.get(name))):
        def slope(self, x, y):
            dx, dy = super().slope(x, y)
            return dx, -dy

    assert gradient_error(Wrong(), points(Wrong(), 500)) > 0.1


def test_rosenbrock_agrees_with_scipy():
    optimize = pytest.importorskip("scipy.optimize")
    s = surfaces.get("rosenbrock")
    x = points(s, 1000)
    np.testing.assert_allclose(s.f(x), optimize.rosen(x.T), rtol=1e-13)
    np.testing.assert_allclose(s.grad(x), optimize.rosen_der(x.T).T, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize(
    ("name", "x", "value"),
    [
        ("booth", [0, 0], 74),
        ("rosenbrock", [0, 0], 1),
        ("beale", [0, 0], 14.203125),
        ("himmelblau", [0, 0], 170),
        ("three_hump_camel", [1, 1], 2 - 1.05 + 1 / 6 + 2),
        ("styblinski_tang", [1, 2], (-10 - 38) / 2),
        ("rastrigin", [0.5, 1], 20 + 0.25 + 10 + 1 - 10),
        ("ackley", [1, 1], 20 - 20 * np.exp(-0.2)),
        ("saddle", [3, 1], 8),
        ("monkey_saddle", [2, 1], 2),
        ("plateau", [100, 0], 0.25),
        ("ravine", [np.pi, 1], np.pi**2 / 20 + 5),
        ("factorisation", np.zeros((2, 3)), (16 + 1 / 16) / 4),
    ],
)
def test_values_by_hand(name, x, value):
    assert surfaces.get(name).f(x) == pytest.approx(value, rel=1e-14)


def test_quadratic_has_the_condition_number_it_was_given():
    for s in (
        surfaces.get("quadratic", condition=300),
        surfaces.get("rotated_quadratic", condition=300, angle=20),
    ):
        hessian = s.grad(np.eye(2))
        np.testing.assert_allclose(np.linalg.eigvalsh(hessian), [1, 300], rtol=1e-12)


def test_rotated_quadratic_turns_counter_clockwise():
    s = surfaces.get("rotated_quadratic", condition=100, angle=30)
    floor = [np.cos(np.pi / 6), np.sin(np.pi / 6)]  # the flat direction
    np.testing.assert_allclose(s.grad(floor), floor, rtol=1e-12)


@every
def test_minima_are_the_lowest_points_and_flat(s):
    assert s.minima.shape[1:] == s.shape
    if s.name not in LOWEST:
        assert len(s.minima) == 0
        return
    grid = np.stack(np.meshgrid(*(np.linspace(*side, 801) for side in s.bounds)), axis=-1)
    assert abs(s.f(s.minima) - LOWEST[s.name]).max() < 1e-13
    assert s.f(s.lift(grid)).min() >= LOWEST[s.name] - 1e-13
    assert s.f(points(s, 20_000)).min() >= LOWEST[s.name] - 1e-13
    assert abs(s.grad(s.minima)).max() < 1e-12


@every
def test_every_global_minimum_in_the_picture_is_listed(s):
    """No cell of a fine grid far from the listed minima is nearly as low as they are."""
    if len(s.minima):
        grid = np.stack(np.meshgrid(*(np.linspace(*side, 801) for side in s.bounds)), axis=-1)
        x = s.lift(grid).reshape(-1, *s.shape)
        lowest = x[np.argsort(s.f(x))[: 40 * len(s.minima)]]
        gaps = (lowest[:, None] - s.minima).reshape(len(lowest), len(s.minima), -1)
        nearest = np.argmin(np.linalg.norm(gaps, axis=-1), axis=1)
        assert np.linalg.norm(gaps, axis=-1).min(axis=1).max() < 0.3
        assert set(nearest) == set(range(len(s.minima)))


@every
def test_start_and_minima_lie_inside_the_picture(s):
    low, high = np.transpose(s.bounds)
    assert s.start.shape == s.shape
    for u in [s.project(s.start), *s.project(s.minima)]:
        assert (low < u).all()
        assert (u < high).all()
    if len(s.minima):
        assert s.distance(s.start) > 0.2
        assert s.f(s.start) > LOWEST[s.name] + 0.05
    assert 0 < np.linalg.norm(s.grad(s.start)) < 1e4


@every
def test_shared_arrays_are_read_only(s):
    for array in (s.start, s.minima, *s.plane):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 1


@every
def test_formula_is_a_line_of_text(s):
    assert s.formula
    assert "\n" not in s.formula
    assert isinstance(s, surfaces.Surface)


# ---------------------------------------------------------------- shapes, dtypes, bits


@every
@pytest.mark.parametrize("batch", [(), (5,), (4, 3), (0,), (2, 0)])
def test_leading_axes_are_kept(s, batch):
    x = np.broadcast_to(s.start, batch + s.shape)
    assert np.shape(s.f(x)) == batch
    assert s.grad(x).shape == x.shape
    assert np.shape(s.distance(x)) == batch
    assert s.project(x).shape == (*batch, 2)
    assert s.lift(s.project(x)).shape == x.shape


def bits(values):
    """The bytes of an array, NaN being NaN whatever its sign."""
    return np.where(np.isnan(values), np.nan, values).tobytes()


@every
def test_a_batch_has_the_bits_of_single_points(s):
    n = 2001
    x = points(s, n)
    # points that a diverging run passes through must not change their neighbours
    x[::7] *= 10.0 ** np.random.default_rng(1).uniform(-300, 300, x[::7].shape)
    x[3::50] = np.nan
    wide = np.repeat(x, 3, axis=0)
    layouts = {
        "strided": wide[::3],
        "Fortran": np.asfortranarray(x),
        "reversed": x[::-1].copy()[::-1],
        "an axis more": x.reshape(3, n // 3, *s.shape),
    }
    for of in (s.f, s.grad, s.distance):
        expected = bits(of(x))
        assert bits(np.stack([of(p) for p in x])) == expected, f"{of.__name__} of one point"
        assert bits(np.stack([of(p[None]) for p in x])) == expected, f"{of.__name__} of (1, …)"
        for layout, given in layouts.items():
            assert bits(of(given)) == expected, f"{of.__name__}, {layout}"


QUICK = [s for s in ALL if getattr(s.slope, "polynomial", False)]


@pytest.mark.parametrize("s", QUICK, ids=repr)
def test_polynomials_of_numbers_have_the_bits_of_arrays(s):
    x = points(s, 20_000)  # a power in the place of a product differs at one in a thousand
    assert np.array([s.slope(*p) for p in x.tolist()]).tobytes() == s.grad(x).tobytes()


def test_a_slope_of_ones_own_is_no_polynomial_before_it_says_so():
    class Steeper(surfaces.Rosenbrock):
        def slope(self, x, y):
            return x**4, y / 0

    class Flat(surfaces.Rosenbrock):
        @surfaces.base.polynomial
        def slope(self, x, y):
            return 1, -2

    assert len(QUICK) > 10
    np.testing.assert_array_equal(Steeper().grad([1e200, 1.0]), [np.inf, np.inf])
    assert Flat().grad([1, 1]).dtype == float


@every
def test_float32_stays_and_all_else_is_float64(s):
    x = points(s, 20)
    single = x.astype(np.float32)
    for of in (s.f, s.grad, s.distance, s.project):
        assert of(single).dtype == of(single[0]).dtype == np.float32
        np.testing.assert_allclose(of(single), of(x), rtol=1e-3, atol=1e-3)
        for dtype in (np.float64, np.float16, np.int8, np.uint64, ">f8", np.longdouble):
            assert of(abs(x).astype(dtype)).dtype == np.float64
    assert s.lift(np.ones(2, np.float32)).dtype == np.float32
    assert s.f(x.astype(int)).tobytes() == s.f(x.astype(int).astype(float)).tobytes()


@every
def test_grad_is_contiguous_and_leaves_x_alone(s):
    x = points(s, 6)
    before = x.copy()
    g = s.grad(x)
    assert g.flags.c_contiguous
    assert not np.shares_memory(g, x)
    g[...] = 0
    s.f(x), s.distance(x)
    np.testing.assert_array_equal(x, before)


@every
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_away_is_inf_or_nan_without_a_warning(s, dtype):
    x = np.full((4, *s.shape), np.finfo(dtype).max / 2, dtype)
    x[1], x[2], x[3, ..., 0] = np.inf, np.nan, -np.inf
    for of in (s.f, s.grad, s.distance):
        of(x)
    assert np.isnan(s.f(x[2]))
    assert np.isnan(s.distance(x[2]))


# ---------------------------------------------------------------- distance


def test_distance_is_to_the_nearest_minimum():
    s = surfaces.get("himmelblau")
    np.testing.assert_allclose(s.distance(s.minima + np.array([0.3, -0.4])), 0.5, rtol=1e-12)
    assert (s.distance(s.minima) == 0).all()


@pytest.mark.parametrize("name", ["saddle", "monkey_saddle"])
def test_distance_is_nan_where_there_is_no_minimum(name):
    assert np.isnan(surfaces.get(name).distance(np.zeros((3, 2)))).all()


def rotations(n, seed=0):
    """n random orthogonal 3 × 3 matrices, reflections among them."""
    rng = np.random.default_rng(seed)
    return np.linalg.qr(rng.normal(size=(n, 3, 3)))[0] * rng.choice([-1, 1], (n, 1, 3))


def test_every_orthogonal_turn_of_a_minimum_is_one():
    s = surfaces.get("factorisation")
    x = s.minima[0] @ rotations(50)
    assert s.f(x).max() < 1e-28
    assert abs(s.grad(x)).max() < 1e-13
    assert s.distance(x).max() < 1e-14
    assert s.distance(s.minima).max() < 1e-14


def test_procrustes_distance_is_the_least_over_orthogonal_matrices():
    s = surfaces.get("factorisation")
    turned = s.minima[0] @ rotations(20_000, seed=1)
    for x in points(s, 20):
        tried = np.linalg.norm(x - turned, axis=(1, 2)).min()
        assert s.distance(x) <= tried < s.distance(x) + 0.15
    # by hand: from the hill, all minima are √(4 + ¼) away; along the plane, as in the plane
    assert s.distance(np.zeros((2, 3))) == pytest.approx(np.sqrt(4.25), rel=1e-14)
    assert s.distance(s.lift([3, 1.5])) == pytest.approx(np.sqrt(2), rel=1e-14)


# ---------------------------------------------------------------- the plane of pictures


@pytest.mark.parametrize("name", PLANAR)
def test_project_and_lift_are_the_identity_in_the_plane(name):
    s = surfaces.get(name)
    x = points(s, 5)
    for same in (s.project(x), s.lift(x), x @ s.plane[1] + s.plane[0]):
        np.testing.assert_array_equal(same, x)


def test_the_plane_of_the_matrix_surface():
    s = surfaces.get("factorisation")
    origin, basis = s.plane
    flat = basis.reshape(2, 6)
    np.testing.assert_allclose(flat @ flat.T, np.eye(2), atol=1e-15)
    u = np.random.default_rng(0).normal(size=(4, 3, 2))
    np.testing.assert_allclose(s.project(s.lift(u)), u, rtol=1e-13, atol=1e-15)
    by_hand = origin + u[..., :1, None] * basis[0] + u[..., 1:, None] * basis[1]
    np.testing.assert_allclose(s.lift(u), by_hand, rtol=1e-13, atol=1e-15)
    in_plane = np.concatenate([s.start[None], s.minima])
    np.testing.assert_allclose(s.lift(s.project(in_plane)), in_plane, rtol=1e-13, atol=1e-15)
    a, b = u[..., 0], u[..., 1]
    slice_ = ((a**2 - 4) ** 2 + (b**2 - 0.25) ** 2) / 4
    np.testing.assert_allclose(s.f(s.lift(u)), slice_, rtol=1e-12)


def test_gradient_descent_stays_in_the_plane():
    s = surfaces.get("factorisation")
    x = s.start
    for _ in range(200):
        x = x - 0.1 * s.grad(x)
    np.testing.assert_allclose(s.lift(s.project(x)), x, atol=1e-12)
    assert s.distance(x) < 1e-3


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("of", ["f", "grad", "distance", "project"])
def test_a_wrong_shape_is_named_with_the_right_one(of):
    with pytest.raises(ValueError, match=r"x must have shape \(\.\.\., 2\)\. Got shape \(3,\)"):
        getattr(surfaces.get("booth"), of)([1, 2, 3])
    with pytest.raises(ValueError, match=r"\(\.\.\., 2, 3\)\. Got shape \(4, 3, 2\)"):
        getattr(surfaces.get("factorisation"), of)(np.zeros((4, 3, 2)))
    with pytest.raises(ValueError, match=r"Got shape \(\)"):
        getattr(surfaces.get("booth"), of)(1.0)


@pytest.mark.parametrize("name", ["booth", "factorisation"])
def test_lift_takes_plane_coordinates(name):
    with pytest.raises(ValueError, match=r"u must have shape \(\.\.\., 2\)\. Got shape \(2, 3\)"):
        surfaces.get(name).lift(np.zeros((2, 3)))


@pytest.mark.parametrize("x", [[1j, 0], ["1", "2"], [True, False], [None, 1]])
def test_points_are_real_numbers(x):
    with pytest.raises(TypeError, match="x must be an array of real numbers"):
        surfaces.get("booth").f(x)


def test_an_unknown_surface_is_answered_with_the_nearest():
    with pytest.raises(ValueError) as error:
        surfaces.get("rosenbrok")
    expected = "unknown surface 'rosenbrok'. Did you mean 'rosenbrock'? Known: quadratic, "
    assert str(error.value).startswith(expected)
    assert str(error.value).endswith("factorisation.")


@pytest.mark.parametrize("name", ["xyz", "", None, 3, ["xyz"]])
def test_what_resembles_nothing_gets_the_list(name):
    with pytest.raises(ValueError, match=r"unknown surface .*\. Known: quadratic, "):
        surfaces.get(name)


def test_unknown_parameters_are_refused():
    with pytest.raises(TypeError, match=r"'conditon'\. Did you mean 'condition'.* It has: cond"):
        surfaces.get("quadratic", conditon=3)
    with pytest.raises(TypeError, match=r"booth has no parameter 'condition'\. It has: none"):
        surfaces.get("booth", condition=3)


@pytest.mark.parametrize("value", [0.5, -1, np.inf, np.nan])
@pytest.mark.parametrize("name", ["quadratic", "rotated_quadratic"])
def test_condition_is_at_least_one(name, value):
    with pytest.raises(ValueError, match=r"condition must be a float in the range \[1, inf\)"):
        surfaces.get(name, condition=value)


def test_parameters_are_numbers():
    with pytest.raises(TypeError, match="condition must be a float"):
        surfaces.get("quadratic", condition="10")
    with pytest.raises(ValueError, match="angle must be a float"):
        surfaces.get("rotated_quadratic", angle=np.inf)


# ---------------------------------------------------------------- copies and representation


@every
def test_copies_and_pickles_compute_the_same(s):
    x = points(s, 10)
    for twin in (copy.deepcopy(s), pickle.loads(pickle.dumps(s))):
        assert twin.f(x).tobytes() == s.f(x).tobytes()
        assert twin.grad(x).tobytes() == s.grad(x).tobytes()
        assert repr(twin) == repr(s)


def test_representation_says_what_get_was_asked():
    assert repr(surfaces.get("booth")) == "booth()"
    assert repr(surfaces.get("quadratic", condition=100)) == "quadratic(condition=100.0)"
    turned = surfaces.get("rotated_quadratic", angle=45)
    assert repr(turned) == "rotated_quadratic(condition=10.0, angle=45.0)"
    assert repr(surfaces.noisy(turned, 0.1, 3)) == f"noisy({turned!r}, scale=0.1, seed=3)"
    assert surfaces.get("quadratic", condition=100).formula == "½ (x² + 100 y²)"


# ---------------------------------------------------------------- noise


@pytest.mark.parametrize("name", ["rosenbrock", "factorisation"])
def test_noise_has_the_given_deviation_and_f_none(name):
    exact = surfaces.get(name)
    s, n = surfaces.noisy(exact, scale=2, seed=5), 20_000
    g = exact.grad(s.start)
    errors = np.array([s.grad(s.start) - g for _ in range(n)]).reshape(n, -1)
    assert abs(errors.mean(axis=0)).max() < 5 * 2 / np.sqrt(n)
    covariance = np.cov(errors.T)
    np.testing.assert_allclose(covariance, 4 * np.eye(g.size), atol=5 * 4 * np.sqrt(2 / n))
    x = points(exact, 20)
    for of in ("f", "distance", "project"):
        assert getattr(s, of)(x).tobytes() == getattr(exact, of)(x).tobytes()
    assert s.lift([1, 2]).tobytes() == exact.lift([1, 2]).tobytes()
    assert (s.bounds, s.shape) == (exact.bounds, exact.shape)
    assert (s.start == exact.start).all()
    assert (s.minima == exact.minima).all()


def stream(s, n=5):
    return np.array([s.grad(s.start) for _ in range(n)])


def test_the_seed_makes_the_noise():
    exact = surfaces.get("booth")
    first = stream(surfaces.noisy(exact, seed=1))
    np.testing.assert_array_equal(first, stream(surfaces.noisy(exact, seed=1)))
    assert not (first == stream(surfaces.noisy(exact, seed=2))).any()
    np.testing.assert_array_equal(
        stream(surfaces.noisy(exact, scale=0)), stream(exact), err_msg="scale 0 is exact"
    )


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_copies_go_on_with_the_same_noise_on_their_own(duplicate):
    s = surfaces.noisy(surfaces.get("beale"))
    stream(s, 3)
    twin = duplicate(s)
    ahead = stream(twin)
    s.f(s.start), s.distance(s.start)  # draw nothing
    np.testing.assert_array_equal(stream(s), ahead)


@pytest.mark.parametrize("name", ["rosenbrock", "factorisation"])
def test_all_points_of_a_call_meet_one_error(name):
    exact = surfaces.get(name)
    x = points(exact, 12).reshape(4, 3, *exact.shape)
    batch = surfaces.noisy(exact).grad(x)
    for i in np.ndindex(4, 3):
        assert surfaces.noisy(exact).grad(x[i]).tobytes() == batch[i].tobytes()
    assert surfaces.noisy(exact).grad(x.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"scale": -1}, ValueError, r"scale must be a float in the range \[0, inf\). Got -1"),
        ({"scale": "1"}, TypeError, r"scale must be a float in the range"),
        ({"seed": -1}, ValueError, r"seed must be an int in the range \[0, inf\). Got -1"),
        ({"seed": 1.5}, TypeError, "seed must be an int .* Got 1.5"),
        ({"seed": True}, TypeError, "seed must be an int .* Got True"),
        ({"seed": None}, TypeError, "seed must be an int .* Got None"),
        ({"surface": "booth"}, TypeError, "surface must be a Surface.* Got 'booth'"),
    ],
)
def test_noise_of_nonsense_is_refused(given, error, message):
    with pytest.raises(error, match=message):
        surfaces.noisy(**({"surface": surfaces.get("booth")} | given))
