"""Coverage-guided fuzzing of one target: `python -m tests.adversary.fuzz_one NAME [libFuzzer's options] FOLDER..`.

Needs atheris (`uv sync --group fuzz`), and is started by `tests.adversary.fuzz`: libFuzzer takes the process over.
"""

from __future__ import annotations

import random
import sys

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["api", "verifier"]):
    from tests.adversary.mutate import change_any
    from tests.adversary.targets_service import ALL

NAME = sys.argv[1]
TARGET = ALL[NAME]


def mutate(data: bytes, most: int, seed: int) -> bytes:
    """libFuzzer's own changes, and ours, which know what JSON and words are."""
    source = random.Random(seed)
    if data and source.random() < 0.5:
        return change_any(data, source).data[:most]
    return bytes(atheris.Mutate(data, most))


def main() -> None:
    """Never returns."""
    list(map(TARGET, TARGET.honest()))
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGET, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
