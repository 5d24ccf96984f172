"""What a cheat would change in a statement once it is proved, and what the statement's own rules forbid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.malicious.risk_world import SCENARIOS
from verifier.errors import Reason
from verifier.field import P
from verifier.instruments import Bucket, Instrument, Scenario, Tier
from verifier.statement import Losses, Statement


def instrument(statement: Statement, number: int, change: Callable[[Instrument], Instrument]) -> Statement:
    changed = list(statement.instruments)
    changed[number] = change(changed[number])
    return replace(statement, instruments=tuple(changed))


def collateral(change: Callable[[tuple[Tier, ...]], tuple[Tier, ...]]) -> Callable[[Statement], Statement]:
    """Another curve of the coins' second bucket."""

    def changed(coin: Instrument) -> Instrument:
        free, bucket = coin.buckets
        return replace(coin, buckets=(free, Bucket(bucket.name, change(bucket.tiers))))

    return lambda statement: instrument(statement, 0, changed)


def margin(number: int, *tiers: Tier) -> Callable[[Statement], Statement]:
    return lambda statement: instrument(statement, number, lambda item: replace(item, margin=tiers))


def scenario(statement: Statement, *values: int) -> Statement:
    """Other values in the first scenario."""
    first, *others = statement.scenarios
    return replace(statement, scenarios=(replace(first, values=values), *others))


def bumped(statement: Statement, number: int, by: int) -> Statement:
    values = list(statement.scenarios[0].values)
    values[number] += by
    return scenario(statement, *values)


def swapped_buckets(statement: Statement) -> Statement:
    return instrument(statement, 0, lambda coin: replace(coin, buckets=coin.buckets[::-1]))


def with_losses(*changes: tuple[int, int]) -> Callable[[Statement], Statement]:
    """Added to (shortfall, margin deficit) of each scenario."""

    def change(statement: Statement) -> Statement:
        pairs = zip(statement.losses, changes, strict=True)
        losses = tuple(Losses(loss.shortfall + a, loss.margin_deficit + b) for loss, (a, b) in pairs)
        return replace(statement, losses=losses)

    return change


def with_deficit(by: int) -> Callable[[Statement], Statement]:
    return lambda statement: replace(statement, total_margin_deficit=(statement.total_margin_deficit or 0) + by)


def moved_between_buckets(statement: Statement) -> Statement:
    first, *others = statement.totals
    free, kept = first.buckets
    return replace(statement, totals=(replace(first, buckets=(free - 1, kept + 1)), *others))


def one_scenario_less(statement: Statement) -> Statement:
    return replace(statement, scenarios=statement.scenarios[:-1], losses=statement.losses[:-1])


def one_scenario_more(statement: Statement) -> Statement:
    """Nothing changes in it but that everything is free: nobody is said to lose anything."""
    free = Scenario("nothing is worth anything", (0, 0, 10**10, 0))
    return replace(statement, scenarios=(*statement.scenarios, free), losses=(*statement.losses, Losses(0, 0)))


def swapped_scenarios(statement: Statement) -> Statement:
    return replace(statement, scenarios=statement.scenarios[::-1])


def swapped_losses(statement: Statement) -> Statement:
    return replace(statement, losses=statement.losses[::-1])


AFTERWARDS: dict[str, Callable[[Statement], Statement]] = {
    "a scenario's value one higher": lambda s: bumped(s, 0, 1),
    "a scenario's value one lower": lambda s: bumped(s, 3, -1),
    "a scenario in which nothing happens": lambda s: scenario(s, *(i.price for i in s.instruments)),
    "scenarios exchanged": swapped_scenarios,
    "a scenario less": one_scenario_less,
    "a scenario more": one_scenario_more,
    "losses exchanged": swapped_losses,
    "a shortfall one less": with_losses((-1, 0), (0, 0)),
    "a margin deficit in a scenario one more": with_losses((0, 0), (0, 1)),
    "a shortfall p more": with_losses((P, 0), (0, 0)),
    "the margin deficit one less": with_deficit(-1),
    "the margin deficit 2^16 p more": with_deficit(P << 16),
    "a haircut one basis point less": collateral(lambda tiers: (tiers[0], replace(tiers[1], ratio=9_501))),
    "a tier that ends one later": collateral(lambda tiers: (replace(tiers[0], to=101), tiers[1])),
    "a tier less": collateral(lambda tiers: tiers[:1]),
    "a tier more": collateral(lambda tiers: (*tiers, Tier(2_000, 100))),
    "no haircut at all": collateral(lambda tiers: (Tier(None, 10_000),)),
    "buckets exchanged": swapped_buckets,
    "less margin on what is owed": margin(0, Tier(None, 499)),
    "less margin on positions": margin(1, Tier(10, 39), Tier(None, 100)),
    "the same margin from one unit later on": margin(1, Tier(11, 40), Tier(None, 100)),
    "an atom in another bucket": moved_between_buckets,
}


# -- what the statement's own rules refuse ----------------------------------------------------------------------------


def bucket_more(statement: Statement) -> Statement:
    """Collateral that nobody holds: the buckets come to more than the long side."""
    first, *others = statement.totals
    free, kept = first.buckets
    return replace(statement, totals=(replace(first, buckets=(free, kept + 1)), *others))


REFUSED: dict[str, tuple[Callable[[Statement], Statement], Reason]] = {
    "the margin deficit 2^112 more": (with_deficit(1 << 112), Reason.OUTPUT_RANGE),
    "a shortfall 2^112 more": (with_losses((1 << 112, 0), (0, 0)), Reason.OUTPUT_RANGE),
    "buckets above the holdings": (bucket_more, Reason.ARITHMETIC),
    "a haircut that grows smaller with size": (
        collateral(lambda tiers: (replace(tiers[0], ratio=9_000), tiers[1])),
        Reason.INSTRUMENT_TABLE,
    ),
    "a margin that shrinks with size": (margin(1, Tier(10, 40), Tier(None, 30)), Reason.INSTRUMENT_TABLE),
    "more scenarios than the circuit has lenses for": (
        lambda s: replace(s, scenarios=SCENARIOS * 2, losses=s.losses * 2),
        Reason.INSTRUMENT_TABLE,
    ),
    "a cost basis with a price of its own": (
        lambda s: instrument(s, 2, lambda item: replace(item, price=item.price + 1)),
        Reason.INSTRUMENT_TABLE,
    ),
    "a scenario in which money is worth more": (lambda s: bumped(s, 2, 1), Reason.INSTRUMENT_TABLE),
}
