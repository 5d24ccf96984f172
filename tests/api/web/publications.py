"""Publications with accounts but without proofs, in a store with its log: what the page is served from."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import cast

from api.publish import publish
from api.reading import ReadSide
from api.store import Store
from tests.api.publishing.made_up import Judged, Named, new_store
from tests.api.web.forgeries import sharded
from tests.verifier.log.signers import LOG_KEY
from tests.verifier.small_tree import Publication
from verifier.manifest import LOG_PROOF_FILE, MANIFEST_FILE
from verifier.report import Report
from verifier.shards import seal, top_sum
from verifier.statement import parse_statement

RESERVES = "asset,amount\nbtc,{}\nusdt,{}\n"


@cache
def series(count: int) -> tuple[Publication, ...]:
    """The same accounts at several sequence numbers, each naming the one before."""
    of = sharded()
    out = [of]
    for number in range(1, count):
        statement = replace(of.statement, sequence=7 + number, previous=out[-1].statement.digest,
                            time=f"2026-11-{22 + number}T00:00:00Z")  # fmt: skip
        shards = tuple(replace(shard, header=statement.header_digest) for shard in of.shards)
        top = top_sum([shard.place(statement.liability_output).sum for shard in shards])
        out.append(replace(of, statement=replace(statement, root=seal(top, len(shards))), shards=shards))
    return tuple(out)


def write(folder: Path, of: Publication) -> Path:
    """As `solvent prove` would leave it, but for the proofs."""
    (folder / "shards").mkdir(parents=True)
    (folder / "statement.json").write_bytes(of.statement.to_bytes())
    (folder / "reserves.csv").write_text(
        RESERVES.format(30 + of.statement.sequence, 119_000_000 + 10**6 * (of.statement.sequence % 4))
    )
    (folder / "fund.json").write_bytes(of.bundle(0))
    for shard in of.shards:
        (folder / "shards" / f"{shard.index:06d}.json").write_bytes(shard.to_bytes())
        (folder / "shards" / f"{shard.index:06d}.proof").write_bytes(b"no proof\n")
    return folder


def read(directory: Path) -> Report:
    """The statement, taken as good."""
    of = parse_statement((directory / "statement.json").read_bytes())
    return cast(Report, Judged(Named(of.exchange, of.sequence, of.digest, of.previous)))


def published(place: Path, count: int = 3) -> tuple[Store, list[Path]]:
    """A store with that many publications, and the folders that they came from, with manifest and log proof."""
    store = new_store(place / "store")
    folders = [write(place / f"publication-{i}", of) for i, of in enumerate(series(count))]
    for folder in folders:
        publish(folder, store, LOG_KEY, None, verify=read)
    side = ReadSide(store)
    for folder, of in zip(folders, series(count), strict=True):
        for name in (MANIFEST_FILE, LOG_PROOF_FILE):
            (folder / name).write_bytes(content(side, f"publications/{of.statement.sequence}/{name}"))
    return store, folders


def content(side: ReadSide, path: str) -> bytes:
    """What is served there."""
    resource = side.get(path)
    if resource is None:
        raise AssertionError(f"nothing at {path}")
    return resource.content if isinstance(resource.content, bytes) else resource.content.read_bytes()
