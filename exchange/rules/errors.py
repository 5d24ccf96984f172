"""The error for a rule that is asked something it has no answer to."""

from __future__ import annotations


class RuleInputError(ValueError):
    """A precondition of a rule does not hold; the message names the value and what is expected."""
