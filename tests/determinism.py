"""One seed, one proof: other hash seeds and another number of processors change no byte. Run by `make determinism`."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

DATA = Path(__file__).parent.parent / "data"


def prove_once() -> str:
    """SHA-256 over every file of three publications, equity, stress and shards, and of their private stores."""
    from api.importers.accounts import ImportOptions
    from api.importers.binance import import_binance
    from api.importers.scenarios import read_scenarios
    from api.importers.table import import_table
    from prover.publication import private_folder, prove_directory

    options = ImportOptions(exchange="determinism", time="2026-01-01T00:00:00Z", ledger_salt="00" * 32)
    sample, example = DATA / "binance", DATA / "margin-example"
    users, assets = [sample / "sample_users0.csv"], sample / "cex_assets_info_sample4.csv"
    equity = import_binance(users, assets, options, equity_only=True)
    margin = import_table(example / "accounts.csv", example / "instruments.json", options)
    meta = margin.meta
    stress = read_scenarios(example / "scenarios.json", meta.instruments, meta.value_decimals, meta.quote)
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory() as folder:
        runs = (("equity", equity, (), 1), ("margin", margin, stress, 1), ("shards", margin, (), 3))
        for name, snapshot, scenarios, shards in runs:
            out = Path(folder) / name
            prove_directory(snapshot, out, scenarios=scenarios, seed=bytes(32), shards=shards)
            kept = (path for root in (out, private_folder(out)) for path in root.rglob("*") if path.is_file())
            for file in sorted(kept):
                name = file.relative_to(folder).as_posix()
                digest.update(name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def main() -> int:
    """Two processes that differ in all that must not matter."""
    digests = []
    for hash_seed, processors in (("1", None), ("2", "one")):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "SOLVENT_TEST_PROCESSORS": processors or ""}
        command = [sys.executable, "-m", "tests.determinism", "once"]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        digests.append(run.stdout.strip())
        print(f"hash seed {hash_seed}, {processors or 'all'} processors: {digests[-1]}")
    if len(set(digests)) != 1:
        print("determinism: the two runs differ")
        return 1
    print("determinism: identical")
    return 0


if __name__ == "__main__":
    if sys.argv[1:] == ["once"]:
        if os.environ.get("SOLVENT_TEST_PROCESSORS") and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        print(prove_once())
    else:
        sys.exit(main())
