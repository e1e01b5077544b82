"""This folder holds numbers and the script that made them, not tests."""

collect_ignore_glob = ["*.py"]
