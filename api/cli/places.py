"""A publication by its folder, or by the address where an exchange publishes it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from api.cli.options import require_directory
from api.cli.output import Output


@contextmanager
def publication_at(place: str, output: Output, sequence: int | None = None) -> Iterator[Path]:
    """The publication's folder; one that goes away afterwards where `place` is a URL.

    Args:
        sequence: of the publication at a URL; None takes the newest.

    Raises:
        InputError: there is no such directory, or the server does not answer as it should.
        VerificationError: what was downloaded is not what its manifest says.
    """
    if not place.startswith(("http://", "https://")):
        path = Path(place)
        require_directory(path, "a publication directory")
        yield path
        return
    from api.fetch import fetch_publication

    with tempfile.TemporaryDirectory(prefix="solvent-fetched-") as folder:
        path = Path(folder) / "publication"
        with output.progress() as progress:
            number = fetch_publication(place, path, sequence, progress)
        output.note(f"Publication {number} downloaded from {place}")
        yield path
