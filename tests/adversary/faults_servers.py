"""The three servers in one process of their own, so that its memory, its log and its end can be seen from outside.

    python -m tests.adversary.faults_servers FOLDER

prints their URLs and ends when its standard input does.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from api import app, witness, writing
from api.handing import Bundles
from api.limits import RateLimit
from api.serving import served
from api.store import Store
from api.tokens import Tokens
from tests.api.publishing.made_up import new_store, published, verify, write_publication
from tests.api.publishing.test_witness import new_witness, request
from tests.verifier.log.signers import LOG_KEY

KEY = "k" * 43
PUBLIC, WITNESS, WRITING = "public", "witness", "write side"
RATE = 1_000.0


@dataclass(frozen=True)
class Servers:
    """What runs.

    Args:
        urls: by name.
        process: that serves all of them; its log goes to `log`.
        folder: with their stores.
    """

    urls: dict[str, str]
    process: subprocess.Popen[str]
    log: Path
    folder: Path

    def memory_bytes(self) -> int:
        """Resident now."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

    def state(self) -> dict[str, bytes]:
        """What no request without a key may change: publications, files that were handed in, the witness's memory."""
        store = self.folder / "store"
        found = {str(path): path.read_bytes() for path in sorted((store / "log").rglob("*")) if path.is_file()}
        found |= {str(path): b"" for part in ("artefacts", writing.INCOMING) for path in (store / part).rglob("*")}
        known = new_witness(self.folder, create=False)
        try:
            with known._database.reading() as connection:
                rows = connection.exec_driver_sql("SELECT origin, size, note FROM logs").all()
        finally:
            known.close()
        return found | {f"witness {row[0]}": bytes(row[2]) for row in rows}


@contextmanager
def running(folder: Path) -> Iterator[Servers]:
    """Servers with two publications in a new folder. Ends them."""
    log = folder / "servers.log"
    command = [sys.executable, "-m", "tests.adversary.faults_servers", str(folder)]
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        assert process.stdout is not None
        yield Servers(json.loads(process.stdout.readline()), process, log, folder)
    finally:
        process.communicate(timeout=30)


def main(folder: Path) -> None:
    """Serves until standard input ends."""
    with ExitStack() as stack:
        store = new_store(folder / "store")
        for sequence in (1, 2):
            published(store, write_publication(folder / f"p{sequence}", sequence))
        tokens = Tokens(str(folder / "tokens.db"), create=True)
        RateLimit.make(folder / "limit")
        cosigner = new_witness(folder)
        cosigner.add_checkpoint(request(0, 3))
        bundles = Bundles([], tokens, RateLimit(folder / "limit", RATE))
        publisher = writing.Publisher(Store(str(folder / "store")), LOG_KEY, KEY, tokens=tokens, verify=verify)
        apps = {
            PUBLIC: app.make_app(store, bundles),
            WITNESS: witness.make_app(cosigner),
            WRITING: writing.make_app(publisher),
        }
        print(json.dumps({name: stack.enter_context(served(made)) for name, made in apps.items()}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
