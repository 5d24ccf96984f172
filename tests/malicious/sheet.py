"""From a forged witness to columns, and to the answers of the row checker.

Traces have 2^17 rows, of which a hundred matter. Columns are therefore kept as changes to the honest trace, and the row
checker is given only the rows that a forgery touches, their neighbours and the two ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from circuits.check import Violation, Witness, check_buses, check_rows
from circuits.gadgets.permutation import CELL_COLUMNS
from circuits.registry import records_of
from circuits.solvency import COLUMNS
from tests.malicious.forge import EQUITY, Forged
from tests.malicious.published import SCALARS, Published, fingerprint, leg_tuple, system_of
from tests.malicious.records import NO_CARRY, record_cells
from tests.malicious.rows import Row, centered
from tests.malicious.world import ACTIVE, ROWS, Array, World
from verifier.air import TRANSITION, ConstraintSystem
from verifier.field import Ext, P, lift

AT = {name: index for index, name in enumerate(COLUMNS)}
"""The columns that all circuits have; those of records follow them."""
U16 = tuple(f"u{i}" for i in range(10))
PAIRS = tuple((f"y{i}", f"y{i + 1}") for i in (0, 2, 4, 6))
TABLES = ("mu_u16", "mu_pair", "mu_leg", "table_n", "table_high")
Columns = dict[int, Array]
Cells = dict[int, dict[str, int]]


@dataclass(frozen=True)
class Sheet:
    """Where a circuit has what.

    Args:
        written: how many columns the rows of chains write: all but signs, bytes and carries of records.
        u16, pairs: cells that are looked up.
    """

    columns: tuple[str, ...]
    written: int
    u16: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]

    @cached_property
    def at(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.columns)}

    @cached_property
    def blank(self) -> dict[str, int]:
        """The record columns on a row without a record."""
        return {name: NO_CARRY[1] if "_high" in name else 0 for name in self.columns[self.written :]}

    def pairs_without(self, rules: Collection[str]) -> list[tuple[str, str]]:
        return [pair for pair in self.pairs if f"{pair[0]}, {pair[1]} are bytes" not in rules]

    def u16_without(self, rules: Collection[str]) -> list[str]:
        return [name for name in self.u16 if f"{name} is below 2^16" not in rules]


@cache
def sheet_of(circuit: str) -> Sheet:
    layout = records_of(circuit)
    if layout is None:
        return Sheet(COLUMNS, len(COLUMNS), U16, PAIRS)
    pairs = zip(layout.cells("byte"), layout.cells("high"), strict=True)
    columns = (*COLUMNS, *layout.columns)
    return Sheet(columns, len(COLUMNS) + len(layout.digits), (*U16, *layout.cells("low")), (*PAIRS, *pairs))


# -- columns ----------------------------------------------------------------------------------------------------------


def row_words(row: Row, circuit: str = EQUITY) -> Array:
    """The words that a row of a chain, or of padding, writes."""
    sheet = sheet_of(circuit)
    out = np.zeros(sheet.written, np.uint32)
    for name, value in row.cells.items():
        out[sheet.at[name]] = value
    first = AT[CELL_COLUMNS[0]]
    out[first : first + len(CELL_COLUMNS)] = row.permutation_cells
    return out


def columns_of(forged: Forged, world: World, unchecked: Collection[str] = ()) -> Columns:
    """Canonical columns that differ from the honest trace's, multiplicities adapted to whatever the tables hold.

    Args:
        unchecked: fractions that the circuit to be proved does not have: their cells are not counted.
    """
    circuit = world.plan.circuit
    width, sheet = max(len(forged.rows), world.used), sheet_of(circuit)
    block = np.stack([row_words(row, circuit) for row in forged.rows], axis=1)
    padding = row_words(forged.padding, circuit)
    spare = width - len(forged.rows)
    block = np.concatenate([block, np.repeat(padding[:, None], spare, axis=1)], axis=1)
    out: Columns = {}
    repadded = padding != row_words(Row(instance=forged.instance), circuit)
    differs = (block != world.honest[: sheet.written, :width]).any(axis=1) | repadded
    for row in forged.placed.values():
        differs |= row_words(row, circuit) != padding
    for column in np.flatnonzero(differs).tolist():
        if sheet.columns[column] in TABLES:
            continue
        words = out[column] = world.honest[column].copy()
        words[:width] = block[column]
        if repadded[column]:
            words[width:ACTIVE] = padding[column]
    for at, row in forged.placed.items():
        for index, word in enumerate(row_words(row, circuit)):
            if index in out:
                out[index][at] = word
    records = cells_of_records(forged)
    candidates = _record_columns(records, sheet)
    candidates |= {
        AT[name]: words for name, words in _tables(forged, block, ACTIVE - width, records, unchecked).items()
    }
    for column, words in candidates.items():
        if not np.array_equal(words, world.honest[column, :ACTIVE]):
            out[column] = world.honest[column].copy()
            out[column][:ACTIVE] = words
    return out


def cells_of_records(forged: Forged) -> Cells:
    """Row -> record columns, on the rows that have a record, or something else, in them."""
    records = forged.records
    if records is None:
        return {}
    out = dict(enumerate(record_cells(records.totals, records.layout)))
    first = ACTIVE - records.layout.rows * len(records.of)
    for i, record in enumerate(records.of):
        out |= dict(enumerate(record_cells(record, records.layout), start=first + i * records.layout.rows))
    for (row, name), word in records.cells.items():
        out.setdefault(row, dict(sheet_of(forged.plan.circuit).blank))[name] = word % P
    return out


def _record_columns(records: Cells, sheet: Sheet) -> Columns:
    out = {sheet.at[name]: np.full(ACTIVE, word, np.uint32) for name, word in sheet.blank.items()}
    for row, cells in records.items():
        for name, word in cells.items():
            out[sheet.at[name]][row] = word
    return out


def _tables(
    forged: Forged, block: Array, padding_rows: int, records: Cells, unchecked: Collection[str]
) -> dict[str, Array]:
    sheet, circuit = sheet_of(forged.plan.circuit), forged.plan.circuit
    placed = [row_words(row, circuit) for row in forged.placed.values()]
    cells = np.concatenate([block, np.stack(placed, axis=1)], axis=1) if placed else block
    weighted = [(cells, 1), (row_words(forged.padding, circuit)[:, None], padding_rows - len(placed))]
    elsewhere = ACTIVE - len(records)
    u16: Counter[int] = Counter()
    pairs: Counter[tuple[int, int]] = Counter()
    for name in sheet.u16_without(unchecked):
        if name in sheet.blank:
            u16.update(row[name] for row in records.values())
            u16[sheet.blank[name]] += elsewhere
            continue
        for part, times in weighted:
            values, counts = np.unique(part[AT[name]], return_counts=True)
            u16.update({int(v): int(c) * times for v, c in zip(values, counts, strict=True)})
    for low, high in sheet.pairs_without(unchecked):
        if low in sheet.blank:
            pairs.update((row[low], row[high]) for row in records.values())
            pairs[sheet.blank[low], sheet.blank[high]] += elsewhere
            continue
        for part, times in weighted:
            for pair in zip(part[AT[low]].tolist(), part[AT[high]].tolist(), strict=True):
                pairs[pair] += times
    out = {name: np.zeros(ACTIVE, np.uint32) for name in ("mu_u16", "mu_pair", "mu_leg")}
    at_n, at_pair = _places(forged, out)
    for value, count in u16.items():
        at = at_n(centered(value))
        if at is not None:
            out["mu_u16"][at] = count
    for pair, count in pairs.items():
        at = at_pair((centered(pair[0]), centered(pair[1])))
        if at is not None:
            out["mu_pair"][at] = count
    if "entry leg" not in unchecked:
        _count_legs(forged, out["mu_leg"])
    return out


def _places(
    forged: Forged, out: dict[str, Array]
) -> tuple[Callable[[int], int | None], Callable[[tuple[int, int]], int | None]]:
    """Writes the counters; where a number and where a pair stand in the tables, if at all."""
    if forged.counters is None:
        out["table_n"] = np.minimum(np.arange(ACTIVE), 65535).astype(np.uint32)
        out["table_high"] = out["table_n"] >> np.uint32(8)
        return (
            lambda n: n if 0 <= n < 2**16 else None,
            lambda pair: pair[0] + 256 * pair[1] if 0 <= min(pair) <= max(pair) < 256 else None,
        )
    numbers, highs = forged.counters
    out["table_n"], out["table_high"] = (np.array([x % P for x in c], np.uint32) for c in forged.counters)
    last = range(ACTIVE - 1, -1, -1)
    at_n = {numbers[i]: i for i in last}
    at_pair = {(numbers[i] - 256 * highs[i], highs[i]): i for i in last}
    return at_n.get, at_pair.get


def _count_legs(forged: Forged, mu: Array) -> None:
    layout = records_of(forged.plan.circuit)
    names = ["b0", "total_id", *(f"cap{i}" for i in range(4)), *(f"d{i}" for i in range(7))]
    names += layout.digits if layout is not None else ()
    rows = {tuple(leg_tuple(i, leg)): i for i, leg in enumerate(forged.plan.legs)}
    used: Counter[int] = Counter()
    for row in (*forged.rows, *forged.placed.values()):
        at = rows.get(row.read_all(names))
        if row["is_entry"] and at is not None:
            used[at] += row["is_entry"]
    for at, count in used.items():
        mu[at] = count % P


# -- the row checker on the rows that matter --------------------------------------------------------------------------


def touched(columns: Mapping[int, Array], world: World) -> Array:
    """Active rows in which some column differs from the honest trace."""
    out = np.zeros(ACTIVE, bool)
    for column, words in columns.items():
        out |= words[:ACTIVE] != world.honest[column, :ACTIVE]
    return np.flatnonzero(out).astype(np.uint32)


def cells(columns: Mapping[int, Array], world: World, rows: Array) -> Array:
    """(columns, rows) canonical words of a forged trace."""
    out = np.ascontiguousarray(world.honest[:, rows])
    for column, words in columns.items():
        out[column] = words[rows]
    return out


def neighbourhood(rows: Iterable[int]) -> Array:
    """The rows, one before, two after; and both ends of the active part."""
    near = {row + step for row in rows for step in (-1, 0, 1, 2)} | {0, 1, ACTIVE - 2, ACTIVE - 1}
    return np.array(sorted(row for row in near if 0 <= row < ACTIVE), np.uint32)


def broken_labels(
    world: World,
    columns: Mapping[int, Array],
    published: Published,
    system: ConstraintSystem | None = None,
    rows: Array | None = None,
    scalars: Sequence[Ext] = (),
    extension: Array | None = None,
) -> set[str]:
    """Constraints that the row checker names; with `scalars` and `extension` (5 E, rows) those on all columns."""
    return {v.label for v in broken_rows(world, columns, published, system, rows, scalars, extension)}


def broken_rows(
    world: World,
    columns: Mapping[int, Array],
    published: Published,
    system: ConstraintSystem | None = None,
    rows: Array | None = None,
    scalars: Sequence[Ext] = (),
    extension: Array | None = None,
) -> list[Violation]:
    """See `broken_labels`; rows as in the whole trace."""
    if rows is None:
        rows = neighbourhood(touched(columns, world).tolist())
    system = system or system_of(world.plan.circuit)
    publics = published.public_rows(system, rows, scalars)
    witness = Witness(cells(columns, world, rows), publics, len(rows), scalars, extension)
    steps = {c.label for c in system.constraints if c.domain == TRANSITION}
    gaps = set(np.flatnonzero(np.diff(rows.astype(np.int64)) != 1).tolist())
    found = check_rows(system, witness, limit=10**6)
    return [Violation(int(rows[v.row]), v.label) for v in found if not (v.label in steps and v.row in gaps)]


def unbalanced(
    world: World,
    forged: Forged,
    columns: Mapping[int, Array],
    published: Published | None = None,
    system: ConstraintSystem | None = None,
    unchecked: Collection[str] = (),
) -> list[Violation]:
    """Tuples that the bus checker names. Rows of padding without a multiplicity are counted, not listed."""
    published = published or Published.by(forged, unchecked)
    system, sheet = system or system_of(world.plan.circuit), sheet_of(world.plan.circuit)
    width = max(len(forged.rows), world.used)
    listed = set(range(width)) | set(forged.placed) | set(cells_of_records(forged))
    for name in ("mu_u16", "mu_pair", "mu_leg"):
        listed |= set(np.flatnonzero(columns.get(AT[name], world.honest[AT[name]])[:ACTIVE]).tolist())
    rows = np.array(sorted(listed), np.uint32)
    r, alpha, beta = SCALARS
    left_out = (ACTIVE - len(rows)) % P
    supplied = published.fractions(r, alpha, beta)
    idle = {
        **sheet.blank,
        **{name: forged.padding[name] for name in (*U16, *(name for pair in PAIRS for name in pair))},
    }
    tuples = [(1, [idle[name]]) for name in sheet.u16_without(unchecked)]
    tuples += [(2, [idle[low], idle[high]]) for low, high in sheet.pairs_without(unchecked)]
    supplied += [(lift(-left_out), fingerprint(alpha, beta, tag, values)) for tag, values in tuples]
    publics = published.public_rows(system, rows)
    witness = Witness(cells(columns, world, rows), publics, len(rows), published.scalars())
    found = check_buses(system, witness, supplied, limit=10**6)
    return [Violation(int(rows[v.row]) if v.row >= 0 else -1, v.label) for v in found]


def full_witness(world: World, published: Published) -> Witness:
    """The whole honest trace as the row checker takes it."""
    publics = published.public_rows(system_of(world.plan.circuit), np.arange(ROWS, dtype=np.uint32))
    return Witness(world.honest, publics, ACTIVE, published.scalars())
