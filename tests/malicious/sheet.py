"""From a forged witness to columns, to what it publishes, and to the answers of the row checker.

Traces have 2^17 rows, of which a hundred matter. Columns are therefore kept as changes to the honest trace, and the row
checker is given only the rows that a forgery touches, their neighbours and the two ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from circuits.check import Violation, Witness, check_buses, check_rows, public_matrix, terminal_of
from circuits.equity import COLUMNS
from circuits.gadgets.permutation import CELL_COLUMNS
from circuits.registry import CIRCUITS
from tests.malicious.forge import Forged, Leg
from tests.malicious.rows import Item, Row, centered, limbs
from tests.malicious.world import ACTIVE, LOG2_ROWS, ROWS, Array, World
from verifier.air import TRANSITION, ConstraintSystem
from verifier.field import Ext, P, ext_horner, ext_mul, ext_one, ext_scale, ext_sub, lift
from verifier.stark import Relation

SYSTEM = CIRCUITS["solvency_equity_v1"]()
AT = {name: index for index, name in enumerate(COLUMNS)}
U16 = tuple(f"u{i}" for i in range(10))
PAIRS = tuple((f"y{i}", f"y{i + 1}") for i in (0, 2, 4, 6))
TABLES = ("mu_u16", "mu_pair", "mu_leg", "table_n", "table_high")
SCALARS: tuple[Ext, Ext, Ext] = (
    (1534233191, 902116543, 77812211, 1211112233, 2010203040),
    (998877661, 1717171717, 66554433, 1029384756, 565656565),
    (314159265, 358979323, 846264338, 327950288, 419716939),
)
"""r, alpha, beta for the checkers; a proof draws its own."""
Columns = dict[int, Array]
Fraction = tuple[Ext, Ext]


@dataclass(frozen=True)
class Published:
    """What a statement would say: the leg table, the totals and the root with the liability.

    Args:
        silent: buses, "totals" or "tree", to which the verifier adds nothing (where the circuit has them switched off).
    """

    legs: tuple[Leg, ...]
    total_count: int
    totals: tuple[int, ...]
    root: Item
    silent: frozenset[str] = frozenset()

    @classmethod
    def by(cls, forged: Forged, unchecked: Collection[str] = ()) -> Published:
        silent = {name for name, label in (("totals", "totals"), ("tree", "tree consume")) if label in unchecked}
        return cls(forged.plan.legs, forged.plan.total_count, tuple(forged.totals), forged.root, frozenset(silent))

    def publics(self) -> dict[str, list[int]]:
        table: dict[str, list[int]] = {
            "is_total_row": [1] * self.total_count,
            "total_row_id": list(range(self.total_count)),
            "leg_id": list(range(len(self.legs))),
            "leg_total": [leg.total for leg in self.legs],
        }
        table |= {f"leg_cap{i}": [limbs(leg.cap, 4)[i] for leg in self.legs] for i in range(4)}
        return table | {f"leg_digit{i}": [leg.digits[i] % P for leg in self.legs] for i in range(7)}

    def fractions(self, r: Ext, alpha: Ext, beta: Ext) -> list[Fraction]:
        """The verifier's own: one per total, and the root."""
        out = []
        for total_id, amount in enumerate(() if "totals" in self.silent else self.totals):
            digits = [*limbs(amount, 7, 8), amount >> 56]
            numerator = ext_horner([lift(digit) for digit in digits], r)
            out.append((numerator, fingerprint(alpha, beta, 5, [total_id])))
        if "tree" not in self.silent:
            root = [self.root.level, *self.root.digest, *self.root.value]
            out.append((ext_one, fingerprint(alpha, beta, 4, root)))
        return out

    def relation(self, system: ConstraintSystem = SYSTEM, binding: bytes = b"statement" + bytes(23)) -> Relation:
        return Relation(
            system=system,
            log2_rows=LOG2_ROWS,
            publics=self.publics(),
            terminal=lambda r, alpha, beta: terminal_of(self.fractions(r, alpha, beta)),
            binding=binding,
        )


def fingerprint(alpha: Ext, beta: Ext, tag: int, values: Iterable[int]) -> Ext:
    out, power = ext_sub(alpha, lift(tag)), beta
    for value in values:
        out = ext_sub(out, ext_scale(power, value % P))
        power = ext_mul(power, beta)
    return out


# -- columns ----------------------------------------------------------------------------------------------------------


def row_words(row: Row) -> Array:
    out = np.zeros(len(COLUMNS), np.uint32)
    for name, value in row.cells.items():
        out[AT[name]] = value
    first = AT[CELL_COLUMNS[0]]
    out[first : first + len(CELL_COLUMNS)] = row.permutation_cells
    return out


def columns_of(forged: Forged, world: World, unchecked: Collection[str] = ()) -> Columns:
    """Canonical columns that differ from the honest trace's, multiplicities adapted to whatever the tables hold.

    Args:
        unchecked: fractions that the circuit to be proved does not have: their cells are not counted.
    """
    width = max(len(forged.rows), world.used)
    block = np.stack([row_words(row) for row in forged.rows], axis=1)
    padding = row_words(forged.padding)
    spare = width - len(forged.rows)
    block = np.concatenate([block, np.repeat(padding[:, None], spare, axis=1)], axis=1)
    out: Columns = {}
    repadded = padding != row_words(Row(instance=forged.instance))
    differs = (block != world.honest[:, :width]).any(axis=1) | repadded
    for row in forged.placed.values():
        differs |= row_words(row) != padding
    for column in np.flatnonzero(differs).tolist():
        if COLUMNS[column] in TABLES:
            continue
        words = out[column] = world.honest[column].copy()
        words[:width] = block[column]
        if repadded[column]:
            words[width:ACTIVE] = padding[column]
    for at, row in forged.placed.items():
        for index, word in enumerate(row_words(row)):
            if index in out:
                out[index][at] = word
    for name, words in _tables(forged, block, ACTIVE - width, unchecked).items():
        full = world.honest[AT[name]].copy()
        full[:ACTIVE] = words
        if not np.array_equal(full, world.honest[AT[name]]):
            out[AT[name]] = full
    return out


def _tables(forged: Forged, block: Array, padding_rows: int, unchecked: Collection[str]) -> dict[str, Array]:
    placed = [row_words(row) for row in forged.placed.values()]
    cells = np.concatenate([block, np.stack(placed, axis=1)], axis=1) if placed else block
    weighted = [(cells, 1), (row_words(forged.padding)[:, None], padding_rows - len(placed))]
    u16: Counter[int] = Counter()
    pairs: Counter[tuple[int, int]] = Counter()
    for part, times in weighted:
        for name in U16:
            if f"{name} is below 2^16" not in unchecked:
                u16.update(
                    {
                        int(v): int(c) * times
                        for v, c in zip(*np.unique(part[AT[name]], return_counts=True), strict=True)
                    }
                )
        for low, high in PAIRS:
            if f"{low}, {high} are bytes" not in unchecked:
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
    table = Published.by(forged).publics()
    names = [name for name in table if name.startswith("leg_")]
    rows = {tuple(table[name][i] for name in names): i for i in range(len(forged.plan.legs))}
    used: Counter[int] = Counter()
    for row in (*forged.rows, *forged.placed.values()):
        at = rows.get((row["b0"], row["total_id"], *row.read("cap", 4), *row.read("d", 7)))
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
    system: ConstraintSystem = SYSTEM,
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
    system: ConstraintSystem = SYSTEM,
    rows: Array | None = None,
    scalars: Sequence[Ext] = (),
    extension: Array | None = None,
) -> list[Violation]:
    """See `broken_labels`; rows as in the whole trace."""
    if rows is None:
        rows = neighbourhood(touched(columns, world).tolist())
    publics = np.ascontiguousarray(public_matrix(system, published.publics(), ROWS)[:, rows])
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
    system: ConstraintSystem = SYSTEM,
    unchecked: Collection[str] = (),
) -> list[Violation]:
    """Tuples that the bus checker names. Rows of padding without a multiplicity are counted, not listed."""
    published = published or Published.by(forged, unchecked)
    width = max(len(forged.rows), world.used)
    listed = set(range(width)) | set(forged.placed)
    for name in ("mu_u16", "mu_pair", "mu_leg"):
        listed |= set(np.flatnonzero(columns.get(AT[name], world.honest[AT[name]])[:ACTIVE]).tolist())
    rows = np.array(sorted(listed), np.uint32)
    r, alpha, beta = SCALARS
    left_out = (ACTIVE - len(rows)) % P
    supplied = published.fractions(r, alpha, beta)
    for name in U16:
        if f"{name} is below 2^16" not in unchecked:
            supplied.append((lift(-left_out), fingerprint(alpha, beta, 1, [forged.padding[name]])))
    for low, high in PAIRS:
        if f"{low}, {high} are bytes" not in unchecked:
            pair = [forged.padding[low], forged.padding[high]]
            supplied.append((lift(-left_out), fingerprint(alpha, beta, 2, pair)))
    publics = np.ascontiguousarray(public_matrix(system, published.publics(), ROWS)[:, rows])
    witness = Witness(cells(columns, world, rows), publics, len(rows), (*SCALARS, lift(0)))
    found = check_buses(system, witness, supplied, limit=10**6)
    return [Violation(int(rows[v.row]) if v.row >= 0 else -1, v.label) for v in found]


def full_witness(world: World, published: Published, system: ConstraintSystem = SYSTEM) -> Witness:
    """The whole honest trace as the row checker takes it."""
    publics = public_matrix(system, published.publics(), ROWS)
    return Witness(world.honest, publics, ACTIVE, (*SCALARS, lift(0)))
