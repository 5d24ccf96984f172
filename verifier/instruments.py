"""The tables of a statement: what an account can hold, how far it counts as collateral, and the stress scenarios.

Everything here is public and chosen by the exchange. `verifier.legs` derives the leg table from it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from verifier.canonical import Record, refuse
from verifier.errors import Reason

INSTRUMENTS_MAX = 2048
SYMBOL_CHARACTERS_MAX = 32
SCENARIO_CHARACTERS_MAX = 64
DECIMALS_MAX = 30
PRICE_END = 2**54
"""Values in value units per atom are below this: with a margin of 100 % on top, seven balanced digits still do."""
RATIO_ONE = 10_000
"""Ratios are in basis points."""
TIERS_MAX = 12
BUCKETS_MAX = 8
BOUND_END = 2**64
"""Bounds of tiers, in whole units of the quote currency, are below this."""
LEGS_MAX = 2**16 - 1
"""A leg's number has sixteen bits in the circuit, and 2^17 rows always hold the table."""
SPOT, PERPETUAL, COST_BASIS = "spot", "perpetual", "cost-basis"
KINDS = (SPOT, PERPETUAL, COST_BASIS)

_TABLE = Reason.INSTRUMENT_TABLE
_KEYS = ("symbol", "kind", "decimals", "price", "buckets", "margin")


@dataclass(frozen=True)
class Tier:
    """A ratio for the part of an amount between the tier before and `to`.

    Args:
        to: upper bound of the amount's value, counted from 0, in whole units of the quote currency; None: no bound.
        ratio: in basis points, 0 to 10,000.
    """

    to: int | None
    ratio: int


@dataclass(frozen=True)
class Bucket:
    """A part of what is held of an asset, with its own haircut: an atom is in exactly one bucket.

    Args:
        tiers: share of the value that counts as collateral; what is above the last bound counts nothing.
    """

    name: str
    tiers: tuple[Tier, ...]


@dataclass(frozen=True)
class Instrument:
    """One row of the instrument table.

    Args:
        symbol: 1 to 32 visible ASCII characters, unique even where case is ignored.
        kind: "spot", "perpetual" or "cost-basis".
        decimals: an amount of 1 is 10^decimals atoms.
        price: value units per atom.
        buckets: parts of the long side, for spot instruments of a circuit that proves margins; () otherwise.
        margin: share of the value needed on top of a debt, or to maintain a position of either side.
    """

    symbol: str
    kind: str
    decimals: int
    price: int
    buckets: tuple[Bucket, ...] = ()
    margin: tuple[Tier, ...] = ()


@dataclass(frozen=True)
class Scenario:
    """A stress scenario: other values for all instruments at once.

    Args:
        values: value units per atom, in the order of the instrument table.
    """

    name: str
    values: tuple[int, ...]


def instruments_data(instruments: Sequence[Instrument]) -> list[dict[str, object]]:
    """The JSON form of an instrument table, as `read_instruments` takes it."""
    return [
        {
            "symbol": i.symbol,
            "kind": i.kind,
            "decimals": i.decimals,
            "price": str(i.price),
            "buckets": [{"name": bucket.name, "tiers": _tiers_data(bucket.tiers)} for bucket in i.buckets],
            "margin": _tiers_data(i.margin),
        }
        for i in instruments
    ]


def scenarios_data(scenarios: Sequence[Scenario]) -> list[dict[str, object]]:
    """The JSON form of the scenarios, as `read_scenarios` takes it."""
    return [{"name": s.name, "values": [str(value) for value in s.values]} for s in scenarios]


def _tiers_data(tiers: Sequence[Tier]) -> list[dict[str, object]]:
    return [{"to": None if tier.to is None else str(tier.to), "ratio": tier.ratio} for tier in tiers]


def read_instruments(
    top: Record, circuit: str, kinds: Collection[str], margins: bool, value_decimals: int
) -> tuple[Instrument, ...]:
    """The field `instruments`.

    Args:
        circuit, kinds, margins: its name for messages, the kinds that it proves, and whether it proves margins.
        value_decimals: of the statement; fixes the price of a cost basis.

    Raises:
        MalformedProof: MALFORMED.
        BadStatement: INSTRUMENT_TABLE: a repeated symbol, a kind that the circuit does not prove, a value out of range,
            a curve that is not concave, or more tiers than legs have numbers.
    """
    instruments: list[Instrument] = []
    seen: set[str] = set()
    rows = 0
    for item in top.records("instruments", _KEYS, INSTRUMENTS_MAX, _TABLE):
        symbol = item.symbol("symbol", SYMBOL_CHARACTERS_MAX)
        # Symbols are ASCII. Two that differ only in case look alike to people, who read the verdict.
        if symbol.lower() in seen:
            refuse(item.where("symbol"), "each symbol once, in one spelling", symbol, _TABLE)
        seen.add(symbol.lower())
        kind = item.choice("kind", KINDS, _TABLE)
        if kind not in kinds:
            refuse(item.where("kind"), f"{' or '.join(kinds)}, all that {circuit} proves", kind, _TABLE)
        price = item.decimal("price", 0, PRICE_END, _TABLE)
        decimals = item.integer("decimals", 0, DECIMALS_MAX, _TABLE)
        if kind == COST_BASIS:
            _check_slope(item, price, value_decimals - decimals)
        buckets = _read_buckets(item, margins and kind == SPOT)
        margin = _read_margin(item, margins and kind != COST_BASIS)
        instruments.append(Instrument(symbol, kind, decimals, price, buckets, margin))
        # One row more than tiers on each side: what no tier covers.
        rows += sum(len(bucket.tiers) + 1 for bucket in buckets or [Bucket("", margin)]) + len(margin) + 1
        if rows > LEGS_MAX:
            refuse(item.path, f"tables of at most {LEGS_MAX} tiers", "more", _TABLE)
    if not instruments:
        refuse(top.where("instruments"), "at least one", "none", _TABLE)
    return tuple(instruments)


def _check_slope(item: Record, price: int, exponent: int) -> None:
    """A cost basis is money: one unit of it is worth one unit of the quote currency."""
    if exponent < 0 or price != 10**exponent:
        expected = f"10^{exponent}, one unit of the quote currency per unit" if exponent >= 0 else "fewer decimals"
        refuse(item.where("price"), expected, price, _TABLE)


def _read_buckets(item: Record, some: bool) -> tuple[Bucket, ...]:
    """At least one bucket for a spot instrument under a circuit that proves margins, otherwise none."""
    records = item.records("buckets", ("name", "tiers"), BUCKETS_MAX, _TABLE)
    if some != bool(records):
        expected = f"1 to {BUCKETS_MAX} buckets" if some else "no buckets here"
        refuse(item.where("buckets"), expected, len(records), _TABLE)
    buckets: list[Bucket] = []
    seen: set[str] = set()
    for record in records:
        name = record.symbol("name", SYMBOL_CHARACTERS_MAX)
        if name.lower() in seen:
            refuse(record.where("name"), "each name once, in one spelling", name, _TABLE)
        seen.add(name.lower())
        # The circuit lets an account split a holding over tiers in any way: no way may gain from it.
        tiers = _read_tiers(record, "tiers", -1)
        buckets.append(Bucket(name, tiers))
    return tuple(buckets)


def _read_margin(item: Record, allowed: bool) -> tuple[Tier, ...]:
    tiers = _read_tiers(item, "margin", 1)
    if tiers and not allowed:
        refuse(item.where("margin"), "no margin here", f"{len(tiers)} tiers", _TABLE)
    if tiers and tiers[-1].to is not None:
        # Above the last bound nothing would be asked: a larger debt would then be better than a smaller one.
        refuse(item.where("margin"), "a last tier without bound", tiers[-1].to, _TABLE)
    return tiers


def _read_tiers(item: Record, key: str, direction: int) -> tuple[Tier, ...]:
    """Tiers with increasing bounds; ratios do not increase (`direction` -1) or do not decrease (1)."""
    tiers: list[Tier] = []
    for record in item.records(key, ("to", "ratio"), TIERS_MAX, _TABLE):
        last = tiers[-1] if tiers else Tier(0, -1 if direction > 0 else RATIO_ONE + 1)
        if last.to is None:
            refuse(record.path, "nothing after a tier without bound", "a tier", _TABLE)
        to = None if record.is_null("to") else record.decimal("to", last.to + 1, BOUND_END, _TABLE)
        ratio = record.integer("ratio", 0, RATIO_ONE, _TABLE)
        if direction * (ratio - last.ratio) < 0:
            expected = f"at {'least' if direction > 0 else 'most'} {last.ratio}, the ratio before"
            refuse(record.where("ratio"), expected, ratio, _TABLE)
        tiers.append(Tier(to, ratio))
    return tuple(tiers)


def read_scenarios(top: Record, circuit: str, most: int, instruments: Sequence[Instrument]) -> tuple[Scenario, ...]:
    """The field `scenarios`.

    Args:
        circuit: its name, for messages.
        most: how many scenarios it proves.

    Raises:
        MalformedProof: MALFORMED.
        BadStatement: INSTRUMENT_TABLE: too many, a repeated name, not one value per instrument, a value out of range or
            another value of a cost basis, which is money and does not move.
    """
    scenarios: list[Scenario] = []
    seen: set[bytes] = set()
    items = top.records("scenarios", ("name", "values"), max(most, 0) + 1, _TABLE)
    if len(items) > most:
        refuse(top.where("scenarios"), f"at most {most}, all that {circuit} proves", "more", _TABLE)
    for item in items:
        name = item.text("name", SCENARIO_CHARACTERS_MAX)
        if name != name.strip():
            refuse(item.where("name"), "no blanks around it", name)
        key = name.encode().lower()  # of ASCII letters only: what else has a case depends on Unicode's version
        if key in seen:
            refuse(item.where("name"), "each name once, in one spelling", name, _TABLE)
        seen.add(key)
        values = item.decimals("values", len(instruments), 0, PRICE_END, _TABLE)
        for i, (instrument, value) in enumerate(zip(instruments, values, strict=True)):
            if instrument.kind == COST_BASIS and value != instrument.price:
                refuse(f"{item.where('values')}[{i}]", f"the cost basis' {instrument.price}", value, _TABLE)
        scenarios.append(Scenario(name, values))
    return tuple(scenarios)
