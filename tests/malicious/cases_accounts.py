"""Forgeries of accounts: sequence, end block, amounts, caps, order of legs, count, sign and liability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tests.malicious.cases import Case, also, breaks
from tests.malicious.cases_tree import bump
from tests.malicious.forge import Account, Forge, Plan, fit_equity, write_carries
from tests.malicious.rows import Row, carries_of, centered, limbs

CAP = 10**6
IDENTITY = "the value identity holds where a chain closes"


@breaks("open and entry are followed by entry or close")
def dropped_close(plan: Plan) -> Forge:
    """The account counts towards the totals, and has neither equity nor leaf."""
    return Forge(plan.with_spare().instead("account 11", "spare")).edit("account 11", lambda rows: rows.pop())


@breaks("entry and close follow open or entry")
def account_without_open(plan: Plan) -> Case:
    def change(rows: list[Row]) -> None:
        rows[0].cells.clear()

    why = "an open row holds the low parts of ten carries; without them the offset -2^22 of the carries stays"
    return also(Forge(plan).edit("account 11", change), IDENTITY, why=why)


@breaks("open starts the count")
def count_starts_late(plan: Plan) -> Forge:
    def change(rows: list[Row]) -> None:
        for row in rows:
            bump(row, "count", 5)
            if row["is_entry"]:
                bump(row, "u5", 80)
        bump(rows[-1], "b1", 5)

    return Forge(plan).edit("account 1", change)


@breaks("the last block is tagged")
def wrong_end_tag(plan: Plan) -> Forge:
    return Forge(plan).edit("account 1", lambda rows: bump(rows[-1], "b0"))


@breaks("the last block has the count")
def wrong_count_in_the_leaf(plan: Plan) -> Forge:
    return Forge(plan).edit("account 1", lambda rows: bump(rows[-1], "b1"))


@breaks(r"amount limb is two bytes\[(\d)\]")
def hashed_one_amount_summed_another(plan: Plan, limb: int) -> Forge:
    def change(rows: list[Row]) -> None:
        rows[1][f"y{2 * limb}"] ^= 1
        fit_equity(rows)

    return Forge(plan).edit("account 7", change)


@breaks(r"entry block ends in zeros\[(\d)\]")
def something_more_in_the_entry(plan: Plan, word: int) -> Forge:
    return Forge(plan).edit("account 7", lambda rows: bump(rows[1], f"b{word + 5}"))


def capped(plan: Plan, cap: int = CAP) -> Plan:
    """The same exchange with a low cap on every leg, and amounts to suit."""
    chains = dict(plan.chains)
    for name, spec in chains.items():
        if isinstance(spec, Account):
            chains[name] = replace(spec, entries=tuple((leg, min(amount, cap)) for leg, amount in spec.entries))
    return replace(plan, legs=tuple(replace(leg, cap=cap) for leg in plan.legs), chains=chains)


def amount_and_slack(row: Row, amount: int, slack: Sequence[int]) -> None:
    """Another amount in an entry, in its block and in its bytes, with the slack as given."""
    row.put("y", limbs(amount, 8, 8)).put("u", slack)
    for i, limb in enumerate(limbs(amount, 4)):
        row[f"b{i + 1}"] = limb


@breaks(r"amount plus slack is the cap, carry\[(\d)\]")
def cap_exceeded_by_the_modulus(plan: Plan, limb: int) -> Forge:
    """amount + slack = cap + p * 2^(16 limb): a carry of -32512 takes 1 from one limb and puts 32512 into the next."""
    slack = [int(i == limb) for i in range(4)]

    def change(rows: list[Row]) -> None:
        amount_and_slack(rows[1], CAP + (32512 << (16 * limb + 16)), slack)
        fit_equity(rows)

    return Forge(capped(plan)).edit("account 7", change)


@breaks("amount plus slack is the cap")
def cap_exceeded_by_one(plan: Plan) -> Forge:
    def change(rows: list[Row]) -> None:
        amount_and_slack(rows[1], CAP + 1, limbs(2**64 - 1, 4))
        fit_equity(rows)

    return Forge(capped(plan)).edit("account 7", change)


@breaks("at most 4095 entries")
def count_not_checked(plan: Plan) -> Forge:
    return Forge(plan).edit("account 1", lambda rows: bump(rows[3], "u5"))


@breaks("legs strictly increase")
def leg_twice(plan: Plan) -> Forge:
    plan = plan.holding("account 4", (2, 100), (2, 23))
    return Forge(plan).edit("account 4", lambda rows: rows[2].put("u", [*rows[2].read("u", 4), 0]))


@breaks("the sign of equity is a bit")
def sign_two(plan: Plan) -> Forge:
    """With sign 2 the identity reads equity = -3 v, and the account emits a liability of -v."""

    def change(rows: list[Row]) -> None:
        first, last = rows[0], rows[-1]
        v = last.read("u", 7)
        assert sum(v) % 3 == 0
        v = tuple(limb // 3 for limb in v)
        last["cap0"] = 2
        last.put("u", v).put("d", [-limb for limb in v])
        rest = [0] * 14
        for i, byte in enumerate(rows[1].read("y", 8)):
            for j, digit in enumerate(rows[1].read("d", 7)):
                rest[i + j] += byte * centered(digit)
        for j, limb in enumerate(v):
            rest[2 * j] += 3 * limb
        write_carries(first, last, carries_of(rest, 256, {}))

    return Forge(plan.holding("account 2", (1, 3 * 256))).edit("account 2", change)


@breaks(r"liability is the positive part of equity\[(\d)\]")
def liability_off_by_one(plan: Plan, limb: int) -> Forge:
    """v + 2 and d + 1 leave 2 d - v, and so the identity, as it was."""

    def change(rows: list[Row]) -> None:
        by = 1 if rows[-1][f"u{limb}"] < 65534 else -1
        bump(rows[-1], f"u{limb}", 2 * by)
        bump(rows[-1], f"d{limb}", by)

    return Forge(plan).edit("account 9", change)
