"""`solvent import`: account files become a snapshot, exactly, or not at all."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable
from collections.abc import Sequence as Items
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from api.cli.options import Force, Json, require_free
from api.cli.output import ACCEPTED, Output
from prover.errors import InputError
from prover.files import write_whole
from verifier.statement import units

if TYPE_CHECKING:
    from api.importers.accounts import ImportLog, InvalidUser
    from prover.snapshot import Snapshot

INSTRUMENTS_SHOWN: Final = 20
DROPPED_SUFFIX: Final = ".invalid.csv"
_NUMBERS: Final = ("held by users", "owed by users", "net")


class InvalidUsers(StrEnum):
    """The same as `api.importers.binance.Invalid`, which takes long to import."""

    REFUSE = "refuse"
    DROP = "drop"
    KEEP = "keep"


app = typer.Typer(
    help="Turn account files into a snapshot, exactly or not at all. Amounts stay decimal strings until they are "
    "integers; a bad field is named with file, line and column, and then nothing is written."
)

Users = Annotated[list[Path], typer.Option(metavar="FILE..", help="Account files, one or more.")]
Out = Annotated[Path, typer.Option(metavar="SNAP", help="Snapshot directory to make, readable for you only.")]
Exchange = Annotated[str, typer.Option(metavar="NAME", help="The exchange's name. Part of every account id.")]
Sequence = Annotated[int, typer.Option(metavar="N", help="Number of this snapshot in the exchange's series.")]
Time = Annotated[
    str | None,
    typer.Option("--time", metavar="UTC", help="Moment of the snapshot, 2026-11-22T00:00:00Z; default: now."),
]
Previous = Annotated[
    str | None, typer.Option(metavar="HEX", help="Statement digest of the publication before; default: zeros, none.")
]
Quote = Annotated[str, typer.Option(metavar="NAME", help="Currency of the prices.")]
ValueDecimals = Annotated[
    int | None,
    typer.Option(metavar="V", help="Count value in 10^-V of the quote currency; default: exact if it can be."),
]
ExactPrices = Annotated[
    bool, typer.Option("--exact-prices", help="Refuse prices with too many digits instead of rounding them.")
]
Nonces = Annotated[
    Path | None, typer.Option(metavar="CSV", help="user_id,nonce: what users' own clients drew (`solvent nonce`).")
]
LedgerState = Annotated[
    str | None, typer.Option(metavar="HEX", help="Digest of the ledger behind it; default: a digest of the accounts.")
]
LedgerSalt = Annotated[
    str | None, typer.Option(metavar="HEX", help="Secret salt of the default ledger state; default: a fresh one.")
]


@app.command()
def binance(
    users: Users,
    assets: Annotated[Path, typer.Option(metavar="FILE", help="Token file with prices.")],
    out: Out,
    invalid: Annotated[
        InvalidUsers,
        typer.Option(
            help="Users whose collateral exceeds their equity, or whose debts exceed their haircut collateral: refuse "
            "the files; drop them, as Binance's tool does, and list them in SNAP.invalid.csv: they are not counted; or "
            "keep those with too much debt, for --policy disclosed."
        ),
    ] = InvalidUsers.REFUSE,
    equity_only: Annotated[
        bool, typer.Option("--equity-only", help="Leave collateral out: smaller and faster proofs, of equity only.")
    ] = False,
    exchange: Exchange = "binance",
    sequence: Sequence = 0,
    moment: Time = None,
    previous: Previous = None,
    quote: Quote = "USDT",
    value_decimals: ValueDecimals = None,
    exact_prices: ExactPrices = False,
    nonces: Nonces = None,
    ledger_state: LedgerState = None,
    ledger_salt: LedgerSalt = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Binance's CSV: rn,id,e_btc,d_btc,btc,vl_btc,m_btc,pm_btc, ...

    Equity (e_) becomes what a user holds, debt (d_) what they owe. Of the equity, vl_, m_ and pm_ are collateral
    for loans, margin and portfolio margin, with the haircuts of the token file; what is left is free and backs no debt.
    """
    from api.importers.accounts import ImportOptions
    from api.importers.binance import Invalid, import_binance

    if equity_only and invalid is not InvalidUsers.REFUSE:
        raise InputError(field="--invalid", got=invalid.value, expected="no --equity-only with it: no collateral then")

    options = ImportOptions(
        exchange=exchange,
        sequence=sequence,
        time=moment,
        previous=previous,
        quote=quote,
        value_decimals=value_decimals,
        exact_prices=exact_prices,
        nonces=nonces,
        ledger_state=ledger_state,
        ledger_salt=ledger_salt,
    )
    how = Invalid(invalid.value)
    return _save(
        lambda: import_binance(users, assets, options, equity_only=equity_only, invalid=how),
        options.log, out, force, Output(json),
    )  # fmt: skip


@app.command()
def okx(
    users: Users,
    out: Out,
    prices: Annotated[
        Path | None, typer.Option(metavar="CSV", help="symbol,decimals,price; default: every price is 1, decimals 0.")
    ] = None,
    exchange: Exchange = "okx",
    sequence: Sequence = 0,
    moment: Time = None,
    previous: Previous = None,
    quote: Annotated[
        str | None, typer.Option(metavar="NAME", help="Currency of the prices; default: USDT, or ATOMS without prices.")
    ] = None,
    value_decimals: ValueDecimals = None,
    exact_prices: ExactPrices = False,
    nonces: Nonces = None,
    ledger_state: LedgerState = None,
    ledger_salt: LedgerSalt = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """OKX's JSON, second version: a list of {"id": .., "assets": {SYMBOL: "whole number"}}.

    Positive amounts become what a user holds, negative ones what they owe. Without prices every asset counts 1
    per atom: good for trying the mechanism, meaningless as money.
    """
    from api.importers.accounts import ImportOptions
    from api.importers.okx import import_okx

    options = ImportOptions(
        exchange=exchange,
        sequence=sequence,
        time=moment,
        previous=previous,
        quote=quote if quote is not None else "ATOMS" if prices is None else "USDT",
        value_decimals=value_decimals,
        exact_prices=exact_prices,
        nonces=nonces,
        ledger_state=ledger_state,
        ledger_salt=ledger_salt,
    )
    return _save(lambda: import_okx(users, prices, options), options.log, out, force, Output(json))


@app.command()
def table(
    accounts: Annotated[
        Path, typer.Option(metavar="FILE", help="user_id,nonce,asset,side,bucket,amount: .csv, .parquet or .arrow.")
    ],
    instruments: Annotated[
        Path,
        typer.Option(metavar="FILE", help="symbol,kind,decimals,price as .csv, or .json with buckets and margins."),
    ],
    exchange: Exchange,
    out: Out,
    sequence: Sequence = 0,
    moment: Time = None,
    previous: Previous = None,
    quote: Quote = "USDT",
    value_decimals: ValueDecimals = None,
    exact_prices: ExactPrices = False,
    ledger_state: LedgerState = None,
    ledger_salt: LedgerSalt = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Solvent's own format: one row per user, asset, side and bucket.

    Side is long (holds, or has bought) or short (owes, or has sold). The columns nonce and bucket may be missing or
    empty. A perpetual is two rows: its size, and the money paid for it on the other side of a cost-basis instrument.
    See docs/formats.md.
    """
    from api.importers.accounts import ImportOptions
    from api.importers.table import import_table

    options = ImportOptions(
        exchange=exchange,
        sequence=sequence,
        time=moment,
        previous=previous,
        quote=quote,
        value_decimals=value_decimals,
        exact_prices=exact_prices,
        ledger_state=ledger_state,
        ledger_salt=ledger_salt,
    )
    return _save(lambda: import_table(accounts, instruments, options), options.log, out, force, Output(json))


def _save(read: Callable[[], Snapshot], log: ImportLog, out: Path, force: bool, output: Output) -> int:
    """Reads, writes, and says what was read."""
    dropped = out.with_name(out.name + DROPPED_SUFFIX)
    if out.exists() and not force:  # before minutes of reading; `write` decides
        raise InputError(file=out, got="something that exists", expected="a path that does not exist, or --force")
    require_free(dropped, force)
    started = time.perf_counter()
    snapshot = read()
    snapshot.write(out, overwrite=force)
    if log.dropped:
        write_whole(dropped, _dropped_csv(log.dropped))
    else:
        dropped.unlink(missing_ok=True)  # of an earlier import
    seconds = time.perf_counter() - started
    _say(snapshot, log, dropped, out, seconds, output)
    return ACCEPTED


def _dropped_csv(dropped: Items[InvalidUser]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "row", "user_id", "reason"))
    writer.writerows((user.file, user.row, user.user_id, user.reason) for user in dropped)
    return text.getvalue().encode()


def _say(snapshot: Snapshot, log: ImportLog, dropped: Path, out: Path, seconds: float, output: Output) -> None:
    meta, totals = snapshot.meta, snapshot.totals()
    rows = [
        (i.symbol, units(long, i.decimals), units(short, i.decimals), units(long - short, i.decimals))
        for i, (long, short) in zip(meta.instruments, totals, strict=True)
    ]
    output.json(
        {
            "verdict": "imported",
            "snapshot": str(out),
            "exchange": meta.exchange,
            "sequence": meta.sequence,
            "time": meta.time,
            "accounts": meta.accounts,
            "entries": meta.entries,
            "client_nonces": int(snapshot.has_nonce.sum()),
            "instruments": len(meta.instruments),
            "value": {"quote": meta.quote, "decimals": meta.value_decimals},
            "ledger_state": meta.ledger_state,
            "oracle_evidence": meta.oracle_evidence,
            "totals": [dict(zip(("symbol", "long", "short", "net"), row, strict=True)) for row in rows],
            "rounded_prices": 0 if log.prices is None else log.prices.rounded,
            "largest_rounding": 0.0 if log.prices is None else float(log.prices.largest_error),
            "dropped": len(log.dropped),
            "dropped_list": str(dropped) if log.dropped else None,
            "seconds": seconds,
        }
    )
    output.line(f"{meta.exchange}, sequence {meta.sequence}, {meta.time}")
    output.line(f"{meta.accounts} accounts with {meta.entries} entries, {int(snapshot.has_nonce.sum())} client nonces")
    if log.dropped:
        line = f"{len(log.dropped)} invalid users are NOT in this snapshot and will NOT be counted: see {dropped}"
        output.line(line, mood="bad")
    if log.prices is not None and log.prices.rounded:
        largest = f"{float(log.prices.largest_error):.1e} of the price, {log.prices.worst}"
        output.line(
            f"{log.prices.rounded} of {len(rows)} prices rounded, by at most {largest} (--exact-prices refuses)"
        )
    used = [row for row in rows if row[1:3] != ("0", "0")]
    if len(used) < len(rows):
        output.line(f"{len(rows)} instruments, {len(rows) - len(used)} of them without balances")
    output.table(("asset", "held by users", "owed by users", "net"), used[:INSTRUMENTS_SHOWN], _NUMBERS)
    if len(used) > INSTRUMENTS_SHOWN:
        output.line(f"and {len(used) - INSTRUMENTS_SHOWN} more (--json has all)")
    output.line(f"Snapshot written to {out} in {seconds:.1f} s. Next: solvent prove {out} --out DIR")
