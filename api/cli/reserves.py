"""`solvent reserves`: what addresses have to sign, whether they did, and what they hold in all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from api.cli.options import Force, Json, require_directory, require_file, require_free
from api.cli.output import ACCEPTED, REJECTED, Output
from prover.errors import InputError
from prover.files import write_whole

if TYPE_CHECKING:
    from api.reserves.balances import BalanceSource
    from api.reserves.challenge import Block
    from api.reserves.nodes import Token
    from api.reserves.verify import Report
    from verifier.instruments import Instrument

RESERVES_FILE: Final = "reserves.csv"
EVIDENCE_FILE: Final = "reserves-evidence.json"
SHOWN_MAX: Final = 50
"""Addresses that are verified are listed up to this many; all others always are."""
TOKEN_DECIMALS_MAX: Final = 30
_TOKEN = re.compile(r"([^@=]{1,32})@([^@=]{1,32})=0x([0-9a-fA-F]{40}):([0-9]{1,2})")

app = typer.Typer(
    help="Reserves with signatures. The exchange runs challenge, lets each address's key sign, and runs verify "
    "on the list with signatures; whoever wants to know runs verify or check again."
)

AddressList = Annotated[
    Path, typer.Argument(metavar="FILE", help="CSV with coin, network, height, address, amount, message, signatures.")
]
Blocks = Annotated[
    list[str],
    typer.Option("--block", metavar="NET=HEIGHT:HASH", help="Block of each network, e.g. BTC=870000:00.."),
]
Nodes = Annotated[
    list[str] | None,
    typer.Option("--node", metavar="NET=URL", help="Take balances from this node (Bitcoin Core, Ethereum clients)."),
]
Tokens = Annotated[
    list[str] | None,
    typer.Option("--token", metavar="ASSET@NET=0x..:DECIMALS", help="Contract of a token, for --node."),
]
Balances = Annotated[
    Path | None,
    typer.Option(metavar="CSV", help="Take balances from it: coin, network, height, address, amount."),
]
Snapshot = Annotated[
    Path | None,
    typer.Option(metavar="SNAP", help="The snapshot that this is for: its exchange, sequence and table of assets."),
]
Against = Annotated[
    Path | None, typer.Option(metavar="DIR", help="The publication that this is for, instead of a snapshot.")
]


@app.command()
def challenge(
    addresses: Annotated[Path, typer.Argument(metavar="FILE", help="CSV with at least coin, network and address.")],
    exchange: Annotated[str, typer.Option(metavar="NAME", help="The exchange's name in its statements.")],
    sequence: Annotated[int, typer.Option(metavar="N", min=0, max=2**53 - 1, help="The snapshot's sequence.")],
    block: Blocks,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Challenges to write (JSON).")],
    force: Force = False,
    json: Json = False,
) -> int:
    """Write the line that each address has to sign: bound to exchange, snapshot, block and address.

    Wallets sign `message` (Bitcoin: BIP-322, or signmessage where it fits; Ethereum: personal_sign; Ed25519: the bytes)
    or `typed_data` (eth_signTypedData_v4).
    """
    from api.reserves.challenge import Challenges
    from api.reserves.files import read_addresses
    from api.reserves.networks import decode_address
    from api.reserves.results import Undecodable
    from verifier.statement import EXCHANGE_CHARACTERS_MAX

    output = Output(json)
    require_file(addresses, "an address list")
    require_free(out, force)
    if not exchange.isprintable() or not 1 <= len(exchange) <= EXCHANGE_CHARACTERS_MAX:
        expected = f"1 to {EXCHANGE_CHARACTERS_MAX} printable characters"
        raise InputError(field="--exchange", got=exchange, expected=expected)
    blocks = _blocks(block)
    wanted = []
    for line, network, text, staked in read_addresses(addresses):
        try:
            wanted.append((network, decode_address(network, text, staked=staked)))
        except Undecodable as error:
            raise InputError(file=addresses, row=line, field="address", got=text, expected=str(error)) from None
        if network.name not in blocks:
            expected = f"--block {network.name}=HEIGHT:HASH for it"
            raise InputError(file=addresses, row=line, field="network", got=network.name, expected=expected)
    challenges = Challenges.make(exchange, sequence, blocks.values(), wanted)
    data = challenges.to_bytes()
    write_whole(out, data)
    count = len(challenges.addresses)
    output.json({"verdict": "challenged", "challenges": str(out), "addresses": count, "bytes": len(data)})
    output.line(f"{count} challenges for {exchange}, sequence {sequence}, written to {out}.")
    output.line(f"Next, with the signed list: solvent reserves verify LIST --challenge {out} --out FOLDER")
    return ACCEPTED


@app.command()
def verify(
    file: AddressList,
    challenges: Annotated[Path, typer.Option("--challenge", metavar="FILE", help="What `challenge` wrote.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where reserves.csv and reserves-evidence.json go.")
    ] = None,
    balances: Balances = None,
    node: Nodes = None,
    token: Tokens = None,
    snapshot: Snapshot = None,
    against: Against = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Did the key of every address sign its challenge, and what do they hold together?

    Only verified addresses count. If one fails, the list is rejected and nothing is written. Without --balances and
    --node what an address holds is the list's own figure: a signature says whose it is, not how much is there.
    """
    from api.reserves.challenge import CHALLENGES_BYTES_MAX, parse_challenges
    from api.reserves.evidence import evidence_bytes, reserves_bytes
    from api.reserves.files import read_rows
    from api.reserves.verify import verify_rows
    from verifier.files import read_file

    output = Output(json)
    require_file(file, "an address list")
    require_file(challenges, "challenges")
    asked = parse_challenges(read_file(challenges, CHALLENGES_BYTES_MAX))
    table = _table(snapshot, against, asked.exchange, asked.sequence, challenges)
    rows, source = read_rows(file), _source(balances, node, token)
    with output.progress() as progress:
        report = verify_rows(rows, asked, source, progress)
    reserves, left_out = reserves_bytes(report, table)
    written: dict[str, str] = {}
    if out is not None and report.accepted:
        out.mkdir(parents=True, exist_ok=True)
        for name in (RESERVES_FILE, EVIDENCE_FILE):
            require_free(out / name, force)
            written[name] = str(out / name)
        write_whole(out / EVIDENCE_FILE, evidence_bytes(report))
        write_whole(out / RESERVES_FILE, reserves)
    output.json(_data(report) | {"left_out": list(left_out), "files": written})
    _print(report, output)
    if left_out:
        output.line(f"Not in the table of assets, so not in {RESERVES_FILE}: {', '.join(left_out)}")
    if written:
        options = f"--reserves {written[RESERVES_FILE]} --reserves-evidence {written[EVIDENCE_FILE]}"
        output.line(f"Next: solvent prove SNAP {options} --out DIR")
    return ACCEPTED if report.accepted else REJECTED


@app.command()
def check(
    evidence: Annotated[Path, typer.Argument(metavar="FILE", help="reserves-evidence.json, or a publication.")],
    json: Json = False,
) -> int:
    """Verify every signature of published reserves again; in a publication, also that the verdict used them."""
    from api.reserves.evidence import check_again
    from verifier.files import read_file
    from verifier.report import read_statement
    from verifier.reserves import RESERVES_BYTES_MAX
    from verifier.reserves_evidence import EVIDENCE_BYTES_MAX, check_reserves_evidence

    output = Output(json)
    path = evidence / EVIDENCE_FILE if evidence.is_dir() else evidence
    require_file(path, "reserves with signatures")
    data = read_file(path, EVIDENCE_BYTES_MAX)
    report = check_again(data)
    if evidence.is_dir():
        reserves = read_file(evidence / RESERVES_FILE, RESERVES_BYTES_MAX)
        check_reserves_evidence(data, reserves, read_statement(evidence))
    output.json(_data(report))
    _print(report, output)
    return ACCEPTED


def _data(report: Report) -> dict[str, Any]:
    from api.reserves.files import shown_units
    from api.reserves.results import Status
    from api.reserves.verify import total_data

    return {
        "verdict": "reserves signed" if report.accepted else "rejected",
        "reason": None if report.accepted else "signature",
        "exchange": report.challenges.exchange,
        "sequence": report.challenges.sequence,
        "balances": report.source,
        "counts": {status.value: len(report.of(status)) for status in Status},
        "addresses": [
            {
                "line": result.row.line,
                "asset": result.row.asset,
                "network": result.row.network.name,
                "address": result.row.address,
                "amount": shown_units(result.row.amount),
                "result": result.outcome.status.value,
                "scheme": result.outcome.scheme or None,
                "reason": result.outcome.reason or None,
            }
            for result in report.results
        ],
        "totals": {asset: total_data(parts) for asset, parts in report.totals.items()},
    }


def _print(report: Report, output: Output) -> None:
    from api.reserves.files import shown_units
    from api.reserves.results import Status

    verified = report.of(Status.VERIFIED)
    folded = {id(result) for result in verified[SHOWN_MAX:]}
    rows = [
        (str(r.row.line), r.outcome.status.value, f"{shown_units(r.row.amount)} {r.row.asset}", r.row.network.name,
         r.row.address, ": ".join(part for part in (r.outcome.scheme, r.outcome.reason) if part))
        for r in report.results
        if id(r) not in folded
    ]  # fmt: skip
    output.table(("line", "result", "amount", "network", "address", "how, or why not"), rows, right=("line", "amount"))
    if folded:
        output.line(f"and {len(folded)} more that are verified (--json has each)")
    parts = [
        (asset, shown_units(p.amount), str(p.addresses), p.block.network.name, str(p.block.height), p.block.hash)
        for asset, of_asset in report.totals.items()
        for p in of_asset
    ]
    output.line("Totals of verified addresses:" if parts else "No address is verified: nothing counts")
    columns = ("asset", "amount", "addresses", "network", "height", "block")
    output.table(columns, parts, right=("amount", "addresses", "height"))
    if report.source == "claimed":
        output.line("What the addresses hold is the list's own figure: nobody was asked (--balances, --node)")
    counts = ", ".join(f"{len(report.of(status))} {status.value}" for status in Status)
    verdict = "reserves signed" if report.accepted else "rejected"
    output.line(f"Verdict: {verdict} ({counts})", mood="good" if report.accepted else "bad")


def _blocks(texts: list[str]) -> dict[str, Block]:
    from api.reserves.challenge import make_block
    from api.reserves.networks import network_of
    from api.reserves.results import Undecodable
    from verifier.reserves_evidence import HEIGHT_MAX

    out: dict[str, Block] = {}
    for text in texts:
        name, _, rest = text.partition("=")
        height, _, digest = rest.partition(":")
        try:
            if not (height.isascii() and height.isdigit() and len(height) < 16 and int(height) <= HEIGHT_MAX):
                raise Undecodable("NETWORK=HEIGHT:HASH")
            block = make_block(network_of(name), int(height), digest)
        except Undecodable as error:
            raise InputError(field="--block", got=text, expected=str(error)) from None
        if block.network.name in out:
            raise InputError(field="--block", got=text, expected="each network once")
        out[block.network.name] = block
    return out


def _source(balances: Path | None, node: list[str] | None, token: list[str] | None) -> BalanceSource:
    from api.reserves.balances import Claimed, FileBalances
    from api.reserves.nodes import NodeBalances

    if balances is not None and node:
        raise InputError(field="--node", expected="--balances or --node, not both")
    if token and not node:
        raise InputError(field="--token", expected="--node with it")
    if balances is not None:
        require_file(balances, "a CSV file of balances")
        return FileBalances(balances)
    return NodeBalances(_urls(node), _tokens(token or [])) if node else Claimed()


def _urls(texts: list[str]) -> Mapping[str, str]:
    from api.reserves.networks import network_of
    from api.reserves.results import Undecodable

    urls: dict[str, str] = {}
    for text in texts:
        name, _, url = text.partition("=")
        try:
            name = network_of(name).name
        except Undecodable:
            raise InputError(field="--node", got=name, expected="NETWORK=URL") from None
        if name in urls or not url:
            raise InputError(field="--node", got=name, expected="NETWORK=URL, each network once")
        urls[name] = url
    return urls


def _tokens(texts: list[str]) -> Mapping[tuple[str, str], Token]:
    from api.reserves.networks import network_of
    from api.reserves.nodes import Token
    from api.reserves.results import Undecodable

    tokens: dict[tuple[str, str], Token] = {}
    for text in texts:
        match = _TOKEN.fullmatch(text)
        try:
            key = None if match is None else (match[1].upper(), network_of(match[2]).name)
        except Undecodable:
            key = None
        if match is None or key is None or key in tokens or int(match[4]) > TOKEN_DECIMALS_MAX:
            expected = f"ASSET@NETWORK=0x(40 hex digits):DECIMALS, each once, at most {TOKEN_DECIMALS_MAX} decimals"
            raise InputError(field="--token", got=text, expected=expected)
        tokens[key] = Token(bytes.fromhex(match[3]), int(match[4]))
    return tokens


def _table(
    snapshot: Path | None, against: Path | None, exchange: str, sequence: int, challenges: Path
) -> tuple[Instrument, ...] | None:
    """The table of assets, of the snapshot or publication that these challenges are for."""
    from verifier.report import read_statement

    if snapshot is not None and against is not None:
        raise InputError(field="--against", expected="--snapshot or --against, not both")
    if snapshot is not None:
        from prover.snapshot import Snapshot

        require_directory(snapshot, "a snapshot directory")
        meta = Snapshot.load(snapshot).meta
        found = (meta.exchange, meta.sequence, meta.instruments)
    elif against is not None:
        require_directory(against, "a publication directory")
        statement = read_statement(against)
        found = (statement.exchange, statement.sequence, statement.instruments)
    else:
        return None
    if found[:2] != (exchange, sequence):
        got, expected = f"challenges of {exchange}, sequence {sequence}", f"{found[0]}, sequence {found[1]}"
        raise InputError(file=challenges, got=got, expected=expected)
    return tuple(found[2])
