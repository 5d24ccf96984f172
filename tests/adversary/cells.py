"""Witness mutation: every cell of every kind of row changed, one at a time; and every rule taken away, one at a time.

A change that no constraint and no bus names is a survivor: the same statement has another witness. There are none but
those of `cells_free`. A rule is missed if, without it, some change survives that did not before; the others need a
forgery of more than one cell, which `tests.malicious` has for each.
"""

from __future__ import annotations

import random
import re
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from circuits.registry import CIRCUITS
from tests.adversary.cells_checks import Checks, Named
from tests.adversary.cells_free import BYTE, U16, WORTHLESS, Free, limit_of, matching, roles
from tests.adversary.cells_rows import SHARDS, Rows, Trace, traces
from tests.adversary.score import Score, Tally
from tests.malicious import cases_accounts, cases_outputs, cases_records, cases_selectors, cases_tables, cases_tree
from tests.malicious.bus_cheats import BusLiar, bus_cheats
from tests.malicious.cases import Case, case_for, makers
from tests.malicious.forge import EQUITY, Forge
from tests.malicious.proving import name_only
from tests.malicious.published import Published, system_of
from tests.malicious.risk_world import RISK, STRESS
from tests.malicious.sheet import Columns, broken_labels, neighbourhood, sheet_of
from tests.malicious.world import ACTIVE, ROWS, Array
from verifier.field import P
from verifier.params import TEST
from verifier.stark import verify_stark

MODULES = (cases_accounts, cases_outputs, cases_records, cases_selectors, cases_tables, cases_tree)
"""Importing them registers their forgeries."""
SHOWN = 10
Change = tuple[int, int, int]
"""Column, row, new word."""
BUSES = {
    "numbers below 2^16": r".* is below 2\^16|u16 table",
    "pairs of bytes": r".* are bytes|byte pair table",
    "legs": "entry leg|leg table",
    "tree": "tree emit|tree consume",
    "totals": "totals",
}
"""Which fractions cancel each other: patterns of their labels."""


@dataclass
class Survey:
    """What was tried, on one trace or on several.

    Args:
        free: survivors that the table lists. adapted: of these, those that only fixed multiplicities would show.
        unlisted: survivors that it does not list, in words. stale: changes that it calls free and that were named.
        used: entries of `FREE` with a survivor.
        alone: how often a constraint or a bus was the only one to name a change, by circuit and label.
    """

    tried: int = 0
    free: int = 0
    adapted: int = 0
    by_constraint: int = 0
    by_bus_only: int = 0
    unlisted: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    used: set[Free] = field(default_factory=set)
    alone: Counter[tuple[str, str]] = field(default_factory=Counter)


@dataclass(frozen=True)
class Changes:
    """Changes of one column of a trace: `new` on the rows numbered `at`, and who names them."""

    column: int
    at: Rows
    new: Array
    named: Named


class Surveyor:
    """Changes the cells of one trace on chosen rows."""

    def __init__(self, trace: Trace, rows: Rows, seed: int) -> None:
        self.trace, self.rows, self.checks = trace, rows, Checks(trace, rows)
        self.draw = random.Random(f"{seed} {trace.name}")
        patterns, u = trace.patterns, [trace.at[f"u{i}"] for i in range(7)]
        self.roles = []
        for row in rows.tolist():
            found = roles(patterns[row - 1] if row else "", patterns[row])
            worthless = "close" in found and not trace.world.honest[u, row].any()
            self.roles.append((*found, WORTHLESS) if worthless else found)
        self.groups = [(c.label, [i]) for i, c in enumerate(trace.system.constraints)]
        fractions = [bus_of(fraction.label) for fraction in trace.system.fractions]
        first = len(self.groups)
        self.groups += [(bus, [first + i for i, name in enumerate(fractions) if name == bus]) for bus in BUSES]

    def changes(self, fraction: float = 1.0, columns: Sequence[str] | None = None) -> Iterator[Changes]:
        """Of these columns, or of all; `fraction`: of the changes of each that are tried."""
        for name in columns or self.trace.system.all_columns:
            column = self.trace.at[name]
            coordinate = self.draw.randrange(5)
            at, new = self._words(column, coordinate)
            if fraction < 1:
                chosen = sorted(self.draw.sample(range(len(at)), max(1, round(fraction * len(at)))))
                at, new = at[chosen], new[chosen]
            yield Changes(column, at, new, self.checks.change(column, at, new, coordinate))

    def _words(self, column: int, coordinate: int) -> tuple[Rows, Array]:
        """Places among the rows, and their new words: what each kind of change comes to, but each word once."""
        words, base, rows, draw = self.trace.world.honest, len(self.trace.system.columns), self.rows, self.draw
        if column >= base:
            words, column = self.trace.extension, 5 * (column - base) + coordinate
        old, ones = words[column, rows].astype(np.int64), np.ones(len(rows), np.int64)
        kinds = [
            *(old + 1, old - 1, 0 * ones, ones, (P - 1) * ones),
            *(np.array([draw.randrange(below) for _ in old], np.int64) for below in (P, 256)),
            *(words[column, neighbours].astype(np.int64) for neighbours in (rows - 1, (rows + 1) % ROWS)),
            *(words[other, rows].astype(np.int64) for other in (column - 1, (column + 1) % len(words))),
        ]
        found = sorted({(i, word) for new in kinds for i, word in enumerate((new % P).tolist()) if word != old[i]})
        return np.array([i for i, _ in found], np.int64), np.array([word for _, word in found], np.uint32)

    def judge(self, out: Survey, changes: Changes) -> list[tuple[Change, set[str]]]:
        """Count what came of some changes. One of them that was named, with what names it, or none."""
        bits, constraints = changes.named.bits, len(self.trace.system.constraints)
        name = self.trace.system.all_columns[changes.column]
        out.tried += bits.shape[1]
        by_constraint, named = np.asarray(bits[:constraints].any(axis=0)), np.asarray(bits.any(axis=0))
        out.by_constraint += int(by_constraint.sum())
        out.by_bus_only += int((named & ~by_constraint).sum())
        out.adapted += int(changes.named.adapted.sum())
        grouped = np.stack([bits[members].any(axis=0) for _, members in self.groups])
        single = grouped[:, grouped.sum(axis=0) == 1].sum(axis=1)
        for number in np.flatnonzero(single).tolist():
            out.alone[self.trace.system.name, self.groups[number][0]] += int(single[number])
        limits = {roles_: limit_of(roles_, name) for roles_ in set(self.roles)}
        listed = changes.new < np.array([limits[self.roles[i]] for i in changes.at.tolist()], np.int64)
        free = listed & ~named
        out.free += int(free.sum())
        for roles_ in {self.roles[i] for i in changes.at[free].tolist()}:
            out.used |= set(matching(roles_, name))
        for cases, wrong in ((out.unlisted, ~listed & ~named), (out.stale, listed & named)):
            for i, new in zip(changes.at[wrong].tolist(), changes.new[wrong].tolist(), strict=True):
                roles_text = ", ".join(self.roles[i])
                cases.append(f"{self.trace.name}: {name} = {new} on row {self.rows[i]} ({roles_text})")
        seen = np.flatnonzero(named).tolist() if changes.column < len(self.trace.system.columns) else []
        if not seen:
            return []
        i = self.draw.choice(seen)
        change = changes.column, int(self.rows[changes.at[i]]), int(changes.new[i])
        return [(change, {changes.named.labels[k] for k in np.flatnonzero(bits[:, i]).tolist()})]


def bus_of(fraction: str) -> str:
    """Raises LookupError for a fraction of no bus, or of several."""
    found = [bus for bus, pattern in BUSES.items() if re.fullmatch(pattern, fraction)]
    if len(found) != 1:
        raise LookupError(f"the fraction {fraction!r} is on {len(found)} buses of tests/adversary/cells.py")
    return found[0]


# -- through the real prover ------------------------------------------------------------------------------------------


def columns_after(trace: Trace, changes: Sequence[Change]) -> Columns:
    """The columns of the trace with (column, row, word) changed, and multiplicities for whatever the tables hold."""
    honest, sheet = trace.world.honest, sheet_of(trace.system.name)
    out: Columns = {}
    for column, row, word in changes:
        out.setdefault(column, honest[column].copy())[row] = word
    active = sorted({row for _, row, _ in changes if row < ACTIVE})
    given = {column for column, row, _ in changes if row < ACTIVE}
    lookups = [("mu_u16", (name,)) for name in sheet.u16] + [("mu_pair", pair) for pair in sheet.pairs]
    for counter, names in lookups:
        columns, at = [sheet.at[name] for name in names], sheet.at[counter]
        if at in given or not given & set(columns):
            continue
        counts = out.setdefault(at, honest[at].copy())
        for row in active:
            for words, by in ((honest, -1), (out, 1)):
                cells = [int(words[c][row]) if c in out else int(honest[c, row]) for c in columns]
                place = cells[0] + 256 * (cells[1] if len(cells) > 1 else 0)
                if max(cells) < (U16 if len(cells) == 1 else BYTE):
                    counts[place] = (int(counts[place]) + by) % P
    return out


def prove_changed(trace: Trace, changes: Sequence[Change], named: set[str] | None = None) -> None:
    """Prove the changed trace as well as it can be proved, and offer that to the verifier.

    Args:
        named: what the row checker has to say of it, at the challenges of this proof.

    Raises:
        VerificationError: refused.
        AssertionError: the row checker says something else.
    """
    columns = columns_after(trace, changes)
    attempt = trace.prover.prove(trace.relation, columns)
    if named is not None:
        rows = neighbourhood({row for _, row, _ in changes} | chain_ends(trace, changes))
        published = Published.by(Forge(trace.world.plan).build())
        found = broken_labels(trace.world, columns, published, None, rows, attempt.scalars, attempt.extension(rows))
        if found != named:
            raise AssertionError(f"the row checker names {sorted(found)} instead of {sorted(named)}")
    verify_stark(trace.relation, TEST, attempt.proof.to_bytes())


def chain_ends(trace: Trace, changes: Sequence[Change]) -> set[int]:
    """Rows on which chains close that go through the changed rows."""
    closing = trace.world.honest[[trace.at["is_close"], trace.at["is_merge"]]].any(axis=0)
    ends = np.flatnonzero(closing)
    return {int(ends[np.searchsorted(ends, row)]) for _, row, _ in changes if row <= ends[-1]}


def as_rules(named: set[str], trace: Trace) -> set[str]:
    """What names a change, as constraints on all columns say it: a bus, by where the running sum ends."""
    constraints = {constraint.label for constraint in trace.system.constraints}
    return named & constraints | ({"running_sum last"} if named - constraints else set())


# -- rules taken away -------------------------------------------------------------------------------------------------


@dataclass
class Missed:
    """Without which rule what is not noticed any more.

    Args:
        by_a_cell: rules for which one changed cell is enough. by_a_forgery: that take a forgery of `tests.malicious`.
        together: of these, those that no witness breaks alone; the case says why.
        by_nothing: rules that nobody would miss, with what is wrong.
    """

    by_a_cell: int = 0
    by_a_forgery: int = 0
    together: int = 0
    by_nothing: list[str] = field(default_factory=list)


def missed_rules(trace: Trace, alone: Counter[tuple[str, str]], labels: Sequence[str], out: Missed) -> None:
    """Look for the forgery of every rule that no changed cell breaks alone, and let the row checker judge it."""
    circuit = trace.system.name
    for label in labels:
        if alone[circuit, label]:
            out.by_a_cell += 1
            continue
        try:
            case = case_for(label, trace.world.plan)
            name_only(case, {label, *case.also}, trace.world, trace.prover)
        except (AssertionError, LookupError) as error:
            out.by_nothing.append(f"{circuit}: {label}: {error}")
            continue
        out.by_a_forgery += 1
        out.together += bool(case.also)


def of_special_rows(label: str) -> bool:
    """Forgeries of special rows are of one shard of several, which has them all; all others of a single shard."""
    return any(maker.__module__ == cases_outputs.__name__ for maker, _ in makers(label))


def rules_of(trace: Trace) -> list[str]:
    """Constraints and buses whose forgery is made on this kind of trace; what all circuits share, on the first one."""
    masked = bool(trace.world.plan.masks)
    shared = {c.label for c in system_of(EQUITY).constraints} if trace.system.name != EQUITY else set()
    own = [c.label for c in trace.system.constraints if c.label not in shared or c.label.startswith("running_sum")]
    return [label for label in own if of_special_rows(label) is masked] + ([] if masked else list(BUSES))


# -- buses ------------------------------------------------------------------------------------------------------------


def bus_lies(trace: Trace, count: int, seed: int, tally: Tally) -> tuple[int, int]:
    """Every lie about every fraction, before the row checker; `count` are proved. How many there are, and unnamed."""
    liar = BusLiar(trace.world, seed)
    cheats = bus_cheats(liar.system)
    named = liar.named(cheats, trace.prover)
    unnamed = sum(labels != cheat.broken(liar.system) for cheat, labels in zip(cheats, named, strict=True))
    for cheat in random.Random(f"{seed} {trace.name}").sample(cheats, count):
        tally.attempt(f"{trace.name}: {cheat}", partial(_prove_lie, trace, liar.case(cheat), cheat.broken(liar.system)))
    return len(cheats), unnamed


def _prove_lie(trace: Trace, case: Case, broken: Collection[str]) -> None:
    """All constraints but the broken ones are in the quotient, so that everything else about the proof is right."""
    attempt = trace.prover.prove(trace.relation, {}, broken, case.cheat)
    verify_stark(trace.relation, TEST, attempt.proof.to_bytes())


# -- the sizes --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Size:
    """How much is tried.

    Args:
        per_kind: rows of each kind. fraction: of the changes of each column. proofs: per trace.
        forged: circuits in which every rule's forgery is made, and every bus lied about.
    """

    circuits: tuple[str, ...]
    shards: tuple[int | None, ...]
    per_kind: int
    fraction: float
    proofs: int
    forged: tuple[str, ...] = ()


SIZES = {
    "short": Size((EQUITY,), (1,), 1, 0.03, 2),
    "nightly": Size(tuple(CIRCUITS), SHARDS, 3, 1.0, 25, (EQUITY, RISK, STRESS)),
}


def run(size: str, seed: int) -> list[Score]:
    """Mutate cells, prove some of what was mutated, take rules away. `size`: one of `SIZES`."""
    chosen, survey, missed = SIZES[size], Survey(), Missed()
    proofs = Tally("mutated witnesses proved", seed, seconds_max=60.0)
    started = time.monotonic()
    for trace in traces(chosen.circuits, chosen.shards):
        surveyor = Surveyor(trace, trace.sample(chosen.per_kind, seed), seed)
        kept = [one for changes in surveyor.changes(chosen.fraction) for one in surveyor.judge(survey, changes)]
        surveyed = time.monotonic()
        for change, named in surveyor.draw.sample(kept, chosen.proofs):
            case = f"{trace.name}: column, row, word {change}"
            proofs.attempt(case, partial(prove_changed, trace, [change], as_rules(named, trace)))
        started += time.monotonic() - surveyed
    out = [_survey_score(survey, time.monotonic() - started, seed), proofs.score()]
    if chosen.forged:
        started, lies, unnamed = time.monotonic(), 0, 0
        proved = Tally("bus lies proved", seed, seconds_max=60.0)
        for trace in traces(chosen.forged, chosen.shards):
            missed_rules(trace, survey.alone, rules_of(trace), missed)
            if trace.world.plan.masks:
                told, missing = bus_lies(trace, chosen.proofs, seed, proved)
                lies, unnamed = lies + told, unnamed + missing
        seconds = time.monotonic() - started
        out += [_missed_score(missed, seconds, seed), Score("bus lies named", lies, unnamed, 0, seconds, seed, {})]
        out.append(proved.score())
    return out


def _survey_score(survey: Survey, seconds: float, seed: int) -> Score:
    for line in (*survey.unlisted[:SHOWN], *survey.stale[:SHOWN]):
        print(line, file=sys.stderr)
    notes = {
        "named by a constraint": survey.by_constraint,
        "named by a bus only": survey.by_bus_only,
        "free cells, as listed": survey.free,
        "of these, shown by stale multiplicities only": survey.adapted,
        "entries of the list": len(survey.used),
    }
    return Score("cells mutated", survey.tried, len(survey.unlisted), len(survey.stale), seconds, seed, notes)


def _missed_score(missed: Missed, seconds: float, seed: int) -> Score:
    for line in missed.by_nothing[:SHOWN]:
        print(line, file=sys.stderr)
    notes = {
        "missed by one cell": missed.by_a_cell,
        "missed by a forgery": missed.by_a_forgery,
        "of these, with other rules": missed.together,
    }
    tried = missed.by_a_cell + missed.by_a_forgery + len(missed.by_nothing)
    return Score("rules taken away", tried, len(missed.by_nothing), 0, seconds, seed, notes)
