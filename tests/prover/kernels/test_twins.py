"""Every registered kernel gives what its plain twin gives, and changes its arguments in the same way."""

from __future__ import annotations

import copy
import importlib
from typing import Any

import numpy as np
import pytest

from prover.kernels.registry import KERNELS
from tests.prover.kernels.cases import CASES, Source

MODULES = ("field", "ntt", "deep", "fold", "grind", "merkle_hash", "text")

for module in MODULES:
    importlib.import_module(f"prover.kernels.{module}")


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, np.ndarray):
        return isinstance(right, np.ndarray) and left.dtype == right.dtype and np.array_equal(left, right)
    if isinstance(left, tuple):
        return len(left) == len(right) and all(map(_equal, left, right))
    return bool(left == right)


def test_every_kernel_has_cases() -> None:
    registered = {name for name in KERNELS if name.partition(".")[0] in MODULES}
    assert registered == set(CASES)


@pytest.mark.parametrize("name", sorted(CASES))
def test_kernel_equals_twin(name: str) -> None:
    kernel = KERNELS[name]
    for number, arguments in enumerate(CASES[name](Source(seed=number_of(name)))):
        for_kernel, for_twin = copy.deepcopy(arguments), copy.deepcopy(arguments)
        got, expected = kernel.function(*for_kernel), kernel.twin(*for_twin)
        assert _equal(got, expected), f"{name}, case {number}: results differ"
        for position, (mine, plain) in enumerate(zip(for_kernel, for_twin, strict=True)):
            assert _equal(mine, plain), f"{name}, case {number}: argument {position} left differently"


def number_of(name: str) -> int:
    """A seed that does not change when kernels are added."""
    return int.from_bytes(name.encode(), "big") % (1 << 32)
