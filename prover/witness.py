"""From accounts to the trace of `circuits.solvency`: special rows, accounts, nodes, dummies, padding and hidden rows.

All is canonical until `finish` turns the trace into Montgomery words and fills the permutation cells. Layout: design
02b, section B.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from circuits.gadgets.permutation import CELL_COLUMNS
from circuits.gadgets.records import RecordLayout
from circuits.solvency import BYTE_COLUMNS, COLUMNS, U16_COLUMNS
from prover.errors import InputError
from prover.kernels.accounts import ABOVE_CAP, OK, fill_accounts, sum_bytes
from prover.kernels.field import to_mont
from prover.kernels.poseidon import fill_permutation_cells
from prover.kernels.records import count_pairs, count_words
from prover.kernels.threads import run_ranges
from prover.outputs import MaskPair, ShardOutputs, fill_special_rows
from prover.randomness import Randomness
from prover.records import fill_record_columns
from prover.tree import Level, Tree, build_tree, compress_words, initial_values, value_row
from verifier.legs import DIGITS, Leg
from verifier.params import HIDDEN_ROWS
from verifier.poseidon import DEFAULT, Instance
from verifier.solvency import SpecialRows
from verifier.tree import ARITY, ENTRIES_MAX, TAG_ACCOUNT, TAG_DUMMY, TAG_NODE

Words = npt.NDArray[np.uint32]
Int64 = npt.NDArray[np.int64]
NODE_ROWS = ARITY + 2
RECORD_CELLS = ("byte", "low", "high")
TABLE_ROWS = 1 << 16
_AT = {name: index for index, name in enumerate(COLUMNS)}
_ACCOUNT_COLUMNS = np.array(
    [_AT[n] for n in ("b0", "is_open", "is_entry", "is_close", "count", "y0", "u0", "total_id", "cap0", "d0")],
    np.int64,
)


@dataclass(frozen=True)
class Legs:
    """The leg table as arrays.

    Args:
        digits: (legs, 7) int64 in [-128, 127]. lens_digits: (legs, K, 7).
        caps: (legs,) uint64. total_ids: (legs,) int64.
    """

    digits: Int64
    caps: npt.NDArray[np.uint64]
    total_ids: Int64
    lens_digits: Int64

    @classmethod
    def of(cls, table: Sequence[Leg]) -> Legs:
        return cls(
            digits=np.array([leg.digits for leg in table], np.int64),
            caps=np.array([leg.cap for leg in table], np.uint64),
            total_ids=np.array([leg.total for leg in table], np.int64),
            lens_digits=np.array([leg.lens_digits for leg in table], np.int64).reshape(len(table), -1, DIGITS),
        )


@dataclass(frozen=True)
class Accounts:
    """Accounts in trace order.

    Args:
        identities: (n, 8) canonical words. blindings: (n, 6).
        offsets: (n + 1,) int64. legs: (m,) uint16, ascending in an account. amounts: (m,) uint64, 1 .. 2^63 - 1.
    """

    identities: Words
    blindings: Words
    offsets: Int64
    legs: npt.NDArray[np.uint16]
    amounts: npt.NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.identities)


@dataclass(frozen=True)
class TraceWitness:
    """What the proof is made from.

    Args:
        trace: (columns, N) base columns; Montgomery after `finish`.
        outputs: what the shard publishes of its totals, liability and losses.
        totals: per total id, the exact sum of the amounts in atoms.
        tree: the Merkle-sum tree; its leaves are `leaf_digests` (n, 8) with `liabilities` (n, 7).
        negative: (n,) whether the account's equity is below zero. lens_negative: (n, K) the same under each lens.
        losses: per lens, the sum of max(0, -value) in value units.
        used_rows: active rows in use.
    """

    trace: Words
    outputs: ShardOutputs
    totals: tuple[int, ...]
    tree: Tree
    leaf_digests: Words
    liabilities: Words
    negative: npt.NDArray[np.bool_]
    lens_negative: npt.NDArray[np.bool_]
    losses: tuple[int, ...]
    used_rows: int


class AccountAtFault(Exception):
    """Account `index` (trace order) cannot be proved: `why` says so in words, of its equity or its health."""

    def __init__(self, index: int, why: str, field: str = "equity") -> None:
        super().__init__(f"account {index}: {why}")
        self.index, self.why, self.field = index, why, field


def build_witness(
    accounts: Accounts,
    legs: Legs,
    special: SpecialRows,
    levels: int,
    log2_rows: int,
    random: Randomness,
    instance: Instance = DEFAULT,
    records: RecordLayout | None = None,
    masks: MaskPair | None = None,
) -> TraceWitness:
    """Canonical trace with all cells but the permutation's and the hidden rows.

    Args:
        special: rows before the accounts.
        records: of the circuit, whose lenses the leg table has to have.
        masks: of this shard, where there are several.

    Raises:
        AccountAtFault: a value of 2^112 or more, an amount above its cap, too many entries.
        InputError: the rows do not fit.
    """
    rows = 1 << log2_rows
    trace = np.zeros((len(COLUMNS) + (len(records.columns) if records else 0), rows), np.uint32)
    counts = np.diff(accounts.offsets)
    if len(counts) and counts.max() > ENTRIES_MAX:
        raise AccountAtFault(int(counts.argmax()), f"more than {ENTRIES_MAX} entries")
    open_rows = special.count + np.concatenate([[0], np.cumsum(counts + 2)])
    _require_room(int(open_rows[-1]), rows)
    liabilities = _account_cells(trace, accounts, legs, open_rows[:-1])
    leaves = _chain_accounts(trace, open_rows[:-1], counts, instance)
    tree = build_tree(leaves, liabilities, levels, random, instance)
    used = _tree_rows(trace, tree, int(open_rows[-1]), rows)
    lens_negative, losses = _record_cells(trace, records, accounts, legs, open_rows[:-1])
    sums = _byte_sums(accounts, legs, special.outputs - special.lenses - 1)
    outputs = fill_special_rows(trace, special, sums, tree, levels, losses, masks, instance)
    _tables(trace, rows - HIDDEN_ROWS, len(legs.caps), records)
    totals = tuple(sum(int(part) << (8 * k) for k, part in enumerate(row)) for row in sums.tolist())
    negative = trace[_AT["cap0"], open_rows[:-1] + counts + 1] == 1
    return TraceWitness(trace, outputs, totals, tree, leaves, liabilities, negative, lens_negative, losses, used)


def finish(trace: Words, instance: Instance = DEFAULT) -> None:
    """In place: all words Montgomery, permutation cells of every active row filled. Hidden rows are the prover's."""
    active = trace.shape[1] - HIDDEN_ROWS
    to_mont(trace)
    first = _AT[CELL_COLUMNS[0]]
    run_ranges(lambda start, stop: fill_permutation_cells(trace, 0, first, start, stop, instance), active, 128)


def _require_room(used: int, rows: int) -> None:
    if used > rows - HIDDEN_ROWS:
        raise InputError(
            got=f"{used} rows", expected=f"at most {rows - HIDDEN_ROWS}: choose a larger --log2-rows for this snapshot"
        )


def _byte_sums(accounts: Accounts, legs: Legs, total_count: int) -> Int64:
    out = np.zeros((total_count, 8), np.int64)
    sum_bytes(legs.total_ids, accounts.legs, accounts.amounts, out)
    return out


def _account_cells(trace: Words, accounts: Accounts, legs: Legs, open_rows: Int64) -> Words:
    liabilities = np.zeros((len(accounts), 7), np.uint32)
    failures: list[tuple[int, int]] = []

    def fill(start: int, stop: int) -> None:
        status, index = fill_accounts(
            trace, _ACCOUNT_COLUMNS, open_rows, accounts.identities, accounts.blindings, accounts.offsets,
            accounts.legs, accounts.amounts, legs.digits, legs.caps, legs.total_ids, liabilities, start, stop,
        )  # fmt: skip
        if status != OK:
            failures.append((index, status))

    run_ranges(fill, len(accounts))
    if failures:
        index, status = min(failures)
        why = "an amount is above its leg's cap" if status == ABOVE_CAP else "|equity| is 2^112 value units or more"
        raise AccountAtFault(index, why)
    return liabilities


def _record_cells(
    trace: Words, layout: RecordLayout | None, accounts: Accounts, legs: Legs, open_rows: Int64
) -> tuple[npt.NDArray[np.bool_], tuple[int, ...]]:
    """Fill the records, if the circuit has any; which values are below zero, and the losses."""
    if layout is None:
        return np.zeros((len(accounts), 0), np.bool_), ()
    _require_room(layout.rows * (len(accounts) + 1), trace.shape[1])
    values = fill_record_columns(
        trace, layout, trace.shape[1] - HIDDEN_ROWS, open_rows, accounts.offsets, accounts.legs, accounts.amounts,
        legs.lens_digits,
    )  # fmt: skip
    if values.at_fault is not None:
        raise AccountAtFault(values.at_fault, "|health|, or a value under a scenario, is 2^112 value units or more")
    return values.negative, values.losses


def _chain_accounts(trace: Words, open_rows: Int64, counts: Int64, instance: Instance) -> Words:
    """Write the chaining value of every account row; return the leaf digests (n, 8)."""
    order = np.argsort(-counts, kind="stable")
    lengths = counts[order] + 2
    digests = np.zeros((len(counts), 8), np.uint32)
    states = initial_values(TAG_ACCOUNT, 0, len(counts))
    for step in range(int(lengths[0]) if len(lengths) else 0):
        live = int(np.searchsorted(-lengths, -step, side="left"))
        rows = open_rows[order[:live]] + step
        states = states[:live]
        trace[0:8, rows] = states.T
        states = compress_words(states, np.ascontiguousarray(trace[8:16, rows].T), instance)
        done = lengths[:live] == step + 1
        digests[order[:live][done]] = states[done]
    return digests


def _tree_rows(trace: Words, tree: Tree, first_row: int, rows: int) -> int:
    """Rows of nodes and dummies from `first_row` on; returns the number of rows used."""
    used = first_row
    for level in tree.levels:
        _require_room(used + NODE_ROWS * len(level.digests) + len(level.dummy_blocks), rows)
        _node_rows(trace, level, used)
        used += NODE_ROWS * len(level.digests)
        dummies = slice(used, used + len(level.dummy_blocks))
        _put(trace, "h0", dummies, initial_values(TAG_DUMMY, level.level - 1, len(level.dummy_blocks)))
        _put(trace, "b0", dummies, level.dummy_blocks)
        trace[_AT["is_dummy"], dummies] = 1
        trace[_AT["level"], dummies] = level.level - 1
        used += len(level.dummy_blocks)
    return used


def _put(trace: Words, first_column: str, rows: slice, values: Words) -> None:
    first = _AT[first_column]
    trace[first : first + values.shape[1], rows] = values.T


def _node_rows(trace: Words, level: Level, first_row: int) -> None:
    """Ten rows a node: first child, seven next children, merge, value row."""
    nodes = len(level.digests)
    stop = first_row + NODE_ROWS * nodes
    states = initial_values(TAG_NODE, level.level, nodes)
    for slot in range(ARITY):
        at = slice(first_row + slot, stop, NODE_ROWS)
        _put(trace, "h0", at, states)
        _put(trace, "b0", at, level.children[:, slot])
        _put(trace, "d0", at, level.child_values[:, slot])
        trace[_AT["is_next_child" if slot else "is_first_child"], at] = 1
        trace[_AT["level"], at] = level.level
        trace[_AT["count"], at] = slot
        states = level.chain[:, slot]
    merge, value = slice(first_row + ARITY, stop, NODE_ROWS), slice(first_row + ARITY + 1, stop, NODE_ROWS)
    _put(trace, "h0", merge, states)
    _put(trace, "b0", merge, level.value_digests)
    _put(trace, "u0", merge, level.sums)
    _put(trace, "d0", merge, level.sums)
    _put(trace, "y0", merge, level.carries)
    trace[_AT["is_merge"], merge] = 1
    trace[_AT["level"], merge] = level.level
    trace[_AT["count"], merge] = ARITY - 1
    h, block = value_row(level.sums, level.value_random)
    _put(trace, "h0", value, h)
    _put(trace, "b0", value, block)


def _tables(trace: Words, active: int, leg_count: int, records: RecordLayout | None) -> None:
    """Counters over the whole trace, and how often each table row is looked up on the active rows."""
    counter = np.minimum(np.arange(trace.shape[1]), TABLE_ROWS - 1)
    trace[_AT["table_n"]] = counter
    trace[_AT["table_high"]] = counter >> 8
    u16 = [_AT[name] for name in U16_COLUMNS]
    pairs = [(_AT[low], _AT[high]) for low, high in zip(BYTE_COLUMNS[::2], BYTE_COLUMNS[1::2], strict=True)]
    if records is not None:
        kinds = ([len(COLUMNS) + records.columns.index(name) for name in records.cells(k)] for k in RECORD_CELLS)
        byte, low, high = kinds
        u16 += low
        pairs += zip(byte, high, strict=True)
    trace[_AT["mu_u16"], :TABLE_ROWS] = _count(len(u16), lambda k, counts: count_words(trace[u16[k], :active], counts))
    trace[_AT["mu_pair"], :TABLE_ROWS] = _count(
        len(pairs), lambda k, counts: count_pairs(trace[pairs[k][0], :active], trace[pairs[k][1], :active], counts)
    )
    entries = trace[_AT["is_entry"], :active] == 1
    used = np.bincount(trace[_AT["b0"], :active][entries], minlength=leg_count)
    trace[_AT["mu_leg"], :leg_count] = used


def _count(columns: int, count: Callable[[int, Int64], None]) -> Int64:
    """Occurrences of each of the 2^16 table rows in all columns, counted in parallel."""
    parts: list[Int64] = []

    def run(start: int, stop: int) -> None:
        counts = np.zeros(TABLE_ROWS, np.int64)
        for k in range(start, stop):
            count(k, counts)
        parts.append(counts)

    run_ranges(run, columns)
    total: Int64 = np.sum(parts, axis=0)
    return total
