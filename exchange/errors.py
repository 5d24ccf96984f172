"""What the ledger raises. A refused command is not an error: it is answered with a `Reject` code."""

from __future__ import annotations


class LedgerError(Exception):
    """All that the ledger raises on purpose."""


class VenueError(LedgerError):
    """A venue definition that cannot work; the message names the field."""


class JournalBroken(LedgerError):
    """A journal that is not what was written: wrong link, gap, or unreadable record."""


class InvariantBroken(LedgerError):
    """Our own bug: the books do not add up. Never caught; the process stops."""
