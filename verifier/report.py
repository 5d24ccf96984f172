"""The whole check of one publication: from a directory with statement, proof and reserves to a verdict."""

from __future__ import annotations

import hashlib
import stat
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verifier.canonical import refuse
from verifier.errors import MalformedProof, Reason
from verifier.params import ProofParams, accepted_profile
from verifier.proof import proof_bytes_max
from verifier.reserves import RESERVES_BYTES_MAX, parse_reserves
from verifier.solvency import relation
from verifier.soundness import Shape, soundness_bits
from verifier.stark import verify_stark
from verifier.statement import STATEMENT_BYTES_MAX, Statement, parse_statement
from verifier.verdict import INSOLVENT, SOLVENT, SPOKEN, Check, caveats, check_solvency, verdict

if TYPE_CHECKING:
    from verifier.inclusion import Step

STATEMENT_FILE, PROOF_FILE, RESERVES_FILE = "statement.json", "proof.bin", "reserves.csv"
DEFAULT_CIRCUIT = "solvency_equity_v1"
"""What is accepted unless the caller names another registered circuit, with another tree hash."""


@dataclass(frozen=True)
class Report:
    """A publication whose proof is good, and what follows from it.

    Args:
        verdict: "solvent", "insolvent" or "liabilities proved, no reserves given".
        checks: the solvency checks behind the verdict.
        caveats: what the checks leave open, to be read with the verdict.
        statement_digest: hex.
        reserves_sha256: of the reserves file that was used, hex; None where there was none.
        soundness_bits: provable bits of the proof, rounded down.
        seconds: that the verification took.
    """

    verdict: str
    checks: tuple[Check, ...]
    caveats: tuple[str, ...]
    statement: Statement
    statement_digest: str
    reserves_sha256: str | None
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

    @property
    def spoken(self) -> str:
        """The verdict as it is printed."""
        return SPOKEN.get(self.verdict, self.verdict)

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
            "reserves_sha256": self.reserves_sha256,
            "circuit": self.statement.circuit,
            "tree_hash": self.statement.tree_hash,
            "profile": self.profile,
            "soundness_bits": self.soundness_bits,
            "proof_bytes": self.proof_bytes,
            "seconds": self.seconds,
            "checks": [asdict(check) for check in self.checks],
            "caveats": list(self.caveats),
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
    path: Path,
    *,
    profile: str | None = None,
    circuit: str | None = None,
    reserves: Path | None = None,
    params: ProofParams | None = None,
) -> Report:
    """Verify a publication: `statement.json`, `proof.bin` and, if there, `reserves.csv`.

    Args:
        profile: the one accepted profile; None accepts every production profile.
        circuit: the one accepted circuit; None accepts `DEFAULT_CIRCUIT`.
        reserves: a reserves file to use instead of the one in the directory.
        params: the parameters themselves, in place of a production profile; for tests.

    Returns:
        A report, whose verdict may still be "insolvent".

    Raises:
        VerificationError: a file, the statement, the proof or the reserves are refused.
    """
    started = time.perf_counter()
    statement = read_statement(path)
    _accept_circuit(statement, circuit)
    accepted = _accepted_params(statement, profile, params)
    used = _read_reserves(path, reserves)
    held = None if used is None else parse_reserves(used, statement.instruments)
    what = relation(statement)
    proof = read_file(path / PROOF_FILE, proof_bytes_max(what.system, accepted, statement.log2_rows))
    verify_stark(what, accepted, proof)
    checks = check_solvency(statement, held)
    return Report(
        verdict=verdict(checks, held is not None),
        checks=checks,
        caveats=caveats(statement, held),
        statement=statement,
        statement_digest=statement.digest.hex(),
        reserves_sha256=None if used is None else hashlib.sha256(used).hexdigest(),
        soundness_bits=soundness_bits(Shape.of(what.system), accepted, statement.log2_rows),
        profile=accepted.name,
        proof_bytes=len(proof),
        seconds=time.perf_counter() - started,
    )


@dataclass(frozen=True)
class Against:
    """The publication that a bundle or an opening is compared with.

    Args:
        statement: accepted as far as its circuit and parameters go.
        report: of the whole publication; None where only the statement was read.
    """

    statement: Statement
    report: Report | None

    @classmethod
    def read(cls, path: Path, *, circuit: str | None = None, statement_only: bool = False) -> Against:
        """Verify a publication, its proof included, or with `statement_only` just read what it states.

        Raises:
            VerificationError: it is refused.
        """
        if not statement_only:
            report = verify_directory(path, circuit=circuit)
            return cls(report.statement, report)
        statement = read_statement(path)
        _accept_circuit(statement, circuit)
        _accepted_params(statement, None, None)
        return cls(statement, None)

    @property
    def step(self) -> Step:
        """Step 0 of a check against this publication."""
        from verifier.inclusion import Step

        if self.report is None:
            return Step("0 publication", False, "statement read only: its proof was not looked at")
        strength = f"profile {self.report.profile}, {self.report.soundness_bits} provable bits"
        return Step("0 publication", True, f"proof accepted, {strength}; verdict: {self.report.spoken}")

    @property
    def place(self) -> str:
        """For a verdict's line: "in statement", or "in an unverified statement"."""
        return "in statement" if self.report is not None else "in an unverified statement"

    def extend(self, data: dict[str, Any]) -> dict[str, Any]:
        """The JSON of a bundle's or an opening's report, with step 0 and what the publication's own verdict is."""
        return data | {
            "verdict": data["verdict"] if self.report is not None else f"{data['verdict']} {self.place}",
            "steps": [asdict(self.step), *data["steps"]],
            "publication_verdict": self.report.verdict if self.report is not None else None,
        }


def _accept_circuit(statement: Statement, circuit: str | None) -> None:
    accepted = DEFAULT_CIRCUIT if circuit is None else circuit
    if statement.circuit != accepted:
        expected = f"{accepted!r} (--circuit NAME accepts another registered one)"
        refuse("statement.circuit", expected, statement.circuit, Reason.UNKNOWN_CIRCUIT)


def _accepted_params(statement: Statement, profile: str | None, params: ProofParams | None) -> ProofParams:
    """The caller's parameters, which the statement has to name: a proof chooses nothing."""
    accepted = params or accepted_profile(statement.profile if profile is None else profile)
    if statement.profile != accepted.name:
        refuse("statement.profile", repr(accepted.name), statement.profile, Reason.UNACCEPTABLE_PROFILE)
    if statement.parameters_digest != accepted.digest:
        expected, got = f"this verifier's {accepted.digest.hex()}", statement.parameters_digest.hex()
        refuse("statement.parameters_digest", expected, got, Reason.UNACCEPTABLE_PARAMETERS)
    return accepted


def _read_reserves(path: Path, reserves: Path | None) -> bytes | None:
    """The reserves file, if any. Only what is not there at all is none: a broken link is a file that fails."""
    if reserves is None:
        reserves = path / RESERVES_FILE
        try:
            reserves.lstat()
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            pass  # reading it says what is wrong
    return read_file(reserves, RESERVES_BYTES_MAX)
