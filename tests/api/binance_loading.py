"""Imports made-up files of Binance's form, for the tests of what is read and of what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.importers.binance import import_binance
from prover.errors import InputError
from prover.snapshot import Snapshot
from tests.api.files import (
    ASSETS,
    options,
    refusal,
    write,
)


def load(folder: Path, *users: str | bytes, assets: str | bytes = ASSETS, **changes: object) -> Snapshot:
    paths = [write(folder / f"users{i}.csv", text) for i, text in enumerate(users)]
    how = {name: changes.pop(name) for name in ("invalid", "equity_only") if name in changes}
    return import_binance(paths, write(folder / "assets.csv", assets), options(**changes), **how)  # type: ignore[arg-type]


def refused(folder: Path, *users: str | bytes, assets: str | bytes = ASSETS, **changes: object) -> str:
    with pytest.raises(InputError) as caught:
        load(folder, *users, assets=assets, **changes)
    return refusal(caught.value, folder)
