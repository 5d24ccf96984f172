"""`solvent publish`, `export` and `fetch`: into store and log, out to a folder of files, and down again."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.options import Json, Publication, read_secret, require_directory, require_file
from api.cli.output import ACCEPTED, REJECTED, Output
from api.cli.report import print_report
from prover.errors import InputError


def publish(
    publication: Publication,
    store: Annotated[
        str | None, typer.Option(metavar="DIR|URL", help="The publisher's store: a folder, or a database URL.")
    ] = None,
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="The log's private key.")] = None,
    to: Annotated[
        str | None, typer.Option(metavar="URL", help="Hand it in at a `solvent publisher serve` instead.")
    ] = None,
    write_key: Annotated[Path | None, typer.Option(metavar="FILE", help="The publisher's key; goes with --to.")] = None,
    witnesses: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Policy whose witnesses with URLs are asked, and whose quorum counts."),
    ] = None,
    validators: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Demand their certificate of this state in DIR/quorum.json.")
    ] = None,
    json: Json = False,
) -> int:
    """Verify a publication, store it, append it to the log, sign the checkpoint, and have it witnessed.

    What the verifier refuses, or finds insolvent, is not published. With --witnesses, readers see it once the quorum
    has cosigned: run the same command again when witnesses were missing, or after any interruption. With --to another
    machine does all of that, and holds store and keys.
    """
    from api.cli.validator import read_validators
    from api.publish import Insolvent
    from api.publish import publish as publish_directory
    from api.store import Store
    from prover.prices import load_key
    from verifier.log.policy import read_policy

    output = Output(json)
    require_directory(publication, "a publication directory")
    if to is not None:
        if write_key is None or any(option is not None for option in (store, key, witnesses, validators)):
            raise InputError(field="--to", expected="--write-key with it, and no option of the publisher's own")
        return _hand_in(publication, to, write_key, output)
    if store is None or key is None or write_key is not None:
        raise InputError(field="--store", expected="--store and --key, or --to and --write-key")
    if witnesses is not None:
        require_file(witnesses, "a policy file")
    policy = None if witnesses is None else read_policy(witnesses)
    members = None if validators is None else read_validators(validators)
    try:
        with closing(Store(store)) as opened:
            done = publish_directory(publication, opened, load_key(key), policy, validators=members)
    except Insolvent as error:
        output.json(error.report.to_json() | {"verdict": "rejected", "message": "not published: insolvent"})
        print_report(error.report, output)
        return REJECTED
    return _said(done.to_json(), output)


def export(
    store: Annotated[str, typer.Argument(metavar="STORE", help="The publisher's store: a folder, or a database URL.")],
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write, or to bring up to date.")],
    json: Json = False,
) -> int:
    """Write all that readers may have to a folder, for a CDN or a disk: the same paths and bytes as the server's."""
    from api.export import export as export_store
    from api.store import Store

    output = Output(json)
    with closing(Store(store)) as opened:
        count = export_store(opened, out)
        shown = opened.shown()
    size = shown.size if shown else 0
    output.json({"verdict": "exported", "files": count, "log_size": size, "out": str(out)})
    output.line(f"{count} files in {out}, {size} publications. A publication: {out}/publications/SEQUENCE")
    return ACCEPTED


def fetch(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where an exchange publishes: a server, or an export.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to make.")],
    sequence: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Which publication; default: newest.")
    ] = None,
    log: Annotated[bool, typer.Option("--log", help="The log itself instead: its checkpoint and tiles.")] = False,
    json: Json = False,
) -> int:
    """Download a publication, to be verified, or the log, to be audited. Nothing that the server says is believed."""
    from api.fetch import fetch_log, fetch_publication

    output = Output(json)
    if log and sequence is not None:
        raise InputError(field="--sequence", got=str(sequence), expected="no --log with it")
    with output.progress() as progress:
        number = fetch_log(url, out, progress) if log else fetch_publication(url, out, sequence, progress)
    output.json({"verdict": "fetched", "out": str(out), "log_size" if log else "sequence": number})
    if log:
        output.line(f"{number} entries in {out}. Next: solvent log audit {out} --policy FILE")
    else:
        output.line(
            f"Publication {number} in {out}. Next: solvent verify {out}, solvent log verify {out} --policy FILE"
        )
    return ACCEPTED


def _hand_in(publication: Path, to: str, write_key: Path, output: Output) -> int:
    from api.upload import NotPublished, upload

    secret = read_secret(write_key, "a key that `solvent publisher keygen` wrote")
    try:
        with output.progress() as progress:
            done = upload(publication, to, secret, progress)
    except NotPublished as error:
        output.json({"verdict": "rejected", "reason": "insolvent", "message": str(error)})
        output.line(f"Verdict: rejected, {error}", mood="bad")
        return REJECTED
    return _said(done, output)


def _said(done: dict[str, Any], output: Output) -> int:
    output.json(done)
    output.line(f"Verified: {done['publication_spoken']}")
    output.line(f"{done['files']} files, manifest {done['manifest']}")
    output.line(f"Log entry {done['index']}{'' if done['is_new'] else ', as before'}")
    for answer in done["witnesses"]:
        output.line(f"  {'ok  ' if answer['cosigned'] else 'FAIL'} witness {answer['name']}: {answer['answer']}")
    if done["reason"] is None:
        output.line(f"Verdict: published, sequence {done['sequence']}", mood="good")
        return ACCEPTED
    missing = [answer["name"] for answer in done["witnesses"] if not answer["cosigned"]]
    names = ", ".join(missing) or "those without an address"
    output.line(f"Verdict: logged, but not shown: the quorum is missing ({names}). Run this again.", mood="bad")
    return REJECTED
