"""Commands as processes of their own: the base install, a reader who leaves, an interrupt."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.api.files import ROOT, write
from tests.verifier.small_tree import Publication

BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {
            "numpy", "numba", "pyarrow", "cryptography", "galois", "sqlalchemy", "fastapi", "uvicorn", "merkletools"
        }:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
from api.cli import main
code = main(sys.argv[1:])
heavy = {"numpy", "numba", "pyarrow", "rich"} & set(sys.modules)
sys.stderr.write(f"{code} {sorted(heavy)}")
"""


def base_install(*words: object) -> tuple[str, str]:
    """Standard output, and exit code with the heavy modules that were loaded, without the extra [prover]."""
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, *map(str, words)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
        timeout=60,
    )
    return done.stdout, done.stderr


def test_the_base_install_checks_and_says_what_the_rest_needs(small: Publication, tmp_path: Path) -> None:
    statement = write(tmp_path / "statement.json", small.statement.to_bytes())
    bundle = write(tmp_path / "bundle.json", small.bundle(0))
    out, state = base_install("inclusion", bundle, "--against", statement.parent, "--statement-only", "--json")
    assert json.loads(out)["verdict"] == "included in an unverified statement"
    assert state == "0 []"
    assert base_install("nonce", "--json")[1] == "0 []"
    assert base_install("inspect", tmp_path, "--json")[1] == "0 []"
    out, state = base_install("verify", tmp_path, "--json")
    assert json.loads(out)["reason"] == "file-missing"
    assert state == "1 []"
    (tmp_path / "token").write_text("x")
    nowhere = ("http://127.0.0.1:1", "--out", tmp_path / "x")
    online: tuple[tuple[object, ...], ...] = (
        ("fetch", *nowhere),
        ("receipt", *nowhere, "--token", tmp_path / "token"),
        ("verify", "http://127.0.0.1:1"),
        ("inclusion", bundle, "--against", "http://127.0.0.1:1"),
    )
    for command in online:
        out, state = base_install(*command, "--json")
        assert json.loads(out)["expected"] == "an answer" and state == "2 []", command
    for words in (
        ("prove", tmp_path, "--out", "x"),
        ("bundle", tmp_path, "--account", "a", "--out", "x"),
        ("import", "okx", "--users", bundle, "--out", "x"),
        ("bench",),
        ("generate", "--out", "x"),
        ("demo",),
    ):
        out, state = base_install(*words, "--json")
        assert json.loads(out)["error"] == 'this needs: pip install "solvent[prover]"', words
        assert state.startswith("2 ")


@pytest.mark.parametrize(
    ("missing", "words", "expected"),
    [
        ("sqlalchemy", ("log", "init", "--store", "x", "--key", "{file}", "--origin", "x"), '"solvent[service]"'),
        ("sqlalchemy", ("simulate", "--market", "{file}", "--out", "x"), '"solvent[exchange]"'),
        ("merkletools", ("publish", ".", "--store", "x", "--key", "{file}"), "--no-deps merkletools"),
    ],
)
def test_what_a_command_needs_is_named(missing: str, words: tuple[str, ...], expected: str, tmp_path: Path) -> None:
    file = write(tmp_path / "BTCUSD.csv", b"open_time_s,open,high,low,close\n1,2,2,2,2\n2,2,2,2,2\n")
    given = [word.format(file=file) for word in words]
    code = f"import sys; sys.modules[{missing!r}] = None; from api.cli.run import run; sys.exit(run({given!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=ROOT, timeout=60, check=False)
    assert (done.returncode, done.stderr.decode()) == (2, f"solvent: this needs: pip install {expected}\n")


def test_a_reader_who_leaves_does_not_change_the_verdict(small: Publication, tmp_path: Path) -> None:
    bundle = write(tmp_path / "bundle.json", small.bundle(0))
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "api.cli", "inclusion", bundle],
            stdout=writer,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_real_interrupt(tmp_path: Path) -> None:
    """Ctrl-C while a named pipe keeps `import` waiting."""
    fifo = tmp_path / "users.json"
    os.mkfifo(fifo)
    command = [sys.executable, "-m", "api.cli", "import", "okx", "--users", str(fifo), "--out", str(tmp_path / "snap")]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    with fifo.open("wb"):  # returns once the command has opened the other end
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "solvent: interrupted\n")
    assert not (tmp_path / "snap").exists()
