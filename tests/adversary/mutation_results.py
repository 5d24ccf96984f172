"""Which mutants there are, in which order they are tried, what came of them, and the score of it."""

from __future__ import annotations

import ast
import fnmatch
import json
import math
import random
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.adversary.operators import Mutant, mutants_of

ROOT = Path(__file__).parents[2]
STATE = ROOT / ".cache" / "mutants"
EXPLAINED = Path(__file__).with_name("explained.toml")
KILLED, TIMED_OUT, SURVIVED = "killed", "timed out", "survived"
SEED = 7
ROUNDS = 10
SKIPPED = ("*/poseidon_constants.py", "*/__main__.py", "*/log/command.py")
"""A table that a test derives again, number by number, and what prints on a terminal."""
MONEY = (
    *(f"exchange/{name}.py" for name in ("money", "evolve", "matching", "settlement", "short", "socialise", "risk")),
    *(f"exchange/{name}.py" for name in ("liquidate", "liquidator", "invariants", "audit", "journal")),
    *(f"exchange/rules/{name}.py" for name in ("adl", "fees", "fund", "funding", "haircuts", "impact", "liquidation")),
    *(f"exchange/rules/{name}.py" for name in ("margin", "mark", "rounding", "scenarios", "tiers")),
)
"""Of the ledger, what computes or checks amounts; its other modules are tried with --only. Not `scan`, whose compiled
kernels do not change when their source does: a test compares them with a twin."""
COLUMNS = ("mutants", "tried", KILLED, TIMED_OUT, SURVIVED, "explained", "equivalent")
Record = dict[str, str | int | float]


def modules(package: str, only: Sequence[str]) -> list[str]:
    """Files of a package that are mutated."""
    files = [str(file.relative_to(ROOT)) for file in sorted((ROOT / package).rglob("*.py"))]
    files = [file for file in files if not any(fnmatch.fnmatch(file, skipped) for skipped in SKIPPED)]
    wanted = only or {"verifier": ("*",), "exchange": MONEY}[package]
    return [file for file in files if any(fnmatch.fnmatch(file, pattern) for pattern in wanted)]


def population(files: Sequence[str]) -> dict[str, tuple[ast.Module, list[Mutant]]]:
    """Per module its tree and all its mutants, in the order in which they are tried."""
    found = {}
    for file in files:
        tree = ast.parse((ROOT / file).read_text())
        mutants = mutants_of(file, tree)
        random.Random(f"{SEED} {file}").shuffle(mutants)
        found[file] = tree, mutants
    return found


def in_rounds(mutants: Mapping[str, Sequence[Mutant]], *, on_import: bool = False) -> Iterator[Mutant]:
    """A tenth of each module, then the next tenth; first what is in functions, which is tried fifty times as fast.

    `on_import`: only what is not.
    """
    for in_function in (False,) if on_import else (True, False):
        for done in range(ROUNDS):
            for of_module in mutants.values():
                chosen = [mutant for mutant in of_module if bool(mutant.function) is in_function]
                start, end = (len(chosen) * part // ROUNDS for part in (done, done + 1))
                yield from chosen[start:end]


class Results:
    """What is known, one line of JSON per mutant; a later line replaces an earlier one."""

    def __init__(self, package: str) -> None:
        self._file = STATE / f"{package}.jsonl"
        self.known: dict[str, Record] = {}
        if self._file.exists():
            for line in self._file.read_text().splitlines():
                record: Record = json.loads(line)
                self.known[str(record["key"])] = record

    def add(self, record: Record) -> None:
        self.known[str(record["key"])] = record
        with self._file.open("a") as out:
            out.write(json.dumps(record) + "\n")


def interval(killed: int, tried: int, all_of_them: int) -> tuple[float, float]:
    """95 % Wilson interval of the share killed, narrower the more of the population has been tried."""
    if tried == all_of_them:
        return killed / tried, killed / tried
    n = tried * (all_of_them - 1) / (all_of_them - tried)
    share, z = killed / tried, 1.96
    middle, half = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, (middle - half) / (1 + z * z / n)), min(1.0, (middle + half) / (1 + z * z / n))


def explanations() -> dict[str, bool]:
    """Explained survivor -> whether it is equivalent: no input tells it from the source."""
    groups = tomllib.loads(EXPLAINED.read_text())["group"]
    return {text: group.get("equivalent", False) for group in groups for text in group["mutants"]}


@dataclass(frozen=True)
class Estimate:
    """Of a score, from a part of a population: the share killed and its 95 % interval.

    As usual, mutants that are equivalent to the source are no part of it.
    """

    score: float
    low: float
    high: float

    @classmethod
    def of(cls, count: Counter[str]) -> Estimate:
        killed = count[KILLED] + count[TIMED_OUT]
        tried, mutants = count["tried"] - count["equivalent"], count["mutants"] - count["equivalent"]
        return cls(killed / tried, *interval(killed, tried, mutants)) if tried else cls(0.0, 0.0, 1.0)

    @classmethod
    def both(cls, parts: Sequence[tuple[int, Estimate]]) -> Estimate:
        """Of populations of these sizes together."""
        whole = sum(size for size, _ in parts)
        score = sum(size / whole * part.score for size, part in parts)
        half = math.hypot(*(size / whole * (part.high - part.low) / 2 for size, part in parts))
        return cls(score, score - half, min(1.0, score + half))

    def __str__(self) -> str:
        return f"{self.score:.1%} (95 % interval {self.low:.1%} to {self.high:.1%})"


def report(package: str, files: Sequence[str], *, quiet: bool) -> bool:
    """Print the score by module and the survivors; whether all is as wanted: 95 % killed, the rest explained."""
    known, why = Results(package).known, explanations()
    strata = {"in functions": Counter[str](), "on import": Counter[str]()}
    print(f"{'':34}" + "".join(f"{column:>10}" for column in COLUMNS))
    for file, (_, mutants) in population(files).items():
        total, shown = Counter[str](), []
        for mutant in mutants:
            count = Counter(mutants=1)
            if mutant.key in known:
                verdict = str(known[mutant.key]["verdict"])
                is_explained = verdict == SURVIVED and mutant.key in why
                count.update(tried=1, explained=is_explained, equivalent=is_explained and why[mutant.key])
                count[verdict] = 1
                shown += [mutant] if verdict == SURVIVED and not quiet else []
            strata["in functions" if mutant.function else "on import"].update(count)
            total.update(count)
        _print_row(file, total)
        for mutant in sorted(shown, key=lambda mutant: mutant.lines):
            print(f"  {'=' if mutant.key in why else '!'} {file}:{mutant.lines[0]}: {mutant.key.partition(' | ')[2]}")
    for name, count in strata.items():
        _print_row(f"{package}, {name}", count)
    overall = Estimate.both([(count["mutants"], Estimate.of(count)) for count in strata.values()])
    print(f"{package}: {overall}")
    return overall.low >= 0.95 and all(count[SURVIVED] == count["explained"] for count in strata.values())


def _print_row(name: str, count: Counter[str]) -> None:
    print(f"{name:34}" + "".join(f"{count[column]:>10}" for column in COLUMNS) + f"  {Estimate.of(count)}")
