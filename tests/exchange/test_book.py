"""The real book and the naive twin say the same, order by order."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.codes import Reject
from exchange.commands import CancelOrder, Flag
from exchange.engine import Done
from exchange.events import Event, OrderClosed, OrderExpired, OrderOpened, Traded
from tests.exchange.twin import TwinBook
from tests.exchange.venues import MARKS, PERP, Desk

FLAGS = [
    0,
    Flag.IMMEDIATE,
    Flag.FILL_OR_KILL,
    Flag.POST_ONLY,
    Flag.REDUCE_ONLY,
    Flag.CANCEL_RESTING,
    Flag.REDUCE_ONLY | Flag.IMMEDIATE,
    Flag.REDUCE_ONLY | Flag.CANCEL_RESTING,
]
PLACE = st.tuples(
    st.integers(2, 5), st.sampled_from([1, -1]), st.integers(-3, 3), st.integers(1, 9), st.sampled_from(FLAGS)
)
STEPS = st.lists(st.one_of(PLACE, st.integers(1, 30)), min_size=1, max_size=40)


def described(event: Event) -> tuple[object, ...]:
    if type(event) is Traded:
        return ("traded", event.maker_order, event.price, event.lots)
    if type(event) is OrderClosed:
        return ("closed", event.order, event.lots)
    if type(event) is OrderOpened:
        return ("opened", event.order, event.lots)
    assert type(event) is OrderExpired
    return ("expired", event.lots)


def depth(desk: Desk) -> list[tuple[int, int, int, int]]:
    book = desk.ledger.books[PERP]
    return [(order.side, order.price, order.id, order.rest) for side in (book.asks, book.bids) for order in side]


@given(STEPS)
@settings(max_examples=150)
def test_the_book_does_what_its_naive_twin_does(
    steps: list[tuple[int, int, int, int, int] | int],
) -> None:
    desk, twin = Desk(users=4), TwinBook()
    for step in steps:
        if isinstance(step, int):
            owner = desk.ledger.orders[step].account if step in desk.ledger.orders else 2
            answer = desk.ask(CancelOrder(next(desk.time), owner, 0, step))
            assert twin.cancel(step) == isinstance(answer, Done)
        else:
            account, side, away, lots, flags = step
            price = MARKS[PERP] + away
            answer = desk.ask(desk.order(account, side, price, lots, flags=flags))
            expected = twin.place(account, side, price, lots, flags)
            if expected is None:
                assert isinstance(answer, Reject)
            else:
                assert isinstance(answer, Done)
                assert list(map(described, answer.events)) == expected
        assert depth(desk) == twin.depth()
    positions = {a: desk.ledger.size[PERP][a] for a in range(2, 6)}
    assert positions == {a: twin.position.get(a, 0) for a in range(2, 6)}
