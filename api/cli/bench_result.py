"""What `solvent bench` writes down: figures, and on what machine, with which versions, by which parameters.

One JSON document per benchmark (docs/benchmarks.md). No host name, user or path is in it.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from prover.errors import InputError
from prover.files import PUBLIC_MODE, write_whole
from prover.kernels.threads import thread_count
from verifier.statement import PROTOCOL

FORMAT: Final = "solvent/bench/v1"
RUN, ACCOUNTS, ENTRIES, CIRCUITS_COMPARED = "run", "accounts", "entries", "circuits"
KINDS: Final = (RUN, ACCOUNTS, ENTRIES, CIRCUITS_COMPARED)
ROOT: Final = Path(__file__).resolve().parents[2]
FLAGS: Final = ("avx2", "avx512", "bmi2", "sha_ni", "asimd", "sve")
"""Processor features that kernels or hashes use, by how their names begin."""
ENVIRONMENT: Final = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_OPT", "SOLVENT_THREADS")
"""Variables that change what is measured."""
RESULT_BYTES_MAX: Final = 2**24
Point = dict[str, Any]


def document(kind: str, parameters: Mapping[str, Any], points: Sequence[Point]) -> dict[str, Any]:
    """The result so far. `points` say with "verified" whether all of their proofs were."""
    return {
        "format": FORMAT,
        "kind": kind,
        "verdict": "verified" if all(point["verified"] for point in points) else "rejected",
        "measured": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "machine": machine(),
        "versions": versions(),
        "parameters": dict(parameters),
        "points": list(points),
    }


def machine() -> dict[str, Any]:
    """Processor, cores, memory, kernel, and how busy the machine is with other things (load before the benchmark)."""
    model, flags = _processor()
    return {
        "cpu": model,
        "flags": [flag for flag in flags if flag.startswith(FLAGS)],
        "cores": thread_count(),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "load": _LOAD,
        "environment": {name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
    }


def versions() -> dict[str, Any]:
    """Of the project, with the commit where it runs from a checkout, and of what it runs on."""
    installed = {name: _version(name) for name in ("solvent", "numpy", "numba", "llvmlite", "pyarrow")}
    commit = _git("rev-parse", "HEAD")
    return {
        **installed,
        "protocol": PROTOCOL,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "commit": commit,
        "modified": None if commit is None else bool(_git("status", "--porcelain", "--untracked-files=no")),
    }


def check_place(out: Path | None) -> None:
    """Refuses a place that cannot be written: found before the work, and not after.

    Raises:
        InputError: a folder stands there, or none to write into.
    """
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        got = "a folder" if out.is_dir() else f"no folder {out.parent}"
        raise InputError(file=out, got=got, expected="a file to write, in a folder that exists")


def write_result(out: Path | None, result: Mapping[str, Any]) -> None:
    """Write a document, whole or not at all, over an older one; nothing for None."""
    if out is None:
        return
    write_whole(out, (json.dumps(result, indent=1) + "\n").encode(), PUBLIC_MODE)


def read_result(path: Path) -> dict[str, Any]:
    """A document that `write_result` wrote.

    Raises:
        InputError: it is none, or not all of its proofs were verified.
    """
    expected = f"a result of `solvent bench --out`, format {FORMAT}"
    try:
        with path.open("rb") as stream:
            result = json.loads(stream.read(RESULT_BYTES_MAX))
    except OSError as error:
        raise InputError(file=path, got=error.strerror or "nothing readable", expected=expected) from None
    except ValueError:
        raise InputError(file=path, got="no JSON", expected=expected) from None
    if not isinstance(result, dict) or result.get("format") != FORMAT or result.get("kind") not in KINDS:
        raise InputError(file=path, got="another document", expected=expected)
    if result.get("verdict") != "verified":
        raise InputError(file=path, field="verdict", got=str(result.get("verdict")), expected="verified")
    return result


def _processor() -> tuple[str, list[str]]:
    """Model and features of the first processor."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        return platform.processor() or platform.machine(), []
    fields = [line.partition(":") for line in text.splitlines()]
    named = {name.strip(): value.strip() for name, _, value in reversed(fields)}
    model = named.get("model name") or named.get("Hardware") or platform.machine()
    return model, sorted((named.get("flags") or named.get("Features") or "").split())


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(*words: str) -> str | None:
    """What git says about the checkout that this runs from; None without one, or without git."""
    if not (ROOT / ".git").exists():
        return None
    try:
        said = subprocess.run(("git", "-C", str(ROOT), *words), capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.strip() if said.returncode == 0 else None


_LOAD = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
"""Of the minute before this program started."""
