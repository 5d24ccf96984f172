"""Prices from signed quotes: what decides on them, what the ledger remembers of them, and what they are good for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from exchange.codes import Reject
from exchange.commands import TIME_MS_END, Quoted, SubmitQuotes
from exchange.events import Event, PricesSet, QuotesTaken
from exchange.rules.haircuts import wrapped_price
from exchange.rules.mark import Average, average_of, averaged, mark_price
from exchange.rules.modes import Mode, Trigger
from exchange.rules.oracle import OraclePolicy, Quality, Quote, Use, aggregate, permits
from exchange.rules.rounding import PPM, clamp
from exchange.state import FUND, QUOTE, Ledger
from exchange.venue import PERPETUAL, Venue
from exchange.watch import is_calling, sign_events, signs_of_prices

PRICE_END: Final = 1 << 62
QUOTES_MAX: Final = 1 << 14
EVIDENCE_BYTES_MAX: Final = 1 << 20
ELAPSED_SCALES_MAX: Final = 8
"""After so many time constants nothing is left of an average anyway."""
_SIGNS: Final = {
    Quality.UNCERTAIN: Trigger.ORACLE_UNCERTAIN,
    Quality.JUMPED: Trigger.ORACLE_UNCERTAIN,
    Quality.DIVERGENT: Trigger.ORACLE_DIVERGENT,
    Quality.STALE: Trigger.ORACLE_STALE,
    Quality.MISSING: Trigger.ORACLE_STALE,
}


def decide_quotes(ledger: Ledger, command: SubmitQuotes) -> tuple[Event, ...] | Reject:
    """Index, mark and quality of every price. A price without quorum stays as it was, and says so."""
    refused = _refusal_of_quotes(ledger, command)
    if refused is not None:
        return refused
    now, by_symbol = command.time_ms, _by_symbol(ledger.venue, command.quotes)
    policy, memory = policy_of(ledger.venue), ledger.oracle
    prices, qualities = list(ledger.prices), [int(Quality.VALID)] * len(ledger.prices)
    prices[QUOTE] = ledger.tables.units[QUOTE]
    for number in range(1, len(prices)):
        index = aggregate(by_symbol[number], now, policy, prices[number], average_of(memory.averages[number]))
        qualities[number] = int(index.quality)
        if permits(index.quality, Use.MARK_TO_MARKET):
            prices[number] = index.price
    for number, asset in enumerate(ledger.venue.assets):
        if asset.underlying:
            prices[number] = wrapped_price(prices[asset.underlying], asset.ratio_ppm, PPM)
            qualities[number] = qualities[asset.underlying]
    if min(prices) < 1:
        return Reject.PRICES_INCOMPLETE
    marks, premiums, elsewhere = [], [], []
    for number in range(len(ledger.marks)):
        other = aggregate(by_symbol[len(prices) + number], now, policy, 0, 0)
        elsewhere.append(other.price if permits(other.quality, Use.MARK_TO_MARKET) else 0)
        mark, premium = _mark(ledger, number, prices, elsewhere[-1])
        marks.append(mark)
        premiums.append(premium)
    taken = QuotesTaken(command.quotes, tuple(qualities), tuple(premiums), tuple(elsewhere), command.evidence)
    signs = signs_of_prices(ledger, prices, marks, now)
    for number, market in enumerate(ledger.venue.markets):
        trigger = _SIGNS.get(Quality(qualities[market.asset]))
        if trigger is not None:
            signs.append((number, int(trigger)))
    return (PricesSet(tuple(prices), tuple(marks)), taken, *sign_events(ledger, sorted(signs), now))


def policy_of(venue: Venue) -> OraclePolicy:
    """The bounds of `rules.oracle`, as the venue is defined."""
    oracle = venue.oracle
    return OraclePolicy(
        stale_ms=oracle.stale_ms,
        future_ms=oracle.future_ms,
        weight_total=sum(source.weight for source in oracle.sources),
        quorum_ppm=oracle.quorum_ppm,
        confidence_ppm=oracle.confidence_ppm,
        step_ppm=oracle.step_ppm,
        deviation_ppm=oracle.deviation_ppm,
    )


def _refusal_of_quotes(ledger: Ledger, command: SubmitQuotes) -> Reject | None:
    if len(command.quotes) > QUOTES_MAX or len(command.evidence) > EVIDENCE_BYTES_MAX:
        return Reject.QUOTES_OUT_OF_RANGE
    for quote in command.quotes:
        in_range = 0 <= quote.price < PRICE_END and 0 <= quote.confidence < PRICE_END
        if not in_range or not 0 <= quote.time_ms < TIME_MS_END:
            return Reject.QUOTES_OUT_OF_RANGE
    if command.account != FUND:
        return Reject.ACCOUNT_RESERVED
    venue = ledger.venue
    quoted = set(symbol_numbers(venue).values())
    if any(quote.symbol not in quoted for quote in command.quotes):
        return Reject.ASSET_UNKNOWN
    sources = len(venue.oracle.sources)
    if not sources or any(not 0 <= quote.source < sources for quote in command.quotes):
        return Reject.SOURCE_UNKNOWN
    return None


def _by_symbol(venue: Venue, quotes: Sequence[Quoted]) -> list[list[Quote]]:
    found: list[list[Quote]] = [[] for _ in range(len(venue.assets) + len(venue.markets))]
    for source, symbol, price, confidence, time_ms in quotes:
        found[symbol].append(Quote(source, price, confidence, time_ms, venue.oracle.sources[source].weight))
    return found


def _mark(ledger: Ledger, number: int, prices: Sequence[int], elsewhere: int) -> tuple[int, int]:
    """Mark and premium of a market, in ticks; both depend on the book only as far as its capped vote goes.

    The premium is that of the book over the index that stood until now: against the new index a book that had no time
    to follow would look like one that disagrees.
    """
    market, oracle = ledger.venue.markets[number], ledger.venue.oracle
    index, before = _index(ledger, number, prices), _index(ledger, number, ledger.prices)
    own = _own_price(ledger, number)
    furthest = before * market.band_ppm // PPM
    premium = 0 if own is None else clamp(own - before, -furthest, furthest)
    others = [(elsewhere, oracle.others_weight)] if elsewhere else []
    average = average_of(ledger.oracle.premiums[number])
    mark = mark_price(index, average, own, oracle.own_weight, others, oracle.premium_weight, market.band_ppm)
    return min(mark, market.price_max), premium


def _index(ledger: Ledger, number: int, prices: Sequence[int]) -> int:
    """The index price of a market's asset in ticks, rounded down."""
    market = ledger.venue.markets[number]
    per_tick = ledger.tables.units[market.asset] * market.tick_lot_atoms
    return clamp(market.lot_atoms * prices[market.asset] // per_tick, 1, market.price_max)


def _own_price(ledger: Ledger, number: int) -> int | None:
    """The middle of the own book; None if a side is empty or nothing trades there."""
    bid, ask = ledger.books[number].bids.best(), ledger.books[number].asks.best()
    shut = ledger.effective_modes[number] >= Mode.CANCEL_ONLY or is_calling(ledger, number)
    if bid is None or ask is None or shut:
        return None
    return (bid + ask) // 2


def remember(ledger: Ledger, event: QuotesTaken) -> None:
    """Applies the event; the prices themselves have been set just before."""
    memory, oracle, now = ledger.oracle, ledger.venue.oracle, ledger.time_ms
    for asset, found in enumerate(event.qualities):
        if permits(Quality(found), Use.MARK_TO_MARKET):
            price, before = ledger.prices[asset], memory.times_ms[asset]
            memory.averages[asset] = _after(memory.averages[asset], price, now, before, oracle.average_ms)
            memory.times_ms[asset] = now
    for number, premium in enumerate(event.premiums):
        memory.premiums[number] = _after(memory.premiums[number], premium, now, memory.time_ms, oracle.premium_ms)
    memory.qualities[:] = event.qualities
    memory.elsewhere[:] = event.elsewhere
    memory.time_ms, memory.evidence = now, event.evidence


def _after(average: Average, sample: int, now: int, before: int, scale: int) -> Average:
    """The average after a sample that stands for the time since the one before; the first stands for a whole scale."""
    elapsed = clamp(now - before, 1, ELAPSED_SCALES_MAX * scale) if average.denominator else scale
    return averaged(average, sample, elapsed, scale)


def quality(ledger: Ledger, asset: int, now_ms: int) -> Quality:
    """What is known of an asset's price at a time: what it was worth when it was made, or that it is too old."""
    if not ledger.venue.oracle.sources:
        return Quality.VALID
    if now_ms - ledger.oracle.times_ms[asset] > ledger.venue.price_age_ms_max:
        return Quality.STALE
    return Quality(ledger.oracle.qualities[asset])


def price_refusal(ledger: Ledger, number: int, use: Use, now_ms: int) -> Reject | None:
    """Why the price under a market may not be used so; None if it may."""
    return _refusal(ledger, ledger.venue.markets[number].asset, use, now_ms)


def _refusal(ledger: Ledger, asset: int, use: Use, now_ms: int) -> Reject | None:
    found = quality(ledger, asset, now_ms)
    if permits(found, use):
        return None
    return Reject.PRICE_STALE if found >= Quality.STALE else Reject.PRICE_UNRELIABLE


def leaving_refusal(ledger: Ledger, account: int, now_ms: int) -> Reject | None:
    """Why money may not leave an account: it has margin at stake that depends on a doubtful price."""
    traded = [
        ledger.venue.markets[number].asset
        for number in ledger.tables.perpetuals
        if ledger.size[number][account] or ledger.buys[number][account] or ledger.sells[number][account]
    ]
    if not traded and ledger.balance[QUOTE][account] >= 0:
        return None
    held = [asset for asset in range(1, len(ledger.prices)) if ledger.balance[asset][account]]
    refusals = [_refusal(ledger, asset, Use.WITHDRAW, now_ms) for asset in sorted({*traded, *held})]
    return next((refusal for refusal in refusals if refusal is not None), None)


def doubt(ledger: Ledger, account: int, now_ms: int) -> tuple[int, Reject]:
    """Quote atoms by which an account may be better off than doubtful prices say, and why they are doubtful.

    What it holds of a price that may liquidate nobody counts twice, and its positions may have gained all they are
    worth. So a doubtful price alone liquidates nobody, and dust in a dead market protects nobody.
    """
    total, reason = 0, Reject.NOT_LIQUIDATABLE
    for asset in range(1, len(ledger.prices)):
        refusal = _refusal(ledger, asset, Use.LIQUIDATE, now_ms)
        if refusal is None:
            continue
        benefit = abs(ledger.balance[asset][account]) * ledger.prices[asset] // ledger.tables.units[asset]
        for number in ledger.tables.perpetuals:
            if ledger.venue.markets[number].asset == asset:
                benefit += abs(ledger.size[number][account]) * ledger.lot_values[number]
        if benefit:
            total, reason = total + benefit, refusal
    return total, reason


def symbol_numbers(venue: Venue) -> dict[str, int]:
    """Lower-case symbol -> number in a quote: assets with a price of their own, and perpetual markets."""
    found = {
        asset.symbol.lower(): number
        for number, asset in enumerate(venue.assets)
        if number != QUOTE and not asset.underlying
    }
    for number, market in enumerate(venue.markets):
        if market.kind == PERPETUAL:
            found[market.symbol.lower()] = len(venue.assets) + number
    return found
