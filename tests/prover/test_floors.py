"""The floors count what the prover does: against a proof whose kernels are counted, and by hand."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

import prover.commit
from prover.floors import Shape, Work, phase_work
from prover.kernels import merkle_hash, ntt
from prover.kernels.rates import Rates, hashing_seconds, measure_rates
from prover.kernels.threads import limited_to
from prover.progress import PHASES
from prover.quotient import domain_multipliers
from prover.randomness import Randomness
from tests.prover.test_prove import fast_proof
from tests.verifier.toy_circuits import ledger
from verifier.params import TEST
from verifier.solvency import constraint_system

LOG2_ROWS = 10


def test_transforms_and_hash_blocks_are_those_of_a_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    case = ledger(LOG2_ROWS)
    fast_proof(case, TEST, Randomness(b"tables that later proofs find ready"))
    domain_multipliers(LOG2_ROWS)
    done: Counter[str] = Counter()

    def counted(module: Any, name: str, size: Any) -> None:
        original = getattr(module, name)

        def count(*arguments: Any) -> Any:
            kind, amount = size(*arguments)
            done[kind] += amount
            return original(*arguments)

        monkeypatch.setattr(module, name, count)

    def butterflies(source: Any, target: Any, log_n: int, *rest: Any) -> tuple[str, int]:
        return "small" if log_n < LOG2_ROWS else "butterflies", log_n << (log_n - 1)

    counted(ntt, "evaluate_column", butterflies)
    counted(ntt, "interpolate_column", butterflies)
    counted(prover.commit, "hash_rows", lambda m, salts: ("blocks", m.shape[1] * -(-(4 + len(m)) // 16)))
    counted(merkle_hash, "_hash_pairs", lambda *a: ("blocks", a[-1] - a[-2]))
    with limited_to(1):
        fast_proof(case, TEST, Randomness(b"counted"))
    work = phase_work(Shape(case.relation.system, TEST, LOG2_ROWS, used_rows=0))
    assert done["butterflies"] == work["extend"].butterflies + work["openings"].butterflies
    expected = work["commit"].blocks + work["fri"].blocks
    assert done["blocks"] == pytest.approx(expected, rel=0.05)  # small layers are padded, a tree has leaves - 1 nodes


def test_work_of_the_equity_circuit() -> None:
    shape = Shape(constraint_system("solvency_equity_v1"), TEST, 18, used_rows=1000)
    work = phase_work(shape)
    assert set(work) <= set(PHASES)
    assert work["witness"].permutations == 1000
    assert work["hashing"].permutations == (1 << 18) - 512
    points = 2 << 18
    assert work["commit"].blocks == points * sum(-(-(4 + w) // 16) + 1 for w in (shape.base, shape.lookup, 20))
    assert work["constraints"].products / points > len(shape.system.constraints) / 2
    assert work["constraints"].bytes / points > 4 * (shape.base + shape.lookup)


def test_a_floor_is_operations_at_full_rate_or_bytes_at_the_speed_of_memory() -> None:
    rates = Rates(products=10, multiply_adds=20, butterflies=40, permutations=5, blocks=8, bytes=100)
    work = Work(products=10, multiply_adds=20, butterflies=40, permutations=5, blocks=8, bytes=1000)
    assert work.compute_seconds(rates, 1) == 5
    assert work.compute_seconds(rates, 2) == 2.5
    assert work.memory_seconds(rates) == 10
    assert (work + work).times(0.5) == work


def test_rates_are_measured() -> None:
    with limited_to(1):
        rates = measure_rates()
        seconds = hashing_seconds(1 << 20)
    assert min(vars(rates).values()) > 0
    assert seconds == pytest.approx((1 << 20) / rates.permutations, rel=0.9)
