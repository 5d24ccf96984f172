"""Settings shared by all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterable

import hypothesis
import pytest

from tests.adversary.score import HEADING, Score, parts

RECURSION_LIMIT = 1000
"""Python's own."""
SCORE = "score"

# A deadline per example measures the machine, not the code: speed has its own target, `make bench`.
hypothesis.settings.register_profile("solvent", deadline=None)
hypothesis.settings.load_profile("solvent")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI (`SOLVENT_SKIP_NOTHING`) a test that lacks a server or a browser has failed."""
    report = yield
    if report.skipped and os.environ.get("SOLVENT_SKIP_NOTHING") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, where nothing may skip: {report.longrepr}"
    return report


def pytest_collection_finish() -> None:
    """Test modules that import `py_ecc` have raised the interpreter's recursion limit, which `api.quorum` puts back."""
    sys.setrecursionlimit(RECURSION_LIMIT)


@pytest.fixture
def scored(record_property: Callable[[str, object], None]) -> Callable[[Iterable[Score]], None]:
    """Takes results of a part of `tests.adversary`, which have to be clean; the run's summary adds them up."""

    def take(scores: Iterable[Score]) -> None:
        for score in scores:
            record_property(SCORE, score.line())
            assert score.clean, score

    return take


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the exchange tried in this run, and what came of it."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    lines = [str(line) for report in reports for name, line in report.user_properties if name == SCORE]
    if lines:
        terminalreporter.section("the exchange as adversary")
        for line in (HEADING, *(score.line() for score in parts(lines))):
            terminalreporter.write_line(line)
