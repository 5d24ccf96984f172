"""The run folder: everything that a run needs to go on after it was killed. Secret, mode 700.

    run.json        format, SHA-256 of the specification, number of shards
    spec, seed      what is proved, in the caller's words; 32 bytes
    inputs/         what shards are proved from; inputs.json, written last, names each with its SHA-256
    done/000000/    the files of a finished shard, put there together
    journal.jsonl   one line per finished shard, on disk before anybody is told

Whoever works through a run holds a lock on it. A process that proves a single shard (`prover.shards.run.run_one`) holds
none: it leaves `done/000000.json` beside the shard's files, and the run takes the line over when it is opened.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Self

from prover.errors import InputError
from prover.files import sync, told_plainly, write_whole
from prover.randomness import SEED_BYTES, fresh_seed
from prover.shards.files import outputs_wrong
from prover.shards.task import ShardResult, ShardTask, shard_name

FORMAT: Final = "solvent/run/v1"
RUN_FILE, SPEC_FILE, SEED_FILE, JOURNAL_FILE = "run.json", "spec", "seed", "journal.jsonl"
INPUTS, INPUTS_FILE, DONE = "inputs", "inputs.json", "done"


class Run:
    """An open run folder, locked against a second process until `close`.

    Attributes:
        path: absolute.
        shards: how many.
        seed: 32 secret bytes.
        spec: as given when the run was begun.
        inputs: SHA-256 (hex) of each shard's input, or None while they are not all written.
        finished: by index, what the journal lists and `done/` holds.
        repairs: in words, what was found damaged and is done again.
    """

    def __init__(self, path: Path, spec: bytes, shards: int, seed: bytes | None = None) -> None:
        """Begins a run at `path`, or goes on with the one that is there.

        Args:
            spec: all inputs and parameters that the result depends on; a run of another one is refused.
            seed: tests only; None draws one for a new run and takes that of an old one.

        Raises:
            InputError: something else is there, it is in use, it is damaged, or it cannot be written.
        """
        self.path, self.spec = path.absolute(), spec
        self.repairs: list[str] = []
        self.finished: dict[int, ShardResult] = {}
        self.inputs: list[str] | None = None
        self.shards = shards
        self._header = {"format": FORMAT, "spec": hashlib.sha256(spec).hexdigest(), "shards": shards}
        self._require_ours()
        with told_plainly(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self.path.chmod(0o700)
            descriptor = os.open(self.path / JOURNAL_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        self._stream = io.FileIO(descriptor, "r+")
        try:
            self._lock()
            self._clean()
            if not (self.path / RUN_FILE).exists():
                self._begin(fresh_seed() if seed is None else seed)
            self._require_same(seed)
            self.seed = (self.path / SEED_FILE).read_bytes()
            self._read()
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Another process may go on."""
        self._stream.close()

    def add_inputs(self, digests: Sequence[str]) -> None:
        """All inputs are on disk.

        Args:
            digests: SHA-256 (hex) by shard.

        Raises:
            InputError: full disk.
        """
        write_whole(self.path / INPUTS / INPUTS_FILE, json.dumps(list(digests)).encode())
        self._read()

    def tasks(self) -> list[ShardTask]:
        """All of them, finished or not.

        Raises:
            InputError: the inputs are not complete.
        """
        return [
            ShardTask(index, self.shards, self.path, digest, self.spec)
            for index, digest in enumerate(_require_inputs(self.path, self.inputs))
        ]

    def add(self, result: ShardResult) -> None:
        """A shard is finished, its files are in place; returns when the journal says so on disk.

        Raises:
            InputError: full disk.
        """
        with told_plainly(self.path / JOURNAL_FILE):
            end = self._stream.seek(0, os.SEEK_END)
            line = journal_line(result, (self.inputs or [])[result.index])
            try:
                if self._stream.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(self._stream.fileno())
            except OSError:
                self._stream.truncate(end)  # part of a line would be taken for damage by what is appended next
                raise
        self.finished[result.index] = result

    def _require_ours(self) -> None:
        """Nothing, or a run folder, or what is left of one whose beginning was interrupted."""
        if not self.path.exists() or (self.path / RUN_FILE).is_file():
            return
        parts = list(self.path.iterdir()) if self.path.is_dir() else [self.path]
        names = {part.name.lstrip(".").split("-")[0] for part in parts}
        has_work = any(any(part.iterdir()) for part in parts if part.is_dir())
        if has_work or not names <= {INPUTS, DONE, SPEC_FILE, SEED_FILE, JOURNAL_FILE, RUN_FILE}:
            raise InputError(file=self.path, got="something else", expected="a run folder, or a path that is free")

    def _begin(self, seed: bytes) -> None:
        """`run.json` comes last: without it, the beginning is repeated."""
        with told_plainly(self.path):
            for name in (INPUTS, DONE):
                (self.path / name).mkdir(mode=0o700, exist_ok=True)
            sync(self.path.parent)
        write_whole(self.path / SEED_FILE, seed)
        write_whole(self.path / SPEC_FILE, self.spec)
        write_whole(self.path / RUN_FILE, json.dumps(self._header).encode())

    def _require_same(self, seed: bytes | None) -> None:
        try:
            header = json.loads((self.path / RUN_FILE).read_bytes())
            found = header["format"], (self.path / SEED_FILE).read_bytes(), (self.path / SPEC_FILE).read_bytes()
        except (OSError, ValueError, TypeError, KeyError):
            found = None, b"", b""
        if found[0] != FORMAT or len(found[1]) != SEED_BYTES:
            raise InputError(file=self.path, got="damage", expected=f"a run folder with {RUN_FILE} as it was written")
        if header != self._header or found[2] != self.spec or seed not in (None, found[1]):
            got = "a run that was begun with other inputs or parameters"
            raise InputError(file=self.path, got=got, expected="the same ones, or another folder")

    def _lock(self) -> None:
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            got = "a run that another process works on"
            raise InputError(file=self.path, got=got, expected="one at a time") from None

    def _clean(self) -> None:
        """What a killed process had not yet put in place."""
        for folder in (self.path, self.path / INPUTS, self.path / DONE):
            for rest in folder.glob(".*"):
                if rest.is_dir():
                    shutil.rmtree(rest, ignore_errors=True)
                else:
                    rest.unlink(missing_ok=True)

    def _read(self) -> None:
        """Inputs, and the finished shards that are as the journal, or a process of its own, said."""
        self.inputs = _read_inputs(self.path, self.shards)
        if self.inputs is None:
            return
        lines = self._whole_lines()
        said = [self._result(line, f"{JOURNAL_FILE}:{number}") for number, line in enumerate(lines, 1)]
        listed = {result.index: result for result in said if result is not None}
        for index, result in sorted(listed.items()):
            if not self._is_wrong(result):
                self.finished[index] = result
        for receipt in sorted((self.path / DONE).glob("*.json")):
            alone = self._result(receipt.read_bytes(), f"{DONE}/{receipt.name}")
            if alone is not None and alone.index not in self.finished and not self._is_wrong(alone):
                self.add(alone)

    def _whole_lines(self) -> list[bytes]:
        """Lines of the journal; one that was torn when its writer was killed is cut off."""
        self._stream.seek(0)
        data = self._stream.read()
        end = data.rfind(b"\n") + 1
        last = data.rfind(b"\n", 0, max(0, end - 1)) + 1
        if end and not _is_json(data[last:end]):
            end = last  # its blocks came to the disk in another order
        if end < len(data):
            with told_plainly(self.path / JOURNAL_FILE):
                self._stream.truncate(end)
                os.fsync(self._stream.fileno())
            self.repairs.append(f"{self.path / JOURNAL_FILE}: a torn last line was cut")
        return data[:end].splitlines()

    def _result(self, line: bytes, where: str) -> ShardResult | None:
        """Read strictly; None where it is about another input than the shard has now."""
        try:
            item: dict[str, Any] = json.loads(line)
            digest = item.pop("input")
            result = ShardResult(**item)
            known = (self.inputs or [])[result.index]
            files = result.files.items()
            is_plain = result.index >= 0 and all("/" not in name and len(sha256) == 64 for name, sha256 in files)
        except (ValueError, TypeError, AttributeError, KeyError, IndexError):
            is_plain = False
        if not is_plain:
            raise InputError(file=self.path / where, got="damage", expected="a line per finished shard")
        return result if digest == known else None

    def _is_wrong(self, result: ShardResult) -> bool:
        wrong = outputs_wrong(done_folder(self.path, result.index), result.files)
        if wrong is not None:
            self.repairs.append(f"shard {result.index}: {wrong}")
        return wrong is not None


def done_folder(run: Path, index: int) -> Path:
    """Where the files of a finished shard are."""
    return run / DONE / shard_name(index)


def task_of(path: Path, index: int) -> ShardTask:
    """One shard of a run whose inputs are complete, without a lock.

    Raises:
        InputError: no such run or shard, or inputs are missing.
    """
    try:
        header = json.loads((path / RUN_FILE).read_bytes())
        shards, spec = int(header["shards"]), (path / SPEC_FILE).read_bytes()
    except (OSError, ValueError, TypeError, KeyError):
        raise InputError(file=path, got="something else", expected="a run folder") from None
    if not 0 <= index < shards:
        raise InputError(field="--index", got=str(index), expected=f"0 to {shards - 1}")
    digests = _require_inputs(path, _read_inputs(path, shards))
    return ShardTask(index, shards, path.absolute(), digests[index], spec)


def journal_line(result: ShardResult, input_digest: str) -> bytes:
    """One line, with its end."""
    item: dict[str, Any] = {"input": input_digest, **asdict(result)}
    return json.dumps(item, sort_keys=True).encode() + b"\n"


def _read_inputs(path: Path, shards: int) -> list[str] | None:
    """Digests by shard; None before all inputs were there."""
    file = path / INPUTS / INPUTS_FILE
    try:
        digests = json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        digests = None
    if not _is_list_of_digests(digests) or len(digests) != shards:
        raise InputError(file=file, got="damage", expected=f"{shards} digests")
    return list(digests)


def _require_inputs(path: Path, digests: list[str] | None) -> list[str]:
    if digests is None:
        raise InputError(
            file=path / INPUTS, got="inputs that are not complete", expected="those of a run that has begun"
        )
    return digests


def _is_list_of_digests(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and len(item) == 64 for item in value)


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
