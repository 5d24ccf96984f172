"""`solvent nonce`, `bundle` and `inclusion`: one user's part in a publication."""

from __future__ import annotations

import secrets
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.options import (
    Force,
    Json,
    Private,
    private_directory,
    read_secret,
    require_directory,
    require_file,
    require_free,
)
from api.cli.output import ACCEPTED, Output
from api.cli.places import publication_at
from api.cli.publication import AcceptedCircuit, LogPolicy, StatementOnly
from api.cli.report import print_steps
from prover.errors import InputError
from prover.files import write_whole

if TYPE_CHECKING:
    from verifier.inclusion import InclusionReport
    from verifier.report import Against

NONCE_BYTES = 32
TOKEN = "a file with the token that the exchange gave you"


def nonce(
    user_id: Annotated[str | None, typer.Option(metavar="ID", help="Your id at the exchange.")] = None,
    exchange: Annotated[str | None, typer.Option(metavar="NAME", help="The exchange's name in its statements.")] = None,
    json: Json = False,
) -> int:
    """Draw a nonce that makes your account id yours alone, and unguessable to others.

    With --user-id and --exchange also prints the account id that follows.
    """
    from verifier.account_id import account_id
    from verifier.canonical import hex_words

    output = Output(json)
    if (user_id is None) != (exchange is None):
        missing = "--exchange" if exchange is None else "--user-id"
        raise InputError(field=missing, expected="both --user-id and --exchange, or neither")
    drawn = secrets.token_bytes(NONCE_BYTES)
    identity = None
    if user_id is not None and exchange is not None:
        for option, name in (("--user-id", user_id), ("--exchange", exchange)):
            if not name.isprintable() or not name:
                raise InputError(field=option, got=name, expected="printable text")
        identity = hex_words(account_id(exchange, user_id, drawn))
    output.json({"verdict": "drawn", "nonce": drawn.hex(), "account_id": identity})
    output.line(drawn.hex())
    output.note("Keep it, and give it to the exchange: it becomes part of your account id in every proof from then on.")
    output.note(
        "Later, solvent inclusion BUNDLE --against DIR --user-id ID --nonce HEX refuses anybody else's account."
    )
    if identity is not None:
        output.line(f"account id {identity}")
    return ACCEPTED


def bundle(
    account: Annotated[str, typer.Option(metavar="ID", help="The user's id, as in the imported files.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Bundle to write, for this user's eyes only.")],
    publication: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="A publication: what `solvent prove` wrote.")
    ] = None,
    store: Annotated[
        Path | None, typer.Option(metavar="STORE", help="Take it from here: what `solvent bundles` wrote.")
    ] = None,
    private: Private = None,
    receipt: Annotated[
        bool, typer.Option("--receipt", help="One file with all: the statement and its log proof, too. DIR as fetched.")
    ] = False,
    force: Force = False,
    json: Json = False,
) -> int:
    """Cut one user's bundle: their entries and the path to the root, one file, checked before it is written.

    With --store DIR may be left out; the bundle is then checked without the statement.
    """
    from verifier.inclusion import check_bundle
    from verifier.receipt import check_user_file
    from verifier.report import read_statement

    output = Output(json)
    if publication is not None:
        require_directory(publication, "a publication directory")
    if not account.isprintable():
        raise InputError(field="--account", got=account, expected="the id of an account in this publication")
    require_free(out, force)
    data = _bundle(publication, private, store, account)
    if receipt:
        data = _receipt(publication, data)
        report, _ = check_user_file(data, user_id=account)
    else:
        report = check_bundle(data, None if publication is None else read_statement(publication), user_id=account)
    write_whole(out, data)
    output.json(
        {
            "verdict": "bundled",
            "bundle": str(out),
            "bytes": len(data),
            "user_id": account,
            "nonce": report.nonce,
            "statement_digest": report.statement_digest,
        }
    )
    what = "Receipt" if receipt else "Bundle"
    output.line(f"{what} of {len(data)} bytes written to {out}. Give it to {account} and to nobody else.")
    output.line(f"They run: solvent inclusion {out.name} --against {publication or 'DIR'}")
    return ACCEPTED


def receipt(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where the exchange publishes.")],
    token: Annotated[Path, typer.Option(metavar="FILE", help="File that holds your token; /dev/stdin reads it there.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Receipt to write, for your eyes only.")],
    sequence: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Of which publication; default: newest.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Fetch my receipt: one file with my bundle, the statement, and what shows it in the transparency log.

    It is checked before it is written. The log's signatures, and the proof behind the statement, are for
    `solvent inclusion FILE --log-policy POLICY --against URL`.
    """
    from api.fetch import fetch_receipt
    from verifier.receipt import check_user_file

    output = Output(json)
    require_free(out, force)
    data = fetch_receipt(url, read_secret(token, TOKEN), sequence)
    report, _ = check_user_file(data)
    write_whole(out, data)
    output.json(
        {
            "verdict": "fetched",
            "receipt": str(out),
            "bytes": len(data),
            "user_id": report.user_id,
            "sequence": report.sequence,
            "statement_digest": report.statement_digest,
        }
    )
    output.line(f"Receipt of {len(data)} bytes written to {out}: {report.user_id}, publication {report.sequence}.")
    output.line(f"Keep it, and run: solvent inclusion {out} --log-policy POLICY --against {url}")
    return ACCEPTED


def _receipt(publication: Path | None, bundle: bytes) -> bytes:
    from verifier.files import read_file
    from verifier.log.proof import PROOF_BYTES_MAX
    from verifier.manifest import LOG_PROOF_FILE, MANIFEST_BYTES_MAX, MANIFEST_FILE
    from verifier.receipt import Receipt
    from verifier.report import STATEMENT_FILE
    from verifier.statement import STATEMENT_BYTES_MAX

    if publication is None:
        raise InputError(field="--receipt", expected="a publication DIR with it, as `solvent fetch` makes it")
    for name in (MANIFEST_FILE, LOG_PROOF_FILE):
        if not (publication / name).is_file():
            expected = "a publication that is in a log, as `solvent fetch` downloads it"
            raise InputError(file=publication / name, got="no file", expected=expected)
    return Receipt(
        bundle,
        read_file(publication / STATEMENT_FILE, STATEMENT_BYTES_MAX),
        read_file(publication / MANIFEST_FILE, MANIFEST_BYTES_MAX),
        read_file(publication / LOG_PROOF_FILE, PROOF_BYTES_MAX),
    ).to_bytes()


def _bundle(publication: Path | None, private: Path | None, store: Path | None, account: str) -> bytes:
    if store is not None:
        from prover.bundle_store import BundleStore

        data = BundleStore.open(store).get(account)
        if data is None:
            raise InputError(field="--account", got=account, expected="the id of an account in this store")
        return data
    from prover.bundles import make_bundle

    if publication is None:
        raise InputError(field="--store", expected="a publication DIR, or --store STORE")
    hidden = private_directory(publication, private)
    require_directory(hidden, "the secrets that `solvent prove` kept")
    return make_bundle(publication, hidden, account)


def inclusion(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Your bundle or receipt, as you got it.")],
    against: Annotated[
        str | None, typer.Option(metavar="DIR|URL", help="The publication; without it no proof is verified.")
    ] = None,
    user_id: Annotated[str | None, typer.Option(metavar="ID", help="Your id at the exchange.")] = None,
    nonce: Annotated[str | None, typer.Option(metavar="HEX", help="Your nonce, 64 hex digits.")] = None,
    circuit: AcceptedCircuit = None,
    statement_only: StatementOnly = False,
    log_policy: LogPolicy = None,
    json: Json = False,
) -> int:
    """Is my account counted? Checks your bundle or receipt on your own machine; nothing is sent anywhere.

    With --against DIR the publication is verified first, its proof included. A receipt holds statement and log proof
    itself: alone it shows that your account is in that logged statement, and leaves the statement's proof to others.
    Give --user-id and --nonce: an exchange that shows two users one account has to change one of them.
    """
    from verifier.files import read_file
    from verifier.receipt import RECEIPT_BYTES_MAX, check_user_file, claimed_sequence, is_receipt

    output = Output(json)
    require_file(file, "a bundle or a receipt")
    if log_policy is not None:
        require_file(log_policy, "a policy file")
    data = read_file(file, RECEIPT_BYTES_MAX)
    own_nonce = None if nonce is None else _nonce(nonce)
    needing = {"--statement-only": statement_only, "--circuit": circuit, "--log-policy": log_policy}
    for option, value in needing.items():
        if against is None and value and (option == "--statement-only" or not is_receipt(data)):
            raise InputError(field=option, expected="--against DIR with it")
    place = nullcontext(None) if against is None else publication_at(against, output, claimed_sequence(data))
    with place as directory:
        report, compared = check_user_file(
            data, directory, circuit=None if circuit is None else circuit.value, statement_only=statement_only,
            log_policy=log_policy, user_id=user_id, nonce=own_nonce,
        )  # fmt: skip
    shown = report.to_json()
    output.json((compared.extend(shown) if compared else shown) | {"reason": None})
    print_inclusion(report, compared, output)
    return ACCEPTED


def print_inclusion(report: InclusionReport, against: Against | None, output: Output) -> None:
    """The steps, the balances in words, and the verdict."""
    print_steps((*against.steps, *report.steps) if against else report.steps, output)
    output.line(f"Account {report.user_id} at {report.exchange}, sequence {report.sequence}:")
    for balance in report.balances or ("holds and owes nothing",):
        output.line(f"  {balance}")
    if report.worth:
        output.line(f"  in all: {report.worth}")
    if against:
        mood = "good" if against.report else "plain"
        output.line(f"Verdict: included {against.place} {report.statement_digest}", mood=mood)
    else:
        output.line("Verdict: the bundle agrees with itself; add --against DIR to compare it with a publication")


def _nonce(text: str) -> bytes:
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != NONCE_BYTES or len(text) != 2 * NONCE_BYTES:
        raise InputError(field="--nonce", got=text, expected="64 hex digits")
    return raw
