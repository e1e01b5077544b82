"""A line of code with its numbers put in."""

import numpy as np
import pytest

from npoptim import trace


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("a = 1 - t**-beta", "1 - 2**(-0.5)"),  # nothing but plain numbers: not worked out
        ("a = beta * g[0] + (1 - beta) * p", "0.5 * (-3) + 0.5 * [1 2]"),
        ("a = p - g", "[1 2] - [-3 4]"),
        ("a = g[0] ** 2 - g[0]", "(-3)**2 - (-3)"),
        ("a = -g[1] * self.lr", "-4 * 0.25"),
        ("a = np.maximum(beta, np.sqrt(p.sum()))", "np.maximum(0.5, np.sqrt(p.sum()))"),
        ("a = np.sum(p, axis=0) / p.size", "np.sum([1 2], axis=0) / p.size"),
        ("a, b = p[0], t", "1, 2"),
        ("p -= beta * g", "[1 2] - 0.5 * [-3 4]"),
        ("a = p / (1 - t / 2 + 0)", "[1 2] / 0"),
        ("np.add(p, g, out=p)", "np.add([1 2], [-3 4], out=p)"),
        ("a = 1 if t > 1 else 0", "1 if 2 > 1 else 0"),
        ("for a in p: pass", "[1 2]"),
        ("a = {'x': p}['x']", "{'x': [1 2]}['x']"),
        ("a = 0 * p / (t - 2)", "0 * [1 2] / 0"),
        ("a = [x * beta for x in p]", "[x * 0.5 for x in [1 2]]"),
    ],
)
def test_numbers_put_in(code, shown, make):
    cls = make.build(
        "import numpy as np, npoptim as npo\nclass R(npo.SGD):\n"
        f"    def update(self, p, g, t):\n        beta = 0.5\n        {code}\n        return p, {{}}\n"
    )
    opt = cls(lr=0.25)
    opt.t = 1
    with np.errstate(all="ignore"):
        tr = trace(opt, np.array([1.0, 2.0]), np.array([-3.0, 4.0]))
    assert next(x for x in tr if x.code == code).substituted == shown


def test_numbers_of_a_module_are_put_in(make):
    cls = make.build(
        "import npoptim as npo\nRATE = 0.25\n"
        "class R(npo.SGD):\n    def update(self, p, g, t):\n"
        "        p = p - (RATE - 0.5) * g[0] * p.size * -g\n        return p, {}\n"
    )
    line = trace(cls(), np.ones(1), np.full(1, -3.0))[-1]
    assert line.substituted == "[1] - -0.25 * (-3) * p.size * -[-3]"
