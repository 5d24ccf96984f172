"""The bounded queue in front of the engine: cancels, liquidations and prices first, new orders when there is room.

Under overload new commands are turned away with a code, at once; what was let in is served within a bound. Nothing here
is state: a command that was not answered may be sent again under its client id.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Final

from exchange.codes import Reject
from exchange.commands import CancelOrder, Command, Liquidate, SetPrices, Signal, SubmitQuotes
from exchange.engine import Answer, Engine
from exchange.state import FUND

URGENT: Final[frozenset[type[Command]]] = frozenset((CancelOrder, Liquidate, SetPrices, SubmitQuotes, Signal))
"""What makes the venue safer, or without which nothing does: served before everything else."""


class Intake:
    """Two queues of bounded length before one engine; each is first in, first out.

    An urgent command that was let in is answered within ceil(urgent_max / batch) batches, whatever else arrives: it
    waits for urgent ones before it only. Accounts share the queues: none holds more than `account_max` places in each,
    and all users together half of the urgent one, so that no flood of cancels turns away the venue's own commands
    (account 0), which are its prices and liquidations.
    """

    def __init__(self, engine: Engine, *, orders_max: int, urgent_max: int, account_max: int, batch: int) -> None:
        """All four at least 1, in commands.

        Raises:
            ValueError: less.
        """
        if min(orders_max, urgent_max, account_max, batch) < 1:
            raise ValueError("a queue and its batches hold at least one command")
        self._engine = engine
        self._batch, self._account_max = batch, account_max
        self._queues: tuple[deque[tuple[int, Command]], ...] = (deque(), deque())
        self._limits = (urgent_max, orders_max)
        self._held: tuple[Counter[int], ...] = (Counter(), Counter())
        self._next_ticket = 1

    def __len__(self) -> int:
        """Commands that wait."""
        return sum(map(len, self._queues))

    def offer(self, command: Command) -> int | Reject:
        """A ticket, or OVERLOADED: then the command was not taken and left no trace."""
        number = int(type(command) not in URGENT)
        queue, held, account = self._queues[number], self._held[number], command.account
        limit = self._limits[number]
        users_max = limit if number else (limit + 1) // 2
        is_full = held[account] >= self._account_max or len(queue) - held[FUND] >= users_max
        if len(queue) >= limit or (account and is_full):
            return Reject.OVERLOADED
        ticket = self._next_ticket
        self._next_ticket += 1
        queue.append((ticket, command))
        held[account] += 1
        return ticket

    def work(self, time_ms: int) -> list[tuple[int, Answer]]:
        """Takes one batch through the engine at `time_ms`, urgent commands first; tickets with their answers.

        The time of a command is that at which it is decided: waiting never makes one late. While the clock is behind
        what it said before, the venue's time stands still.
        """
        time_ms = max(time_ms, self._engine.ledger.time_ms)
        taken: list[tuple[int, Command]] = []
        for queue, held in zip(self._queues, self._held, strict=True):
            while queue and len(taken) < self._batch:
                ticket, command = queue.popleft()
                held[command.account] -= 1
                taken.append((ticket, command._replace(time_ms=time_ms)))
        answers = self._engine.submit([command for _, command in taken])
        return [(ticket, answer) for (ticket, _), answer in zip(taken, answers, strict=True)]
