"""Homework: a student's optimizer through the same trace, the first wrong line named.

`check` is for students, immediate and friendly; `grade` is for teachers, with
other seeds, shapes and hyper-parameters. Both say which line of the paper's
box is the first to be wrong, with the student's value and the right one.
"""

from npoptim.homework.derivatives import check_gradient
from npoptim.homework.grading import Grade, check, grade, skeleton, tasks

__all__ = ["Grade", "check", "check_gradient", "grade", "skeleton", "tasks"]
