"""What came out for one address, and the one place that says what counts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from verifier.reserves_evidence import REASON_CHARACTERS_MAX


class Status(StrEnum):
    """Only `VERIFIED` counts in a total. One `FAILED` refuses the whole file."""

    VERIFIED = "verified"
    INCONCLUSIVE = "inconclusive"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one check.

    Args:
        reason: one line in words; empty where verified.
        scheme: how it was signed, e.g. "BIP-322 simple"; empty where that is not known.
    """

    status: Status
    reason: str = ""
    scheme: str = ""


def verified(scheme: str) -> Outcome:
    """A key that controls the address signed the challenge."""
    return Outcome(Status.VERIFIED, scheme=scheme)


def inconclusive(reason: str, scheme: str = "") -> Outcome:
    """Neither true nor false with what is at hand: not counted, not refused."""
    return Outcome(Status.INCONCLUSIVE, _line(reason), scheme)


def failed(reason: str, scheme: str = "") -> Outcome:
    """Not signed, or not for this."""
    return Outcome(Status.FAILED, _line(reason), scheme)


def _line(reason: str) -> str:
    """One short line of ASCII: libraries' messages and other people's text are in it."""
    plain = "".join(c if " " <= c <= "~" else "?" for c in reason[:REASON_CHARACTERS_MAX])
    return plain or "no reason given"


class Undecodable(ValueError):
    """An address or a signature that is none. `str()` says what was expected."""
