"""Settings shared by all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator

import hypothesis
import pytest

RECURSION_LIMIT = 1000
"""Python's own."""

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
