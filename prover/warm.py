"""Compile every kernel once, with progress; later runs load machine code from Numba's cache on disk."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from circuits.poseidon.instance import CELLS
from prover.kernels.accounts import encode_carry, fill_accounts, sum_bytes
from prover.kernels.deep import (
    barycentric_weights,
    combine_columns,
    denominators,
    divide_by_linear,
    evaluate_columns,
    ext_words,
)
from prover.kernels.field import from_mont, running_sum, to_mont
from prover.kernels.fold import fold8
from prover.kernels.grind import search_nonce
from prover.kernels.merkle_hash import MerkleTree, hash_rows
from prover.kernels.ntt import interpolate_coset, lde
from prover.kernels.poseidon import compress_rows, fill_permutation_cells
from prover.kernels.rowkernels import RowKernels
from prover.kernels.threads import keep_freed_memory
from verifier.air import ConstraintSystem
from verifier.field import Ext

_POINT: Ext = (1, 2, 3, 4, 5)


def compile_kernels(at: Callable[[float], None] = lambda fraction: None) -> None:
    """Call each kernel on a few rows. About a minute when nothing is cached, a second when all is.

    From then on the process keeps the memory it frees: see `prover.kernels.threads.keep_freed_memory`.
    """
    keep_freed_memory()
    steps: list[Callable[[], object]] = [
        _warm_field,
        _warm_poseidon,
        _warm_accounts,
        _warm_ntt,
        _warm_merkle,
        _warm_deep,
    ]
    for number, step in enumerate([*steps, _warm_rows]):
        at(number / (len(steps) + 1))
        step()


def _zeros(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint32]]:
    return np.zeros(shape, np.uint32)


def _warm_field() -> None:
    to_mont(_zeros(64))
    from_mont(_zeros(64))
    running_sum(_zeros(5, 64))


def _warm_poseidon() -> None:
    compress_rows(_zeros(8, 64), _zeros(8, 64))
    fill_permutation_cells(_zeros(16 + CELLS, 64), 0, 16, 0, 64)


def _warm_accounts() -> None:
    offsets, legs, amounts = np.array([0, 1]), np.zeros(1, np.uint16), np.ones(1, np.uint64)
    ids = np.zeros(1, np.int64)
    fill_accounts(
        _zeros(100, 8), np.arange(0, 100, 10), ids, _zeros(1, 8), _zeros(1, 6), offsets, legs, amounts,
        np.zeros((1, 7), np.int64), np.ones(1, np.uint64), ids, _zeros(1, 7), 0, 1,
    )  # fmt: skip
    sum_bytes(ids, legs, amounts, np.zeros((1, 8), np.int64))
    encode_carry(np.int64(0))


def _warm_ntt() -> None:
    lde(_zeros(1, 1 << 13), 2, small=_zeros(1, 512))
    interpolate_coset(_zeros(5, 1, 512), shift=9)


def _warm_merkle() -> None:
    MerkleTree(hash_rows(_zeros(20, 64), _zeros(64, 4))).open([0])
    search_nonce(b"", 0)


def _warm_deep() -> None:
    weights = barycentric_weights(_POINT, 12)
    evaluate_columns(_zeros(1, 1 << 12), weights)
    combine_columns(_zeros(1, 1 << 12), ext_words([_POINT]))
    values = _zeros(5, 2, 1 << 12)
    divide_by_linear(values, _POINT, denominators(_POINT, 12, 2), values.copy())
    fold8(values, _zeros(3, 5), 3)


def _warm_rows() -> None:
    RowKernels(ConstraintSystem("none", (), (), (), (), (), (), (), (), 0, 0)).compile()
