"""The table and what is made from it hold no doctests."""

collect_ignore_glob = ["[!t]*.py", "table.py", "trials.py"]
