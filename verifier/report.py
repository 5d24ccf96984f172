"""The whole check of one publication: from its directory to a verdict."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from verifier.canonical import refuse
from verifier.errors import Reason
from verifier.files import read_file
from verifier.fund import Fund, check_fund
from verifier.inclusion import BUNDLE_BYTES_MAX, Step
from verifier.params import ProofParams, accepted_profile
from verifier.poseidon import DEFAULT
from verifier.prices import PRICES_BYTES_MAX, PriceEvidence, check_prices
from verifier.proofs import Progress, check_proofs, read_shards
from verifier.quotes import Source
from verifier.reserves import RESERVES_BYTES_MAX, parse_reserves
from verifier.reserves_evidence import EVIDENCE_BYTES_MAX, ReservesEvidence, check_reserves_evidence
from verifier.reserves_evidence import FILE as RESERVES_EVIDENCE_FILE
from verifier.shards import check_shards
from verifier.solvency import CIRCUITS, constraint_system
from verifier.soundness import Shape, soundness_bits
from verifier.statement import STATEMENT_BYTES_MAX, Statement, parse_statement, units
from verifier.verdict import (
    INSOLVENT,
    NO_EVIDENCE,
    SOLVENT,
    Check,
    FundValue,
    caveats,
    check_solvency,
    open_interest,
    proved,
    spoken,
    verdict,
)

STATEMENT_FILE, RESERVES_FILE, PRICES_FILE, FUND_FILE = "statement.json", "reserves.csv", "prices.json", "fund.json"
DEFAULT_CIRCUITS = tuple(name for name, circuit in CIRCUITS.items() if circuit.tree_hash == DEFAULT.name)
"""What is accepted unless the caller names one: whatever it proves is said. Another tree hash has to be asked for."""


@dataclass(frozen=True)
class Report:
    """A publication whose proof is good, and what follows from it.

    Args:
        verdict: "solvent", "insolvent" or "liabilities proved, no reserves given".
        checks: the solvency checks behind the verdict.
        caveats: what the checks leave open, to be read with the verdict.
        fund: the opened account of the insurance fund; None where there is none.
        evidence: of the prices; None where the statement names none.
        statement_digest: hex.
        reserves_sha256: of the reserves file that was used, hex; None where there was none.
        soundness_bits: provable bits of the proof, rounded down.
        seconds: that the verification took.
        signed: the addresses behind the reserves; None where no file names them.
    """

    verdict: str
    checks: tuple[Check, ...]
    caveats: tuple[str, ...]
    statement: Statement
    fund: Fund | None
    evidence: PriceEvidence | None
    statement_digest: str
    reserves_sha256: str | None
    soundness_bits: int
    profile: str
    proof_bytes: int
    seconds: float
    signed: ReservesEvidence | None = None

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
        return spoken(self.verdict, self.statement, self.evidence)

    def to_json(self) -> dict[str, Any]:
        """For `--json`; `reason` is None where the publication is accepted. Amounts are decimal strings."""
        return {
            "verdict": self.verdict,
            "reason": None if self.accepted else INSOLVENT,
            "solvent": self.solvent,
            "exchange": self.statement.exchange,
            "sequence": self.statement.sequence,
            "time": self.statement.time,
            "policy": self.statement.policy,
            "proved": proved(self.statement),
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
        } | self._amounts()

    def _amounts(self) -> dict[str, Any]:
        """Published and opened amounts, in whole units of the quote currency or of the instrument."""
        statement, evidence = self.statement, self.evidence

        def value(amount: int | None) -> str | None:
            return None if amount is None else units(amount, statement.value_decimals)

        return {
            "quote": statement.quote,
            "total_liability": value(statement.total_liability),
            "total_shortfall": value(statement.total_shortfall),
            "total_margin_deficit": value(statement.total_margin_deficit),
            "losses": [
                {"scenario": s.name, "shortfall": value(x.shortfall), "margin_deficit": value(x.margin_deficit)}
                for s, x in zip(statement.scenarios, statement.losses, strict=True)
            ],
            "open_interest": [
                {"symbol": i.symbol, "amount": units(atoms, i.decimals), "value": value(worth)}
                for i, atoms, worth in open_interest(statement)
            ],
            "fund_value": value(self.fund.value) if self.fund else None,
            "reserves_evidence": self.signed.to_json() if self.signed else None,
            "price_evidence": evidence
            and {"sources": evidence.sources, "trusted": evidence.trusted, "summary": evidence.summary},
        }


def read_statement(directory: Path) -> Statement:
    """The statement of a publication. Whether its proof is good is not looked at."""
    return parse_statement(read_file(directory / STATEMENT_FILE, STATEMENT_BYTES_MAX))


def verify_directory(
    path: Path,
    *,
    profile: str | None = None,
    circuit: str | None = None,
    reserves: Path | None = None,
    price_sources: Mapping[str, Source] | None = None,
    params: ProofParams | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Verify a publication.

    `statement.json`, each shard's document and proof, and `prices.json` where the statement names it, have to be there.
    Optional are `reserves.csv`, `reserves-evidence.json` (addresses behind it), and `fund.json` (the fund's account).

    Args:
        profile: the one accepted profile; None accepts every production profile.
        circuit: the one accepted circuit; None accepts `DEFAULT_CIRCUITS`.
        reserves: a file to use instead of the one in the directory.
        price_sources: the only ones that the caller trusts, by name; None takes any, or none, and the report says so.
        params: the parameters themselves, in place of a production profile; for tests.
        workers, progress: as for `verifier.proofs.check_proofs`.

    Returns: a report, whose verdict may still be "insolvent".

    Raises:
        VerificationError: a file, the statement, the proof, prices, the fund or the reserves are refused.
    """
    started = time.perf_counter()
    statement = read_statement(path)
    _accept_circuit(statement, circuit)
    accepted = _accepted_params(statement, profile, params)
    used, signed = _read_reserves(path, statement, reserves)
    held = None if used is None else parse_reserves(used, statement.instruments)
    evidence = _check_evidence(path, statement, price_sources)
    opened = _read_if_there(path / FUND_FILE, BUNDLE_BYTES_MAX)
    fund = None if opened is None else check_fund(opened, statement)
    shards = read_shards(path, statement)
    check_shards(statement, shards)
    proof_bytes = check_proofs(path, statement, shards, accepted, workers, progress)
    worth = FundValue(fund.value, fund.scenario_values) if fund else None
    checks = check_solvency(statement, held, worth)
    return Report(
        verdict=verdict(checks, held is not None),
        checks=checks,
        caveats=(*caveats(statement, held, worth, evidence), *_about_signatures(signed, held is not None)),
        statement=statement,
        fund=fund,
        evidence=evidence,
        statement_digest=statement.digest.hex(),
        reserves_sha256=None if used is None else hashlib.sha256(used).hexdigest(),
        soundness_bits=soundness_bits(Shape.of(constraint_system(statement.circuit)), accepted, statement.log2_rows),
        profile=accepted.name,
        proof_bytes=proof_bytes,
        seconds=time.perf_counter() - started,
        signed=signed,
    )


@dataclass(frozen=True)
class Against:
    """The publication that a bundle or an opening is compared with.

    Args:
        statement: accepted as far as its circuit and parameters go.
        report: of the whole publication; None where only the statement was read.
        logged: what shows that the publication is in its transparency log; empty where that was not asked for.
    """

    statement: Statement
    report: Report | None
    logged: tuple[Step, ...] = ()

    @classmethod
    def read(
        cls, path: Path, *, circuit: str | None = None, statement_only: bool = False, log_policy: Path | None = None
    ) -> Against:
        """Verify a publication, its proof included, or with `statement_only` just read what it states.

        Args:
            log_policy: whom to believe about the transparency log (docs/log.md); the publication then has to be in it.

        Raises:
            VerificationError: it is refused.
        """
        if not statement_only:
            report = verify_directory(path, circuit=circuit)
            return cls(report.statement, report, _logged(path, report.statement, log_policy))
        stated = cls.stated(read_statement(path), circuit)
        return replace(stated, logged=_logged(path, stated.statement, log_policy))

    @classmethod
    def stated(cls, statement: Statement, circuit: str | None = None) -> Against:
        """A statement whose proof is not looked at. Raises UnacceptableParameters: circuit or parameters."""
        _accept_circuit(statement, circuit)
        _accepted_params(statement, None, None)
        return cls(statement, None)

    @property
    def steps(self) -> tuple[Step, ...]:
        """Step 0 of a check against this publication: its proof, and its place in the log."""
        if self.report is None:
            return Step("0 publication", False, "statement read only: its proof was not looked at"), *self.logged
        strength = f"profile {self.report.profile}, {self.report.soundness_bits} provable bits"
        step = Step("0 publication", True, f"proof accepted, {strength}; verdict: {self.report.spoken}")
        return step, *self.logged

    @property
    def place(self) -> str:
        """For a verdict's line: "in statement", or "in an unverified statement"."""
        return "in statement" if self.report is not None else "in an unverified statement"

    def extend(self, data: dict[str, Any]) -> dict[str, Any]:
        """The JSON of a bundle's or an opening's report, with step 0 and what the publication's own verdict is."""
        return data | {
            "verdict": data["verdict"] if self.report is not None else f"{data['verdict']} {self.place}",
            "steps": [*map(asdict, self.steps), *data["steps"]],
            "publication_verdict": self.report.verdict if self.report is not None else None,
        }


def _logged(path: Path, statement: Statement, log_policy: Path | None) -> tuple[Step, ...]:
    if log_policy is None:
        return ()
    from verifier.log.check import check_logged
    from verifier.log.policy import read_policy

    return check_logged(path, statement, read_policy(log_policy)).steps


def _accept_circuit(statement: Statement, circuit: str | None) -> None:
    accepted = DEFAULT_CIRCUITS if circuit is None else (circuit,)
    if statement.circuit not in accepted:
        expected = f"{' or '.join(accepted)} (--circuit NAME accepts another registered one)"
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


def _check_evidence(
    path: Path, statement: Statement, price_sources: Mapping[str, Source] | None
) -> PriceEvidence | None:
    """The price file, which has to be there exactly where the statement names one."""
    if statement.oracle_evidence != NO_EVIDENCE:
        data: bytes | None = read_file(path / PRICES_FILE, PRICES_BYTES_MAX)
    else:
        data = _read_if_there(path / PRICES_FILE, PRICES_BYTES_MAX)
    if data is not None:
        return check_prices(data, statement, price_sources)
    if price_sources is not None:
        expected = "a price file, as the caller names the sources to trust"
        refuse("statement.oracle_evidence", expected, "none", Reason.PRICE_EVIDENCE)
    return None


def _read_reserves(
    path: Path, statement: Statement, given: Path | None
) -> tuple[bytes | None, ReservesEvidence | None]:
    """The publication's reserves file, and the addresses behind it; what a caller has given instead has none."""
    if given is not None:
        return read_file(given, RESERVES_BYTES_MAX), None
    reserves = _read_if_there(path / RESERVES_FILE, RESERVES_BYTES_MAX)
    data = _read_if_there(path / RESERVES_EVIDENCE_FILE, EVIDENCE_BYTES_MAX)
    if data is None:
        return reserves, None
    if reserves is None:
        refuse(RESERVES_EVIDENCE_FILE, f"{RESERVES_FILE} beside it", "none", Reason.RESERVES)
    return reserves, check_reserves_evidence(data, reserves, statement)


def _about_signatures(signed: ReservesEvidence | None, given: bool) -> tuple[str, ...]:
    if signed is not None:
        return (signed.caveat,)
    return ("the reserves are figures without signatures",) if given else ()


def _read_if_there(path: Path, limit_bytes: int) -> bytes | None:
    """An optional file. Only what is not there at all is none: a broken link is a file that fails."""
    return read_file(path, limit_bytes) if os.path.lexists(path) else None
