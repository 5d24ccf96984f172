"""Numbered steps of `solvent demo`: announced, timed, and kept for --json."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from api.cli.options import Profile
from api.cli.output import Output
from verifier.errors import VerificationError
from verifier.proofs import shard_file
from verifier.report import STATEMENT_FILE, read_statement
from verifier.shards import parse_shard, seal
from verifier.statement import Statement


@dataclass
class Steps:
    """What was done so far.

    Args:
        samples: the folder `data/`.
        work: a folder that goes away.
    """

    samples: Path
    work: Path
    profile: Profile
    output: Output
    done: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def step(self, title: str) -> Iterator[dict[str, Any]]:
        """Announces a step, times it, and says what came out: the body fills in `ok` and `detail`."""
        self.output.line(f"{len(self.done) + 1}. {title}", mood="title")
        step: dict[str, Any] = {"step": title, "ok": True, "detail": "", "seconds": 0.0}
        started = time.perf_counter()
        yield step
        step["seconds"] = time.perf_counter() - started
        self.done.append(step)
        self.output.line(f"   {step['detail']} [{step['seconds']:.2f} s]", mood="plain" if step["ok"] else "bad")

    def refused(self, title: str, check: Callable[[], object]) -> None:
        """A step that is good when `check` refuses a forgery."""
        with self.step(title) as step:
            try:
                check()
            except VerificationError as error:
                step["reason"] = error.reason.value
                step["detail"] = f"refused, {error}"
            else:
                step["ok"] = False
                step["detail"] = "ACCEPTED, which must not happen"


def forged(publication: Path, copy: Path, change: Callable[[Statement], Statement]) -> Path:
    """A copy that states something else, with the document of its only shard and the root made to fit."""
    shutil.copytree(publication, copy)
    (copy / "fund.json").unlink(missing_ok=True)  # its opening names the true statement
    path, old = copy / shard_file(0), read_statement(publication)
    statement = change(old)
    shard = replace(parse_shard(path.read_bytes(), old, 0), header=statement.header_digest, outputs=statement.outputs)
    statement = replace(statement, root=seal(shard.place(statement.liability_output).sum, 1))
    path.write_bytes(shard.to_bytes())
    (copy / STATEMENT_FILE).write_bytes(statement.to_bytes())
    return copy
