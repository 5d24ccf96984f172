"""`solvent import`: account files become a snapshot, exactly, or not at all."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from api.cli.options import Force, Json
from api.cli.output import ACCEPTED, Output
from prover.errors import InputError

if TYPE_CHECKING:
    from prover.snapshot import Snapshot

INSTRUMENTS_SHOWN: Final = 20

app = typer.Typer(
    help="Turn account files into a snapshot, exactly or not at all. Amounts stay decimal strings until they are "
    "integers; a bad field is named with file, line and column, and then nothing is written."
)

Users = Annotated[list[Path], typer.Option(metavar="FILE..", help="Account files, one or more.")]
Out = Annotated[Path, typer.Option(metavar="SNAP", help="Snapshot directory to make, readable for you only.")]
Exchange = Annotated[str, typer.Option(help="The exchange's name. Part of every account id.")]
Sequence = Annotated[int, typer.Option(help="Number of this snapshot in the exchange's series.")]
Time = Annotated[str | None, typer.Option(metavar="UTC", help="Moment of the snapshot, 2026-11-22T00:00:00Z; default: now.")]
Previous = Annotated[str | None, typer.Option(metavar="HEX", help="Statement digest of the publication before this one.")]
Quote = Annotated[str, typer.Option(help="Currency of the prices.")]
ValueDecimals = Annotated[
    int | None, typer.Option(metavar="V", help="Count value in 10^-V of the quote currency; default: the least exact V.")
]
RoundPrices = Annotated[
    bool, typer.Option("--round-prices", help="Round prices that have too many digits. The statement shows the result.")
]
Nonces = Annotated[
    Path | None, typer.Option(metavar="CSV", help="user_id,nonce: what users' own clients drew (see `solvent nonce`).")
]
LedgerState = Annotated[
    str | None, typer.Option(metavar="HEX", help="Digest of the ledger behind the snapshot; default: of the accounts.")
]
LedgerSalt = Annotated[
    str | None, typer.Option(metavar="HEX", help="Salt of that digest; default: fresh. Keep it secret.")
]


@app.command()
def binance(
    users: Users,
    assets: Annotated[Path, typer.Option(metavar="FILE", help="Token file with prices.")],
    out: Out,
    exchange: Exchange = "binance",
    sequence: Sequence = 0,
    moment: Annotated[Time, typer.Option("--time")] = None,
    previous: Previous = None,
    quote: Quote = "USDT",
    value_decimals: ValueDecimals = None,
    round_prices: RoundPrices = False,
    nonces: Nonces = None,
    ledger_state: LedgerState = None,
    ledger_salt: LedgerSalt = None,
    force: Force = False,
    json: Json = False,
) -> int:
    ...
