"""The refusals again, with asserts compiled away: `python -O -m tests.run_negative`, run by `make negative`.

Uses no assert and no pytest: each case must end in a `VerificationError` with the expected reason, or the script fails.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from api.importers.accounts import ImportOptions
from api.importers.binance import import_binance
from prover.bundles import make_bundle, make_opening
from prover.publication import private_folder, prove_directory
from verifier import verify_directory
from verifier.errors import VerificationError
from verifier.inclusion import check_bundle
from verifier.opening import check_opening
from verifier.report import read_statement

DATA = Path(__file__).parent.parent / "data" / "binance"
FLIPS = 400
Document = dict[str, object]


def edited(data: bytes, change: Callable[[Document], None]) -> bytes:
    """Canonical JSON again after a change."""
    document = json.loads(data)
    change(document)
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def plus_one(*path: str | int) -> Callable[[Document], None]:
    """Add one to the number, or decimal string, at `path`."""

    def change(document: Document) -> None:
        node: object = document
        for step in path[:-1]:
            node = node[step]  # type: ignore[index]
        value = node[path[-1]]  # type: ignore[index]
        node[path[-1]] = str(int(value) + 1) if isinstance(value, str) else value + 1  # type: ignore[index]

    return change


def replaced(key: str, value: object) -> Callable[[Document], None]:
    return lambda document: document.update({key: value})


STATEMENT_CASES: list[tuple[str, Callable[[Document], None], str | None]] = [
    ("one atom more held", plus_one("outputs", "totals", 0, "long"), "arithmetic"),
    ("liability less honest", plus_one("outputs", "total_liability"), "arithmetic"),
    ("price changed", plus_one("instruments", 0, "price"), "arithmetic"),
    ("sequence changed", plus_one("sequence"), "constraints"),
    ("exchange changed", replaced("exchange", "another"), "constraints"),
    ("time changed", replaced("time", "2026-01-01T00:00:01Z"), "constraints"),
    ("policy changed", replaced("policy", "disclosed"), "constraints"),
    ("test profile claimed", replaced("profile", "test"), "unacceptable-profile"),
    ("other profile claimed", replaced("profile", "compact"), "unacceptable-parameters"),
    ("other circuit claimed", replaced("circuit", "anything"), "unknown-circuit"),
    ("other circuit digest", replaced("circuit_digest", "00" * 32), "unknown-circuit"),
    ("larger trace", plus_one("capacity", "log2_rows"), None),  # the file is cut elsewhere: any parse error
]


class Negative:
    """One publication, its bundle and its opening; counts what was tried."""

    def __init__(self, folder: Path) -> None:
        options = ImportOptions(exchange="negative", time="2026-01-01T00:00:00Z")
        snapshot = import_binance([DATA / "sample_users0.csv"], DATA / "cex_assets_info_sample4.csv", options)
        self.out = folder / "publication"
        prove_directory(snapshot, self.out)
        self.bundle = make_bundle(self.out, private_folder(self.out), snapshot.user_id(1))
        self.opening = make_opening(self.out, private_folder(self.out), 1, 0)
        self.statement = read_statement(self.out)
        self.tried = 0
        self.failures: list[str] = []

    def expect(self, name: str, action: Callable[[], object], reason: str | None) -> None:
        """`reason` None accepts any."""
        self.tried += 1
        try:
            action()
        except VerificationError as error:
            if reason is not None and error.reason.value != reason:
                self.failures.append(f"{name}: refused as {error.reason.value}, expected {reason}")
        except Exception as error:
            self.failures.append(f"{name}: {type(error).__name__} escaped: {error}")
        else:
            self.failures.append(f"{name}: ACCEPTED")

    def with_file(self, name: str, data: bytes) -> Callable[[], object]:
        """Verify the publication with one file replaced for the moment."""

        def action() -> object:
            file = self.out / name
            kept = file.read_bytes()
            file.write_bytes(data)
            try:
                return verify_directory(self.out)
            finally:
                file.write_bytes(kept)

        return action

    def run(self) -> None:
        rng = random.Random(1)
        statement = (self.out / "statement.json").read_bytes()
        for name, change, reason in STATEMENT_CASES:
            self.expect(name, self.with_file("statement.json", edited(statement, change)), reason)
        proof = (self.out / "proof.bin").read_bytes()
        self.expect("proof cut", self.with_file("proof.bin", proof[:-1]), "malformed")
        self.expect("proof longer", self.with_file("proof.bin", proof + b"\0"), "trailing-bytes")
        for _ in range(FLIPS // 4):
            at = rng.randrange(len(proof))
            flipped = bytearray(proof)
            flipped[at] ^= 1 << rng.randrange(8)
            self.expect(f"proof byte {at}", self.with_file("proof.bin", bytes(flipped)), None)
        for what, data, check in (("bundle", self.bundle, check_bundle), ("opening", self.opening, check_opening)):
            for _ in range(FLIPS):
                at = rng.randrange(len(data))
                flipped = bytearray(data)
                flipped[at] ^= 1 << rng.randrange(8)
                self.expect(f"{what} byte {at}", lambda: check(bytes(flipped), self.statement), None)  # noqa: B023
        self.expect(
            "bundle with one atom more",
            lambda: check_bundle(edited(self.bundle, plus_one("entries", 0, "amount")), self.statement),
            "path",
        )


def main() -> int:
    """Exit 1 if anything was accepted, refused for another reason, or failed in another way."""
    with tempfile.TemporaryDirectory() as folder:
        cases = Negative(Path(folder))
        verify_directory(cases.out)
        check_bundle(cases.bundle, cases.statement)
        cases.run()
    for failure in cases.failures:
        print(failure)
    print(f"negative: {cases.tried} forgeries tried, {len(cases.failures)} not refused as expected")
    return 1 if cases.failures else 0


if __name__ == "__main__":
    sys.exit(main())
