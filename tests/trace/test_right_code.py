"""The same step written in other ways: no difference, whatever the names and the order."""

from dataclasses import dataclass

import numpy as np
import pytest

import npoptim as npo
from npoptim import first_difference
from npoptim.optimizers.base import norm, rms


@dataclass
class InPlaceAdamW(npo.AdamW):
    """As PyTorch does it: decay first, in place, bias corrections folded into the step."""

    def update(self, p, g, t, m, v):
        p *= 1 - self.lr * self.weight_decay
        m *= self.betas[0]
        m += (1 - self.betas[0]) * g
        v *= self.betas[1]
        v += (1 - self.betas[1]) * g * g
        bias_correction1 = 1 - self.betas[0] ** t
        bias_correction2 = 1 - self.betas[1] ** t
        denom = np.sqrt(v) / np.sqrt(bias_correction2)
        denom += self.eps
        p -= self.lr / bias_correction1 * m / denom
        return p, {"m": m, "v": v}


@dataclass
class NumberedInPlaceAdam(npo.Adam):
    """Several statements to a line of the box."""

    def update(self, p, g, t, m, v):
        lr, eps = self.lr, self.eps  # line 1
        beta1, beta2 = self.betas  # line 1
        np.multiply(m, beta1, out=m)  # line 5
        m[...] += (1 - beta1) * g  # line 5
        v *= beta2  # line 6
        square = g * g
        v += square - beta2 * square  # line 6
        m_hat = m.copy()  # line 7
        m_hat /= 1 - beta1**t  # line 7
        v_hat = v / (1 - beta2**t)  # line 8
        root = np.sqrt(v_hat)
        p = p - (m_hat / (root + eps)) * lr  # line 9
        return p, {"m": m, "v": v}


@dataclass
class HatsInPlaceAdam(npo.Adam):
    """The hats take the names of what was stored before."""

    def update(self, p, g, t, m, v):
        beta1, beta2 = self.betas
        m = m + (1 - beta1) * (g - m)
        v = v + (1 - beta2) * (g**2 - v)
        state = {"m": m, "v": v}
        m = m / (1 - beta1**t)  # corrected, and no longer what is stored
        v = v / (1 - beta2**t)
        p = p - self.lr * m / (np.sqrt(v) + self.eps)
        return p, state


@dataclass
class OwnNamesAdam(npo.Adam):
    """Other names for everything."""

    def update(self, theta, grad, step, m, v):
        b1, b2 = self.betas
        first = b1 * m + (1 - b1) * grad
        second = b2 * v + (1 - b2) * np.square(grad)
        first_unbiased = first / (1 - b1**step)
        second_unbiased = second / (1 - b2**step)
        new = theta - self.lr * first_unbiased / (np.sqrt(second_unbiased) + self.eps)
        return new, {"m": first, "v": second}


@dataclass
class RootAdam(npo.Adam):
    """v_hat is the root here: the name is the box's, the meaning is not, the step is."""

    def update(self, p, g, t, m, v):
        m = self.betas[0] * m + (1 - self.betas[0]) * g
        v = self.betas[1] * v + (1 - self.betas[1]) * g**2
        m_hat = self.lr * m / (1 - self.betas[0] ** t)
        v_hat = np.sqrt(v / (1 - self.betas[1] ** t))
        return p - m_hat / (v_hat + self.eps), dict(m=m, v=v)  # noqa: C408  # students write it


@dataclass
class LoopAdam(npo.Adam):
    """Element by element, as in C."""

    def update(self, p, g, t, m, v):
        beta1, beta2 = self.betas
        for i in np.ndindex(p.shape):
            m[i] = beta1 * m[i] + (1 - beta1) * g[i]
            v[i] = beta2 * v[i] + (1 - beta2) * g[i] ** 2
            m_hat = m[i] / (1 - beta1**t)
            v_hat = v[i] / (1 - beta2**t)
            p[i] -= self.lr * m_hat / (v_hat**0.5 + self.eps)
        return p, {"m": m, "v": v}


@dataclass
class HelpingAdam(npo.Adam):
    """Methods of its own, some with numbers of the box."""

    def corrected(self, x, beta, t):
        return x / (1 - beta**t)

    def moments(self, g, m, v):
        beta1, beta2 = self.betas
        m = beta1 * m + (1 - beta1) * g  # line 5
        v = beta2 * v + (1 - beta2) * g**2  # line 6
        return m, v

    def update(self, p, g, t, m, v):
        m, v = self.moments(g, m, v)
        m_hat = self.corrected(m, self.betas[0], t)  # line 7
        v_hat = self.corrected(v, self.betas[1], t)  # line 8
        p = p - self.lr * m_hat / (np.sqrt(v_hat) + self.eps)  # line 9
        return p, {"m": m, "v": v}


@dataclass
class BranchingMomentum(npo.Momentum):
    """The first step is a case of its own."""

    def update(self, p, g, t, v):
        if t == 1:  # a branch is what is tried
            v = g.copy()
        else:
            v = self.momentum * v + g
        return p - self.lr * v, {"v": v}


@dataclass
class ReusingSGD(npo.SGD):
    """The gradient's name is reused."""

    def update(self, p, g, t):
        g = self.lr * g
        p = p - g
        return p, {}


@dataclass
class ShiftedNesterov(npo.Nesterov):
    """The step as two."""

    def update(self, p, g, t, v):
        mu, lr = self.momentum, self.lr
        v = g + mu * v
        p = p - lr * g
        p = p - lr * mu * v
        return p, {"v": v}


@dataclass
class ScaledLion(npo.Lion):
    """Decay as a factor, and the memory before the step, out of its way."""

    def update(self, p, g, t, m):
        beta1, beta2 = self.betas
        new_m = beta2 * m + (1 - beta2) * g
        blend = g + beta1 * (m - g)
        p = (1 - self.lr * self.weight_decay) * p - self.lr * np.sign(blend)
        return p, {"m": new_m}


@dataclass
class LongLARS(npo.LARS):
    """Norms with names, LAMB's r for the rate."""

    def update(self, p, g, t, v):
        w_norm, g_norm = np.linalg.norm(p), np.linalg.norm(g)
        denominator = g_norm + self.weight_decay * w_norm
        local = self.trust_coefficient
        if w_norm > 0 and denominator > 0:
            local = local * w_norm / denominator
        rate = self.lr * local
        v = rate * (g + self.weight_decay * p) + self.momentum * v
        return p - v, {"v": v}


@dataclass
class TrustingLAMB(npo.LAMB):
    """r is the ratio here and u already has the decay in it."""

    def update(self, p, g, t, m, v):
        m = self.betas[0] * m + (1 - self.betas[0]) * g
        v = self.betas[1] * v + (1 - self.betas[1]) * g**2
        u = m / (1 - self.betas[0] ** t)
        u = u / (np.sqrt(v / (1 - self.betas[1] ** t)) + self.eps)
        u = u + self.weight_decay * p
        r = norm(p) / norm(u)
        return p - self.lr * r * u, {"m": m, "v": v}


@dataclass
class FormedAdafactor(npo.Adafactor):
    """v is formed, the clip is a branch."""

    def update(self, p, g, t, R, C):
        eps1, eps2 = self.eps
        alpha = self.lr * max(eps2, float(rms(p)))
        beta2_hat = 1 - t ** (-self.decay)
        squares = g * g + eps1
        R = beta2_hat * R + (1 - beta2_hat) * squares.sum(axis=1)
        C = beta2_hat * C + (1 - beta2_hat) * squares.sum(axis=0)
        v = np.outer(R, C) / R.sum()
        u = g / np.sqrt(v)
        if rms(u) > self.clip:
            u = u * (self.clip / rms(u))
        return p - alpha * u, {"R": R, "C": C}


@dataclass
class FormedCAME(npo.CAME):
    """Both second moments are formed, the last line is two."""

    def update(self, p, g, t, m, r, c, R, C):
        b1, b2, b3 = self.betas
        squares = g**2 + self.eps[0]
        r = b2 * r + (1 - b2) * squares.sum(-1)
        c = b2 * c + (1 - b2) * squares.sum(-2)
        u = g * np.sqrt(r.sum()) / np.sqrt(np.outer(r, c))
        u /= max(1.0, rms(u) / self.clip)
        m = b1 * m + (1 - b1) * u
        instability = (m - u) ** 2 + self.eps[1]
        R = b3 * R + (1 - b3) * instability.sum(-1)
        C = b3 * C + (1 - b3) * instability.sum(-2)
        decay = self.lr * self.weight_decay * p
        p = p - self.lr * m * np.sqrt(R.sum()) / np.sqrt(np.outer(R, C))
        p = p - decay
        return p, {"m": m, "r": r, "c": c, "R": R, "C": C}


REWRITTEN = [
    InPlaceAdamW,
    NumberedInPlaceAdam,
    HatsInPlaceAdam,
    OwnNamesAdam,
    RootAdam,
    LoopAdam,
    HelpingAdam,
    BranchingMomentum,
    ReusingSGD,
    ShiftedNesterov,
    ScaledLion,
    LongLARS,
    TrustingLAMB,
    FormedAdafactor,
    FormedCAME,
]


@pytest.mark.parametrize("cls", REWRITTEN)
def test_right_code_is_no_difference(cls, make):
    rule = cls.__base__
    right, own = (make.steps(make.telling(c), sizes=(1, -2, 1.5)) for c in (rule, cls))
    for pair in ((right, own), (own, right), (own, own)):
        assert first_difference(*pair) is None, str(first_difference(*pair))


@pytest.mark.parametrize("cls", REWRITTEN)
def test_and_its_rule_with_another_lr_is(cls, make):
    """So that the test above can fail."""
    rule = make.telling(cls.__base__)
    rule.lr *= 1 + 1e-6
    right, own = make.steps(rule), make.steps(make.telling(cls))
    there, back = first_difference(right, own), first_difference(own, right)
    assert there is not None
    assert back is not None
    assert np.array_equal(there.expected, back.got)
    assert np.array_equal(there.got, back.expected)
    assert there.line in own.lines
    assert back.line in right.lines
