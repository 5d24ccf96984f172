"""What may go wrong, by name. Only `VerificationError` leaves the verifier."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class SolvencyError(Exception):
    """All that this project raises on purpose."""


class InvariantBroken(SolvencyError):
    """Our own bug, or a damaged installation: never caught, the process stops."""


class Reason(Enum):
    """Why something was refused. The values are part of the published interface."""

    # files and encodings
    FILE_MISSING = "file-missing"
    FILE_TOO_LARGE = "file-too-large"
    MALFORMED = "malformed"
    NON_CANONICAL = "non-canonical"
    TRAILING_BYTES = "trailing-bytes"
    UNKNOWN_VERSION = "unknown-version"
    # what the caller accepts
    UNACCEPTABLE_PROFILE = "unacceptable-profile"
    UNACCEPTABLE_PARAMETERS = "unacceptable-parameters"
    UNKNOWN_CIRCUIT = "unknown-circuit"
    CAPACITY = "capacity"
    # the statement
    INSTRUMENT_TABLE = "instrument-table"
    OUTPUT_RANGE = "output-range"
    ARITHMETIC = "arithmetic"
    SHARDS = "shards"
    # the proof
    STATEMENT_MISMATCH = "statement-mismatch"
    GRINDING = "grinding"
    OUT_OF_DOMAIN_POINT = "out-of-domain-point"
    CONSTRAINTS = "constraints"
    COMMITMENT = "commitment"
    FRI_LAYER = "fri-layer"
    FRI_FOLD = "fri-fold"
    FRI_FINAL = "fri-final"
    # inclusion
    WRONG_STATEMENT = "wrong-statement"
    ACCOUNT_ID = "account-id"
    ENTRIES = "entries"
    PATH_LENGTH = "path-length"
    PATH = "path"
    # openings and reserves
    OPENING = "opening"
    RESERVES = "reserves"
    # price evidence
    PRICE_EVIDENCE = "price-evidence"
    PRICE_RULES = "price-rules"
    PRICE_SOURCES = "price-sources"
    SIGNATURE = "signature"
    PRICES = "prices"
    # validators
    QUORUM = "quorum"
    # manifest and transparency log
    MANIFEST = "manifest"
    LOG_POLICY = "log-policy"
    LOG_ORIGIN = "log-origin"
    LOG_SIGNATURE = "log-signature"
    COSIGNATURE = "cosignature"
    WITNESS_QUORUM = "witness-quorum"
    LOG_INCLUSION = "log-inclusion"
    LOG_CONSISTENCY = "log-consistency"
    LOG_ENTRY = "log-entry"
    NOT_FRAUD = "not-fraud"


class VerificationError(SolvencyError):
    """Their data is wrong.

    Args:
        reason: the one reason, for programs.
        message: one clear line, for people.
        where: what and where, for both.
    """

    def __init__(self, reason: Reason, message: str, **where: object) -> None:
        super().__init__(f"{reason.value}: {message}")
        self.reason = reason
        self.message = message
        self.where: Mapping[str, object] = where

    def __reduce__(self) -> tuple[object, ...]:
        """Shards are verified in other processes: errors travel between them."""
        return _again, (type(self), self.reason, self.message, dict(self.where))


def _again(
    kind: type[VerificationError], reason: Reason, message: str, where: Mapping[str, object]
) -> VerificationError:
    return kind(reason, message, **where)


class MalformedProof(VerificationError):
    """Does not decode, or a shape disagrees."""


class UnacceptableParameters(VerificationError):
    """Decodes, but is not what the caller accepts."""


class BrokenCommitment(VerificationError):
    """An opening does not hash to its root."""


class ConstraintFailure(VerificationError):
    """The out-of-domain identity fails."""


class NotLowDegree(VerificationError):
    """FRI refuses."""


class BadStatement(VerificationError):
    """The statement contradicts itself or its own rules."""


class NotIncluded(VerificationError):
    """The bundle does not show this account in the statement's tree."""


class BadReserves(VerificationError):
    """The reserves file cannot be read as amounts of the statement's assets."""


class BadQuorum(VerificationError):
    """Not enough validators signed this state."""


class BadPrices(VerificationError):
    """The statement's prices do not follow from signed quotes that the verifier accepts."""


class BadLog(VerificationError):
    """The transparency log does not show what it should, or not to whom it should."""


class BadManifest(VerificationError):
    """A file is not what the manifest says."""
