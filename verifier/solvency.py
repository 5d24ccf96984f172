"""The solvency circuits by name, and what a proof of theirs is about: a statement turned into numbers.

Public columns and the terminal value follow docs/protocol.md, step 3, and design 02b.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from verifier.errors import InvariantBroken
from verifier.field import Ext, P, ext_add, ext_batch_inverse, ext_mul, ext_scale, ext_sub, ext_zero, lift
from verifier.tree import VALUE_LIMBS, limbs16

if TYPE_CHECKING:
    from verifier.air import ConstraintSystem
    from verifier.stark import Relation
    from verifier.statement import Statement

TAG_TREE, TAG_TOTAL = 4, 5
"""First element of the bus tuples that the verifier adds itself; the other buses balance without it."""
TOTAL_BYTES = 7
"""A total is seven bytes and, above them, one digit without a bound of its own."""
CAP_LIMBS = 4


@dataclass(frozen=True)
class Circuit:
    """What the verifier knows about a registered circuit beside its key file.

    Args:
        key_file: name in verifier/keys.
        tree_hash: instance of `verifier.poseidon` that the account tree uses.
        kinds: kinds of instruments that the circuit proves.
    """

    key_file: str
    tree_hash: str
    kinds: tuple[str, ...]


CIRCUITS: Mapping[str, Circuit] = MappingProxyType(
    {
        "solvency_equity_v1": Circuit("solvency_equity_v1.json", "poseidon1-koalabear-16", ("spot",)),
        "solvency_equity_v1_poseidon2": Circuit(
            "solvency_equity_v1_poseidon2.json", "poseidon2-koalabear-16", ("spot",)
        ),
    }
)


def pinned_digest(name: str) -> bytes:
    """SHA-256 of the key file that this verifier accepts for a circuit in `CIRCUITS`."""
    from verifier.keys import PINS

    if name not in PINS:
        raise InvariantBroken(f"verifier/keys pins no digest for circuit {name}")
    return bytes.fromhex(PINS[name])


@cache
def constraint_system(name: str) -> ConstraintSystem:
    """The circuit itself, from its key file, read once.

    Raises:
        InvariantBroken: the file is missing or is not the pinned one: the installation is damaged.
    """
    from verifier.air import ConstraintSystem

    try:
        data = Path(__file__).with_name("keys").joinpath(CIRCUITS[name].key_file).read_bytes()
    except OSError as error:
        raise InvariantBroken(f"the key file of circuit {name} cannot be read: {error.strerror}") from error
    if hashlib.sha256(data).digest() != pinned_digest(name):
        raise InvariantBroken(f"the key file of circuit {name} is not the pinned one")
    return ConstraintSystem.from_bytes(data)


def public_columns(statement: Statement) -> dict[str, tuple[int, ...]]:
    """First rows of each public column. Zeros follow the total rows, its last row follows the leg table."""
    from verifier.legs import DIGITS, check_legs, derive_legs

    legs = derive_legs(statement.instruments)
    check_legs(legs)
    total_ids = tuple(range(2 * len(statement.instruments)))
    columns = {
        "is_total_row": (1,) * len(total_ids),
        "total_row_id": total_ids,
        "leg_id": tuple(leg.index for leg in legs),
        "leg_total": tuple(leg.total for leg in legs),
    }
    caps = [limbs16(leg.cap, CAP_LIMBS) for leg in legs]
    columns |= {f"leg_cap{i}": tuple(cap[i] for cap in caps) for i in range(CAP_LIMBS)}
    columns |= {f"leg_digit{i}": tuple(leg.digits[i] % P for leg in legs) for i in range(DIGITS)}
    return columns


def terminal(statement: Statement, r: Ext, alpha: Ext, beta: Ext) -> Ext:
    """What the sum of all fractions has to be.

    sum over totals t of T_t(r) / (alpha - fp(total, t)) + 1 / (alpha - fp(tree, L, root, limbs of liability)),
    T_t(r) = sum_{i < 7} byte_i r^i + (T_t >> 56) r^7 and fp(tag, e_0, e_1, ..) = tag + sum beta^(k+1) e_k.
    `verifier.statement` bounds the liability and every total, so that their digits are canonical.

    Raises:
        ZeroDivisionError: a denominator is zero: below 2^-140 for honest challenges.
    """
    totals = [amount for pair in statement.totals for amount in (pair.long, pair.short)]
    tree_tuple = (statement.levels, *statement.root, *limbs16(statement.total_liability, VALUE_LIMBS))
    denominators = [ext_sub(alpha, _fingerprint(TAG_TREE, tree_tuple, beta))]
    above_tag = ext_sub(alpha, lift(TAG_TOTAL))
    denominators += [ext_sub(above_tag, ext_scale(beta, t)) for t in range(len(totals))]
    out, *inverses = ext_batch_inverse(denominators)
    for amount, inverse in zip(totals, inverses, strict=True):
        out = ext_add(out, ext_mul(_total_polynomial(amount, r), inverse))
    return out


def _fingerprint(tag: int, values: tuple[int, ...], beta: Ext) -> Ext:
    out = ext_zero
    for value in reversed(values):
        out = ext_mul(ext_add(out, lift(value)), beta)
    return ext_add(out, lift(tag))


def _total_polynomial(amount: int, r: Ext) -> Ext:
    out = lift(amount >> (8 * TOTAL_BYTES))
    for i in reversed(range(TOTAL_BYTES)):
        out = ext_add(ext_mul(out, r), lift(amount >> (8 * i) & 0xFF))
    return out


def relation(statement: Statement) -> Relation:
    """What `verifier.stark.verify_stark` has to check for a statement that was parsed."""
    from verifier.stark import Relation

    return Relation(
        system=constraint_system(statement.circuit),
        log2_rows=statement.log2_rows,
        binding=statement.digest,
        publics=public_columns(statement),
        terminal=lambda r, alpha, beta: terminal(statement, r, alpha, beta),
    )
