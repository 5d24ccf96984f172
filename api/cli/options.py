"""Arguments and options that several commands share, and the checks on them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from prover.errors import InputError

PRIVATE_SUFFIX: Final = ".private"
"""`prove` keeps what must not be published in DIR.private, beside DIR."""


class Profile(StrEnum):
    """Proof parameters that a verifier accepts in production."""

    FAST = "fast"
    COMPACT = "compact"
    HIGH = "high"


class Policy(StrEnum):
    """What the statement promises about accounts under water."""

    STRICT = "strict"
    DISCLOSED = "disclosed"


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what an earlier run of this command wrote.")]
Publication = Annotated[Path, typer.Argument(metavar="DIR", help="A publication: what `solvent prove` wrote.")]
PublicationOrUrl = Annotated[
    str, typer.Argument(metavar="DIR|URL", help="A publication, or the address where an exchange publishes its newest.")
]
ProofProfile = Annotated[
    Profile, typer.Option(help="fast and compact: 100 provable bits, fast to prove or small; high: 128 bits.")
]
Private = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Secrets of the publication; default: DIR.private beside it.")
]


def require_directory(path: Path, what: str) -> None:
    """Raises InputError unless there is such a directory."""
    if not path.is_dir():
        raise InputError(file=path, got="no such directory", expected=what)


def require_file(path: Path, what: str) -> None:
    """Raises InputError unless there is such a file."""
    if not path.is_file():
        raise InputError(file=path, got="no such file", expected=what)


def require_free(out: Path, force: bool | None = None) -> None:
    """Raises InputError where something is that may not be replaced.

    Args:
        force: replaces a file; None where a command has no such option and never replaces anything.
    """
    if (out.exists() or out.is_symlink()) and not (force and out.is_file()):
        older = "" if force is None else " (or an older one and --force)"
        raise InputError(file=out, got="something that exists", expected=f"a new file{older}")


def read_secret(path: Path, expected: str) -> str:
    """The one word in a file: a key or a token. Raises InputError."""
    try:
        words = path.read_text("ascii").split()
    except (OSError, UnicodeError):
        words = []
    if len(words) != 1:
        raise InputError(file=path, got="something else", expected=expected)
    return words[0]


def private_directory(publication: Path, private: Path | None) -> Path:
    """Where the secrets of a publication are, by default beside it."""
    return private if private is not None else publication.with_name(publication.name + PRIVATE_SUFFIX)
