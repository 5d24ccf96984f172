"""What a person gave us and has to correct: one clear line that says where, what, and what was expected."""

from __future__ import annotations

import json
import os
from functools import partial
from typing import Any

from verifier.errors import SolvencyError

GOT_CHARACTERS_MAX = 80


class InputError(SolvencyError):
    """A file, a row, a field or an option is wrong. `str()` is the one line to show.

    Args:
        file: path of the file, or None where an option is at fault.
        row: line of the file (first line = 1), or row number (first row = 1) where a file has no lines.
        field: column name, key, or option (`--time`).
        got: the offending text, shown quoted, where `field` is given; else a phrase in our own words.
        expected: what would have been right, in words.
    """

    def __init__(
        self,
        *,
        file: str | os.PathLike[str] | None = None,
        row: int | None = None,
        field: str | None = None,
        got: str | None = None,
        expected: str,
    ) -> None:
        self.file = None if file is None else os.fspath(file)
        self.row = row
        self.field = field
        self.got = got
        self.expected = expected
        super().__init__(self._line())

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors come back from worker processes."""
        words = {name: getattr(self, name) for name in ("file", "row", "field", "got", "expected")}
        return partial(type(self), **words), ()

    def _line(self) -> str:
        where = []
        if self.file is not None:
            where.append(self.file if self.row is None else f"{self.file}:{self.row}")
        if self.field is not None:
            where.append(self.field if self.field.startswith("--") else f"column {quoted(self.field)}")
        seen = []
        if self.got is not None:
            seen.append(f"got {self.got if self.field is None else quoted(self.got)}")
        what = ", ".join([*seen, f"expected {self.expected}"])
        return f"{' '.join(where)}: {what}" if where else what


def quoted(text: str) -> str:
    """`text` in double quotes, control characters escaped, cut to what fits on a line."""
    kept = text if len(text) <= GOT_CHARACTERS_MAX else text[: GOT_CHARACTERS_MAX - 3] + "..."
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in json.dumps(kept, ensure_ascii=False))
