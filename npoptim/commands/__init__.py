"""The commands of `npoptim`, one file each: found by lying in this folder.

A command has HELP, one line; `add(parser)`, which adds its arguments; and
`run(args)`, which returns the exit status. What is slow to import is imported
in `run`.
"""
