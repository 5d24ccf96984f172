"""Write the vectors: `python -m tests.vectors.make`, with --fresh also the real proof (half a minute).

Everything is made from fixed seeds; a test compares the bytes. Which reason a case has is said where it is made, and
the verifier has to give it; which field it names is the verifier's own word.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace

from tests.vectors import make_accounts, make_log, make_market, make_proofs
from tests.vectors.book import VALUED, Book, path_of, write
from tests.vectors.run import outcome


def books(fresh: bool = False) -> list[Book]:
    """All kinds."""
    return [*make_accounts.books(), *make_log.books(), *make_market.books(), *make_proofs.books(fresh)]


def written(book: Book) -> bytes:
    """The file of a kind, each case with the field that the verifier names."""
    vectors = []
    for vector in book.vectors:
        got = outcome(book.kind, vector.inputs)
        if got.reason != vector.reason:
            raise AssertionError(f"{book.kind}, {vector.name}: expected {vector.reason}, got {got.reason} {got.field}")
        value = json.loads(json.dumps(got.value)) if book.kind in VALUED else None
        vectors.append(replace(vector, where=got.field, value=value))
    return write(book.kind, vectors)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.vectors.make", description=__doc__)
    parser.add_argument("--fresh", action="store_true", help="make the real proof again")
    parser.add_argument(
        "--check", action="store_true", help="write nothing: say which files are not what they should be"
    )
    options = parser.parse_args()
    other = 0
    for book in books(options.fresh):
        data, path = written(book), path_of(book.kind)
        if options.check:
            same = path.exists() and path.read_bytes() == data
            other += not same
            print(f"{book.kind}: {'the same' if same else 'ANOTHER'}")
        else:
            path.write_bytes(data)
            print(f"{book.kind}: {len(data)} bytes")
    return int(other > 0)


if __name__ == "__main__":
    sys.exit(main())
