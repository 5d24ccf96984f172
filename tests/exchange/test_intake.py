"""The queue before the engine: bounded, urgent things first, and an overload that hurts only new orders."""

from __future__ import annotations

import pytest

from exchange.codes import Reject
from exchange.commands import CancelOrder, Command, Liquidate, PlaceOrder, SetPrices
from exchange.engine import Done
from exchange.events import OrderOpened
from exchange.intake import Intake
from exchange.state import FUND
from tests.exchange.venues import ALICE, BOB, BUY, CAROL, MARKS, PERP, PRICES, RICH, SELL, UNIT, Desk, btc_at

P = MARKS[PERP]
BATCH, ORDERS_MAX, URGENT_MAX = 20, 50, 60


def intake(desk: Desk, account_max: int = 1_000) -> Intake:
    return Intake(desk.engine, orders_max=ORDERS_MAX, urgent_max=URGENT_MAX, account_max=account_max, batch=BATCH)


def order(account: int = ALICE, client_id: int = 0) -> PlaceOrder:
    return PlaceOrder(0, account, client_id, PERP, BUY, P - 100, 1, 0)


def test_a_full_queue_turns_away_and_leaves_no_trace() -> None:
    desk = Desk()
    queue = intake(desk)
    tickets = [queue.offer(order(client_id=number)) for number in range(1, ORDERS_MAX + 4)]
    assert tickets[:ORDERS_MAX] == list(range(1, ORDERS_MAX + 1))
    assert tickets[ORDERS_MAX:] == [Reject.OVERLOADED] * 3 and len(queue) == ORDERS_MAX
    answered = [pair for _ in range(3) for pair in queue.work(5_000)]
    assert [ticket for ticket, _ in answered] == tickets[:ORDERS_MAX] and len(queue) == 0
    assert all(isinstance(answer, Done) for _, answer in answered)
    queue.offer(order(client_id=ORDERS_MAX + 1))  # what was turned away may come again under its id
    ((_, answer),) = queue.work(5_001)
    assert isinstance(answer, Done)


def test_urgent_commands_overtake_and_time_is_that_of_the_decision() -> None:
    desk = Desk()
    desk.accept(desk.order(ALICE, BUY, P - 100, 1))
    queue = intake(desk)
    first = queue.offer(order(BOB))
    price = queue.offer(SetPrices(7, FUND, 0, PRICES, MARKS))
    cancel = queue.offer(CancelOrder(3, ALICE, 0, 1))
    answered = queue.work(9_000)
    assert [ticket for ticket, _ in answered] == [price, cancel, first]
    assert all(isinstance(answer, Done) for _, answer in answered) and desk.ledger.time_ms == 9_000


def test_one_account_does_not_fill_the_queue() -> None:
    desk = Desk()
    queue = intake(desk, account_max=3)
    assert [queue.offer(order()) for _ in range(4)][3] is Reject.OVERLOADED
    assert queue.offer(order(BOB)) == 4
    assert queue.offer(CancelOrder(0, ALICE, 0, 9)) == 5  # places of the two queues are counted apart
    assert all(isinstance(queue.offer(Liquidate(0, FUND, 0, CAROL)), int) for _ in range(5))
    queue.work(100)
    assert queue.offer(order()) == 11
    slow = Intake(Desk().engine, orders_max=9, urgent_max=9, account_max=3, batch=1)
    assert [slow.offer(order()) for _ in range(3)] == [1, 2, 3]
    slow.work(100)
    assert [slow.offer(order()) for _ in range(2)] == [4, Reject.OVERLOADED]


@pytest.mark.parametrize("field", ["orders_max", "urgent_max", "account_max", "batch"])
def test_a_queue_without_room_is_refused(field: str) -> None:
    sizes = {"orders_max": 1, "urgent_max": 1, "account_max": 1, "batch": 1, field: 0}
    with pytest.raises(ValueError, match="at least one"):
        Intake(Desk().engine, **sizes)


def test_the_smallest_queue_takes_one_and_answers_one() -> None:
    queue = Intake(Desk().engine, orders_max=1, urgent_max=1, account_max=1, batch=1)
    urgent, ticket = queue.offer(Liquidate(0, FUND, 0, CAROL)), queue.offer(order())
    assert queue.offer(order(BOB)) is Reject.OVERLOADED
    assert [[found for found, _ in queue.work(time_ms)] for time_ms in (1, 2, 3)] == [[urgent], [ticket], []]


def test_ten_times_too_much_leaves_cancels_and_liquidations_within_their_bound() -> None:
    """200 orders arrive per batch of 20; in each round also a cancel, and once a crash with liquidations."""
    desk = Desk(3, 0)
    desk.deposit(33 * UNIT, RICH, RICH)
    desk.trade(ALICE, BOB, P, 10)
    own = []
    for _ in range(30):
        (event,) = desk.accept(desk.order(BOB, SELL, P + 9_000, 1))
        assert type(event) is OrderOpened
        own.append(event.order)
    queue, round_of, done_in = intake(desk), {}, {}
    turned_away = 0
    for number in range(30):
        offered: list[Command] = [order(CAROL)] * 200
        offered.insert(150, CancelOrder(0, BOB, 0, own[number]))
        if number == 10:
            offered.append(btc_at(0, -34_000))
            offered.append(Liquidate(0, FUND, 0, ALICE))
        for command in offered:
            ticket = queue.offer(command)
            if isinstance(ticket, Reject):
                assert type(command) is PlaceOrder
                turned_away += 1
            elif type(command) is not PlaceOrder:
                round_of[ticket] = number
        for ticket, answer in queue.work(10_000 + number):
            if ticket in round_of:
                done_in[ticket] = number - round_of[ticket]
                assert isinstance(answer, Done)
    assert done_in.keys() == round_of.keys() and set(done_in.values()) == {0}
    assert turned_away > 0.85 * 30 * 200 and not desk.ledger.size[PERP][ALICE]
