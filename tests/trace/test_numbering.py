"""Which line of the box a line of code is: said by the code, or told by its names."""

from dataclasses import dataclass

import numpy as np
import pytest

import npoptim as npo
from npoptim import trace


def test_several_statements_in_place_blocks_and_helpers(make):
    @dataclass
    class Adam(npo.Adam):
        def moments(self, g, m, v):
            beta1, beta2 = self.betas  # line 1
            m *= beta1  # line 5
            m += (1 - beta1) * g  # line 5
            for i in range(len(v)):  # line 6
                v[i] = beta2 * v[i] + (1 - beta2) * g[i] ** 2
            return m, v

        def corrected(self, x, beta, t):
            return x / (1 - beta**t)

        def update(self, p, g, t, m, v):
            lr, eps = self.lr, self.eps  # line 1
            m, v = self.moments(g, m, v)
            m_hat = self.corrected(m, self.betas[0], t)  # line 7
            v_hat = self.corrected(v, self.betas[1], t)  # line 8
            return p - lr * m_hat / (np.sqrt(v_hat) + eps), {"m": m, "v": v}  # line 9

    tr = trace(Adam(), np.ones(2), np.ones(2))
    assert [line.number for line in tr] == [1, 1, 2, 3, 4, 5, 5, *[6] * 5, None, 7, 8, 9]
    assert [list(line.values) for line in tr][-4:] == [["m", "v"], ["m_hat"], ["v_hat"], ["p"]]
    assert next(x for x in tr if x.number is None).code == "m, v = self.moments(g, m, v)"
    assert tr[-1].values["p"] == pytest.approx(1 - 1e-3)


def test_what_super_does_is_stepped_into():
    @dataclass
    class Halved(npo.Momentum):
        def update(self, p, g, t, v):
            p, state = super().update(p, g / 2, t, v)
            return p, state

    tr = trace(Halved(lr=0.5), np.ones(1), np.ones(1))
    assert [line.number for line in tr] == [1, 2, 3, 4, 5, None]
    assert tr[-2].values["p"] == tr[-1].values["p"] == 0.75


def test_without_numbers_lines_go_by_the_names_they_assign():
    @dataclass
    class Bare(npo.Adam):
        def init(self, p):
            return {"m": np.zeros_like(p), "v": np.zeros_like(p)}

        def update(self, theta, grad, step, m, v):
            lr = self.lr
            new_m = 0.9 * m + 0.1 * grad
            v *= 0.999
            v += 0.001 * grad**2
            scale = lr / (1 - 0.9**step)
            v_hat = v / (1 - 0.999**step)
            theta = theta - scale * new_m / np.sqrt(v_hat)
            return theta, {"m": new_m, "v": v}

    tr = trace(Bare(), np.ones(2), np.ones(2))
    assert [(x.number, list(x.values)) for x in tr] == [
        (1, ["lr"]),
        (2, ["m", "v"]),
        (3, ["t"]),
        (4, ["g"]),
        (5, ["new_m"]),
        (6, ["v"]),
        (6, ["v"]),
        (None, ["scale"]),
        (8, ["v_hat"]),
        (9, ["theta"]),
    ]


def test_a_class_without_a_box():
    class Plain(npo.Optimizer):
        """Nothing numbered."""

        def update(self, p, g, t):
            step = 0.5 * g
            return p - step, {}

    tr = trace(Plain(), np.ones(1), np.ones(1))
    assert [(x.number, x.pseudocode, x.code) for x in tr] == [
        (None, "", "step = 0.5 * g"),
        (None, "", "return p - step, {}"),
    ]
    assert "p - step" in str(tr)
