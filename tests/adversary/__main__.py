"""`python -m tests.adversary`: all parts of the suite, what each tried, and whether anything got through.

Exit code 0: everything was refused as it should be. 1: something was accepted, something else than a refusal came out,
or a part tried nothing. 2: wrong usage.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from tests.adversary.score import HEADING, SIZES, Score, merge, total

PARTS = ("bundles", "proofs", "every_byte", "fuzz", "large", "differential", "cells", "secrets", "faults")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, and no page of usage around it."""
        self.exit(2, f"{self.prog}: {message}\n")


def present() -> list[str]:
    """The parts that are there."""
    return [name for name in PARTS if find_spec(f"tests.adversary.{name}")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that are asked for; print a line for each result as it comes."""
    parser = _Parser(prog="python -m tests.adversary", description=__doc__, allow_abbrev=False)
    parser.add_argument("--size", choices=SIZES, default="short")
    parser.add_argument("--seed", type=int, default=1, help="of all random choices (default: 1)")
    parser.add_argument("--only", nargs="+", choices=present(), metavar="PART", help=", ".join(present()))
    parser.add_argument("--write", type=Path, metavar="FILE", help="JSON file into which to merge the results")
    options = parser.parse_args(arguments)
    print(f"size {options.size}, seed {options.seed}\n{HEADING}")
    scores: list[Score] = []
    began = time.monotonic()
    for name in options.only or present():
        try:
            found = import_module(f"tests.adversary.{name}").run(options.size, options.seed)
        except KeyboardInterrupt:
            print(f"{name}: stopped", file=sys.stderr)
            return 1
        for score in found:
            print(score.line(), flush=True)
        scores += found
        if options.write is not None:
            merge(options.write, found, options.size)
    print(replace(total("all", scores), seconds=time.monotonic() - began).line())
    return 0 if all(score.clean for score in scores) else 1


if __name__ == "__main__":
    sys.exit(main())
