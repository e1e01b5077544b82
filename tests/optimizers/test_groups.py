"""Groups: a rule for every pattern, one step, one memory."""

import copy
import pickle

import numpy as np
import pytest

import npoptim as npo

PARAMS = {"0.W": np.ones((3, 2)), "0.b": np.ones(2), "norm.gain": np.full(2, 2.0)}
GRADS = {k: np.full_like(v, 0.5) for k, v in PARAMS.items()}


def fresh():
    return {k: v.copy() for k, v in PARAMS.items()}


def groups():
    lr = npo.schedules.linear(0.1, total=10)
    return npo.Groups({"*.b": npo.SGD(lr=lr), "norm.*": npo.Lion(lr=0.1), "*": npo.LAMB(lr=0.1)})


def test_each_parameter_follows_the_first_pattern_that_matches():
    together = fresh()
    opt = groups()
    alone = {"0.W": npo.LAMB(lr=0.1), "0.b": npo.SGD(lr=npo.schedules.linear(0.1, total=10)), "norm.gain": npo.Lion(lr=0.1)}  # fmt: skip
    params = fresh()
    for _ in range(3):
        opt.step(together, GRADS)
        for name, rule in alone.items():
            rule.step({name: params[name]}, {name: GRADS[name]})
    for name in params:
        assert together[name].tobytes() == params[name].tobytes()
    assert opt.t == 3
    assert {k: set(v) for k, v in opt.state.items()} == {"0.W": {"m", "v"}, "0.b": set(), "norm.gain": {"m"}}  # fmt: skip
    assert opt.state_nbytes == 8 * (6 + 6 + 2)


def test_the_repr_has_one_line_a_group():
    assert repr(npo.Groups({"*.b": npo.SGD(), "*": npo.SGD(lr=1)})) == (
        "Groups({\n    '*.b': SGD(lr=0.01),\n    '*': SGD(lr=1.0),\n})"
    )


def test_groups_may_hold_groups():
    inner = npo.Groups({"*.W": npo.SGD(lr=1.0), "*": npo.SGD(lr=0.5)})
    opt, params = npo.Groups({"0.*": inner, "*": npo.SGD(lr=0)}), fresh()
    opt.step(params, GRADS)
    assert [float(p.flat[0]) for p in params.values()] == [0.5, 0.75, 2.0]


BAD = [
    (None, TypeError, r"^Groups takes a dict pattern -> optimizer\. Got NoneType instead\.$"),
    ([npo.SGD()], TypeError, r"^Groups takes a dict pattern -> optimizer\. Got list instead\.$"),
    ({}, TypeError, r"^Groups needs at least one pattern\. Got an empty dict\.$"),
    ({3: npo.SGD()}, TypeError, r"^a pattern must be a string\. Got 3 instead\.$"),
    ({"*": npo.SGD}, TypeError, r"^the rule of '\*' must be an optimizer\. Got <class"),
    ({"*": {"lr": 0.1}}, TypeError, r"^the rule of '\*' must be an optimizer\. Got \{'lr': 0\.1\}"),
]


@pytest.mark.parametrize(("rules", "error", "words"), BAD)
def test_what_are_no_groups(rules, error, words):
    with pytest.raises(error, match=words):
        npo.Groups(rules)


def test_an_optimizer_stands_once_and_is_fresh():
    sgd = npo.SGD()
    with pytest.raises(
        ValueError, match=r"^one optimizer stands under two patterns; give each its own\.$"
    ):
        npo.Groups({"a": sgd, "*": sgd})
    sgd.step(np.ones(2), np.ones(2))
    with pytest.raises(ValueError, match="fresh"):
        npo.Groups({"*": sgd})
    assert npo.Groups({"*": sgd.fresh()}).t == 0


def test_names_and_patterns_must_meet():
    for rules, words in (
        ({"*.b": npo.SGD()}, "'0.W' matches none"),
        ({"*.bias": npo.SGD(), "*": npo.SGD()}, "match no parameter"),
    ):
        params, opt = fresh(), npo.Groups(rules)
        for _ in range(2):  # a second try is no better
            with pytest.raises(ValueError, match=words):
                opt.step(params, GRADS)
        assert all((params[k] == v).all() for k, v in PARAMS.items())


def test_a_bad_value_in_a_group_is_raised_at_the_assignment_and_at_the_step():
    sgd = npo.SGD()
    opt = npo.Groups({"*": sgd})
    with pytest.raises(ValueError, match="lr must be"):
        opt.rules["*"].lr = -1
    vars(sgd)["lr"] = -1.0
    with pytest.raises(ValueError, match="lr must be"):
        opt.step(np.ones(2), np.ones(2))


def test_a_step_fails_whole_over_all_groups():
    params = fresh()
    opt = groups()
    bad = GRADS | {"norm.gain": np.array([1.0, np.nan])}
    with pytest.raises(npo.NonFiniteError, match=r"'norm\.gain'"):
        opt.step(params, bad)
    assert all((params[k] == v).all() for k, v in PARAMS.items())
    assert opt.t == 0


def test_copies_and_states_go_on_bit_for_bit():
    opt, params = groups(), fresh()
    opt.step(params, GRADS)
    loaded = groups()
    loaded.load_state_dict(opt.state_dict())
    ways = [copy.deepcopy(opt), pickle.loads(pickle.dumps(opt)), loaded]
    copies = [copy.deepcopy(params) for _ in ways]
    opt.step(params, GRADS)
    for way, other in zip(ways, copies, strict=True):
        way.step(other, GRADS)
        assert all(other[k].tobytes() == params[k].tobytes() for k in params)
    assert opt.fresh() == groups()
    assert opt.fresh() != npo.Groups({"*": npo.SGD()})
    assert opt.state_dict()["optimizer"] == "Groups(*.b: SGD, norm.*: Lion, *: LAMB)"
    with pytest.raises(ValueError, match=r"this optimizer is Groups\(\*: SGD\)\.$"):
        npo.Groups({"*": npo.SGD()}).load_state_dict(opt.state_dict())


def test_one_group_can_be_frozen():
    params = fresh()
    npo.Groups({"0.*": npo.SGD(lr=0), "*": npo.SGD()}).step(params, GRADS)
    assert (params["0.W"] == 1).all()
    assert (params["norm.gain"] < 2).all()
