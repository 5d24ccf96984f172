"""Schemathesis reads the service's own description, and looks for answers that contradict it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from api.app import make_app
from api.serving import served
from api.store import Store
from api.witness import make_app as make_witness_app
from tests.api.publishing.made_up import new_store, published, write_publication
from tests.api.publishing.test_witness import new_witness

EXAMPLES = 20


def run_schemathesis(url: str, folder: Path, *more: str) -> None:
    program = Path(sys.executable).parent / "schemathesis"
    command = [
        str(program),
        "run",
        f"{url}/openapi.json",
        "--max-examples",
        str(EXAMPLES),
        "--seed",
        "1",
        "--no-color",
        *more,
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr


def test_the_read_side(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    for sequence in (1, 2):
        published(store, write_publication(tmp_path / f"p{sequence}", sequence))
    store.close()
    with served(make_app(Store(str(tmp_path / "store")))) as url:
        run_schemathesis(url, tmp_path)


def test_the_witness(tmp_path: Path) -> None:
    witness = new_witness(tmp_path)
    with served(make_witness_app(witness)) as url:
        # No JSON schema says which texts are signed by a log: random ones are rightly refused.
        run_schemathesis(url, tmp_path, "--exclude-checks", "positive_data_acceptance")
    witness.close()
