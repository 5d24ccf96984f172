"""Publications of a few bytes, and a verifier that takes them: the store's own behaviour, without proofs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from api.notes import log_key
from api.publish import Published, publish
from api.store import Store
from tests.verifier.log.signers import LOG_KEY, ORIGIN
from verifier.log.policy import Policy
from verifier.report import Report

ZEROS = "00" * 32


@dataclass(frozen=True)
class Named:
    """As much of a statement as a manifest repeats."""

    exchange: str
    sequence: int
    digest: bytes
    previous: bytes


@dataclass(frozen=True)
class Judged:
    """As much of a report as publishing looks at."""

    statement: Named
    accepted: bool = True
    spoken: str = "solvent, says a test"
    verdict: str = "solvent"


def digest_of(sequence: int, variant: str = "") -> bytes:
    return hashlib.sha256(f"{sequence}{variant}".encode()).digest()


def write_publication(folder: Path, sequence: int, variant: str = "", previous: bytes | None = None) -> Path:
    """A directory as `solvent prove` would leave it."""
    before = (digest_of(sequence - 1) if sequence > 1 else bytes(32)) if previous is None else previous
    (folder / "shards").mkdir(parents=True)
    statement = {"sequence": sequence, "digest": digest_of(sequence, variant).hex(), "previous": before.hex()}
    (folder / "statement.json").write_text(json.dumps(statement))
    (folder / "reserves.csv").write_text(f"asset,amount\nbtc,{sequence}\n")
    (folder / "shards" / "000000.proof").write_bytes(b"proof %d" % sequence)
    return folder


def verify(directory: Path) -> Report:
    """Reads what `write_publication` wrote."""
    data = json.loads((directory / "statement.json").read_text())
    named = Named("test", data["sequence"], bytes.fromhex(data["digest"]), bytes.fromhex(data["previous"]))
    return cast(Report, Judged(named))


def insolvent(directory: Path) -> Report:
    return cast(Report, Judged(cast(Any, verify(directory)).statement, accepted=False, spoken="insolvent"))


def new_store(place: Path) -> Store:
    return Store.create(str(place), log_key(ORIGIN, LOG_KEY))


def published(store: Store, directory: Path, policy: Policy | None = None) -> Published:
    return publish(directory, store, LOG_KEY, policy, verify=verify)
