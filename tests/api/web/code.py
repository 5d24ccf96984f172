"""The page's code, run by node."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from api.page import WEB

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed; the same runs in Chromium if that is")


def text(data: bytes) -> str:
    """As the harness takes files."""
    return base64.b64encode(data).decode("ascii")


def judge(*, by: str = "judge.mjs", **ask: Any) -> dict[str, Any]:
    """What a module beside this one, judge.mjs or another, answers."""
    command = [NODE or "node", str(Path(__file__).with_name("harness.mjs")), str(WEB), by]
    done = subprocess.run(command, input=json.dumps(ask).encode(), capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
