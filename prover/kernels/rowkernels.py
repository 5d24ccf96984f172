"""Evaluate a circuit over many rows: constraints on the extended domain, LogUp columns and accumulators on the trace.

One compiled kernel runs any row program (`codegen`), so a new circuit or new challenges cost tables, not compilation.
It works on blocks of `LANES_PER_BLOCK` rows: each slot is a short vector that stays in the second-level cache, and each
operation is a loop over it. All arrays are uint32 Montgomery words in [0, p), column-major.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from prover.kernels import codegen
from prover.kernels.codegen import DOT, EXT_DOT, EXT_INVERT, EXT_MUL, MUL, SOURCES, SUM, RowProgram
from prover.kernels.field import (
    U32Array,
    add,
    ext_add,
    ext_invert,
    ext_mul,
    load_ext,
    mul,
    store_ext,
    sub,
)
from prover.kernels.lanes import WIDTH, broadcast, load, prefetch, store, wide_add, wide_mul, wide_reduce, wide_trim
from prover.kernels.registry import compiled, inlined
from prover.kernels.threads import run_ranges
from verifier.air import ConstraintSystem
from verifier.field import EXTENSION_DEGREE, Ext

I64Array = npt.NDArray[np.int64]

LANES_PER_BLOCK = 128
"""Long enough to hide the cost of choosing an operation, short enough for about a thousand slots in 1 MB of cache."""
_SCAN_ROWS = 1 << 14
_COLUMNS_AHEAD = 24
_ONE = np.uint32(1)

# -- the kernel -----------------------------------------------------------------------------------------------------


@compiled
def _gather(
    scratch: U32Array, loads: I64Array, source: int, array: U32Array, stride: int, start: int, count: int
) -> None:
    """Copy rows start .. start + count - 1 of every cell of one source into its slot.

    Columns lie megabytes apart, where no hardware foresees the next one: cells are asked for some columns ahead.
    """
    items = loads.shape[0]
    for item in range(items):
        if loads[item, 0] == source:
            at = loads[item, 1] * stride + start
            slot = loads[item, 2] * LANES_PER_BLOCK
            if count == LANES_PER_BLOCK:
                ahead = loads[min(item + _COLUMNS_AHEAD, items - 1), 1] * stride + start
                for lane in range(0, LANES_PER_BLOCK, WIDTH):
                    prefetch(array, ahead + lane)
                    store(scratch, slot + lane, load(array, at + lane))
            else:
                for lane in range(count):
                    scratch[slot + lane] = array[at + lane]


@compiled
def _sum(scratch: U32Array, target: int, terms: I64Array, first: int, plus: int, minus: int, c: np.uint32) -> None:
    """One pass over the lanes per term: the number of terms is too small and varied for an inner loop."""
    for lane in range(target, target + LANES_PER_BLOCK, WIDTH):
        store(scratch, lane, broadcast(c))
    for t in range(first, first + plus):
        source = terms[t] * LANES_PER_BLOCK
        for lane in range(0, LANES_PER_BLOCK, WIDTH):
            store(scratch, target + lane, add(load(scratch, target + lane), load(scratch, source + lane)))
    for t in range(first + plus, first + plus + minus):
        source = terms[t] * LANES_PER_BLOCK
        for lane in range(0, LANES_PER_BLOCK, WIDTH):
            store(scratch, target + lane, sub(load(scratch, target + lane), load(scratch, source + lane)))


@inlined
def _accumulate(total: Any, x: Any, weight_x: np.uint32, y: Any, weight_y: np.uint32) -> Any:
    """total + x weight_x + y weight_y, kept below 2**32 * p: two products add less than that, so one trim is enough."""
    return wide_trim(wide_add(wide_add(total, wide_mul(x, weight_x)), wide_mul(y, weight_y)))


@compiled
def _dot(
    scratch: U32Array, target: int, terms: I64Array, first: int, pairs: int, weights: U32Array, c: np.uint32
) -> None:
    for lane in range(0, LANES_PER_BLOCK, WIDTH):
        total = wide_mul(broadcast(c), _ONE)
        for pair in range(pairs):
            x = load(scratch, terms[first + 2 * pair] * LANES_PER_BLOCK + lane)
            y = load(scratch, terms[first + 2 * pair + 1] * LANES_PER_BLOCK + lane)
            total = _accumulate(total, x, weights[2 * pair], y, weights[2 * pair + 1])
        store(scratch, target + lane, wide_reduce(total))


@compiled
def _ext_dot(
    scratch: U32Array, target: int, terms: I64Array, first: int, pairs: int, weights: U32Array, c: U32Array
) -> None:
    for lane in range(0, LANES_PER_BLOCK, WIDTH):
        s0 = wide_mul(broadcast(c[0]), _ONE)
        s1 = wide_mul(broadcast(c[1]), _ONE)
        s2 = wide_mul(broadcast(c[2]), _ONE)
        s3 = wide_mul(broadcast(c[3]), _ONE)
        s4 = wide_mul(broadcast(c[4]), _ONE)
        for pair in range(pairs):
            x = load(scratch, terms[first + 2 * pair] * LANES_PER_BLOCK + lane)
            y = load(scratch, terms[first + 2 * pair + 1] * LANES_PER_BLOCK + lane)
            w = weights[10 * pair : 10 * pair + 10]
            s0 = _accumulate(s0, x, w[0], y, w[5])
            s1 = _accumulate(s1, x, w[1], y, w[6])
            s2 = _accumulate(s2, x, w[2], y, w[7])
            s3 = _accumulate(s3, x, w[3], y, w[8])
            s4 = _accumulate(s4, x, w[4], y, w[9])
        sums = wide_reduce(s0), wide_reduce(s1), wide_reduce(s2), wide_reduce(s3), wide_reduce(s4)
        store_ext(scratch, target + lane, LANES_PER_BLOCK, sums)


@compiled
def _ext_invert(scratch: U32Array, target: int, source: int, count: int) -> int:
    """Inverses of one block; the first of its `count` lanes that is zero, or -1."""
    for lane in range(0, LANES_PER_BLOCK, WIDTH):
        inverse = ext_invert(load_ext(scratch, source + lane, LANES_PER_BLOCK))
        store_ext(scratch, target + lane, LANES_PER_BLOCK, inverse)
    for lane in range(count):
        words = scratch[source + lane]
        for k in range(1, EXTENSION_DEGREE):
            words |= scratch[source + k * LANES_PER_BLOCK + lane]
        if words == 0:
            return lane
    return -1


@compiled
def _operate(
    scratch: U32Array, operations: I64Array, terms: I64Array, weights: U32Array, constants: U32Array, count: int
) -> int:
    """Run all operations on one block; the first of `count` lanes with a zero to invert, or -1."""
    zero_lane = -1
    for number in range(operations.shape[0]):
        kind, a, b = operations[number, 0], operations[number, 2], operations[number, 3]
        target = operations[number, 1] * LANES_PER_BLOCK
        weight, constant = operations[number, 4], operations[number, 5]
        if kind == MUL:
            for lane in range(0, LANES_PER_BLOCK, WIDTH):
                x, y = load(scratch, a * LANES_PER_BLOCK + lane), load(scratch, b * LANES_PER_BLOCK + lane)
                store(scratch, target + lane, mul(x, y))
        elif kind == SUM:
            _sum(scratch, target, terms, a, b, weight, constants[constant])
        elif kind == DOT:
            _dot(scratch, target, terms, a, b, weights[weight:], constants[constant])
        elif kind == EXT_DOT:
            _ext_dot(scratch, target, terms, a, b, weights[weight:], constants[constant:])
        elif kind == EXT_MUL:
            for lane in range(0, LANES_PER_BLOCK, WIDTH):
                left = load_ext(scratch, a * LANES_PER_BLOCK + lane, LANES_PER_BLOCK)
                right = load_ext(scratch, b * LANES_PER_BLOCK + lane, LANES_PER_BLOCK)
                store_ext(scratch, target + lane, LANES_PER_BLOCK, ext_mul(left, right))
        elif kind == EXT_INVERT:
            lane = _ext_invert(scratch, target, a * LANES_PER_BLOCK, count)
            if zero_lane < 0:
                zero_lane = lane
    return zero_lane


@compiled
def _run(tables: Any, slots: int, sources: Any, strides: I64Array, out: U32Array, start: int, stop: int) -> int:
    """Run a program over rows start .. stop - 1; the first row with a zero to invert, or -1.

    `strides` has the distance between rows of each source and, last, of `out`. Lanes beyond the last row hold zeros or
    words of an earlier block: reduced words, computed with and never stored.
    """
    loads, operations, terms, weights, constants, stores = tables
    scratch = np.zeros(slots * LANES_PER_BLOCK, np.uint32)
    zero_row = -1
    for first in range(start, stop, LANES_PER_BLOCK):
        count = min(LANES_PER_BLOCK, stop - first)
        for source in range(SOURCES):
            _gather(scratch, loads, source, sources[source], strides[source], first, count)
        zero_lane = _operate(scratch, operations, terms, weights, constants, count)
        if zero_lane >= 0 and zero_row < 0:
            zero_row = first + zero_lane
        for item in range(stores.shape[0]):
            slot, at = stores[item, 0] * LANES_PER_BLOCK, stores[item, 1] * strides[SOURCES] + first
            for lane in range(count):
                out[at + lane] = scratch[slot + lane]
    return zero_row


@compiled
def _scan(terms: U32Array, keep: U32Array, out: U32Array, stride: int, first: int, start: int) -> None:
    """Rows start + 1 .. start + n of five columns from row `first`: next = keep[:, i] * this + terms[:, i], i < n."""
    at = first * stride + start
    v0, v1, v2, v3, v4 = out[at], out[at + stride], out[at + 2 * stride], out[at + 3 * stride], out[at + 4 * stride]
    for i in range(keep.shape[1]):
        at += 1
        v0, v1, v2, v3, v4 = ext_add(
            ext_mul((v0, v1, v2, v3, v4), (keep[0, i], keep[1, i], keep[2, i], keep[3, i], keep[4, i])),
            (terms[0, i], terms[1, i], terms[2, i], terms[3, i], terms[4, i]),
        )
        out[at] = v0
        out[at + stride] = v1
        out[at + 2 * stride] = v2
        out[at + 3 * stride] = v3
        out[at + 4 * stride] = v4


# -- arrays as the kernel takes them --------------------------------------------------------------------------------


def _flat(array: U32Array, rows: int, columns: int, name: str) -> tuple[U32Array, int]:
    """A two-dimensional view as one contiguous vector and the distance between its rows, for any such distance.

    Raises:
        ValueError: not uint32, last axis not contiguous, fewer than `rows` rows or `columns` columns.
    """
    if rows == 0:
        return np.zeros(0, dtype=np.uint32), 0
    if array.ndim != 2 or array.dtype != np.uint32 or array.shape[0] < rows or array.shape[1] < columns:
        raise ValueError(f"{name}: expected uint32 ({rows}, >= {columns}), got {array.dtype} {array.shape}")
    stride_bytes, word_bytes = array.strides
    if word_bytes != array.itemsize or stride_bytes % array.itemsize or stride_bytes < 0:
        raise ValueError(f"{name}: the last axis must be contiguous, got strides {array.strides}")
    stride = stride_bytes // array.itemsize
    size = (array.shape[0] - 1) * stride + array.shape[1]
    return np.lib.stride_tricks.as_strided(array, shape=(size,), strides=(word_bytes,)), stride


_NO_ROWS = np.zeros((0, 0), dtype=np.uint32)


def run_program(program: RowProgram, sources: Sequence[U32Array], out: U32Array, start: int, stop: int) -> int:
    """Run a row program over rows start .. stop - 1 of `sources`, writing the same columns of `out`.

    Args:
        sources: up to six uint32 Montgomery arrays (rows, n) in the order of the sources named in `codegen`; any
            distance between rows, last axis contiguous. Only rows that the program loads are read.
        out: uint32 (rows, n), overwritten in columns start .. stop - 1. Must not overlap the sources.

    Returns:
        The first row where a value to be inverted is zero (its outputs are meaningless), or -1.

    Raises:
        ValueError: an array has the wrong type or is too small.
    """
    if not 0 <= start <= stop:
        raise ValueError(f"rows {start} .. {stop} are not a range")
    padded = [*sources, *[_NO_ROWS] * (SOURCES - len(sources))]
    flat, strides = [], []
    for source, array in enumerate(padded):
        used = program.loads[program.loads[:, 0] == source, 1]
        vector, stride = _flat(array, int(used.max()) + 1 if used.size else 0, stop, f"source {source}")
        flat.append(vector)
        strides.append(stride)
    vector, stride = _flat(out, int(program.stores[:, 1].max()) + 1, stop, "out")
    strides.append(stride)
    row_strides = np.array(strides, dtype=np.int64)
    return _run(program.tables, program.slots, tuple(flat), row_strides, vector, start, stop)


# -- the kernels of one circuit -------------------------------------------------------------------------------------


class RowKernels:
    """The row kernels of one circuit. Methods may be called from several threads, on disjoint row ranges.

    Everywhere: `base` (W, n), `ext` (5 E, n), `publics` (K, n) hold rows start .. stop - 1 of the columns, and
    `base_next`, `ext_next` the rows after them at the same positions (views shifted by one row; the caller handles the
    wrap). All are uint32 Montgomery words, rows at any distance, last axis contiguous. `scalars` maps the names of the
    circuit's scalars to canonical extension elements.
    """

    def __init__(self, system: ConstraintSystem) -> None:
        self.system = system
        self._programs: dict[str, tuple[object, RowProgram]] = {}
        self._lock = Lock()

    def compile(self, progress: Callable[[float], None] | None = None) -> None:
        """Compile now what the first call would compile; the result is cached on disk for every circuit."""
        report = progress or (lambda fraction: None)
        report(0.0)
        row = np.zeros((EXTENSION_DEGREE, 2), dtype=np.uint32)
        lowering = codegen.Lowering(self.system, {})
        lowering.store_base(codegen.slot_form(lowering.load(codegen.BASE, 0)), 0)
        run_program(lowering.program(), [row], np.zeros_like(row), 0, 1)
        report(0.9)
        flat = np.zeros(2 * EXTENSION_DEGREE, dtype=np.uint32)
        _scan(row[:, :1], row[:, :1], flat, 2, 0, 0)
        report(1.0)

    def _program(self, kind: str, key: object, make: Callable[[], RowProgram]) -> RowProgram:
        """The program of a kind, made again only when the challenges differ from those of the last call."""
        with self._lock:
            known = self._programs.get(kind)
            if known is None or known[0] != key:
                known = self._programs[kind] = (key, make())
            return known[1]

    def combine_constraints(
        self,
        base: U32Array,
        base_next: U32Array,
        ext: U32Array,
        ext_next: U32Array,
        publics: U32Array,
        scalars: Mapping[str, Ext],
        weights: Sequence[Ext],
        multipliers: U32Array,
        out: U32Array,
        start: int,
        stop: int,
    ) -> None:
        """out[:, start:stop] = sum over constraints of weight * multiplier[domain] * value.

        Args:
            weights: one canonical extension element per constraint.
            multipliers: (4, n) base field words, in the order of `verifier.air.DOMAINS`.
            out: (5, n).
        """
        key = tuple(sorted(scalars.items())), tuple(weights)
        program = self._program("constraints", key, lambda: codegen.constraint_program(self.system, scalars, weights))
        run_program(program, [base, base_next, ext, ext_next, publics, multipliers], out, start, stop)

    def logup_columns(
        self,
        base: U32Array,
        base_next: U32Array,
        publics: U32Array,
        scalars: Mapping[str, Ext],
        out: U32Array,
        start: int,
        stop: int,
    ) -> int:
        """Helper columns of the fractions and, last, the sum of all fractions of each row.

        The caller turns the last five rows into the running sum: the exclusive prefix sum.

        Args:
            out: (5 * (helpers + 1), n), helper k = n_2k / d_2k + n_(2k+1) / d_(2k+1) in rows 5 k .. 5 k + 4.

        Returns:
            The first row with a zero denominator (its outputs are meaningless), or -1.
        """
        key = tuple(sorted(scalars.items()))
        program = self._program("logup", key, lambda: codegen.logup_program(self.system, scalars))
        return run_program(program, [base, base_next, _NO_ROWS, _NO_ROWS, publics], out, start, stop)

    def accumulator_columns(
        self,
        base: U32Array,
        base_next: U32Array,
        publics: U32Array,
        scalars: Mapping[str, Ext],
        out: U32Array,
        active_rows: int,
    ) -> None:
        """Rows 0 .. active_rows - 1 of every accumulator: `first`, then next = keep * this + add, in order.

        Args:
            out: (5 * accumulators, n).
        """
        count = len(self.system.accumulators)
        if count == 0 or active_rows == 0:
            return
        sources = [base, base_next, _NO_ROWS, _NO_ROWS, publics]
        run_program(codegen.accumulator_first_program(self.system, scalars), sources, out, 0, 1)
        step = codegen.accumulator_step_program(self.system, scalars)
        flat, stride = _flat(out, EXTENSION_DEGREE * count, active_rows, "out")
        terms = np.empty((2 * EXTENSION_DEGREE * count, _SCAN_ROWS), dtype=np.uint32)
        for start in range(0, active_rows - 1, _SCAN_ROWS):
            rows = min(_SCAN_ROWS, active_rows - 1 - start)
            here = [array[:, start:] for array in sources]
            run_ranges(partial(run_program, step, here, terms), rows, _SCAN_ROWS // 8)

            def scan(first: int, stop: int, start: int = start, rows: int = rows) -> None:
                for number in range(first, stop):
                    add = terms[EXTENSION_DEGREE * number :][:EXTENSION_DEGREE, :rows]
                    keep = terms[EXTENSION_DEGREE * (count + number) :][:EXTENSION_DEGREE, :rows]
                    _scan(add, keep, flat, stride, EXTENSION_DEGREE * number, start)

            run_ranges(scan, count)
