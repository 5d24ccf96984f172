"""`reserves-evidence.json`: the addresses, their signatures and results, and the totals; and `reserves.csv` beside it.

Whoever has the file can check all of it again (`solvent reserves check`). Challenges are not in it: they follow from
exchange, sequence, block and address.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from api.reserves.challenge import Block, Challenge, Challenges, blocks_data, read_addresses, read_blocks
from api.reserves.files import Row, shown_units
from api.reserves.networks import Address
from api.reserves.results import Status
from api.reserves.verify import Report, Result, total, total_data, verify_rows
from prover.errors import InputError
from verifier.canonical import Record, dumps, read_document, refuse
from verifier.errors import BadReserves, Reason
from verifier.instruments import SPOT, Instrument
from verifier.reserves import HEADER
from verifier.reserves_evidence import (
    ADDRESS_KEYS,
    ADDRESSES_MAX,
    DECIMALS,
    EVIDENCE_BYTES_MAX,
    FORMAT,
    INCONCLUSIVE,
    KEYS,
    SIGNATURE_CHARACTERS_MAX,
    SOURCES,
    VERIFIED,
    read_amount,
    read_asset,
)
from verifier.statement import EXCHANGE_CHARACTERS_MAX, units

RESULTS = (VERIFIED, INCONCLUSIVE)


def evidence_bytes(report: Report) -> bytes:
    """Canonical JSON of a report in which nothing failed.

    Raises:
        InputError: longer than a verifier reads.
    """
    data = dumps(
        {
            "format": FORMAT,
            "exchange": report.challenges.exchange,
            "sequence": report.challenges.sequence,
            "balances": report.source,
            "blocks": blocks_data(report.challenges.blocks),
            "addresses": [_address_data(result) for result in report.results],
            "totals": [{"asset": asset, **total_data(parts)} for asset, parts in report.totals.items()],
        }
    )
    if len(data) > EVIDENCE_BYTES_MAX:
        expected = f"at most {EVIDENCE_BYTES_MAX} bytes: fewer addresses, or shorter signatures"
        raise InputError(got=f"evidence of {len(data)} bytes", expected=expected)
    return data


def reserves_bytes(report: Report, instruments: Sequence[Instrument] | None) -> tuple[bytes, tuple[str, ...]]:
    """The file for `solvent prove --reserves`.

    Args:
        instruments: the table that the amounts are for: assets are found whatever their case, and amounts are cut to
            its decimals. None writes every asset in full.

    Returns:
        The file, and the assets that the table does not have, which are left out of it.
    """
    lines, left_out = [HEADER], []
    known = {i.symbol.lower(): i for i in instruments or () if i.kind == SPOT}
    for asset, parts in report.totals.items():
        amount = total(parts)
        if instruments is None:
            lines.append(f"{asset},{shown_units(amount)}")
        elif asset.lower() in known:
            found = known[asset.lower()]
            lines.append(f"{found.symbol},{units(amount // 10 ** (DECIMALS - found.decimals), found.decimals)}")
        else:
            left_out.append(asset)
    return ("\n".join(lines) + "\n").encode("ascii"), tuple(left_out)


def check_again(data: bytes) -> Report:
    """Verify every signature of a published file again; the file has to be what comes out.

    Balances are taken from it: who asks nodes of their own runs `verify` on the list.

    Raises:
        VerificationError: it does not decode, or its results or totals are others than those that follow.
    """
    top = read_document(data, EVIDENCE_BYTES_MAX, "reserves-evidence", FORMAT, KEYS)
    blocks = read_blocks(top)
    known = {block.network.name: block for block in blocks}
    items = top.records("addresses", ADDRESS_KEYS, ADDRESSES_MAX)
    addresses = read_addresses(items, blocks)
    exchange, sequence = top.text("exchange", EXCHANGE_CHARACTERS_MAX), top.integer("sequence", 0, 2**53 - 1)
    challenges = Challenges.make(exchange, sequence, blocks, addresses)
    rows = [
        _row(line, item, Challenge(exchange, sequence, known[network.name], address))
        for line, (item, (network, address)) in enumerate(zip(items, addresses, strict=True), start=1)
    ]
    open_lines = {row.line for row, item in zip(rows, items, strict=True) if item.choice("result", RESULTS) != VERIFIED}
    report = verify_rows(rows, challenges, _Published(top.choice("balances", SOURCES), open_lines))
    for result in report.of(Status.FAILED):
        where = f"reserves-evidence.addresses[{result.row.line - 1}] {result.row.address}"
        raise BadReserves(Reason.SIGNATURE, f"{where}: {result.outcome.reason}", field=where)
    if evidence_bytes(report) != data:
        expected = "the results and totals that follow from its signatures"
        refuse("reserves-evidence", expected, "others", Reason.RESERVES)
    return report


class _Published:
    """The balances of a published file. What its source left open stays open: from here nobody can tell."""

    def __init__(self, name: str, open_lines: Collection[int]) -> None:
        self.name = name
        self._open = open_lines

    def balances(self, block: Block, wanted: Sequence[tuple[Row, Address]]) -> list[int | None]:
        return [None if row.line in self._open else row.amount for row, _ in wanted]


def _address_data(result: Result) -> dict[str, object]:
    row, outcome = result.row, result.outcome
    first, second = (*row.signatures, None, None)[:2]
    owner1, owner2 = (*row.owners, None, None)[:2]
    return {
        "asset": row.asset,
        "network": row.network.name,
        "address": row.address if result.address is None else result.address.text,
        "amount": shown_units(row.amount),
        "signature1": first,
        "signature2": second,
        "public_key": row.public_key or None,
        "owner1": owner1,
        "owner2": owner2,
        "staked": row.staked or None,
        "scheme": outcome.scheme or None,
        "result": outcome.status.value,
        "reason": outcome.reason or None,
    }


def _row(line: int, item: Record, challenge: Challenge) -> Row:
    def present(*keys: str) -> tuple[str, ...]:
        return tuple(item.text(key, SIGNATURE_CHARACTERS_MAX) for key in keys if not item.is_null(key))

    return Row(
        line=line,
        asset=read_asset(item),
        network=challenge.block.network,
        height=challenge.block.height,
        address=challenge.address.text,
        amount=read_amount(item),
        message=challenge.text,
        signatures=present("signature1", "signature2"),
        public_key="".join(present("public_key")),
        owners=present("owner1", "owner2"),
        staked="".join(present("staked")),
    )
