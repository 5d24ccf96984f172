"""A venue's definition: assets, markets, fees and limits. Fixed for the life of a journal, and its first record."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any, Final

from exchange.errors import VenueError
from exchange.rules.dynamic_margin import VolatilityPolicy
from exchange.rules.rounding import PPM

SPOT: Final = "spot"
PERPETUAL: Final = "perpetual"
NOTIONAL_END: Final = 1 << 62
"""Bound of the largest position at the highest price, in quote atoms: cost and value of a position fit in int64."""
SYMBOL_CHARACTERS_MAX: Final = 32
VOLATILITY_PPM_MAX: Final = 100 * PPM
SOURCES_MIN: Final = 3
"""A median of fewer is one source's word."""
SPAN_MS_MAX: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class HaircutTier:
    """Collateral worth up to `to` quote atoms in all (None: without bound) counts with `ratio_ppm`; marginal."""

    to: int | None
    ratio_ppm: int


@dataclass(frozen=True, slots=True)
class MarginTier:
    """The part of a position's value up to `to` quote atoms (None: without bound) needs these rates; marginal."""

    to: int | None
    initial_ppm: int
    maintenance_ppm: int


@dataclass(frozen=True, slots=True)
class Asset:
    """Something an account can hold. The first asset of a venue is its quote asset.

    Attributes:
        haircut: empty: no collateral.
        underlying, ratio_ppm: a wrapped asset is worth this share of the asset with that number, whatever it trades
            at; 0: it has a price of its own.
    """

    symbol: str
    decimals: int
    haircut: tuple[HaircutTier, ...] = ()
    underlying: int = 0
    ratio_ppm: int = 0

    @property
    def unit_atoms(self) -> int:
        """Atoms in one whole unit."""
        return int(10**self.decimals)


@dataclass(frozen=True, slots=True)
class Market:
    """Where `asset` trades against the quote asset.

    Attributes:
        kind: SPOT or PERPETUAL.
        lot_atoms: atoms of `asset` in one lot.
        tick_lot_atoms: quote atoms that one lot costs at a price of one tick.
        price_max: ticks.
        order_lots_max, position_lots_max: lots.
        maker_fee_ppm, taker_fee_ppm: of the value traded; negative = rebate, not below minus the other side's fee.
        band_ppm: how far from the mark an order's price may lie.
        margin: tiers of a perpetual.
        interest_lower, interest_upper: open interest, in quote atoms, from which initial margin rises, and at which
            positions are fully paid for; both 0: it never does. Maintenance stays: nobody is liquidated by it.
        volatility: how initial margin follows volatility; None: it does not. Maintenance stays here as well.
        liquidation_notional_max: quote atoms that liquidations trade in the book between two prices; 0: no cap.
        fund_loss_max: quote atoms that the fund pays for them between two prices, the rest is deleveraged; 0: no cap.
    """

    symbol: str
    kind: str
    asset: int
    lot_atoms: int
    tick_lot_atoms: int
    price_max: int
    order_lots_max: int
    position_lots_max: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    band_ppm: int
    margin: tuple[MarginTier, ...] = ()
    interest_lower: int = 0
    interest_upper: int = 0
    volatility: VolatilityPolicy | None = None
    liquidation_notional_max: int = 0
    fund_loss_max: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """Who quotes prices: a name, an Ed25519 public key as 64 hex digits, and what its vote counts."""

    name: str
    key: str
    weight: int


@dataclass(frozen=True, slots=True)
class Oracle:
    """How prices follow from signed quotes (`rules.oracle`, `rules.mark`). Without sources `SetPrices` sets them.

    Attributes:
        stale_ms, future_ms: quotes that are older, or further ahead of the venue's time, have no vote.
        quorum_ppm: share of all weight that has to be recent.
        confidence_ppm, step_ppm, deviation_ppm: from here on a price is uncertain, has jumped, or is divergent.
        average_ms: time constant of the slow average that `deviation_ppm` is measured from.
        premium_ms: of the average premium of the own book over the index.
        premium_weight, others_weight, own_weight: votes of the index with its premium, of the sources' prices of the
            perpetual elsewhere, and of the own book, in the mark.
    """

    sources: tuple[Source, ...] = ()
    stale_ms: int = 60_000
    future_ms: int = 1_000
    quorum_ppm: int = 666_667
    confidence_ppm: int = 10_000
    step_ppm: int = 100_000
    deviation_ppm: int = 250_000
    average_ms: int = 3_600_000
    premium_ms: int = 150_000
    premium_weight: int = 2
    others_weight: int = 2
    own_weight: int = 1


@dataclass(frozen=True, slots=True)
class Venue:
    """One exchange.

    Attributes:
        supply_max: atoms of an asset that may be at the venue.
        open_orders_max: of one account.
        client_ids_kept: how many of the last client ids are remembered.
        price_age_ms_max: older prices liquidate nobody.
        liquidation_fee_ppm: most that a liquidation pays to the fund, of what it trades.
        clip_ppm, clip_notional: a step closes this share of a position worth more, or what restores its margin if that
            is more; a position worth up to `clip_notional` quote atoms is closed at once.
        backstop_ppm: with less equity than this share of the maintenance margin, what the book does not take is
            deleveraged.
        breaker_span_ms, breaker_slots, breaker_ppm: a mark that moves further than this within the window halts its
            market.
        venue_breaker_ppm, venue_breaker_interest_ppm: markets that fell or rose this far, and carry this share of the
            open interest, halt the venue.
        oracle: who quotes prices, and how they follow from the quotes.
        account_liquidation_max: quote atoms of one account that liquidations trade in the book between two prices; 0:
            no cap.
        volatility_ms: between two observations for the volatility of a mark.
        auction_ms: how long a halted market collects orders before it reopens at one price; 0: it reopens at once.
        settlement_ms: from delisting to settlement; its price is a mean over this time, as far as the window reaches.
        fund_low_ppm: with a fund below this share of the open interest nobody may grow a position; 0 = off.
    """

    name: str
    assets: tuple[Asset, ...]
    markets: tuple[Market, ...]
    supply_max: int = 1 << 60
    open_orders_max: int = 200
    client_ids_kept: int = 1 << 20
    price_age_ms_max: int = 60_000
    liquidation_fee_ppm: int = 15_000
    clip_ppm: int = 200_000
    clip_notional: int = 100_000_000_000
    backstop_ppm: int = 666_667
    breaker_span_ms: int = 300_000
    breaker_slots: int = 10
    breaker_ppm: int = 100_000
    venue_breaker_ppm: int = 200_000
    venue_breaker_interest_ppm: int = 500_000
    account_liquidation_max: int = 0
    volatility_ms: int = 300_000
    auction_ms: int = 30_000
    settlement_ms: int = 300_000
    fund_low_ppm: int = 0
    oracle: Oracle = Oracle()

    def check(self) -> Venue:
        """Returns itself.

        Raises:
            VenueError: naming the field that cannot work.
        """
        if not self.assets:
            raise VenueError("assets: at least the quote asset is needed")
        symbols = [asset.symbol for asset in self.assets] + [market.symbol for market in self.markets]
        if len(set(symbols)) != len(symbols):
            raise VenueError("symbols: every asset and market needs its own")
        for symbol in symbols:
            if not (symbol.isascii() and symbol.isprintable() and 1 <= len(symbol) <= SYMBOL_CHARACTERS_MAX):
                raise VenueError(f"symbol {symbol!r}: 1 to {SYMBOL_CHARACTERS_MAX} printable ASCII characters")
        if not (0 < self.supply_max < NOTIONAL_END and self.open_orders_max > 0 and self.client_ids_kept > 0):
            raise VenueError("supply_max, open_orders_max, client_ids_kept: out of range")
        rates = (self.liquidation_fee_ppm, self.clip_ppm, self.backstop_ppm)
        if min(*rates, self.price_age_ms_max, self.clip_notional) < 0 or max(rates) > PPM or self.clip_ppm == 0:
            raise VenueError("liquidation: rates of 0 to 1, ages and amounts of at least 0")
        if not 0 < self.breaker_slots <= self.breaker_span_ms or self.breaker_span_ms % self.breaker_slots:
            raise VenueError("breaker_span_ms: a multiple of breaker_slots")
        breakers = (self.breaker_ppm, self.venue_breaker_ppm, self.venue_breaker_interest_ppm)
        if min(breakers) < 1 or max(breakers) > PPM or not 0 <= self.fund_low_ppm <= PPM:
            raise VenueError(f"breakers: shares of 1 to {PPM}, fund_low_ppm from 0")
        times = (self.volatility_ms, self.settlement_ms)
        if min(*times, self.auction_ms + 1) < 1 or self.account_liquidation_max < 0:
            raise VenueError("volatility_ms, settlement_ms, auction_ms, account_liquidation_max: out of range")
        _check_oracle(self.oracle)
        for asset in self.assets:
            _check_asset(asset, self.assets)
        for market in self.markets:
            _check_market(market, len(self.assets))
        return self

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no blanks."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    def digest(self) -> bytes:
        """32 bytes: the first link of the venue's journal."""
        return hashlib.blake2b(self.to_json().encode(), digest_size=32, person=b"solvent/venue").digest()


def _check_asset(asset: Asset, assets: tuple[Asset, ...]) -> None:
    is_known = 0 <= asset.underlying < len(assets) and not assets[asset.underlying].underlying
    if not is_known or (asset.underlying > 0) != (asset.ratio_ppm > 0) or asset.ratio_ppm < 0:
        raise VenueError(f"{asset.symbol}: underlying: number of an asset with a price of its own, and a ratio above 0")
    if not 0 <= asset.decimals <= 18:
        raise VenueError(f"{asset.symbol}: decimals: 0 to 18")
    ratios = [tier.ratio_ppm for tier in asset.haircut]
    _check_bounds(asset.symbol, "haircut", [tier.to for tier in asset.haircut], last_open=False)
    if any(not 0 <= ratio <= PPM for ratio in ratios) or any(a < b for a, b in pairwise(ratios)):
        raise VenueError(f"{asset.symbol}: haircut: ratios of 0 to {PPM} that do not increase")


def _check_market(market: Market, assets: int) -> None:
    at = market.symbol
    if market.kind not in (SPOT, PERPETUAL):
        raise VenueError(f"{at}: kind: {SPOT} or {PERPETUAL}")
    if not 0 < market.asset < assets:
        raise VenueError(f"{at}: asset: number of an asset other than the quote asset")
    sizes = (market.lot_atoms, market.tick_lot_atoms, market.price_max, market.order_lots_max)
    if min(sizes) < 1 or market.position_lots_max < market.order_lots_max:
        raise VenueError(f"{at}: lots, ticks and limits of at least 1, position limit >= order limit")
    if market.position_lots_max * market.price_max * market.tick_lot_atoms >= NOTIONAL_END:
        raise VenueError(f"{at}: position_lots_max * price_max * tick_lot_atoms: below 2^62")
    if market.position_lots_max * market.lot_atoms >= NOTIONAL_END:
        raise VenueError(f"{at}: position_lots_max * lot_atoms: below 2^62")
    if not (abs(market.maker_fee_ppm) < PPM and abs(market.taker_fee_ppm) < PPM and 0 < market.band_ppm < PPM):
        raise VenueError(f"{at}: fees and band: below {PPM}")
    if market.taker_fee_ppm < 0 or market.maker_fee_ppm + market.taker_fee_ppm < 0:
        raise VenueError(f"{at}: fees: a trade may not cost the venue money, and takers pay")
    if (market.kind == PERPETUAL) != bool(market.margin):
        raise VenueError(f"{at}: margin: for perpetual markets, and only for them")
    if not (0 <= market.interest_lower < market.interest_upper or market.interest_lower == market.interest_upper == 0):
        raise VenueError(f"{at}: interest_lower: below interest_upper, or both 0")
    _check_risk(at, market)
    _check_bounds(at, "margin", [tier.to for tier in market.margin], last_open=True)
    for rates in ([t.initial_ppm for t in market.margin], [t.maintenance_ppm for t in market.margin]):
        if any(not 0 < rate <= PPM for rate in rates) or any(a > b for a, b in pairwise(rates)):
            raise VenueError(f"{at}: margin: rates of 1 to {PPM} that do not decrease")
    if any(tier.maintenance_ppm > tier.initial_ppm for tier in market.margin):
        raise VenueError(f"{at}: margin: maintenance at most initial")


def _check_risk(at: str, market: Market) -> None:
    if min(market.liquidation_notional_max, market.fund_loss_max) < 0:
        raise VenueError(f"{at}: liquidation_notional_max, fund_loss_max: at least 0")
    policy = market.volatility
    if policy is None:
        return
    if market.kind != PERPETUAL:
        raise VenueError(f"{at}: volatility: for perpetual markets, and only for them")
    shares = (policy.decay_ppm, policy.stressed_weight_ppm, policy.floor_ppm, policy.step_up_ppm, policy.step_down_ppm)
    others = (policy.buffer_ppm, policy.stressed_ppm, policy.multiple_ppm)
    if min(*shares, *others) < 0 or max(shares) > PPM or max(others) > VOLATILITY_PPM_MAX:
        raise VenueError(f"{at}: volatility: shares of 0 to {PPM}, the rest of 0 to {VOLATILITY_PPM_MAX}")
    if not 1 <= policy.horizon <= VOLATILITY_PPM_MAX or not policy.floor_ppm <= policy.cap_ppm <= PPM:
        raise VenueError(f"{at}: volatility: horizon of at least 1, floor_ppm <= cap_ppm <= {PPM}")


def _check_oracle(oracle: Oracle) -> None:
    weights = [source.weight for source in oracle.sources]
    rates = (oracle.quorum_ppm, oracle.confidence_ppm, oracle.step_ppm, oracle.deviation_ppm)
    times = (oracle.stale_ms, oracle.average_ms, oracle.premium_ms)
    if min(*rates, *times) < 1 or oracle.future_ms < 0 or oracle.quorum_ppm > PPM or max(times) > SPAN_MS_MAX:
        raise VenueError(f"oracle: rates of at least 1 ppm, a quorum of at most all, times of 1 to {SPAN_MS_MAX} ms")
    if not 0 <= oracle.own_weight < oracle.premium_weight + oracle.others_weight or oracle.premium_weight < 1:
        raise VenueError("oracle: own_weight: less than the other votes together, and premium_weight of at least 1")
    if weights and (len(weights) < SOURCES_MIN or min(weights) < 1 or 2 * max(weights) >= sum(weights)):
        raise VenueError(f"oracle: sources: at least {SOURCES_MIN}, none with half of the weight")
    for field in ("name", "key"):
        if len({getattr(source, field) for source in oracle.sources}) != len(weights):
            raise VenueError(f"oracle: sources: each {field} once")
    for source in oracle.sources:
        if not re.fullmatch("[0-9a-f]{64}", source.key) or not re.fullmatch("[!-~]{1,64}", source.name):
            expected = "1 to 64 visible ASCII characters, and a key of 64 hex digits"
            raise VenueError(f"oracle: source {source.name!r}: {expected}")


def _check_bounds(at: str, field: str, bounds: list[int | None], *, last_open: bool) -> None:
    closed = [bound for bound in bounds if bound is not None]
    opens = len(bounds) - len(closed)
    if opens > 1 or (opens and bounds[-1] is not None) or (last_open and bounds and not opens):
        raise VenueError(f"{at}: {field}: only the last tier is without bound")
    if any(bound < 1 for bound in closed) or any(a >= b for a, b in pairwise(closed)):
        raise VenueError(f"{at}: {field}: bounds that increase")


def venue_from_json(text: str) -> Venue:
    """The venue that `to_json` wrote.

    Raises:
        VenueError: anything else.
    """
    try:
        data = json.loads(text)
        assets = tuple(
            _make(Asset, {**item, "haircut": tuple(_make(HaircutTier, tier) for tier in item["haircut"])})
            for item in data.pop("assets")
        )
        markets = tuple(
            _make(
                Market,
                {
                    **item,
                    "margin": tuple(_make(MarginTier, tier) for tier in item["margin"]),
                    "volatility": item["volatility"] and _make(VolatilityPolicy, item["volatility"]),
                },
            )
            for item in data.pop("markets")
        )
        oracle = data.pop("oracle")
        sources = tuple(_make(Source, item) for item in oracle["sources"])
        oracle = _make(Oracle, {**oracle, "sources": sources})
        venue: Venue = _make(Venue, {**data, "assets": assets, "markets": markets, "oracle": oracle})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise VenueError(f"not a venue definition: {error}") from None
    return venue.check()


def _make(kind: Any, data: Mapping[str, Any]) -> Any:
    if set(data) != {field.name for field in fields(kind)}:
        raise KeyError(f"{kind.__name__}: other fields than expected")
    return kind(**data)
