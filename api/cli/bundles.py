"""`solvent bundles`: the bundles of all users at once, into a store that serves each by its user's id."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from api.cli.options import Force, Json, Private, Publication, private_directory, require_directory
from api.cli.output import ACCEPTED, Output
from prover.errors import InputError


def bundles(
    publication: Publication,
    out: Annotated[Path | None, typer.Option(metavar="STORE", help="Folder to make. Keep it secret.")] = None,
    check: Annotated[
        Path | None, typer.Option(metavar="STORE", help="Instead: is this store whole, and of this publication?")
    ] = None,
    private: Private = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Write every user's bundle into one store, found by user id in constant time (`solvent bundle --store`).

    The store shows every balance: it is as secret as DIR.private, and never stands inside DIR.
    """
    output = Output(json)
    require_directory(publication, "a publication directory")
    if out is not None and check is None:
        return _write(publication, private_directory(publication, private), out, force, output)
    if check is not None and out is None:
        return _check(publication, check, output)
    raise InputError(field="--out", expected="either --out STORE to write one or --check STORE")


def _write(publication: Path, private: Path, out: Path, force: bool, output: Output) -> int:
    from prover.bundle_writer import write_store

    require_directory(private, "the secrets that `solvent prove` kept")
    started = time.perf_counter()
    with output.progress() as progress:
        meta = write_store(publication, private, out, force=force, progress=progress)
    seconds = time.perf_counter() - started
    output.json(
        {
            "verdict": "bundled",
            "store": str(out),
            "users": meta.users,
            "bytes": meta.total_bytes,
            "segments": len(meta.segments),
            "statement_digest": meta.statement,
            "seconds": seconds,
            "users_per_second": meta.users / seconds,
        }
    )
    output.line(
        f"{meta.users} bundles, {meta.total_bytes} bytes, in {seconds:.1f} s: {meta.users / seconds:.0f} a second"
    )
    output.line(f"Keep {out} secret. One user's: solvent bundle --store {out} --account ID --out FILE")
    return ACCEPTED


def _check(publication: Path, folder: Path, output: Output) -> int:
    from prover.bundle_store import BundleStore
    from verifier.report import read_statement

    statement = read_statement(publication).digest.hex()
    store = BundleStore.open(folder)
    if store.meta.statement != statement:
        got = f"a store of statement {store.meta.statement}"
        raise InputError(file=folder, got=got, expected=f"one of {statement}")
    with output.progress() as progress:
        store.check(lambda fraction: progress("check", fraction))
    output.json({"verdict": "whole", "store": str(folder), "users": store.meta.users, "statement_digest": statement})
    output.line(f"{store.meta.users} bundles of statement {statement}: every file is as it was written", mood="good")
    return ACCEPTED
