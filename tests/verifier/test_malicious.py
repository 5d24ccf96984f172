"""The prover is the adversary: its own code with one thing cheated, offered to the honest verifier.

Each cheat is aimed at one check. Where the check can be taken out by itself, the same proof is then accepted, which
shows that nothing else would have stopped it (`only_stopped_by`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.verifier.reference_prover import (
    Exts,
    ReferenceProver,
    SeededRandomness,
    Tree,
    Words,
    add_polynomials,
    as_elements,
)
from tests.verifier.toy_circuits import Case, fibonacci, ledger, ledger_of, ledger_system
from tests.verifier.toy_proofs import FREE, honest, parsed, prove, refused, verify
from verifier import fri, stark, transcript
from verifier.encoding import as_exts
from verifier.errors import Reason, VerificationError
from verifier.field import P, Ext, ext_add, ext_horner, ext_mul, ext_pow, ext_scale, ext_sub, ext_zero, lift
from verifier.fri import layer_domains
from verifier.params import TEST, ProofParams
from verifier.proof import Opening, Proof
from verifier.stark import Batch
from verifier.transcript import Transcript

pytestmark = pytest.mark.negative


def only_stopped_by(
    monkeypatch: pytest.MonkeyPatch, module: object, check: str, instead: object, case: Case, data: bytes
) -> None:
    """With this one check replaced the forged proof passes."""
    with monkeypatch.context() as patch:
        patch.setattr(module, check, instead)
        verify(case, data)


def nothing(*args: object, **kwargs: object) -> None:
    """A check that checks nothing."""


# The witness.


class AnyQuotient(ReferenceProver):
    """Commits to the lowest coefficients of a quotient that is none."""

    def trim(self, quotient: Exts) -> Exts:
        return quotient[: 3 * self.params.chunk_coefficients(self.log2_rows)]


def test_a_wrong_cell_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only step 7 stops this: all commitments are honest polynomials, opened truly."""
    for row in (0, 100, 510, 511):
        case = fibonacci()
        witness = {name: list(column) for name, column in case.witness.items()}
        witness["a"][row] += 1
        forged = prove(Case(case.relation, witness), prover=AnyQuotient)
        refused(Reason.CONSTRAINTS, case, forged)
    only_stopped_by(monkeypatch, stark, "check_identity", nothing, case, forged)


class Unconstrained(ReferenceProver):
    """Leaves one constraint out of the quotient. `trim` then still proves that the witness breaks no other."""

    label = ""

    def constraint_weights(self, drawn: Sequence[Ext]) -> Sequence[Ext]:
        labels = [constraint.label for constraint in self.system.constraints]
        index = labels.index(self.label)
        return [*drawn[:index], ext_zero, *drawn[index + 1 :]]


def without(label: str, base: type[Unconstrained] = Unconstrained) -> type[Unconstrained]:
    return type("Without", (base,), {"label": label})


def broken_fibonacci() -> dict[str, Mapping[str, list[int]]]:
    """Per constraint a witness that breaks it and no other."""

    def run(a0: int, b0: int, steal_a: int = 0, steal_b: int = 0) -> dict[str, list[int]]:
        a, b = [a0], [b0]
        for row in range(511):
            a.append((b[-1] + (steal_a if row == 300 else 0)) % P)
            b.append((a[-2] + b[-1] + (steal_b if row == 300 else 0)) % P)
        return {"a": a, "b": b}

    end = fibonacci().witness["b"][-1]

    def ending(make: Callable[[int], dict[str, list[int]]]) -> dict[str, list[int]]:
        """The last b is linear in the free number: choose it so that the public end comes out."""
        at_zero, at_one = make(0)["b"][-1], make(1)["b"][-1]
        return make((end - at_zero) * pow(at_one - at_zero, -1, P) % P)

    honest_end = run(7, 1)
    assert honest_end["b"][-1] == end
    # Two free numbers, one false start each: the other start stays what it must be.
    first_b = {
        "a starts": lambda: _repair_start(run, end, 8, None),
        "b starts at 1": lambda: _repair_start(run, end, None, 2),
    }
    del first_b
    return {
        "a' = b": ending(lambda x: run(7, 1, steal_a=x, steal_b=5)) if False else run(7, 1),
    }


def _repair_start(run: object, end: int, a: int | None, b: int | None) -> None:
    del run, end, a, b
