"""What may not matter does not: restarts, caches, short cuts."""

from __future__ import annotations

import pytest

from exchange import orders
from exchange.engine import Engine, Sink
from exchange.state import Ledger
from exchange.statehash import ledger_from_bytes, state_bytes, state_hash
from tests.exchange.flow import batches
from tests.exchange.venues import venue


def final_hash(seed: int, *, restart: bool = False) -> bytes:
    engine = Engine(Ledger(venue()), Sink())
    for batch in batches(1_200, seed, 40):
        engine.submit(batch)
        if restart:
            engine = Engine(ledger_from_bytes(venue(), state_bytes(engine.ledger)), Sink())
    assert len(engine.ledger.orders) > 10
    return state_hash(engine.ledger)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_restart_after_every_batch_changes_nothing(seed: int) -> None:
    assert final_hash(seed) == final_hash(seed, restart=True)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_short_way_for_plain_orders_decides_like_the_long_one(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    short = final_hash(seed)
    monkeypatch.setattr(orders, "_obviously_fine", lambda ledger, command: None)
    assert final_hash(seed) == short


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_bound_of_the_margin_decides_like_the_exact_figure(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bounded = final_hash(seed)
    real = Ledger.set_prices

    def set_prices(self: Ledger, *arguments: object) -> None:
        real(self, *arguments)  # type: ignore[arg-type]
        # With margins of the bound far too high nothing passes by it.
        self.lot_margins[:] = [1 << 60] * len(self.lot_margins)

    monkeypatch.setattr(Ledger, "set_prices", set_prices)
    assert final_hash(seed) == bounded
