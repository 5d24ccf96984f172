"""Synthetic users of an exchange: healthy ones by the million, and one of each kind that must be refused.

Same arguments, same users. Nothing here is secret: the generator is seeded, and only proofs draw real randomness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from prover.positions import (
    Int64,
    UInt16,
    UInt64,
    equity_of,
    first_positions,
    health_of,
    risk_legs,
)
from prover.snapshot import Snapshot, seal
from prover.snapshot_meta import ZERO_DIGEST, SnapshotMeta
from verifier.instruments import COST_BASIS, PERPETUAL, SPOT, Instrument, Tier

FEW_MAX: Final = 50
MANY_SHARE: Final = 0.02
"""Of users who hold more than `FEW_MAX` assets, up to all there are."""
VALUES: Final = (0.0, 6.0)
"""Decimal logarithms of what a holding is worth, in the quote currency."""
DEBTORS_SHARE: Final = 0.3
TRADERS_SHARE: Final = 0.25
HEALTH_USED: Final = 0.4
"""Share of an account's health that its debts take, and then its position: prices may still be rounded against it."""
PERPETUAL_DECIMALS: Final = 8
MAINTENANCE: Final = (Tier(100_000, 50), Tier(1_000_000, 100), Tier(None, 250))
ENTRY_SPREAD: Final = 0.05
BASIS: Final = "basis"

Random = np.random.Generator
Floats = npt.NDArray[np.float64]


class Kind(StrEnum):
    """A user who cannot be proved, under policy strict or at all."""

    MARGIN_DEFICIT = "margin-deficit"
    NEGATIVE_EQUITY = "negative-equity"


@dataclass(frozen=True, slots=True)
class Entries:
    """Positions of many accounts in no order: account, position id and amount, each (m,)."""

    accounts: Int64
    positions: Int64
    amounts: UInt64

    @classmethod
    def join(cls, parts: Sequence[Entries]) -> Entries:
        """All of them, amounts of zero left out."""
        accounts, positions, amounts = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("accounts", "positions", "amounts")
        )
        kept = amounts > 0
        return cls(accounts[kept], positions[kept], amounts[kept])

    def sorted(self, count: int) -> tuple[Int64, UInt16, UInt64]:
        """Offsets (count + 1,), positions and amounts as a snapshot has them; equal positions are added up."""
        keys = self.accounts << 16 | self.positions
        order = np.argsort(keys, kind="stable")
        unique, first = np.unique(keys[order], return_index=True)
        amounts: UInt64 = np.add.reduceat(self.amounts[order], first) if len(first) else self.amounts
        offsets = np.searchsorted(unique >> 16, np.arange(count + 1)).astype(np.int64)
        return offsets, (unique & 0xFFFF).astype(np.uint16), amounts


def with_perpetuals(
    instruments: Sequence[Instrument], value_decimals: int, underlyings: Sequence[str]
) -> tuple[Instrument, ...]:
    """The table with a perpetual on each of some assets, at the asset's price, and the basis that they are paid in."""
    by_symbol = {instrument.symbol: instrument for instrument in instruments}
    added = [
        Instrument(
            f"{name}-perp",
            PERPETUAL,
            PERPETUAL_DECIMALS,
            by_symbol[name].price * 10 ** by_symbol[name].decimals // 10**PERPETUAL_DECIMALS,
            (),
            MAINTENANCE,
        )
        for name in underlyings
    ]
    decimals = min(6, value_decimals)
    added.append(Instrument(BASIS, COST_BASIS, decimals, 10 ** (value_decimals - decimals)))
    return tuple(sorted([*instruments, *added], key=lambda instrument: instrument.symbol))


def synthetic_users(
    instruments: tuple[Instrument, ...],
    value_decimals: int,
    accounts: int,
    seed: int,
    *,
    exchange: str = "synthetic",
    first: int = 0,
) -> Snapshot:
    """Healthy accounts: 1 to 50 assets each, a few up to all; debts; holdings spread over the buckets.

    Args:
        first: number of the first user, in the users' ids.

    Perpetuals of the table are traded between pairs of accounts, so that long equals short; the table then needs the
    basis of `with_perpetuals`.
    """
    random = np.random.default_rng(seed)
    held, tokens = _holdings(instruments, value_decimals, accounts, random)
    legs = risk_legs(instruments, value_decimals)
    entries = held.sorted(accounts)
    health = _approximate(health_of(*entries, legs).limbs)
    parts = [held, _debts(instruments, accounts, tokens, health, random)]
    parts += _trades(instruments, accounts, health, random)
    entries = Entries.join(parts).sorted(accounts)
    return _snapshot(instruments, value_decimals, entries, seed, exchange, first)


def _holdings(
    instruments: tuple[Instrument, ...], value_decimals: int, accounts: int, random: Random
) -> tuple[Entries, Int64]:
    """What accounts hold, and (accounts, 2) two assets of each."""
    spot = np.flatnonzero([instrument.kind == SPOT and instrument.price > 0 for instrument in instruments])
    count = np.minimum(1 + random.geometric(0.1, accounts), min(FEW_MAX, len(spot)))
    if len(spot) > FEW_MAX:
        many = random.random(accounts) < MANY_SHARE
        count = np.where(many, random.integers(FEW_MAX + 1, len(spot) + 1, accounts), count)
    # A walk of equal steps that share no factor with the number of assets meets each of them once.
    steps = np.array([step for step in range(1, len(spot) + 1) if np.gcd(step, len(spot)) == 1])
    start, step = random.integers(0, len(spot), accounts), random.choice(steps, accounts)
    account = np.repeat(np.arange(accounts), count)
    number = np.arange(len(account)) - np.repeat(np.cumsum(count) - count, count)
    asset = spot[(start[account] + step[account] * number) % len(spot)]
    worth = 10 ** random.uniform(*VALUES, len(asset))
    amounts = _atoms(worth, asset, instruments, value_decimals)
    first = first_positions(instruments)
    parts, left = [], amounts
    for bucket in range(max(max(1, len(instruments[j].buckets)) for j in spot)):
        last = np.array([bucket >= len(instrument.buckets) - 1 for instrument in instruments])[asset]
        part = np.where(last, left, (left >> np.uint64(8)) * random.integers(0, 200, len(left), np.uint64))
        parts.append(Entries(account, first[asset] + bucket, part))
        left = left - part
    tokens = spot[(start[:, None] + step[:, None] * np.arange(2)) % len(spot)]
    return Entries.join(parts), tokens


def _debts(
    instruments: tuple[Instrument, ...], accounts: int, tokens: Int64, health: Floats, random: Random
) -> Entries:
    """Up to two debts per debtor, of at most `HEALTH_USED` of their health together, the margin of 100 % included."""
    prices = np.array([float(instrument.price) for instrument in instruments])
    shorts = first_positions(instruments)[1:] - 1
    debtors = np.flatnonzero((random.random(accounts) < DEBTORS_SHARE) & (health > 0))
    parts = []
    for each in range(tokens.shape[1]):
        asset = tokens[debtors, each]
        worth = health[debtors] * HEALTH_USED / 4 * random.random(len(debtors))
        amounts = np.minimum(worth / prices[asset], 2.0**61).astype(np.uint64)
        parts.append(Entries(debtors, shorts[asset], amounts))
    return Entries.join(parts)


def _trades(instruments: tuple[Instrument, ...], accounts: int, health: Floats, random: Random) -> list[Entries]:
    """Pairs of accounts with one position between them, at a price near the mark, and up to three times leveraged."""
    first = first_positions(instruments)
    perpetuals = [j for j, instrument in enumerate(instruments) if instrument.kind == PERPETUAL]
    basis = next((j for j, instrument in enumerate(instruments) if instrument.kind == COST_BASIS), -1)
    pairs = random.permutation(accounts)[: 2 * int(accounts * TRADERS_SHARE / 2)].reshape(-1, 2)
    parts = []
    for number, j in enumerate(perpetuals):
        chosen = pairs[number :: len(perpetuals)]
        free = np.maximum(health[chosen].min(axis=1), 0) * HEALTH_USED * random.random(len(chosen))
        # A position costs health: the way from its entry to the mark, and half of that as margin. Twice both are free.
        size = np.minimum(free / instruments[j].price / (3 * ENTRY_SPREAD), 2.0**50).astype(np.uint64)
        entry = instruments[j].price * (1 + ENTRY_SPREAD * random.uniform(-1, 1, len(size)))
        paid = np.minimum(size * entry / instruments[basis].price, 2.0**61).astype(np.uint64)
        sides = ((first[j], first[basis + 1] - 1), (first[j + 1] - 1, first[basis]))
        for who, (position, money) in zip(chosen.T, sides, strict=True):
            parts += [Entries(who, np.full(len(who), p), amounts) for p, amounts in ((position, size), (money, paid))]
    return parts


def spoiled(snapshot: Snapshot, index: int, kind: Kind) -> Snapshot:
    """The same snapshot in which one account owes more than it may, by little, of a spot instrument that it has.

    Args:
        index: of an account whose collateral has haircuts, or is not all it holds.
    """
    meta = snapshot.meta
    table = meta.instruments
    held = slice(int(snapshot.offsets[index]), int(snapshot.offsets[index + 1]))
    first = first_positions(table)
    owners = np.searchsorted(first, snapshot.positions[held], side="right") - 1
    asset = next(int(j) for j in owners if table[j].kind == SPOT)
    entries = snapshot.offsets, snapshot.positions, snapshot.amounts
    equity = equity_of(*entries, table).of(index)
    health = health_of(*entries, risk_legs(table, meta.value_decimals)).of(index)
    lacking = equity if kind is Kind.NEGATIVE_EQUITY else min(health, equity - table[asset].price)
    amount = lacking // table[asset].price + 1
    added = Entries(np.array([index]), np.array([first[asset + 1] - 1]), np.array([amount], np.uint64))
    account = np.repeat(np.arange(len(snapshot.lines)), np.diff(snapshot.offsets))
    old = Entries(account, snapshot.positions.astype(np.int64), snapshot.amounts)
    return _with_entries(snapshot, Entries.join([old, added]).sorted(len(snapshot.lines)))


def _atoms(worth: Floats, asset: Int64, instruments: tuple[Instrument, ...], value_decimals: int) -> UInt64:
    prices = np.array([float(instrument.price) for instrument in instruments])
    atoms: Floats = np.minimum(worth * 10.0**value_decimals / prices[asset], 2.0**61)
    whole: UInt64 = np.maximum(atoms, 1).astype(np.uint64)
    return whole


def _approximate(limbs: Int64) -> Floats:
    """Exact values as floats, to 52 bits."""
    return np.asarray(sum(limbs[k] * 2.0 ** (21 * k) for k in range(len(limbs))), np.float64)


def _with_entries(snapshot: Snapshot, entries: tuple[Int64, UInt16, UInt64]) -> Snapshot:
    changed = Snapshot(snapshot.meta, snapshot.user_ids, snapshot.nonces, snapshot.has_nonce, snapshot.lines, *entries)
    return seal(changed, snapshot.meta.ledger_salt)


def _snapshot(
    instruments: tuple[Instrument, ...],
    value_decimals: int,
    entries: tuple[Int64, UInt16, UInt64],
    seed: int,
    exchange: str,
    first: int,
) -> Snapshot:
    accounts = len(entries[0]) - 1
    meta = SnapshotMeta(
        exchange=exchange,
        sequence=0,
        time="2026-01-01T00:00:00Z",
        ledger_state=ZERO_DIGEST,
        ledger_salt=f"{seed + 1:064x}",
        previous=ZERO_DIGEST,
        oracle_evidence=ZERO_DIGEST,
        quote="USDT",
        value_decimals=value_decimals,
        instruments=instruments,
        accounts=0,
        entries=0,
        source=(),
    )
    return _with_entries(
        Snapshot(
            meta=meta,
            user_ids=pa.chunked_array([pa.array([f"user{first + i:08d}" for i in range(accounts)])]),
            nonces=np.zeros((accounts, 32), np.uint8),
            has_nonce=np.zeros(accounts, bool),
            lines=np.arange(2, accounts + 2, dtype=np.uint32),
            offsets=entries[0],
            positions=entries[1],
            amounts=entries[2],
        ),
        entries,
    )
