"""Processor time of a full scan on one core: `python -m tests.exchange.rules.bench_scan [accounts]`."""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np

from exchange.rules.haircuts import haircut_curve
from exchange.rules.scan import AssetColumn, MarketColumn, plain_scan, scan
from exchange.rules.tiers import rate_tiers

MARKETS = 3
RUNS = 31
RATES = rate_tiers([(0, 4_000), (50 * 10**9, 5_000), (600 * 10**9, 6_500), (3 * 10**12, 10_000), (12 * 10**12, 20_000)])
CURVE = haircut_curve([(10**12, 1_000_000), (10**13, 900_000)])


def main(accounts: int) -> None:
    draw = np.random.default_rng(1)
    quote = draw.integers(0, 10**9, accounts)
    markets: list[MarketColumn] = []
    for number in range(MARKETS):
        size = draw.integers(-(10**6), 10**6, accounts)
        mark = 50_000 * (number + 1)
        markets.append(MarketColumn(size, size * mark + draw.integers(-(10**9), 10**9, accounts), mark, RATES))
    assets = [AssetColumn(draw.integers(-(10**8), 10**10, accounts), 6 * 10**10, 10**8, CURVE, RATES)]
    for name, columns in ((f"{MARKETS} positions", []), (f"{MARKETS} positions and an asset", assets)):
        found = scan(quote, columns, markets)
        times: list[float] = []
        for _ in range(RUNS):
            start = time.thread_time()
            scan(quote, columns, markets)
            times.append(1000 * (time.thread_time() - start))
        print(f"{accounts:,} accounts, {name}: median {statistics.median(times):.1f} ms, best {min(times):.1f} ms")
        few = slice(0, 1000)
        plain = plain_scan(
            [int(cash) for cash in quote[few]],
            [AssetColumn(one.amount[few], one.price, one.unit, one.lost, one.debt_margin) for one in columns],
            [MarketColumn(one.size[few], one.cost[few], one.mark, one.maintenance) for one in markets],
        )
        if [row[:2] for row in plain] != list(zip(found.equity[few], found.required[few], strict=True)):
            sys.exit("the scan and its twin disagree")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
