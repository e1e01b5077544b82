"""Run mutmut's mutants against tests that are collected once: `python tests/mutation/run.py PATTERN…`.

`mutmut run` collects the tests anew for each of 4,600 mutants, which takes hours; here a process
is forked for each from one that has collected them, and runs those that reach the mutant, by what
mutmut's own record says. Needs `pip install mutmut` and fork; to be run in a copy of the
repository, in which mutmut writes its folder mutants/. Verdicts are kept in mutants/verdicts.json:
what is killed stays killed, so a second run looks at the survivors only.
"""

import contextlib
import fnmatch
import gc
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol
from mutmut import __main__ as mutmut
from mutmut.configuration import config
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state

SECONDS = 4  # of tests for one mutant; those of the file of its name, and one of each kind, first

#: modules that are tested in the file of another
WITH = {"advance": "driver", "blocks": "driver", "lazy": "fused", "threads": "fused"}


def mutants(patterns):
    """The names of the mutants in ./mutants, made before by mutmut where there are none."""
    if not Path("mutants/npoptim").exists():
        set_mutant_under_test("mutant_generation")
        Path("mutants").mkdir(exist_ok=True)
        mutmut.copy_src_dir()
        mutmut.copy_also_copy_files()
        mutmut.setup_source_paths()
        mutmut.create_mutants(1)
    found = []
    for meta in sorted(Path("mutants/npoptim").rglob("*.meta")):
        names = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
        found += [name.replace("__init__.", "") for name in names]
    return [name for name in found if any(fnmatch.fnmatch(name, p) for p in patterns)]


class Mutate:
    """A pytest plugin that runs the tests once, and then again for each mutant."""

    def __init__(self, names, verdicts):
        self.names, self.verdicts = names, verdicts

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        items, cost, reach = session.items, {}, {}
        set_mutant_under_test("stats")
        for i, item in enumerate(items):
            state()._stats.clear()
            began = time.perf_counter()
            if failed(item, items[i + 1 : i + 2]):
                pytest.exit(f"{item.nodeid} fails without a mutant")
            cost[item] = time.perf_counter() - began
            for function in state()._stats:
                reach.setdefault(function, []).append(item)
        gc.collect()
        gc.freeze()
        for name in self.names:
            tests = reach.get(mutmut.mangled_name_from_mutant_name(name), [])
            verdict = tried(name, ordered(tests, name, cost)) if tests else "no tests"
            self.verdicts[name] = verdict
            if verdict != "killed":
                print(verdict, name, file=sys.__stdout__, flush=True)
        return True


def ordered(tests, name, cost):
    """As many tests as there is time for, the likeliest first."""
    rounds, keys, spent, chosen = {}, [], 0.0, []
    module = name.split(".")[-2]
    module = WITH.get(module, module)
    for test in tests:
        kind = test.nodeid.partition("[")[0]
        rounds[kind] = rounds.get(kind, -1) + 1
        near = module in test.nodeid.partition("::")[0]
        keys.append((not near, rounds[kind], cost[test], test.nodeid, test))
    for *_, test in sorted(keys, key=lambda key: key[:-1]):
        spent += cost[test]
        if spent < SECONDS or not chosen:
            chosen.append(test)
    return chosen


def tried(name, tests):
    """killed, timeout or survived."""
    pid = os.fork()
    if not pid:
        signal.alarm(30)  # ends the process
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        set_mutant_under_test(name)
        code = 1
        with contextlib.suppress(BaseException):
            code = int(any(failed(t, tests[i + 1 : i + 2]) for i, t in enumerate(tests)))
        os._exit(code)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return "timeout" if os.WTERMSIG(status) == signal.SIGALRM else "killed"
    return "killed" if os.WEXITSTATUS(status) else "survived"


def failed(item, following):
    reports = runtestprotocol(item, log=False, nextitem=following[0] if following else None)
    return any(report.failed for report in reports)


def main(patterns):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & has it ignored
    names, kept = mutants(patterns or ["*"]), Path("mutants/verdicts.json").resolve()
    verdicts = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    names = [name for name in names if verdicts.get(name) not in ("killed", "timeout")]
    selection = config().pytest_add_cli_args_test_selection
    os.chdir("mutants")
    sys.path.insert(0, os.getcwd())
    options = ["--rootdir=.", "--tb=native", "-q", "-p", "no:cacheprovider"]
    pytest.main([*options, *selection], plugins=[Mutate(names, verdicts)])
    kept.write_text(json.dumps(verdicts, ensure_ascii=False, indent=0), encoding="utf-8")
    for verdict in sorted(set(verdicts.values())):
        print(f"{list(verdicts.values()).count(verdict):6} {verdict}")


if __name__ == "__main__":
    main(sys.argv[1:])
