"""`solvent prices`: sources sign their quotes, an exchange collects them, and anybody checks what follows."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.options import Force, Json, require_directory, require_file, require_free
from api.cli.output import ACCEPTED, Output
from prover.errors import InputError
from prover.files import write_whole
from verifier.errors import VerificationError

if TYPE_CHECKING:
    from api.importers.csv_files import CsvFile
    from verifier.prices import PriceEvidence
    from verifier.quotes import Source

COLUMNS = (("symbol", "price"), ("symbol", "usdt_price"), ("token", "asset_usdt_price"))
"""Symbol and price in the instrument files that `solvent import` reads."""

app = typer.Typer(
    help="Signed quotes of several sources, from which the prices of a statement follow. Each source runs keygen once "
    "and sign for every quote; the exchange runs assemble, fill and then import, and gives the file to prove."
)

Evidence = Annotated[Path, typer.Argument(metavar="FILE", help="A price file: what `assemble` wrote.")]
TrustedSources = Annotated[
    Path | None,
    typer.Option(
        "--sources", metavar="FILE", help="The sources you rely on: name, public key and weight, one line each."
    ),
]
Time = Annotated[
    str | None, typer.Option("--time", metavar="UTC", help="Moment, like 2026-11-22T00:00:00Z; default: now.")
]
Quote = Annotated[str, typer.Option(metavar="NAME", help="Currency of the prices.")]


@app.command()
def keygen(
    out: Annotated[Path, typer.Option(metavar="FILE", help="Private key to write (PEM), readable for you only.")],
    json: Json = False,
) -> int:
    """Draw a source's key. The public key printed is what exchanges and auditors list; keep the file secret."""
    from prover.prices import load_key, new_key, public_key

    output = Output(json)
    require_free(out)
    write_whole(out, new_key())
    key = public_key(load_key(out)).hex()
    output.json({"verdict": "drawn", "public_key": key, "private_key": str(out)})
    output.line(key)
    output.note(f"The private key is in {out}: whoever has it can sign quotes in your name.")
    return ACCEPTED


@app.command()
def sign(
    prices: Annotated[Path, typer.Argument(metavar="CSV", help="symbol,price: whole units of the quote currency.")],
    key: Annotated[Path, typer.Option(metavar="FILE", help="Private key of the source.")],
    source: Annotated[str, typer.Option(metavar="NAME", help="Name of the source, without blanks.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Signed quotes to write.")],
    quote: Quote = "USDT",
    moment: Time = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Sign all quotes of one source at one moment."""
    from prover.prices import load_key, sign_quotes

    output = Output(json)
    require_file(prices, "a CSV file symbol,price")
    require_free(out, force)
    rows = _read_prices(prices)
    try:
        signed = sign_quotes(load_key(key), source, quote, moment or _now(), rows)
    except VerificationError as error:
        raise _as_option(error) from None
    write_whole(out, signed.to_bytes())
    output.json(
        {
            "verdict": "signed",
            "source": signed.source,
            "quote": signed.quote,
            "time": signed.time,
            "public_key": signed.key.hex(),
            "prices": len(signed.prices),
            "signed_quotes": str(out),
        }
    )
    output.line(f"{len(signed.prices)} prices in {signed.quote} at {signed.time}, signed by {signed.source}: {out}")
    return ACCEPTED


@app.command()
def assemble(
    quotes: Annotated[list[Path], typer.Argument(metavar="FILE..", help="Signed quotes, one file per source.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Price file to write.")],
    sources: TrustedSources = None,
    age_max: Annotated[int, typer.Option(metavar="S", help="Quotes may be this many seconds old.")] = 300,
    deviation_max: Annotated[
        int, typer.Option(metavar="BP", help="Quotes count within this many basis points of the median.")
    ] = 100,
    sources_min: Annotated[int, typer.Option(metavar="N", help="So many sources have to count, per instrument.")] = 3,
    force: Force = False,
    json: Json = False,
) -> int:
    """Put several sources' quotes into one price file. With --sources their weights and keys are those listed."""
    from prover.prices import assemble as assembled
    from verifier.files import read_file
    from verifier.prices import Rules
    from verifier.quotes import SIGNED_QUOTES_BYTES_MAX, parse_signed_quotes

    output = Output(json)
    require_free(out, force)
    listed = _read_sources(sources)
    signed = []
    for path in quotes:
        require_file(path, "signed quotes")
        try:
            signed.append(parse_signed_quotes(read_file(path, SIGNED_QUOTES_BYTES_MAX)))
        except VerificationError as error:
            raise InputError(file=path, got=str(error), expected="signed quotes") from None
        name, key = signed[-1].source, signed[-1].key
        if listed is not None and (name not in listed or listed[name].key != key):
            got = f"quotes of {name} under {key.hex()}"
            raise InputError(file=path, got=got, expected=f"a source that {sources} lists, with its key")
    weights = {name: source.weight for name, source in (listed or {}).items()}
    try:
        data = assembled(signed, weights, Rules(age_max, deviation_max, sources_min))
    except VerificationError as error:
        raise _as_option(error) from None
    write_whole(out, data)
    names = sorted(each.source for each in signed)
    output.json({"verdict": "assembled", "prices": str(out), "bytes": len(data), "sources": names})
    output.line(
        f"{len(names)} sources in {out}: {', '.join(names)}. Next: solvent prices fill, or solvent prices check"
    )
    return ACCEPTED


@app.command()
def fill(
    instruments: Annotated[
        Path, typer.Argument(metavar="CSV", help="An instrument or token file as `solvent import` reads it.")
    ],
    prices: Annotated[Path, typer.Option(metavar="FILE", help="A price file: what `assemble` wrote.")],
    out: Annotated[Path, typer.Option(metavar="CSV", help="The same file with the medians as prices.")],
    quote: Quote = "USDT",
    moment: Time = None,
    sources: TrustedSources = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Write the median of each instrument into an instrument file, so that what is imported follows from the quotes."""
    from verifier.files import read_file
    from verifier.prices import ONE, PRICES_BYTES_MAX, agree, is_one, parse_evidence
    from verifier.quotes import PRICE_DECIMALS
    from verifier.statement import units

    output = Output(json)
    require_file(instruments, "an instrument file")
    require_file(prices, "a price file")
    require_free(out, force)
    table, symbol, price = _price_columns(instruments)
    rows = [row for _, row in table.rows()]
    wanted = [row[symbol] for row in rows if not is_one(row[symbol], row.get("kind", ""), quote)]
    at = moment or _now()
    try:
        evidence = parse_evidence(read_file(prices, PRICES_BYTES_MAX))
        checks, stale = agree(evidence, quote, _checked_time(at), wanted, _read_sources(sources))
    except VerificationError as error:
        raise InputError(file=prices, got=str(error), expected="quotes for every instrument") from None
    medians = {check.symbol: check.price for check in checks}
    text = io.StringIO()
    writer = csv.DictWriter(text, table.header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | {price: units(medians.get(row[symbol], ONE), PRICE_DECIMALS)} for row in rows)
    write_whole(out, text.getvalue().encode())
    shown = {"verdict": "filled", "instruments": str(out), "time": at, "quoted": len(wanted), "stale": list(stale)}
    output.json(shown)
    output.line(f"{len(wanted)} prices at {at} written to {out}. Next: solvent import .. --time {at}")
    return ACCEPTED


@app.command()
def check(
    prices: Evidence,
    against: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A publication, whose statement names it.")
    ] = None,
    snapshot: Annotated[
        Path | None, typer.Option(metavar="SNAP", help="A snapshot that is still to be proved.")
    ] = None,
    sources: TrustedSources = None,
    json: Json = False,
) -> int:
    """Do the prices of a statement follow from signed quotes? Names the spread and what was dropped.

    Without --sources this shows only that the file agrees with itself: whoever made it may have made the keys. The
    proof in DIR is not looked at: `solvent verify` does that.
    """
    from prover.snapshot import Snapshot
    from verifier.files import read_file
    from verifier.prices import PRICES_BYTES_MAX, check_evidence, check_prices
    from verifier.report import read_statement

    output = Output(json)
    require_file(prices, "a price file")
    if (against is None) == (snapshot is None):
        raise InputError(field="--against", expected="--against DIR or --snapshot SNAP")
    trusted = _read_sources(sources)
    data = read_file(prices, PRICES_BYTES_MAX)
    if against is not None:
        require_directory(against, "a publication directory")
        report = check_prices(data, read_statement(against), trusted)
    elif snapshot is not None:
        require_directory(snapshot, "a snapshot directory")
        report = check_evidence(data, Snapshot.load(snapshot).meta, trusted)
    _print_evidence(report, output)
    return ACCEPTED


def _print_evidence(report: PriceEvidence, output: Output) -> None:
    from verifier.quotes import PRICE_DECIMALS
    from verifier.statement import units

    rows: list[dict[str, Any]] = [
        {
            "symbol": each.symbol,
            "price": units(each.price, PRICE_DECIMALS),
            "low": units(each.low, PRICE_DECIMALS),
            "high": units(each.high, PRICE_DECIMALS),
            "spread_percent": _percent(each.high - each.low, each.price),
            "sources": list(each.sources),
            "dropped": {source: units(price, PRICE_DECIMALS) for source, price in each.dropped},
        }
        for each in report.prices
    ]
    verdict = "prices follow" if report.trusted else "prices follow from sources that were not checked"
    output.json(
        {
            "verdict": verdict,
            "reason": None,
            "trusted": report.trusted,
            "sources": report.sources,
            "stale": list(report.stale),
            "unquoted": list(report.unquoted),
            "prices": rows,
            "sha256": report.sha256,
        }
    )
    columns = ("symbol", "price", "low", "high", "spread %", "sources", "dropped")
    table = []
    for row in rows:
        dropped = ", ".join(f"{source} {price}" for source, price in row["dropped"].items())
        numbers = (row["price"], row["low"], row["high"], row["spread_percent"], str(len(row["sources"])))
        table.append((row["symbol"], *numbers, dropped))
    output.table(columns, table, right=columns[1:6])
    if report.unquoted:
        output.line(f"One by definition: {', '.join(report.unquoted)}")
    if report.stale:
        output.line(f"Too old or too new to count: {', '.join(report.stale)}")
    output.line(f"sha256 {report.sha256}")
    output.line(f"Verdict: {report.summary}", mood="good" if report.trusted else "plain")


def _percent(part: int, whole: int) -> str:
    """Rounded up to hundredths."""
    hundredths = -(-part * 10_000 // whole)
    return f"{hundredths // 100}.{hundredths % 100:02d}"


def _read_prices(path: Path) -> list[tuple[str, str]]:
    """symbol,price with each symbol once and prices above zero, spelled the one way that is signed."""
    from api.importers.csv_files import open_csv
    from api.importers.decimals import BadNumber, parse_price
    from prover.snapshot_meta import is_symbol
    from verifier.statement import units

    file = open_csv(path)
    file.require(("symbol", "price"))
    lines: dict[str, int] = {}
    out = []
    for line, row in file.rows():
        symbol, text = row["symbol"], row["price"]
        if not is_symbol(symbol):
            raise InputError(
                file=path, row=line, field="symbol", got=symbol, expected="1 to 32 visible ASCII characters"
            )
        if symbol.lower() in lines:
            expected = f"each symbol once, whatever its case (first on line {lines[symbol.lower()]})"
            raise InputError(file=path, row=line, field="symbol", got=symbol, expected=expected)
        lines[symbol.lower()] = line
        try:
            mantissa, decimals = parse_price(text)
        except BadNumber as error:
            raise InputError(file=path, row=line, field="price", got=text, expected=error.expected) from None
        plain = units(mantissa * 10 ** max(0, -decimals), max(0, decimals))
        if not _is_quote(plain):
            expected = "a price above zero with at most 30 decimals and 48 digits before them"
            raise InputError(file=path, row=line, field="price", got=text, expected=expected)
        out.append((symbol, plain))
    return out


def _is_quote(text: str) -> bool:
    from verifier.quotes import price_of

    return price_of(text) is not None


def _price_columns(path: Path) -> tuple[CsvFile, str, str]:
    """An instrument file, and its columns of symbols and prices."""
    from api.importers.csv_files import open_csv

    table = open_csv(path)
    for symbol, price in COLUMNS:
        if symbol in table.header and price in table.header:
            return table, symbol, price
    expected = " or ".join(f"{symbol} and {price}" for symbol, price in COLUMNS)
    raise InputError(file=path, got="other columns", expected=f"a column {expected}")


def _read_sources(path: Path | None) -> Mapping[str, Source] | None:
    from verifier.files import read_file
    from verifier.quotes import SOURCES_BYTES_MAX, read_sources

    if path is None:
        return None
    require_file(path, "a file of trusted sources")
    try:
        return read_sources(read_file(path, SOURCES_BYTES_MAX))
    except VerificationError as error:
        raise InputError(file=path, got=str(error), expected="lines of name, public key and weight") from None


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _checked_time(text: str) -> str:
    from verifier.canonical import Record
    from verifier.statement import read_time

    try:
        return read_time(Record({"time": text}, "option", ("time",)))
    except VerificationError as error:
        raise _as_option(error) from None


def _as_option(error: VerificationError) -> InputError:
    """The line for a value that came from the command line."""
    name = str(error.where.get("field", "")).rpartition(".")[2].replace("_", "-")
    expected, got = error.where.get("expected"), error.where.get("got")
    if name in {"source", "quote", "time", "age-max", "deviation-max", "sources-min"} and expected and got:
        return InputError(field=f"--{name}", got=str(got).strip("'"), expected=str(expected))
    return InputError(got=str(error), expected="what docs/prices.md says")
