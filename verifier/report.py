"""The whole check of one publication: from a directory with statement, proof and reserves to a verdict."""

from __future__ import annotations

import stat
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from verifier.canonical import refuse
from verifier.errors import MalformedProof, Reason
from verifier.params import ProofParams, accepted_profile
from verifier.proof import proof_bytes_max
from verifier.reserves import RESERVES_BYTES_MAX, parse_reserves
from verifier.solvency import relation
from verifier.soundness import Shape, soundness_bits
from verifier.stark import verify_stark
from verifier.statement import STATEMENT_BYTES_MAX, Statement, parse_statement
from verifier.verdict import INSOLVENT, SOLVENT, Check, check_solvency, verdict

STATEMENT_FILE, PROOF_FILE, RESERVES_FILE = "statement.json", "proof.bin", "reserves.csv"


@dataclass(frozen=True)
class Report:
    """A publication whose proof is good, and what follows from it.

    Args:
        verdict: "solvent", "insolvent" or "liabilities proved, no reserves given".
        checks: the solvency checks behind the verdict.
        statement_digest: hex.
        soundness_bits: provable bits of the proof, rounded down.
        seconds: that the verification took.
    """

    verdict: str
    checks: tuple[Check, ...]
    statement: Statement
    statement_digest: str
    soundness_bits: int
    profile: str
    proof_bytes: int
    seconds: float

    @property
    def solvent(self) -> bool:
        """Whether reserves were given and every check holds."""
        return self.verdict == SOLVENT

    @property
    def accepted(self) -> bool:
        """No check fails: exit code 0. Without reserves liabilities are proved, solvency is open."""
        return self.verdict != INSOLVENT

    def to_json(self) -> dict[str, Any]:
        """For `--json`; `reason` is None where the publication is accepted."""
        return {
            "verdict": self.verdict,
            "reason": None if self.accepted else INSOLVENT,
            "solvent": self.solvent,
            "exchange": self.statement.exchange,
            "sequence": self.statement.sequence,
            "time": self.statement.time,
            "policy": self.statement.policy,
            "statement_digest": self.statement_digest,
            "profile": self.profile,
            "soundness_bits": self.soundness_bits,
            "proof_bytes": self.proof_bytes,
            "seconds": self.seconds,
            "checks": [asdict(check) for check in self.checks],
        }


def read_file(path: Path, limit_bytes: int) -> bytes:
    """Contents of a regular file.

    Raises:
        MalformedProof: FILE_MISSING (also: not a regular file, not readable) or FILE_TOO_LARGE.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise MalformedProof(Reason.FILE_MISSING, f"{path.name}: not a regular file", field=path.name)
        with path.open("rb") as file:
            data = file.read(limit_bytes + 1)
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or "not a path"
        raise MalformedProof(Reason.FILE_MISSING, f"{path.name}: {what}", field=path.name) from None
    if len(data) > limit_bytes:
        message = f"{path.name}: expected at most {limit_bytes} bytes"
        raise MalformedProof(Reason.FILE_TOO_LARGE, message, field=path.name)
    return data


def read_statement(directory: Path) -> Statement:
    """The statement of a publication. Whether its proof is good is not looked at."""
    return parse_statement(read_file(directory / STATEMENT_FILE, STATEMENT_BYTES_MAX))


def verify_directory(
    path: Path, *, profile: str | None = None, reserves: Path | None = None, params: ProofParams | None = None
) -> Report:
    """Verify a publication: `statement.json`, `proof.bin` and, if there, `reserves.csv`.

    Args:
        profile: the one accepted profile; None accepts every production profile.
        reserves: a reserves file to use instead of the one in the directory.
        params: the parameters themselves, in place of a production profile; for tests.

    Returns:
        A report, whose verdict may still be "insolvent".

    Raises:
        VerificationError: a file, the statement, the proof or the reserves are refused.
    """
    started = time.perf_counter()
    statement = read_statement(path)
    accepted = _accepted_params(statement, profile, params)
    held = _read_reserves(path, reserves, statement)
    what = relation(statement)
    proof = read_file(path / PROOF_FILE, proof_bytes_max(what.system, accepted, statement.log2_rows))
    verify_stark(what, accepted, proof)
    checks = check_solvency(statement, held)
    return Report(
        verdict=verdict(checks, held is not None),
        checks=checks,
        statement=statement,
        statement_digest=statement.digest.hex(),
        soundness_bits=soundness_bits(Shape.of(what.system), accepted, statement.log2_rows),
        profile=accepted.name,
        proof_bytes=len(proof),
        seconds=time.perf_counter() - started,
    )


def _accepted_params(statement: Statement, profile: str | None, params: ProofParams | None) -> ProofParams:
    """The caller's parameters, which the statement has to name: a proof chooses nothing."""
    accepted = params or accepted_profile(statement.profile if profile is None else profile)
    if statement.profile != accepted.name:
        refuse("statement.profile", repr(accepted.name), statement.profile, Reason.UNACCEPTABLE_PROFILE)
    if statement.parameters_digest != accepted.digest:
        expected, got = f"this verifier's {accepted.digest.hex()}", statement.parameters_digest.hex()
        refuse("statement.parameters_digest", expected, got, Reason.UNACCEPTABLE_PARAMETERS)
    return accepted


def _read_reserves(path: Path, reserves: Path | None, statement: Statement) -> tuple[int, ...] | None:
    if reserves is None:
        reserves = path / RESERVES_FILE
        if not reserves.exists():
            return None
    return parse_reserves(read_file(reserves, RESERVES_BYTES_MAX), statement.instruments)
