"""Where balances come from: the file's own figures, another file, or nodes that are asked over JSON-RPC.

A signature says whose key it is, never how much is there. `Claimed` takes the exchange's word for that, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from api.reserves.challenge import Block
from api.reserves.files import Row, read_amounts
from api.reserves.networks import Address
from prover.errors import InputError


class BalanceSource(Protocol):
    """Anything that knows balances."""

    @property
    def name(self) -> str:
        """For the evidence: "claimed", "file" or "node"."""

    def balances(self, block: Block, wanted: Sequence[tuple[Row, Address]]) -> list[int | None]:
        """What each address holds of its row's asset at `block`, in 10^-DECIMALS units; None where it cannot say.

        Raises:
            InputError: the source is not at this block, or cannot be asked.
        """


class Claimed:
    """The figures of the file itself: the exchange's word."""

    name = "claimed"

    def balances(self, block: Block, wanted: Sequence[tuple[Row, Address]]) -> list[int | None]:
        """What the rows say."""
        return [row.amount for row, _ in wanted]


class FileBalances:
    """A file of somebody who looked: coin, network, height, address and balance, for the same blocks."""

    name = "file"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._amounts: Mapping[tuple[str, str, bytes], tuple[int, int]] = read_amounts(path)

    def balances(self, block: Block, wanted: Sequence[tuple[Row, Address]]) -> list[int | None]:
        """What the file says; None for an address that it does not have."""
        out: list[int | None] = []
        for row, address in wanted:
            height, amount = self._amounts.get((row.asset, row.network.name, address.key), (block.height, None))
            if height != block.height:
                got, expected = f"height {height} for {address.text}", f"{block.height}, as in the challenges"
                raise InputError(file=self._path, got=got, expected=expected)
            out.append(amount)
        return out
