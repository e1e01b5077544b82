"""The box in the docstring is the documented one, and the code carries its numbers."""

import ast

import numpy as np
import pytest

import npoptim as npo
from npoptim.optimizers import box


def test_the_box_of_adamw():
    assert npo.pseudocode(npo.AdamW) == {
        1: "given lr, β₁, β₂, ε, λ",
        2: "t ← 0, m ← 0, v ← 0",
        3: "t ← t + 1",
        4: "g ← ∇f(θ)",
        5: "m ← β₁ m + (1 − β₁) g",
        6: "v ← β₂ v + (1 − β₂) g²",
        7: "m̂ ← m / (1 − β₁ᵗ)",
        8: "v̂ ← v / (1 − β₂ᵗ)",
        9: "θ ← θ − lr m̂ / (√v̂ + ε) − lr λ θ",
    }


LENGTHS = {
    "sgd": 4, "momentum": 5, "nesterov": 5, "adam": 9, "adamw": 9,
    "lars": 6, "lamb": 11, "lion": 6, "adafactor": 12, "came": 14,
}  # fmt: skip


@pytest.mark.parametrize(("name", "length"), LENGTHS.items())
def test_every_box_is_numbered_consecutively(name, length):
    for lines in box.boxes(npo.optimizers()[name]):
        assert list(lines) == [n for n in range(1, max(lines) + 1) if (name, n) != ("sgd", 2)]
    assert max(npo.pseudocode(npo.optimizers()[name])) == length


@pytest.mark.parametrize(("rule", "length"), [(npo.Adafactor, 10), (npo.CAME, 8)])
def test_vectors_have_a_box_of_their_own(rule, length):
    assert max(npo.pseudocode(rule, np.ones(3))) == length
    assert npo.pseudocode(rule, np.ones((3, 2))) == npo.pseudocode(rule())
    assert max(npo.pseudocode(rule(), np.array(1.0))) == length


def test_a_class_without_docstring_uses_its_bases_box():
    class MyAdamW(npo.AdamW):
        pass

    assert npo.pseudocode(MyAdamW) == npo.pseudocode(npo.AdamW)


@pytest.mark.parametrize("thing", [None, "adamw", dict])
def test_what_has_no_pseudocode(thing):
    with pytest.raises((TypeError, ValueError), match=r"pseudocode takes an optimizer|has no box"):
        npo.pseudocode(thing)


def test_a_class_without_any_box_is_told():
    class Bare(npo.Optimizer):
        def update(self, p, g, t):
            return p, {}

    with pytest.raises(ValueError, match="Bare has no box"):
        npo.pseudocode(Bare)


def test_boxes_of_a_docstring():
    class Two(npo.SGD):
        """Two.

        1  given lr \t
        12  θ ← θ

        and::

            1  given μ
        """

    assert box.own_boxes(Two) == [{1: "given lr", 12: "θ ← θ"}, {1: "given μ"}]
    assert box.boxes(type("Three", (Two,), {})) == box.own_boxes(Two)
    assert box.boxes(type("None", (), {})) == []


def test_a_rule_without_a_box_comes_first(monkeypatch):
    real = box.boxes
    monkeypatch.setattr(box, "boxes", lambda cls: [] if cls is npo.CAME else real(cls))
    assert list(npo.optimizers())[:2] == ["came", "sgd"]


@pytest.mark.parametrize(("mode", "kind"), [((), ast.Module), (("eval",), ast.Expression)])
def test_source_is_parsed_in_the_mode_asked_for(mode, kind):
    assert type(box.parsed("p - g", *mode)) is kind


def test_tags_over_several_source_lines():
    def update(p, g):
        q = (
            p  # line 2
            - g
        )
        a, b = p, q  # lines 3, 4
        return a + b  # a comment that mentions line 9 is no tag: see there

    assert box.tagged(update) == {2: ["q = ( p - g )"], 3: ["a, b = p, q"], 4: ["a, b = p, q"]}
