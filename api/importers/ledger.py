"""From the ledger to a snapshot that can be proved: the same accounts, counted in the statement's instruments.

Balances are spot instruments with one bucket, `collateral`, under the venue's haircut. A perpetual position is lots of
its market, with maintenance as margin, and its cost an amount of one cost-basis instrument. Every position is marked
first: unrealised profit goes into the quote balance and the cost becomes the value. Until both sides of a trade have
closed, one's realised profit is the other's unrealised loss; marked, all quote balances add up to what came in less
what went out, and so compare with reserves. It changes nobody's equity or health by an atom. Ratios are
whole basis points there: ratios are rounded down and margins up, so health in the proof is at most the ledger's, but
for the few quote atoms that the ledger rounds off.

`write_ledger_snapshot` adds what belongs to it: the price file, the stress scenarios, the risk metrics, and what the
ledger says that the venue must hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from exchange.state import QUOTE, Ledger
from exchange.venue import PERPETUAL, Asset, Market
from prover.errors import InputError
from prover.positions import first_positions
from prover.randomness import fresh_seed
from prover.snapshot import Snapshot, seal
from prover.snapshot_meta import ZERO_DIGEST, SnapshotMeta
from verifier.errors import VerificationError
from verifier.instruments import COST_BASIS, DECIMALS_MAX, PRICE_END, SPOT, Bucket, Instrument, Tier
from verifier.instruments import PERPETUAL as PERPETUAL_KIND
from verifier.prices import agree, check_evidence, coefficient, parse_evidence

Int64 = npt.NDArray[np.int64]
BUCKET: Final = "collateral"
PPM_PER_BASIS_POINT: Final = 100
_FULL: Final = (Tier(None, 10_000),)


def ledger_snapshot(
    ledger: Ledger, *, evidence: bytes | None = None, previous: str = ZERO_DIGEST, salt: str | None = None
) -> Snapshot:
    """The accounts of `ledger` at its sequence number and prices.

    Args:
        evidence: a price file. Then every price is the one that follows from it, also that of a perpetual, on which
            the venue's own book has no say there: equities are those of the ledger at these prices.
        previous: digest of the publication before.
        salt: 64 hex digits for the salted ledger state; None: drawn.

    Raises:
        InputError: no prices yet, a lot that is no power of ten of its asset's atoms, a price out of range, or
            evidence from which the prices do not follow.
    """
    if not ledger.price_time_ms:
        raise InputError(got="a ledger without prices", expected="one that has been given prices")
    value_decimals = _value_decimals(ledger)
    prices = _own_prices(ledger, value_decimals)
    if evidence is not None:
        value_decimals, prices = _signed_prices(ledger, value_decimals, evidence)
    table = sorted(_rows(ledger, value_decimals, prices), key=lambda row: row[0].symbol)
    instruments = tuple(instrument for instrument, _ in table)
    accounts, positions, amounts = _entries(table)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(accounts, minlength=len(ledger.user_ids)))])
    count = len(ledger.user_ids)
    meta = SnapshotMeta(
        exchange=ledger.venue.name,
        sequence=ledger.sequence,
        time=_time(ledger),
        ledger_state=ZERO_DIGEST,
        ledger_salt=ZERO_DIGEST,
        previous=previous,
        oracle_evidence=ZERO_DIGEST,
        quote=_currency(ledger),
        value_decimals=value_decimals,
        instruments=instruments,
        accounts=count,
        entries=len(positions),
        source=(),
    )
    snapshot = Snapshot(
        meta=meta,
        user_ids=pa.chunked_array([pa.array(ledger.user_ids, pa.string())]),
        nonces=np.zeros((count, 32), np.uint8),
        has_nonce=np.zeros(count, bool),
        lines=np.arange(1, count + 1, dtype=np.uint32),
        offsets=offsets.astype(np.int64),
        positions=positions.astype(np.uint16),
        amounts=amounts.astype(np.uint64),
    )
    snapshot.check("ledger")
    sealed = seal(snapshot, salt or fresh_seed().hex())
    if evidence is not None:
        _check(evidence, sealed)
    return sealed


def _time(ledger: Ledger) -> str:
    return datetime.fromtimestamp(ledger.time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _currency(ledger: Ledger) -> str:
    return ledger.venue.assets[QUOTE].symbol.upper()


def _check(evidence: bytes, snapshot: Snapshot) -> None:
    try:
        check_evidence(evidence, snapshot.meta)
    except VerificationError as error:
        raise InputError(got=f"evidence: {error}", expected="signed quotes from which the prices follow") from None


def _own_prices(ledger: Ledger, value_decimals: int) -> list[int]:
    """Value units per atom of each asset, then per lot of each market: the index, and the mark."""
    scale = 10 ** (value_decimals - ledger.venue.assets[QUOTE].decimals)
    units = ledger.tables.units
    assets = [price * scale // unit for price, unit in zip(ledger.prices, units, strict=True)]
    return assets + [value * scale for value in ledger.lot_values]


def _signed_prices(ledger: Ledger, value_decimals: int, evidence: bytes) -> tuple[int, list[int]]:
    """The same as follows from a price file, and the value decimals with which a lot is worth whole quote atoms."""
    venue, quote = ledger.venue, ledger.venue.assets[QUOTE]
    perpetuals = ledger.tables.perpetuals
    symbols = [asset.symbol for asset in venue.assets[1:]] + [venue.markets[number].symbol for number in perpetuals]
    try:
        checks, _ = agree(parse_evidence(evidence), _currency(ledger), _time(ledger), symbols, None)
    except VerificationError as error:
        raise InputError(got=f"evidence: {error}", expected="signed quotes of every asset and perpetual") from None
    medians = {check.symbol: check.price for check in checks}
    for decimals in (value_decimals, quote.decimals):
        scale = 10 ** (decimals - quote.decimals)
        prices = [scale] + [coefficient(medians[asset.symbol], asset.decimals, decimals) for asset in venue.assets[1:]]
        for market in venue.markets:
            is_quoted = market.symbol in medians
            lot_decimals = _lot_decimals(venue.assets[market.asset], market) if is_quoted else 0
            prices.append(coefficient(medians[market.symbol], lot_decimals, decimals) if is_quoted else 0)
        if all(price % scale == 0 for price in prices[len(venue.assets) :]):
            break
    return decimals, prices


def _value_decimals(ledger: Ledger) -> int:
    """The fewest decimals with which every price is a whole number of value units per atom."""
    quote = ledger.venue.assets[QUOTE].decimals
    for extra in range(DECIMALS_MAX - quote + 1):
        scale = 10**extra
        if all(price * scale % unit == 0 for price, unit in zip(ledger.prices, ledger.tables.units, strict=True)):
            return quote + extra
    raise InputError(field="prices", got="too many digits", expected=f"at most {DECIMALS_MAX} decimals of a price")


def _rows(ledger: Ledger, value_decimals: int, prices: Sequence[int]) -> list[tuple[Instrument, Int64]]:
    """Each instrument with its signed amount per account: held above 0, owed below."""
    quote = ledger.venue.assets[QUOTE]
    scale = 10 ** (value_decimals - quote.decimals)
    rows: list[tuple[Instrument, Int64]] = []
    assets = len(ledger.venue.assets)
    value, profit = _marked(ledger, [price // scale for price in prices[assets:]])
    for number, asset in enumerate(ledger.venue.assets):
        price = _in_range(asset.symbol, prices[number])
        tiers = _FULL if number == QUOTE else _haircut(asset, quote.unit_atoms)
        spot = Instrument(asset.symbol, SPOT, asset.decimals, price, (Bucket(BUCKET, tiers),))
        held = np.array(ledger.balance[number], np.int64)
        rows.append((spot, held + profit if number == QUOTE else held))
    for number, market in enumerate(ledger.venue.markets):
        if market.kind == PERPETUAL:
            price = _in_range(market.symbol, prices[assets + number])
            decimals = _lot_decimals(ledger.venue.assets[market.asset], market)
            margin = _maintenance(market, quote.unit_atoms)
            instrument = Instrument(market.symbol, PERPETUAL_KIND, decimals, price, (), margin)
            rows.append((instrument, np.array(ledger.size[number], np.int64)))
    if ledger.tables.perpetuals:
        rows.append((Instrument(f"{quote.symbol}-cost", COST_BASIS, quote.decimals, scale), -value))
    return rows


def _marked(ledger: Ledger, lot_values: Sequence[int]) -> tuple[Int64, Int64]:
    """Value and unrealised profit of every account's positions together, in quote atoms, at values per lot."""
    value = [0] * len(ledger.user_ids)
    profit = [0] * len(ledger.user_ids)
    for number in ledger.tables.perpetuals:
        lot_value, costs = lot_values[number], ledger.cost[number]
        for account, lots in enumerate(ledger.size[number]):
            if lots:
                value[account] += lots * lot_value
                profit[account] += lots * lot_value - costs[account]
    return np.array(value, np.int64), np.array(profit, np.int64)


def _entries(table: list[tuple[Instrument, Int64]]) -> tuple[Int64, Int64, Int64]:
    """Account, position id and amount of every entry, in the snapshot's order."""
    first = first_positions([instrument for instrument, _ in table])
    amounts = np.stack([part for _, row in table for part in (np.maximum(row, 0), np.maximum(-row, 0))], axis=1)
    ids = np.array([number for start in first[:-1].tolist() for number in (start, start + 1)])
    accounts, columns = np.nonzero(amounts)
    return accounts, ids[columns], amounts[accounts, columns]


def _in_range(symbol: str, price: int) -> int:
    if not 0 < price < PRICE_END:
        raise InputError(field=symbol, got=f"a price of {price} value units", expected="less than 2^54")
    return price


def _lot_decimals(asset: Asset, market: Market) -> int:
    digits = str(market.lot_atoms)
    zeros = len(digits) - 1
    if digits.strip("0") != "1" or zeros > asset.decimals:
        expected = f"1, 10, 100, ... up to 10^{asset.decimals} atoms"
        raise InputError(field=market.symbol, got=f"lots of {market.lot_atoms} atoms", expected=expected)
    return asset.decimals - zeros


def _haircut(asset: Asset, quote_unit: int) -> tuple[Tier, ...]:
    """Bounds rounded down and merged where they meet: less counts, never more."""
    tiers: list[Tier] = []
    for tier in asset.haircut:
        to = None if tier.to is None else tier.to // quote_unit
        if to is None or to > (tiers[-1].to or 0 if tiers else 0):
            tiers.append(Tier(to, tier.ratio_ppm // PPM_PER_BASIS_POINT))
    return tuple(tiers)


def _maintenance(market: Market, quote_unit: int) -> tuple[Tier, ...]:
    """Bounds rounded down, so that the next rate begins early; rates rounded up."""
    tiers: list[Tier] = []
    for tier in market.margin:
        to = None if tier.to is None else tier.to // quote_unit
        if to is None or to > (tiers[-1].to or 0 if tiers else 0):
            tiers.append(Tier(to, -(-tier.maintenance_ppm // PPM_PER_BASIS_POINT)))
    return tuple(tiers)
