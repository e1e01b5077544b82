"""Faults and what npoptim does with each: one table, from which the tests and a page are made.

"Refused" means: an error that names the thing, says what is allowed and what it got, with
parameters, state and t bit for bit as they were. The checks are in the files beside this one.
"""

from __future__ import annotations

from dataclasses import dataclass

import on_arrays  # noqa: F401  the checks enter themselves by number
import on_settings  # noqa: F401
import on_state  # noqa: F401
from trials import CHECKS, RULES, Check, Rule, features

# number | what is put in | what npoptim does
TABLE = """
1 | lr below 0 | Refused with the range [0, inf): when it is made, assigned, smuggled in, or comes from a schedule.
2 | lr = 0 | Accepted: a frozen group, the start of a warm-up. Nothing moves, the state goes on.
3 | lr NaN | Refused.
4 | lr infinite | Refused.
5 | lr a string | TypeError that names lr.
6 | lr True | TypeError: a truth value is no number.
7 | lr an array of two numbers | TypeError that names lr.
8 | β₁ = 1 | Refused with the range [0, 1).
9 | β₂ = 1.5 | Refused.
10 | β NaN | Refused.
11 | betas one number, or one too many | Refused when the optimizer is made, not at the step.
12 | eps = 0 | Accepted: algebra needs it. The 0/0 of a zero gradient is then refused as a NaN that names the parameter.
13 | eps below 0 | Refused.
14 | eps NaN | Refused.
15 | weight_decay below 0 | Refused: it would let the weights grow.
16 | Nesterov without momentum | Accepted: Nesterov is a class of its own, and without momentum it is SGD, bit for bit.
17 | momentum below 0, or 1 and above | Refused with the range [0, 1).
18 | an unknown keyword | TypeError that lists the hyper-parameters and, where one is near, asks: did you mean 'lr'?
19 | no parameters | Refused: there is nothing to optimize.
20 | one array instead of a list | Accepted, named 'p' in state, messages and files. A list or tuple is refused: name the parameters in a dict.
21 | Python floats as parameters | TypeError: they cannot change in place.
22 | a NumPy scalar as parameter | TypeError that suggests np.array(x).
23 | a dict name -> array | Accepted: this is npoptim's form.
24 | a set, a generator or a list of parameters | TypeError: name the parameters in a dict. Order then does not matter.
25 | an integer or bool parameter | Refused at the first step.
26 | a complex parameter | Refused.
27 | float16, gradient 0 | Computed in float32 with float32 state and cast back: nothing moves, nothing is NaN.
28 | float16, gradient 300, whose square overflows | Computed in float32: the same step as float32 takes, rounded once.
29 | object, structured and big-endian dtypes | Object and structured arrays are refused; big-endian ones are accepted and keep their dtype.
30 | np.matrix as parameter or gradient | TypeError: its * is a matrix product.
31 | a masked array | TypeError.
32 | a memmap as parameter | Accepted, stepped in place.
33 | one array under two names | Refused: it would be stepped twice.
34 | one array in two groups | A name is in the first group that it matches and in no other; one array under two names is refused across groups too.
35 | overlapping views | Refused: the overlap would be stepped twice.
36 | a read-only parameter | Refused at the step, before state or t have changed; also if it became so between steps.
37 | a writeable view that overlaps itself | Refused.
38 | Fortran order, strides, negative strides | Accepted: the numbers of contiguous copies, in place, the layout kept.
39 | an array without axes | Accepted, stays an array, in parameter and state.
40 | an array without elements | Accepted, without a warning.
41 | a group without parameters | Groups go by pattern: one that no parameter matches is refused, with the names that there are, and so is a group that is no optimizer.
42 | a misspelt key in a group | A group is an optimizer: TypeError, did you mean 'weight_decay'?
43 | lr = −1 in one group | Refused when it is assigned and, if it was smuggled in, at the step; no group moves.
44 | one gradient None | TypeError that names it, and says how a parameter is frozen.
45 | all gradients None | TypeError.
46 | too few or too many gradients | Refused with the names that miss or are too many, before the first parameter moves.
47 | gradient (1,) for (3,) | Refused with the name and both shapes: nothing is broadcast.
48 | gradient (3, 1) for (3,) | Refused likewise.
49 | a gradient that is a list or a number | TypeError.
50 | a float64 gradient for a float32 parameter | Accepted; parameter and state keep float32.
51 | an integer gradient | Accepted: the step of the same floats.
52 | a NaN in a gradient | NonFiniteError with name and index, nothing changed. `train(nan_policy=…)` may catch it.
53 | an infinity in a gradient | NonFiniteError likewise.
54 | a gradient whose square overflows | NonFiniteError that names the parameter: new parameters and state are looked at, not gradients alone. Rules that square nothing step.
55 | a gradient whose square vanishes | The second moment is exactly 0 and the step, bounded by eps, is below a rounding error; Lion, which takes the sign, steps lr.
56 | a zero gradient at the first step | Without decay nothing moves; with decay exactly the decay term of the box.
57 | LAMB and LARS, all weights 0 | The ratio is 1 and they start: by lr · sign for LAMB, by lr η g for LARS.
58 | a gradient that is the parameter, or another one's | Accepted: the step of copies.
59 | writing into the caller's gradients | Never: read-only gradients do, and stay as they are.
60 | gradients computed on demand, of which one raises | All are asked for before anything moves, and the error comes out as it is. A generator is refused.
61 | a parameter rebound: p = p − 1 | A dict is read at every step: the array now under the name is stepped, the old one is not.
62 | a parameter of another shape, dtype or name after the first step | Refused: they are fixed at the first step.
63 | t = 10⁹ | Accepted: the powers of β are 0, the step is finite.
64 | loading state of more or fewer parameters | Refused with the names.
65 | loading state in another order | Accepted: everything goes by name.
66 | loading state of other shapes | Refused when it is loaded, not at the next step.
67 | loading state without a slot | Refused with its name when it is loaded.
68 | loading Adam's state into SGD | Refused: the class is in the state.
69 | loading {} | Refused with what is missing.
70 | loading float32 state into float64 and back | Cast where nothing is lost; otherwise refused.
71 | writing into what state_dict gave | It is a copy: the optimizer does not notice. So is what was loaded.
72 | loading that fails at its last array | All is looked at before anything is assigned.
73 | 20 steps, saved and loaded, 20 more | Bit for bit the 40 steps of a run that never stopped, with schedules and groups.
74 | pickle and deepcopy | Work, and go on bit for bit; neither holds the parameters.
75 | a file cut short, flipped, empty, with objects, from the future | CheckpointError each, or an equal load where zip has slack; nothing is unpickled, nothing live changes.
76 | a crash while saving | The file is written beside and put in its place: the old or the new one is whole, always.
77 | a schedule with total 0, or with more warm-up than steps | Refused when it is made.
78 | a schedule past its end | The last value stays.
79 | clipping to a negative norm | Refused: it would turn the gradient round.
80 | clipping gradients of length 0 | They come back as they are, with the norm 0.0.
81 | an array of the other backend | TypeError that names both and npoptim.to_device; nothing goes to the host by itself.
82 | CuPy without a GPU, or not installed | BackendUnavailable with the remedy; the backend stays as it was.
83 | one MPI rank raises | The rank prints its traceback and ends all ranks, so that none waits for ever.
84 | repr | The call that makes it; groups have one line each.
"""


@dataclass(frozen=True)
class Row:
    """A fault, the answer to it, and the check of that on a rule."""

    number: int
    fault: str
    answer: str
    check: Check
    only: str  # rules with one of these features; "once": no rule's affair

    @property
    def rules(self) -> list[Rule]:
        """The rules it is tried on."""
        if self.only == "once":
            return [RULES[0]]
        return [r for r in RULES if not self.only or features(r) & set(self.only.split())]


def _row(line: str) -> Row:
    number, fault, answer = line.split(" | ")
    return Row(int(number), fault, answer, *CHECKS[int(number)])


ROWS = [_row(line) for line in TABLE.strip().splitlines()]
