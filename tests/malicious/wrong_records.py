"""Records that do not say what the accounts are worth, and losses that are not theirs: each breaks one constraint."""

from __future__ import annotations

from collections.abc import Callable

from tests.malicious.cases_records import LOSER
from tests.malicious.forge import Forged
from tests.malicious.records import Record, Records
from tests.malicious.risk_world import RISK, STRESS
from verifier.field import P

RICH = 9
"""An account without debts."""


def flipped(account: int, lens: int) -> Callable[[Records], None]:
    def change(records: Records) -> None:
        records.of[account][lens].sign ^= 1

    return change


def smaller_by_one(records: Records) -> None:
    records.of[LOSER][0].bytes[0] -= 1


def carries_moved(*moves: tuple[int, int, int, int]) -> Callable[[Records], None]:
    """(account, lens, position, what is added)."""

    def change(records: Records) -> None:
        for account, lens, position, by in moves:
            carries = records.of[account][lens].carries
            carries[position] += by
            records.of[account][lens].carries = carries

    return change


def without_a_record(records: Records) -> None:
    """Those of the accounts before take the places that are left."""
    del records.of[LOSER]


def one_more_first(make: Callable[[Records], Record]) -> Callable[[Records], None]:
    return lambda records: records.of.insert(0, make(records))


def of_nobody(value: int) -> Callable[[Records], Record]:
    def make(records: Records) -> Record:
        record = records.blank()
        record[0].claim([value, *[0] * 15])
        return record

    return make


def only_a_carry(records: Records) -> Record:
    record = records.blank()
    record[0].carries = [-1, *[0] * 15]
    return record


def one_more_last(records: Records) -> None:
    """Nothing stands after the records: all of them are one account late."""
    records.of.append(records.blank())


def permuted(records: Records) -> None:
    records.of[LOSER], records.of[RICH] = records.of[RICH], records.of[LOSER]


def other_lenses(records: Records) -> None:
    """The two scenarios change places, in all records and in what is published."""
    for record in records.of:
        record[1:5] = [*record[3:5], *record[1:3]]


def moved_deficit(records: Records) -> None:
    """One user's deficit is said to be another's, who has more than that."""
    for account, by in ((LOSER, 10**20), (RICH, -(10**20))):
        values = records.of[account][0]
        value = records.value(account, 0) + by
        values.claim([value % 256, value // 256, *[0] * 14] if abs(value) < P else spread(value))


def spread(value: int) -> list[int]:
    return [(abs(value) >> (8 * k) & 255) * (1 if value >= 0 else -1) for k in range(16)]


WRONG_RECORDS: dict[str, tuple[str, Callable[[Records], None]]] = {
    "a deficit shown as a gain": (RISK, flipped(LOSER, 0)),
    "a gain shown as a deficit": (RISK, flipped(RICH, 0)),
    "a deficit in a scenario shown as a gain": (STRESS, flipped(LOSER, 2)),
    "a deficit smaller by one": (RISK, smaller_by_one),
    "a deficit moved to another user": (RISK, moved_deficit),
    "a carry moved to the next position": (RISK, carries_moved((LOSER, 0, 3, 256), (LOSER, 0, 4, 1))),
    "a carry moved between lenses": (STRESS, carries_moved((LOSER, 0, 0, 1), (LOSER, 1, 0, -1))),
    "a carry moved between records": (RISK, carries_moved((LOSER, 0, 0, 1), (LOSER - 1, 0, 0, -1))),
    "a carry moved between windows": (STRESS, carries_moved((LOSER, 0, 1, 1), (LOSER, 0, 3, -1))),
    "a record left out": (RISK, without_a_record),
    "a gain of nobody before": (RISK, one_more_first(of_nobody(200))),
    "a loss of nobody before": (RISK, one_more_first(of_nobody(-200))),
    "carries of nobody before": (RISK, one_more_first(only_a_carry)),
    "an empty record after": (RISK, one_more_last),
    "records permuted": (RISK, permuted),
    "scenarios exchanged": (STRESS, other_lenses),
    "a gain under an idle lens": (STRESS, lambda records: records.of[RICH][5].claim([7, *[0] * 15])),
}


# -- loss rows that say something else than the records ---------------------------------------------------------------


def exchanged(losses: list[int]) -> None:
    losses[1:5] = [*losses[3:5], *losses[1:3]]


def more(by: int) -> Callable[[list[int]], None]:
    return lambda losses: losses.__setitem__(0, losses[0] + by)


def losing(change: Callable[[list[int]], None]) -> Callable[[Forged], None]:
    """The loss rows say something else, and that is published."""

    def change_and_say(forged: Forged) -> None:
        losses = list(forged.losses)
        change(losses)
        forged.lose(losses)

    return change_and_say


WRONG_LOSSES: dict[str, tuple[str, Callable[[list[int]], None]]] = {
    "one more": (RISK, more(1)),
    "one less": (RISK, more(-1)),
    "p more": (RISK, more(P)),
    "2^16 p more": (RISK, more(P << 16)),
    "nothing": (RISK, lambda losses: losses.__setitem__(0, 0)),
    "shortfall and deficit exchanged": (STRESS, lambda losses: losses.__setitem__(slice(1, 3), losses[2:0:-1])),
    "scenarios exchanged": (STRESS, exchanged),
    "one under an idle lens": (STRESS, lambda losses: losses.__setitem__(6, 1)),
}
