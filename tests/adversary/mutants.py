"""Mutation score: every small change of the source has to fail a test. `python -m tests.adversary.mutants verifier`.

One process imports everything and stays cold; each mutant gets a fork of it, in which the code of the changed
function is exchanged and the tests that reach its lines run, those most about its module first, until one fails. What
runs when a module is imported cannot be exchanged that way: there the fork forgets the project's modules and imports
them again, changed.

The order of the mutants is random within each module and the same in every run; every module is done to the same
share, so the score of an interrupted run is an estimate without bias. Results go to a file, and a run goes on from it.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import hashlib
import importlib.machinery
import json
import math
import os
import pickle
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import CodeType, FunctionType

import coverage
import hypothesis
import pytest

from tests.adversary.mutation_results import (
    KILLED,
    ROOT,
    STATE,
    SURVIVED,
    TIMED_OUT,
    Record,
    Results,
    explanations,
    in_rounds,
    modules,
    population,
    report,
)
from tests.adversary.operators import Mutant

PROJECT = ("verifier", "exchange", "prover", "circuits", "api", "tests")
TESTS = {"verifier": ("tests/verifier", "tests/vectors"), "exchange": ("tests/exchange",)}
"""The package's own, by which its score is taken."""
BUDGET_SECONDS = 15.0
"""Processor time of tests per mutant; what no test has noticed by then counts as survived."""
SLOW_SECONDS = 6.0
"""A test that takes longer is left out."""
NEAREST = 4
"""Test files tried for a module's constants, besides its own."""
MEMORY_BYTES = 8 << 30
GRACE_SECONDS = 3.0
ARGUMENTS = ("-q", "-s", "-p", "no:randomly", "-p", "no:xdist", "-p", "no:cacheprovider", "--assert=plain", "--tb=line")
LEFT_OUT = tuple(
    f"--ignore-glob=tests/{name}.py"
    for name in (
        "exchange/test_postgres",
        "exchange/test_crash",
        "verifier/test_malicious*",
        "verifier/test_reference*",
    )
)
"""Tests that start servers and processes, and those that prove anew for seconds each."""
Tests = dict[str, tuple[float, dict[str, list[int]]]]
"""Test -> its processor seconds, and the lines that it reaches by file."""


class Server:
    """A pytest plugin that takes over once the tests are collected."""

    def __init__(
        self, package: str, files: Sequence[str], again: str | None, seconds: float, budget: float, *, on_import: bool
    ) -> None:
        self._package, self._again, self._budget, self._only_import = package, again, budget, on_import
        self._files = files
        self._deadline = time.monotonic() + seconds
        self._results = Results(package)
        self._tests: Tests = {}
        self._controlled: set[tuple[str, int]] = set()
        self._scratch = Path(tempfile.mkdtemp(prefix="mutants-"))
        self._importing = self._started_tracer()

    def pytest_collection(self) -> None:
        """Before test modules are imported: examples that are the same in every fork, and no shrinking."""
        hypothesis.settings.register_profile(
            "mutants",
            parent=hypothesis.settings.get_profile("solvent"),
            derandomize=True,
            database=None,
            phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        hypothesis.settings.load_profile("mutants")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Only forks run tests."""
        if report.failed:
            (self._scratch / "failed").write_text(report.nodeid)
            os._exit(1)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._items = {item.nodeid: item for item in session.items}
        self._base = session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        self._on_import = {file: set(lines) for file, lines in self._lines_of(self._importing).items()}
        if self._package == "verifier":
            self._prove_beforehand()
        self._lines_of(self._started_tracer())  # so that forks find imported what it needs
        gc.collect()
        gc.freeze()
        self._tests = self._measure()
        self._functions = _live_functions()
        self._by_line, self._near = _by_line(self._tests), _nearness(self._tests)
        mutants = population(self._files)
        explained = explanations()
        self._trees = {file: tree for file, (tree, _) in mutants.items()}
        for mutant in in_rounds({file: found for file, (_, found) in mutants.items()}, on_import=self._only_import):
            if time.monotonic() > self._deadline:
                break
            known = self._results.known.get(mutant.key)
            again = known is not None and self._again == known["verdict"] and mutant.key not in explained
            if known is None or again or (self._again and self._again in mutant.key):
                self._try(mutant)
        shutil.rmtree(self._scratch)
        return True

    def _prove_beforehand(self) -> None:
        """Toy proofs cost seconds: made in a fork, which caches nothing else here, and kept as if in a file."""
        # What runs on import is traced, and that begins after this module has been imported.
        from tests.verifier import toy_proofs
        from tests.verifier.toy_circuits import Case
        from verifier.params import TEST, ProofParams

        keys = [(name, params) for name in toy_proofs.CASES for params in (toy_proofs.FREE, TEST)]
        keys.append(("ledger", toy_proofs.RATE_QUARTER))

        def make() -> None:
            made = [toy_proofs.prove(toy_proofs.CASES[name](), params) for name, params in keys]
            (self._scratch / "proofs").write_bytes(pickle.dumps(made))

        if self._fork(make, 120.0) != SURVIVED:
            raise RuntimeError("no toy proofs")
        made = pickle.loads((self._scratch / "proofs").read_bytes())
        stored = {(f"toy_{name}", params.name): data for (name, params), data in zip(keys, made, strict=True)}
        plain = toy_proofs.prove

        def prove(case: Case, params: ProofParams = TEST) -> bytes:
            return stored.get((case.relation.system.name, params.name)) or plain(case, params)

        toy_proofs.prove = prove  # type: ignore[assignment]

    def _measure(self) -> Tests:
        """Each test once, in a fork of its own; those that fail there are left out."""
        file = STATE / f"{self._package}.tests.json"
        sources = b"".join((ROOT / name).read_bytes() for name in modules(self._package, ("*",)))
        digest = hashlib.sha256(sources).hexdigest()
        known: Tests = {}
        if file.exists():
            stored = json.loads(file.read_text())
            known = stored["tests"] if stored["digest"] == digest else {}
        for name in known.keys() - self._items.keys():
            del known[name]
        new = [name for name in self._items if name not in known]
        for done, name in enumerate(new):
            if done % 100 == 0:
                file.write_text(json.dumps({"digest": digest, "tests": known}))
                print(f"{time.strftime('%H:%M:%S')} measured {done} of {len(new)} tests", flush=True)
            verdict = self._fork(functools.partial(self._trace, self._items[name]), SLOW_SECONDS)
            if verdict == SURVIVED:
                known[name] = json.loads((self._scratch / "lines").read_text())
            else:
                print(f"left out, {verdict} without a mutant: {name}", flush=True)
        file.write_text(json.dumps({"digest": digest, "tests": known}))
        print(f"{len(known)} tests, {sum(cost for cost, _ in known.values()):.0f} s", flush=True)
        return known

    def _started_tracer(self) -> coverage.Coverage:
        tracer = coverage.Coverage(data_file=None, include=[f"{ROOT / self._package}/*"], config_file=False)
        tracer.start()
        return tracer

    def _lines_of(self, tracer: coverage.Coverage) -> dict[str, list[int]]:
        tracer.stop()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where there are none
            data = tracer.get_data()
        return {str(Path(name).relative_to(ROOT)): data.lines(name) or [] for name in data.measured_files()}

    def _trace(self, item: pytest.Item) -> None:
        start, tracer = time.process_time(), self._started_tracer()
        self._run([item])
        seconds = time.process_time() - start
        (self._scratch / "lines").write_text(json.dumps((seconds, self._lines_of(tracer))))

    def _run(self, items: Sequence[pytest.Item]) -> None:
        for item, following in zip(items, [*items[1:], None], strict=True):
            _limit(GRACE_SECONDS + 10 * self._tests[item.nodeid][0] if item.nodeid in self._tests else SLOW_SECONDS)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if time.process_time() > self._budget:  # a fork's own, from 0
                return

    def _fork(self, work: Callable[[], None], seconds: float) -> str:
        """Run `work` in a fork. A timer that runs out ends the fork by its signal."""
        (self._scratch / "failed").unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            code = 1
            with contextlib.suppress(BaseException):
                os.setsid()
                void = os.open(os.devnull, os.O_RDWR)
                for stream in (0, 1, 2):
                    os.dup2(void, stream)
                resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
                _limit(seconds)
                work()
                code = 0
            os._exit(code)
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        for left in self._base.iterdir():
            shutil.rmtree(left, ignore_errors=True)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGPROF, signal.SIGALRM):
            return TIMED_OUT
        return SURVIVED if status == 0 else KILLED

    def _try(self, mutant: Mutant) -> None:
        start = time.monotonic()
        tests = self._chosen(mutant)
        with mutant.applied():
            code = compile(self._trees[mutant.file], str(ROOT / mutant.file), "exec", dont_inherit=True)
        can_exchange = bool(mutant.function and tests)
        swaps = _swaps(code, self._functions[mutant.file]) if can_exchange else []
        verdict = self._fork(lambda: self._exchanged(swaps, tests), 60.0) if swaps else SURVIVED
        if not swaps or (verdict == SURVIVED and mutant.lines[0] in self._on_import.get(mutant.file, ())):
            for stage in self._of_module(mutant.file):
                if stage and verdict == SURVIVED:
                    verdict = self._import(mutant.file, code, stage)
        failed = self._scratch / "failed"
        record: Record = {
            "key": mutant.key,
            "line": mutant.lines[0],
            "verdict": verdict,
            "by": failed.read_text() if verdict == KILLED and failed.exists() else "",
            "how": "exchanged" if swaps else "imported",
            "seconds": round(time.monotonic() - start, 2),
        }
        self._results.add(record)

    def _import(self, file: str, code: CodeType, tests: Sequence[str]) -> str:
        """Raises RuntimeError if the tests fail that way without a change, too."""
        seconds = 60.0 + 2 * self._budget
        if (file, len(tests)) not in self._controlled:
            plain = compile((ROOT / file).read_text(), str(ROOT / file), "exec", dont_inherit=True)
            if self._fork(lambda: self._imported_again(file, plain, tests), seconds) != SURVIVED:
                raise RuntimeError(f"{file}: tests fail when the unchanged module is imported again: {tests}")
            self._controlled.add((file, len(tests)))
        return self._fork(lambda: self._imported_again(file, code, tests), seconds)

    def _chosen(self, mutant: Mutant) -> list[str]:
        """Tests that reach the lines."""
        lines = range(mutant.lines[0], max(mutant.lines) + 1)
        reached = {test for line in lines for test in self._by_line[mutant.file].get(line, ())}
        return self._in_order(reached, mutant.file) if mutant.function else []

    def _of_module(self, file: str) -> tuple[list[str], list[str]]:
        """For what runs on import: tests of that name and those of constants; then those of the files nearest to it."""
        constants = {test for test, (_, files) in self._tests.items() if not files}
        own = self._in_order(constants | {test for test in self._tests if Path(file).stem in _file_of(test)}, file)
        nearest = {test_file for test_file, _ in self._near[file].most_common(NEAREST)}
        reached = self._in_order({test for test in self._tests if _file_of(test) in nearest}, file)
        return own, [test for test in reached if test not in own]

    def _in_order(self, tests: set[str], file: str) -> list[str]:
        """Test files take turns, those that are most about a module first; in each of them the fastest test first."""
        near, turn, seen = self._near[file], {}, Counter[str]()
        for test in sorted(tests, key=lambda test: (self._tests[test][0], test)):
            turn[test] = seen[_file_of(test)]
            seen[_file_of(test)] += 1
        return sorted(tests, key=lambda test: (turn[test], -near[_file_of(test)], test))

    def _exchanged(self, swaps: Sequence[tuple[FunctionType, CodeType]], tests: Sequence[str]) -> None:
        for function, code in swaps:
            function.__code__ = code
        self._run([self._items[test] for test in tests])

    def _imported_again(self, file: str, code: CodeType, tests: Sequence[str]) -> None:
        path, plain = str(ROOT / file), importlib.machinery.SourceFileLoader.get_code

        def get_code(loader: importlib.machinery.SourceFileLoader, fullname: str) -> CodeType | None:
            return code if loader.path == path else plain(loader, fullname)

        importlib.machinery.SourceFileLoader.get_code = get_code  # type: ignore[assignment, method-assign]
        for name in [name for name in sys.modules if name.partition(".")[0] in PROJECT]:
            del sys.modules[name]
        failures = _Failures(self._scratch / "failed", self._budget)
        if pytest.main([*ARGUMENTS, "-x", *tests], plugins=[failures]) != 0:
            os._exit(1)


def _file_of(test: str) -> str:
    return test.partition("::")[0]


def _nearness(tests: Tests) -> dict[str, Counter[str]]:
    """By module, then by test file: the module's share of the lines that its tests reach, in millionths."""
    lines: dict[str, Counter[str]] = defaultdict(Counter)
    for test, (_, files) in tests.items():
        lines[_file_of(test)].update({file: len(reached) for file, reached in files.items()})
    near: dict[str, Counter[str]] = defaultdict(Counter)
    for test_file, count in lines.items():
        for file, reached in count.items():
            near[file][test_file] = 10**6 * reached // count.total()
    return near


def _limit(seconds: float) -> None:
    """Of processor time from now on, and of ten times as much on the wall, for what waits for ever."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, 10 * seconds)


class _Failures:
    """The plugin of a fork that has imported everything again."""

    def __init__(self, file: Path, budget: float) -> None:
        self._file, self._budget = file, budget

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._file.write_text(report.nodeid)

    def pytest_runtest_logfinish(self) -> None:
        if not self._file.exists() and time.process_time() > self._budget:
            os._exit(0)


def _live_functions() -> dict[str, dict[tuple[str, int], list[FunctionType]]]:
    """Functions of the project by file and by (qualified name, first line)."""
    found: dict[str, dict[tuple[str, int], list[FunctionType]]] = defaultdict(lambda: defaultdict(list))
    gc.unfreeze()
    for thing in gc.get_objects():
        if type(thing) is FunctionType and thing.__code__.co_filename.startswith(str(ROOT)):
            file = str(Path(thing.__code__.co_filename).relative_to(ROOT))
            found[file][thing.__code__.co_qualname, thing.__code__.co_firstlineno].append(thing)
    gc.freeze()
    return found


def _swaps(
    code: CodeType, functions: Mapping[tuple[str, int], Sequence[FunctionType]]
) -> list[tuple[FunctionType, CodeType]]:
    """Functions whose code is another in the changed module; none where that cannot be told."""
    codes: dict[tuple[str, int], list[CodeType]] = defaultdict(list)
    waiting = [code]
    while waiting:
        for constant in waiting.pop().co_consts:
            if isinstance(constant, CodeType):
                codes[constant.co_qualname, constant.co_firstlineno].append(constant)
                waiting.append(constant)
    swaps = []
    for place, live in functions.items():
        new = codes.get(place, [])
        changed = [function for function in live if new and function.__code__ != new[0]]
        if changed and len(new) > 1:
            return []
        if any(function.__code__.co_freevars != new[0].co_freevars for function in changed):
            return []
        swaps += [(function, new[0]) for function in changed]
    return swaps


def _by_line(tests: Tests) -> dict[str, dict[int, list[str]]]:
    found: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for test, (_, files) in tests.items():
        for file, lines in files.items():
            for line in lines:
                found[file][line].append(test)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", choices=("verifier", "exchange"))
    parser.add_argument("--only", nargs="*", default=[], help="patterns of files")
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after that")
    parser.add_argument("--budget", type=float, default=BUDGET_SECONDS, help="seconds of tests per mutant")
    parser.add_argument("--again", help="try again what ended this way, or has this in its text")
    parser.add_argument("--on-import", action="store_true", help="only what runs when a module is imported")
    parser.add_argument("--report", action="store_true", help="only print what is known")
    parser.add_argument("--quiet", action="store_true", help="do not list survivors")
    options = parser.parse_args()
    os.chdir(ROOT)
    STATE.mkdir(parents=True, exist_ok=True)
    files = modules(options.package, options.only)
    if not options.report:
        server = Server(
            options.package, files, options.again, options.seconds, options.budget, on_import=options.on_import
        )
        code = pytest.main([*ARGUMENTS, *LEFT_OUT, *TESTS[options.package]], plugins=[server])
        if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            return int(code)
    return 0 if report(options.package, files, quiet=options.quiet) else 1


if __name__ == "__main__":
    sys.exit(main())
