"""What all tests of the ledger share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.exchange.journals import OPENED


@pytest.fixture(autouse=True)
def _closed_journals() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()
