"""A stand-in for the proof of a shard: quick, determined by seed, input and specification, and mean if told so."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from prover.errors import InputError
from prover.files import sha256_of_file, write_whole
from prover.shards.files import put_outputs
from prover.shards.journal import INPUTS, Run, done_folder
from prover.shards.task import ShardResult, ShardTask, shard_name

SEED = bytes(range(32))
SPEC = b'{"what":"test"}'


def begin(path: Path, shards: int, spec: bytes = SPEC, seed: bytes | None = SEED) -> Run:
    """A run whose inputs are there."""
    run = Run(path, spec, shards, seed)
    if run.inputs is None:
        files = [run.path / INPUTS / shard_name(index) for index in range(shards)]
        for index, file in enumerate(files):
            write_whole(file, b"accounts %d" % index)
        run.add_inputs([sha256_of_file(file) for file in files])
    return run


def prove(task: ShardTask) -> ShardResult:
    """Three files. `spec`, or a file it names, may ask for a pause, an error, or the worker's end (once, always)."""
    says: dict[str, Any] = json.loads(task.spec)
    if "mood" in says:
        says = json.loads(Path(says["mood"]).read_text())
    note(task)
    time.sleep(says.get("seconds", 0.0))
    if task.index in says.get("wrong", ()):
        raise InputError(file="users.csv", row=7, field="amount", got="x", expected="a number")
    for name, limit in (("die_once", 1), ("die", 1000)):
        if task.index in says.get(name, ()) and calls(task.run)[task.index] <= limit:
            os.kill(os.getpid(), signal.SIGKILL)
    content = (task.run / INPUTS / shard_name(task.index)).read_bytes()
    digest = hashlib.sha256((task.run / "seed").read_bytes() + task.spec + task.input_digest.encode() + content)
    files = {f"{name}.bin": digest.digest() * (1 + 40 * task.index) + name.encode() for name in ("a", "b", "c")}
    digests = put_outputs(done_folder(task.run, task.index), files)
    return ShardResult(task.index, digests, {"all": 0.25}, 1)


def note(task: ShardTask) -> None:
    """Leaves a mark of each call, beside the run."""
    marks = task.run.with_name(f"{task.run.name}.calls")
    marks.mkdir(exist_ok=True)
    descriptor = os.open(marks / shard_name(task.index), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, b"x")
    os.close(descriptor)


def calls(run: Path) -> dict[int, int]:
    """How often each shard was begun."""
    marks = run.with_name(run.name + ".calls")
    return {int(mark.name): mark.stat().st_size for mark in sorted(marks.glob("*"))}


def outputs(run: Path) -> dict[str, bytes]:
    """All that is in `done/`."""
    return {
        str(path.relative_to(run)): path.read_bytes() for path in sorted((run / "done").rglob("*")) if path.is_file()
    }
