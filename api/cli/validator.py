"""`solvent validator`: keys, the list of who may sign, signatures of one state, and the certificate they add up to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from api.cli.options import Force, Json, Publication, require_file, require_free
from api.cli.output import ACCEPTED, Output
from api.cli.publication import StatementOnly, read_against
from api.cli.report import print_steps
from prover.errors import InputError
from prover.files import PUBLIC_MODE, write_whole

if TYPE_CHECKING:
    from api.quorum import State, Validators

KEY_FORMAT: Final = "solvent/validator-key/v1"
SIGNED_FORMAT: Final = "solvent/validator-signed/v1"
SIGNED_SUFFIX: Final = ".signed"
"""Beside a secret key: what it has signed, so that it never signs two states of one sequence."""
SECRET_BYTES: Final = 32
SIGNED_BYTES_MAX: Final = 1 << 26
SIGNED_MAX: Final = 100_000
ORDER: Final = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
"""Of the groups of BLS12-381."""

app = typer.Typer(
    help="Several validators, each with a ledger of its own, sign one state of it. Each runs keygen once and sign for "
    "every snapshot; somebody runs register once and aggregate; everybody can run verify."
)

SecretKey = Annotated[Path, typer.Option("--key", metavar="FILE", help="Secret key: what `keygen` wrote.")]
ValidatorList = Annotated[
    Path,
    typer.Option("--validators", metavar="FILE", help="Who may sign, and how many have to: what `register` wrote."),
]


@app.command()
def keygen(
    name: Annotated[str, typer.Option(metavar="NAME", help="The validator's name, without blanks.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Secret key to write, readable for you only.")],
    registration: Annotated[
        Path, typer.Option(metavar="FILE", help="Public key and proof of possession to write, for `register`.")
    ],
    json: Json = False,
) -> int:
    """Draw a validator's key."""
    from api.quorum import NAME_CHARACTERS_MAX, new_secret, register
    from verifier.canonical import dumps

    output = Output(json)
    require_free(out)
    require_free(registration)
    if not (name.isascii() and name.isprintable() and " " not in name and 1 <= len(name) <= NAME_CHARACTERS_MAX):
        expected = f"1 to {NAME_CHARACTERS_MAX} visible ASCII characters"
        raise InputError(field="--name", got=name, expected=expected)
    secret = new_secret()
    public = register(secret, name)
    write_whole(out, dumps({"format": KEY_FORMAT, "secret_key": secret.to_bytes(SECRET_BYTES, "big").hex()}))
    write_whole(registration, public.to_bytes())
    output.json({"verdict": "drawn", "public_key": public.key.hex(), "secret_key": str(out)})
    output.line(public.key.hex())
    output.note(f"The secret key is in {out}: whoever has it can sign in your name. {registration} is for everybody.")
    return ACCEPTED


@app.command()
def register(
    registrations: Annotated[list[Path], typer.Argument(metavar="FILE..", help="What each validator's keygen wrote.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="List of validators to write.")],
    quorum: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="So many have to sign; default: more than two thirds.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Put validators on a list, after checking that each one knows the secret of its key."""
    from api.quorum import FILE_BYTES_MAX, make_validators, parse_registration
    from verifier.files import read_file

    output = Output(json)
    require_free(out, force)
    for path in registrations:
        require_file(path, "a validator's registration")
    members = [parse_registration(read_file(path, FILE_BYTES_MAX)) for path in registrations]
    validators = make_validators(members, quorum)
    write_whole(out, validators.to_bytes())
    names = [member.name for member in validators.members]
    output.json({"verdict": "registered", "validators": names, "quorum": validators.quorum, "file": str(out)})
    output.line(f"{len(names)} validators, of whom {validators.quorum} have to sign: {', '.join(names)}")
    return ACCEPTED


@app.command()
def sign(
    publication: Publication,
    key: SecretKey,
    ledger_state: Annotated[
        str,
        typer.Option(metavar="HEX", help="State hash that your own ledger has at this sequence (`solvent replay`)."),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Signature to write, for `aggregate`.")],
    statement_only: StatementOnly = False,
    force: Force = False,
    json: Json = False,
) -> int:
    """Sign the state of a publication, after verifying its proof and comparing the ledger's state with your own.

    A key signs one state per exchange and sequence, and remembers which in FILE.signed beside it.
    """
    from api.quorum import State, vote

    output = Output(json)
    secret = _read_secret(key)
    require_free(out, force)
    state = State.of(read_against(publication, None, statement_only).statement)
    own = State(state.exchange, state.sequence, ledger_state, state.root)
    state.require(own, "statement")
    _remember(key.with_name(key.name + SIGNED_SUFFIX), state)
    signed = vote(secret, state)
    write_whole(out, signed.to_bytes())
    output.json({"verdict": "signed", "public_key": signed.key.hex(), "signature": str(out), **state.data()})
    output.line(f"{state.exchange}, sequence {state.sequence}, ledger state {state.ledger_state}: signed into {out}")
    return ACCEPTED


@app.command()
def aggregate(
    signatures: Annotated[list[Path], typer.Argument(metavar="FILE..", help="What each validator's sign wrote.")],
    validators: ValidatorList,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Certificate to write: quorum.json in the publication.")],
    force: Force = False,
    json: Json = False,
) -> int:
    """Add up signatures to one certificate, each checked first."""
    from api.quorum import FILE_BYTES_MAX, parse_vote
    from api.quorum import aggregate as add_up
    from verifier.files import read_file

    output = Output(json)
    require_free(out, force)
    for path in signatures:
        require_file(path, "a validator's signature")
    members = read_validators(validators)
    certificate = add_up([parse_vote(read_file(path, FILE_BYTES_MAX)) for path in signatures], members)
    data = certificate.to_bytes()
    write_whole(out, data, PUBLIC_MODE)  # for everybody to read: it is part of what is published
    output.json({"verdict": "aggregated", "signers": len(certificate.signers), "certificate": str(out)})
    output.line(f"{len(certificate.signers)} signatures, {len(data)} bytes: {out}")
    return ACCEPTED


@app.command()
def verify(
    certificate: Annotated[Path, typer.Argument(metavar="FILE", help="quorum.json.")],
    validators: ValidatorList,
    against: Annotated[Path, typer.Option(metavar="DIR", help="The publication whose state it certifies.")],
    quorum: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="So many have to have signed; default: what the list says.")
    ] = None,
    statement_only: StatementOnly = False,
    json: Json = False,
) -> int:
    """Did enough validators sign this publication's state? Verifies the publication as well.

    In plain Python: about 0.4 s, and as much again for the proof of possession of each signer.
    """
    from api.quorum import FILE_BYTES_MAX, check_quorum
    from verifier.files import read_file

    output = Output(json)
    require_file(certificate, "a quorum certificate")
    members = read_validators(validators)
    compared = read_against(against, None, statement_only)
    data = read_file(certificate, FILE_BYTES_MAX)
    found = check_quorum(data, members, compared.statement, quorum=quorum)
    report = compared.report
    output.json(
        {
            "verdict": "certified" if report else f"certified {compared.place}",
            "reason": None,
            "publication_verdict": report.verdict if report else None,
            **found.to_json(),
        }
    )
    print_steps(compared.steps, output)
    words = f"certified: {found.summary} {compared.place} of {found.state.exchange}, sequence {found.state.sequence}"
    output.line(f"Verdict: {words}", mood="good" if report else "plain")
    return ACCEPTED


def read_validators(path: Path) -> Validators:
    """The list of validators that a person relies on.

    Raises:
        InputError: no such file.
        VerificationError: it does not decode.
    """
    from api.quorum import FILE_BYTES_MAX, parse_validators
    from verifier.files import read_file

    require_file(path, "a list of validators")
    return parse_validators(read_file(path, FILE_BYTES_MAX))


def _read_secret(path: Path) -> int:
    from verifier.canonical import read_document
    from verifier.errors import VerificationError
    from verifier.files import read_file

    require_file(path, "a validator's secret key")
    try:
        top = read_document(read_file(path, 1024), 1024, "key", KEY_FORMAT, ("secret_key",))
        secret = int.from_bytes(top.raw("secret_key", SECRET_BYTES), "big")
    except VerificationError:
        secret = 0  # no word of what is in it: half of a key is a secret, too
    if not 0 < secret < ORDER:
        raise InputError(file=path, got="something else", expected="a secret key that `solvent validator keygen` wrote")
    return secret


def _remember(path: Path, state: State) -> None:
    """Writes down what will be signed, before it is; refuses another state of a sequence that was signed already."""
    from api.quorum import STATE_KEYS, State
    from verifier.canonical import dumps, read_document, refuse
    from verifier.errors import Reason
    from verifier.files import read_file

    states: list[State] = []
    if path.exists():
        top = read_document(read_file(path, SIGNED_BYTES_MAX), SIGNED_BYTES_MAX, "signed", SIGNED_FORMAT, ("states",))
        states = [State.read(item) for item in top.records("states", STATE_KEYS, SIGNED_MAX)]
    for known in states:
        if (known.exchange, known.sequence) == (state.exchange, state.sequence):
            if known != state:
                expected = f"the state that this key signed already: {known.ledger_state}, root {known.root}"
                refuse("statement", expected, f"{state.ledger_state}, root {state.root}", Reason.QUORUM)
            return
    states.append(state)
    write_whole(path, dumps({"format": SIGNED_FORMAT, "states": [each.data() for each in states]}))
