"""What commands say: text for people or one JSON object for programs, never both.

Names in published files are the publisher's choice: everything printed is stripped of control characters first, so
that no file can repaint a terminal and forge a verdict.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any, Final

ACCEPTED: Final = 0
REJECTED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130

Progress = Callable[[str, float], None]
"""(phase, fraction of it done, 0 to 1)."""

_TABLE_WIDTH = 10_000
"""Not on a terminal: as wide as it takes, because a wrapped number is lost to `grep`."""
_COLOURS: Final = {"good": "32", "bad": "31", "title": "1", "plain": "0"}


class Output:
    """One command's voice.

    Args:
        as_json: text methods stay silent, `json` speaks; otherwise the other way round.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def line(self, text: str = "", mood: str = "plain") -> None:
        """One line on standard output; on a terminal `mood` "good", "bad" or "title" colours it."""
        if not self.as_json:
            code = _COLOURS[mood]
            clean = printable(text)
            is_coloured = mood != "plain" and sys.stdout.isatty() and "NO_COLOR" not in os.environ
            _write(sys.stdout, f"\x1b[{code}m{clean}\x1b[0m\n" if is_coloured else clean + "\n")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> None:
        """A table on standard output; columns named in `right` hold numbers."""
        if self.as_json or not rows:
            return
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        can_draw = "utf" in (sys.stdout.encoding or "").lower()
        table = Table(box=box.SIMPLE_HEAD if can_draw else box.ASCII2, pad_edge=False, show_edge=False)
        for column in columns:
            table.add_column(column, justify="right" if column in right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        is_terminal = sys.stdout.isatty()
        text = io.StringIO()
        Console(file=text, force_terminal=is_terminal, width=None if is_terminal else _TABLE_WIDTH).print(table)
        _write(sys.stdout, "".join(line.rstrip() + "\n" for line in text.getvalue().splitlines()))

    def json(self, data: Mapping[str, Any]) -> None:
        """The one object on standard output."""
        if self.as_json:
            _write(sys.stdout, json.dumps(data, indent=2) + "\n")

    def fail(self, message: str, data: Mapping[str, Any]) -> None:
        """Why there is no result: a line on standard error, or the object."""
        self.json(data)
        if not self.as_json:
            _write(sys.stderr, f"solvent: {printable(message)}\n")

    def note(self, text: str) -> None:
        """A line on standard error that is no result."""
        if not self.as_json:
            _write(sys.stderr, printable(text) + "\n")

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """A bar per phase on a terminal, a line per finished phase elsewhere, nothing beside JSON."""
        if self.as_json:
            yield lambda phase, fraction: None
        elif sys.stderr.isatty():
            with _bars() as report:
                yield report
        else:
            yield _lines(self.note)


def printable(text: str) -> str:
    """`text` with control, format and surrogate characters escaped. Spaces other than U+0020 count as such."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


@contextmanager
def _bars() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description:12}"), BarColumn(), TextColumn("{task.percentage:3.0f}%"))
    with Bars(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def report(phase: str, fraction: float) -> None:
            if phase not in tasks:
                tasks[phase] = bars.add_task(printable(phase), total=1.0)
            bars.update(tasks[phase], completed=fraction)

        yield report


def _lines(say: Callable[[str], None]) -> Progress:
    started: dict[str, float] = {}
    finished: set[str] = set()

    def report(phase: str, fraction: float) -> None:
        begin = started.setdefault(phase, time.perf_counter())
        if fraction >= 1 and phase not in finished:
            finished.add(phase)
            say(f"{phase:12} {time.perf_counter() - begin:6.1f} s")

    return report


def _write(stream: IO[str], text: str) -> None:
    """Writes at once. A reader who has gone (`| head`) must not change the exit code, which is the verdict."""
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
