"""The command `solvent`. Importing this package costs nothing: a check should start at once."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command (default: of this process) and returns its exit code."""
    from api.cli.run import run

    return run(arguments)
