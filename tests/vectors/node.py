"""The other runner, `run.mjs`: the page's JavaScript in a node process that lives as long as it is asked."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import verifier.keys
from api.page import WEB
from tests.api.web.code import NODE
from tests.vectors.run import Inputs

RUNNER = Path(__file__).with_name("run.mjs")
KEYS = Path(verifier.keys.__file__).parent


class Node:
    """A running process; `kinds` are those that it knows."""

    def __init__(self) -> None:
        command = [NODE or "node", str(RUNNER), str(WEB), str(KEYS)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.kinds: tuple[str, ...] = tuple(self._line())

    def outcomes(self, kind: str, cases: Sequence[Inputs]) -> list[dict[str, Any]]:
        """What it says of each case: `reason`, `field` and `value`, or `foreign` where another error came out."""
        given = [{name: base64.b64encode(data).decode("ascii") for name, data in case.items()} for case in cases]
        if self._process.stdin is None:
            raise AssertionError("the process was started without a pipe")
        self._process.stdin.write(json.dumps({"kind": kind, "cases": given}).encode() + b"\n")
        self._process.stdin.flush()
        answers: list[dict[str, Any]] = self._line()
        return answers

    def _line(self) -> Any:
        if self._process.stdout is None:
            raise AssertionError("the process was started without a pipe")
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"node left with {self._process.wait()}")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        if self._process.stdout:
            self._process.stdout.close()
        self._process.wait(timeout=30)
