"""Small input files for the importers, written with the one thing changed that a test is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from api.importers.accounts import ImportOptions
from prover.errors import InputError

PROOF = "shards/000000.proof"
Run = Callable[..., tuple[int, str, str]]
Command = Callable[..., tuple[int, Any]]
"""Exit code, standard output and standard error of a command."""

ROOT = Path(__file__).resolve().parents[2]
BINANCE = ROOT / "data" / "binance"
OKX = ROOT / "data" / "okx"
SALT = "11" * 32
TIERS = '"[0-1000:100,1000-2000:90]"'
ASSETS_HEADER = "symbol,usdt_price,loan_tiers_ratio,margin_tiers_ratio,portfolio_tiers_ratio"
ASSETS = f"{ASSETS_HEADER}\nbtc,65100.22,{TIERS},,\neth,3620.5,,,\n"
TOKENS = ("btc", "eth")
PREFIXES = ("e_", "d_", "", "vl_", "m_", "pm_")
INSTRUMENTS = "symbol,kind,decimals,price\nbtc,spot,8,65100.22\nusd,spot,2,1\n"


def options(**changes: Any) -> ImportOptions:
    """Import options that leave nothing to chance or to the clock."""
    return ImportOptions(**({"exchange": "test", "time": "2026-01-02T03:04:05Z", "ledger_salt": SALT} | changes))


def write(path: Path, text: str | bytes) -> Path:
    """Writes a file byte for byte."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def binance_columns(tokens: Sequence[str] = TOKENS) -> list[str]:
    """The header of a users file."""
    groups = [prefix + token for token in tokens for prefix in PREFIXES]
    return ["rn", "id", *groups, "total_net_balance_usdt"]


def binance_row(number: int, name: str, **amounts: str) -> dict[str, str]:
    """One user with zeros except for what is given by column."""
    row = dict.fromkeys(binance_columns(), "0")
    return row | {"rn": str(number), "id": name, "total_net_balance_usdt": "0.0"} | amounts


def binance_users(*rows: Mapping[str, str], columns: Sequence[str] | None = None, end: str = "\n") -> str:
    """A users file."""
    header = list(columns or binance_columns())
    lines = [",".join(header), *(",".join(row[column] for column in header) for row in rows)]
    return "".join(line + end for line in lines)


def refusal(error: InputError, folder: Path) -> str:
    """The line that the user sees, without the test's folder."""
    return str(error).replace(f"{folder}/", "")
