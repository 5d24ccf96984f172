"""Real incidents that rules alone prevent, with their numbers as reported; replays and audits need the ledger."""

from __future__ import annotations

import inspect

import pytest

from exchange.rules import adl, fund, haircuts, liquidation, margin, mark, oracle, scan, tiers
from exchange.rules.margin import Change, Risk
from exchange.rules.oracle import Quality, Quote, Use
from exchange.rules.rounding import PPM

MAINTENANCE = tiers.rate_tiers([(0, 12_500), (3_000_000, 25_000), (30_000_000, 50_000), (150_000_000, 100_000)])
INITIAL = tiers.rate_tiers([(0, 25_000), (3_000_000, 50_000), (30_000_000, 100_000), (150_000_000, 200_000)])
NOW = 1_000_000
POLICY = oracle.OraclePolicy(
    stale_ms=180_000,
    future_ms=1_000,
    weight_total=7,
    quorum_ppm=666_667,
    confidence_ppm=10_000,
    step_ppm=100_000,
    deviation_ppm=200_000,
)


def quote(source: int, price: int, age_ms: int = 0) -> Quote:
    return Quote(source, price, 0, NOW - age_ms, 1)


def may_open(equity: int, notional: int, scale_ppm: int) -> bool:
    """Whether a flat account with this equity may open a position at the mark."""
    asked = margin.initial_margin(notional, INITIAL, scale_ppm)
    after = Risk(equity, asked, tiers.requirement(notional, MAINTENANCE))
    return margin.may_change(Risk(equity, 0, 0), after) is Change.OK


def test_okex_2018_one_position_larger_than_book_and_fund() -> None:
    """4,168,515 contracts of 100 USD; fund 10 BTC, 2,500 BTC injected, 1,200 BTC clawed back (31 July 2018)."""
    notional = 4_168_515 * 100
    equity = notional // 20  # 20x leverage, as offered then
    assert may_open(equity // 100, notional // 100, 0), "a small position at that leverage is fine"
    assert not may_open(equity, notional, 0), "size tiers alone refuse it"
    full = margin.open_interest_scale_ppm(notional, 50_000_000, 200_000_000)
    assert full == PPM
    assert not may_open(notional - 1, notional, full), "at the market's cap it has to be paid in full"
    # Forced in, the loss goes down the waterfall, and nothing appears or vanishes.
    balances = {"fund": 10, "treasury": 2_500, "winners": 6_700}
    loss = 3_710
    result = fund.waterfall(loss, [balances["fund"], balances["treasury"]])
    assert result == fund.Waterfall((10, 2_500), 1_200)
    winners = [4_000, 0, -300, 2_000, 700]
    clawed = fund.socialise(result.remaining, winners)
    assert sum(result.paid) + sum(clawed) == loss
    assert clawed == [716, 0, 0, 358, 126]


@pytest.mark.parametrize("bad", [0, 1, 9_999_999])
def test_deribit_2019_one_stale_or_wild_constituent(bad: int) -> None:
    """One of seven constituents stale or zero: the perpetual fell 15 % on it (31 October 2019)."""
    honest = [9150, 9148, 9152, 9151, 9149, 9150]
    clean = oracle.aggregate([quote(n, price) for n, price in enumerate(honest)], NOW, POLICY, 9150, 9150)
    found = oracle.aggregate([quote(n, price) for n, price in enumerate([*honest, bad])], NOW, POLICY, 9150, 9150)
    assert abs(found.price - clean.price) * 1000 <= 5 * clean.price
    assert min(honest) <= found.price <= max(honest)
    mean = oracle.capped_mean([(price, 1) for price in honest if price], 5_000)
    with_bad = oracle.capped_mean([(price, 1) for price in [*honest, bad]], 5_000)
    assert abs(with_bad - mean) <= 9150 * 5_000 // PPM // 7 + 1, "it moves by at most cap * weight"
    # An account that is healthy at the honest price is healthy at this one.
    size = 100
    cash = tiers.requirement(9148 * size, MAINTENANCE) - 9148 * size
    assert not liquidation.is_liquidatable(
        cash + found.price * size, tiers.requirement(found.price * size, MAINTENANCE)
    )


def test_deribit_2019_silent_sources_liquidate_nobody() -> None:
    late = [quote(n, 9150, 180_001) for n in range(5)]
    for rows in ([], [quote(0, 0)], late, [*late, quote(5, 7_700), quote(6, 7_700)]):
        found = oracle.aggregate(rows, NOW, POLICY, 9150, 9150)
        assert not oracle.permits(found.quality, Use.LIQUIDATE)
        assert not oracle.permits(found.quality, Use.WITHDRAW)


def test_ftx_no_rule_has_a_way_to_exempt_an_account() -> None:
    """`allow_negative` let one account go negative. Here who an account is never reaches a rule about margin."""
    names = {
        name
        for rule in (
            liquidation.is_liquidatable,
            margin.may_change,
            margin.withdrawable,
            margin.initial_margin,
            tiers.requirement,
            scan.scan,
        )
        for name in inspect.signature(rule).parameters
    }
    assert names == {
        *("equity", "maintenance", "before", "after", "settled", "collateral", "losses", "margin"),
        *("notional", "tiers", "scale_ppm", "floor_ppm", "quote", "assets", "markets"),
    }
    assert set(Risk.__dataclass_fields__) == {"equity", "initial", "maintenance"}


def test_drift_v1_the_vault_covers_what_may_leave_on_the_way_down() -> None:
    """LUNA fell by 95 %: winners took out profit that losers had not paid yet (11 May 2022)."""
    size, entry, deposit = 100, 10_000, 260_000
    vault = 3 * deposit
    # The winner is short, the loser long. The winner closes against a newcomer half way down.
    pool = 0
    winner_settled, winner_claim = deposit, 0
    closed = False
    for step in range(96):
        price = entry * (100 - step) // 100
        asked = margin.initial_margin(size * price, INITIAL)
        loser_loss = max(0, size * (entry - price))
        if step == 50:
            closed, half = True, price
            winner_claim = size * (entry - price)
            # The loser's loss is realised as far as it has money; only that enters the pool.
            pool = min(deposit, loser_loss)
            (paid,) = fund.pay_from_pool([winner_claim], pool)
            winner_settled, winner_claim, pool = winner_settled + paid, winner_claim - paid, pool - paid
        loser_settled = deposit - (min(deposit, size * (entry - half)) if closed else 0)
        loser_open = size * (half - price) if closed else loser_loss
        newcomer_loss = 0  # short since half way, in profit
        leaving = (
            margin.withdrawable(winner_settled, 0, 0, 0 if closed else asked)
            + margin.withdrawable(loser_settled, 0, loser_open, asked)
            + margin.withdrawable(deposit, 0, newcomer_loss, asked if closed else 0)
        )
        assert leaving <= vault, step
        if not closed:
            assert margin.withdrawable(winner_settled, 0, 0, asked) <= deposit, "profit on paper stays"
    assert winner_settled == 2 * deposit
    assert winner_claim == 500_000 - deposit, "the rest is a claim on the fund and ADL, not money"


def test_mango_profit_on_a_thin_market_is_not_money() -> None:
    """5 M USD, 483 M contracts at 0.0382, pumped to 0.91; 116 M borrowed on the profit (11 October 2022)."""
    scale = 10_000  # quote atoms per USD
    deposit, size, entry, peak = 5_000_000 * scale, 483_000_000, 382, 9_100
    profit = size * (peak - entry)
    assert profit // scale > 400_000_000
    # 1. Nothing of the profit leaves.
    notional = size * peak
    asked = margin.transfer_margin(margin.initial_margin(notional, INITIAL), notional, 100_000)
    assert margin.withdrawable(deposit, 0, 0, 0) == deposit
    assert margin.withdrawable(deposit, 0, 0, asked) == 0
    # 2. The market's open interest is limited by the depth elsewhere: 4 M USD moved the price 24-fold.
    cap = margin.concentration_limit(4_000_000 * scale, 500_000, 10**15)
    opened = size * entry
    at_cap = margin.open_interest_scale_ppm(opened, cap // 2, cap)
    assert at_cap == PPM
    assert not may_open(deposit, opened, at_cap)
    # 3. The price runs away from its own average: risk may not grow, and no money leaves.
    found = oracle.aggregate([quote(n, peak) for n in range(7)], NOW, POLICY, 8_900, 400)
    assert found.quality is Quality.DIVERGENT
    jump = oracle.aggregate([quote(n, peak) for n in range(7)], NOW, POLICY, 382, peak)
    assert jump.quality is Quality.JUMPED
    for quality in (Quality.DIVERGENT, Quality.JUMPED):
        assert not oracle.permits(quality, Use.WITHDRAW)
        assert not oracle.permits(quality, Use.INCREASE)
        assert oracle.permits(quality, Use.REDUCE)
    assert oracle.step_towards(382, peak, POLICY.step_ppm) == 420


def test_dydx_yfi_many_wallets_one_market() -> None:
    """Open interest from 0.8 M to 67 M USD over many wallets; the fund paid 9 M (17 November 2023)."""
    lower, upper = 5_000_000, 20_000_000
    wallets = [670_000] * 100
    held = 800_000
    refused_at = 0
    for wallet in wallets:
        scale = margin.open_interest_scale_ppm(held + wallet, lower, upper)
        if not may_open(wallet // 5, wallet, scale):
            refused_at = held
            break
        held += wallet
    assert lower < refused_at < upper, "5x is over long before the cap, whoever asks"
    assert margin.open_interest_scale_ppm(67_000_000, lower, upper) == PPM
    # Had the loss come: the fund pays up to its cap per market and block, the rest is deleveraged.
    capacity = fund.fund_capacity(22_500_000, 400_000, 1_000_000)
    assert fund.waterfall(9_000_000, [capacity]) == fund.Waterfall((600_000,), 8_400_000)


def test_usdc_2023_one_venues_print_liquidates_nobody() -> None:
    """USDC at 0.8748 on one venue while others traded near 0.97 (11 March 2023)."""
    others = [quote(n, price) for n, price in enumerate((9_700, 9_690, 9_710, 9_705, 9_695, 9_700))]
    found = oracle.aggregate([*others, quote(6, 8_748)], NOW, POLICY, 9_750, 9_800)
    assert 9_690 <= found.price <= 9_710
    # Collateral follows the index, less its haircut, not the print.
    lost = haircuts.haircut_curve([(None, 950_000)])
    asked = tiers.requirement(3_000_000, MAINTENANCE)

    def counts(price: int) -> int:
        return haircuts.collateral_value(45_000, price, 10_000, lost, tiers.NO_REQUIREMENT)

    assert counts(10_000) > counts(found.price) > asked, "it reacts, and the account stays"
    assert counts(8_748) < asked, "the print alone would have liquidated it"


def test_hyperliquid_whale_2025_no_way_out_through_the_backstop() -> None:
    """160,000 ETH left near liquidation after withdrawing 17 M; the vault took it at 1,915 and lost 4 M."""
    size, price = 160_000, 1_930
    notional = size * price
    assert tiers.requirement(notional, MAINTENANCE) * 1_000 > tiers.requirement(notional // 100, MAINTENANCE) * 100_000
    asked = margin.transfer_margin(margin.initial_margin(notional, INITIAL), notional, 100_000)
    assert asked >= notional // 10
    profit = 8_000_000
    settled = 15_230_000
    assert margin.withdrawable(settled, 0, 0, asked) == 0, "with profit of 8 M on paper, too"
    # Liquidated all the same, it pays the fee as long as there is anything to pay it from.
    cost = notional - profit
    equity = margin.position_equity(tiers.requirement(notional, MAINTENANCE) - profit - 1, size, cost, price, 1)
    held = tiers.requirement(notional, MAINTENANCE)
    assert liquidation.is_liquidatable(equity, held)
    bankruptcy = liquidation.bankruptcy_quote(equity, held, notional, 0, held, 0)
    assert liquidation.fund_delta(notional, bankruptcy, 15_000) == -(-notional * 15_000 // PPM)


def test_jelly_2025_a_ring_fenced_backstop_and_a_price_nobody_chooses() -> None:
    """4 M USD at 0.0095, pumped 4.3-fold onto the vault's short; settled at 0.0095 by vote (26 March 2025)."""
    entry, peak = 95, 408
    size = 4_000_000 * 10_000 // entry
    loss = size * (peak - entry)
    # 1. The backstop has its own equity and a threshold; what is above goes to ADL, not to other vaults.
    vault_equity, threshold = 20_000_000_000, 1_000_000_000
    paid = fund.fund_capacity(vault_equity, 0, threshold)
    assert paid == threshold
    result = fund.waterfall(loss, [paid])
    assert result.remaining == loss - threshold > 0
    ranked = adl.rank(
        adl.Candidate(n, size // 4, adl.score(loss // 4, size // 4 * entry, size // 4 * peak, 10**10 + n), size // 4)
        for n in range(8)
    )
    parts, left = adl.allocate(ranked, -size)
    assert left == 0
    assert sum(part.closed for part in parts) == size
    # 2. The settlement price is the oracle's average over a window: a spike at its end moves it little.
    samples = [(0, entry), (3_500_000, peak)]
    settled = oracle.time_weighted_average(samples, 0, 3_600_000)
    assert entry <= settled <= entry + (peak - entry) * 100_000 // 3_600_000
    assert inspect.signature(oracle.time_weighted_average).parameters.keys() == {"samples", "start_ms", "end_ms"}
    # 3. The cap on open interest follows the depth elsewhere.
    assert margin.concentration_limit(244, 250_000, 1_000) > margin.concentration_limit(57, 250_000, 1_000)


def test_october_2025_wrapped_collateral_is_not_priced_by_its_own_book() -> None:
    """wBETH printed 430 on the venue's own book with ETH at 3,800 and a conversion ratio of 1.08."""
    index = haircuts.wrapped_price(3_800, 108, 100)
    assert index == 4_104
    own = mark.mark_price(index, 0, 430, 1_000, [(4_100, 1)], 1, 50_000)
    assert own >= 4_100
    lost = haircuts.haircut_curve([(None, 900_000)])
    debt = 3_000_000

    def health(price: int) -> int:
        return haircuts.counted(1_000 * price, lost, tiers.NO_REQUIREMENT) - debt

    assert health(own) > 0
    assert health(430) < 0


def test_october_2025_adl_comes_last_and_looks_at_hedges() -> None:
    """34,983 deleveraging events on 162 coins, 2.1 bn USD; hedged traders lost one leg (10 October 2025)."""
    # After the fund's cap only, and partial on the last account.
    shortfall = 1_000
    result = fund.waterfall(shortfall, [fund.fund_capacity(5_000, 0, 400)])
    assert result.remaining == 600
    shorts = [(1, -300, 0), (2, -500, 480), (3, -400, 100), (4, -250, 0), (5, -600, 600)]
    candidates = [
        adl.Candidate(account, size, adl.score(-size * 20, -size * 100, -size * 80, 5_000 * account), unhedged)
        for account, size, other in shorts
        for unhedged in (adl.unhedged_size(size, other),)
    ]
    ranked = adl.rank(candidates)
    plain, left = adl.allocate(ranked, 900)
    aware, aware_left = adl.allocate_unhedged_first(ranked, 900)
    assert left == aware_left == 0

    def damage(parts: list[adl.Part]) -> int:
        """By how much net exposures grow, over all accounts."""
        closed = {part.account: part.closed for part in parts}
        return sum(
            max(0, abs(size + closed.get(account, 0) + other) - abs(size + other)) for account, size, other in shorts
        )

    assert damage(aware) < damage(plain)
    assert damage(adl.allocate_unhedged_first(ranked, 800)[0]) == 0
    assert adl.rank(reversed(candidates)) == ranked
