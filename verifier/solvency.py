"""The solvency circuits by name, and what a proof of theirs is about: a statement turned into numbers.

Public columns and the terminal value follow docs/protocol.md, step 3, and design 02b.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import mul
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from verifier.errors import InvariantBroken
from verifier.field import (
    EXTENSION_DEGREE,
    Ext,
    P,
    ext_add,
    ext_batch_inverse,
    ext_mul,
    ext_pow,
    ext_scale,
    ext_sub,
    ext_zero,
    lift,
)
from verifier.tree import VALUE_LIMBS, limbs16

if TYPE_CHECKING:
    from verifier.air import ConstraintSystem
    from verifier.legs import Leg
    from verifier.stark import Relation
    from verifier.statement import Statement

TAG_LEG, TAG_TREE, TAG_TOTAL = 3, 4, 5
"""First element of the bus tuples that the verifier computes itself; the other buses balance without it."""
TOTAL_BYTES = 7
"""A total is seven bytes and, above them, one digit without a bound of its own."""
CAP_LIMBS = 4
LENS_POSITIONS = 16
"""Base-256 positions of one lens in a record: 14 are enough for a value below 2^112, 16 divide among 4 or 8 rows."""


@dataclass(frozen=True)
class Circuit:
    """What the verifier knows about a registered circuit beside its key file.

    Args:
        key_file: name in verifier/keys.
        tree_hash: instance of `verifier.poseidon` that the account tree uses.
        kinds: kinds of instruments that the circuit proves.
        lenses: values per account beside its equity: none, or health and two (equity and health) per scenario.
        record_rows: rows that hold one account's values under all lenses.
    """

    key_file: str
    tree_hash: str
    kinds: tuple[str, ...] = ("spot",)
    lenses: int = 0
    record_rows: int = 0

    @property
    def scenarios(self) -> int:
        """How many scenarios a statement may have."""
        return max(0, self.lenses - 1) // 2


_ALL_KINDS = ("spot", "perpetual", "cost-basis")
CIRCUITS: Mapping[str, Circuit] = MappingProxyType(
    {
        "solvency_equity_v1": Circuit("solvency_equity_v1.json", "poseidon1-koalabear-16"),
        "solvency_equity_v1_poseidon2": Circuit("solvency_equity_v1_poseidon2.json", "poseidon2-koalabear-16"),
        "solvency_risk_v1": Circuit("solvency_risk_v1.json", "poseidon1-koalabear-16", _ALL_KINDS, 1, 4),
        "solvency_stress_v1_1": Circuit("solvency_stress_v1_1.json", "poseidon1-koalabear-16", _ALL_KINDS, 3, 4),
        "solvency_stress_v1_3": Circuit("solvency_stress_v1_3.json", "poseidon1-koalabear-16", _ALL_KINDS, 7, 8),
        "solvency_stress_v1_10": Circuit("solvency_stress_v1_10.json", "poseidon1-koalabear-16", _ALL_KINDS, 21, 8),
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
    """First rows of the public columns that no challenge enters."""
    total_ids = tuple(range(len(statement.total_amounts)))
    columns = {"is_total_row": (1,) * len(total_ids), "total_row_id": total_ids}
    rows = CIRCUITS[statement.circuit].record_rows
    if rows:
        columns |= {
            "starts_record": (1,) + (0,) * (rows - 1),
            "ends_record": (0,) * (rows - 1) + (1,),
            "in_totals_record": (1,) * rows,
            "next_in_totals_record": (1,) * (rows - 1),
        }
    return columns


def challenge_columns(circuit: Circuit, legs: Sequence[Leg], scalars: Mapping[str, Ext]) -> dict[str, tuple[int, ...]]:
    """First rows of the public columns that depend on challenges, by coordinate.

    leg_row: fp(TAG_LEG, leg, total, cap limbs, price digits, digits per lens) of each row of the leg table.
    next_weight: r^(lowest position of the next row's window); the window of row i ends at position 16 - w (i mod R).
    """
    columns = _by_coordinate("leg_row", _leg_fingerprints(legs, scalars["beta"]))
    if circuit.record_rows:
        window = LENS_POSITIONS // circuit.record_rows
        starts = [window * (circuit.record_rows - 1 - row) for row in range(circuit.record_rows)]
        following = (*starts[1:], starts[0])
        columns |= _by_coordinate("next_weight", [ext_pow(scalars["r"], start) for start in following])
    return columns


def _by_coordinate(name: str, elements: Sequence[Ext]) -> dict[str, tuple[int, ...]]:
    return {f"{name}{k}": tuple(element[k] for element in elements) for k in range(EXTENSION_DEGREE)}


def _leg_fingerprints(legs: Sequence[Leg], beta: Ext) -> list[Ext]:
    """tag + sum beta^(k+1) e_k of each row; one reduction per coordinate, since a table has thousands of rows."""
    width = 2 + CAP_LIMBS + len(legs[0].digits) + sum(map(len, legs[0].lens_digits))
    powers = [beta]
    while len(powers) < width:
        powers.append(ext_mul(powers[-1], beta))
    coordinates = [[power[k] for power in powers] for k in range(EXTENSION_DEGREE)]
    out = []
    for leg in legs:
        row = [leg.index, leg.total, *limbs16(leg.cap, CAP_LIMBS), *leg.digits]
        for digits in leg.lens_digits:
            row += digits
        c0, c1, c2, c3, c4 = (sum(map(mul, row, powers_k)) for powers_k in coordinates)
        out.append(((c0 + TAG_LEG) % P, c1 % P, c2 % P, c3 % P, c4 % P))
    return out


def losses_polynomial(statement: Statement, r: Ext) -> Ext:
    """sum over lenses s of r^(16 s) T_s(r), T_s the bytes of the published loss; unused lenses lose nothing."""
    amounts = [statement.total_margin_deficit or 0]
    for losses in statement.losses:
        amounts += [losses.shortfall, losses.margin_deficit]
    digits = [byte for amount in amounts for byte in amount.to_bytes(LENS_POSITIONS, "little")]
    out = ext_zero
    for byte in reversed(digits):
        out = ext_add(ext_mul(out, r), lift(byte))
    return out


def terminal(statement: Statement, r: Ext, alpha: Ext, beta: Ext) -> Ext:
    """What the sum of all fractions has to be.

    sum over totals t of T_t(r) / (alpha - fp(total, t)) + 1 / (alpha - fp(tree, L, root, limbs of liability)),
    T_t(r) = sum_{i < 7} byte_i r^i + (T_t >> 56) r^7 and fp(tag, e_0, e_1, ..) = tag + sum beta^(k+1) e_k.
    `verifier.statement` bounds the liability and every total, so that their digits are canonical.

    Raises:
        ZeroDivisionError: a denominator is zero: below 2^-140 for honest challenges.
    """
    totals = statement.total_amounts
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
    from verifier.legs import check_legs
    from verifier.stark import Relation

    circuit, legs = CIRCUITS[statement.circuit], statement.legs
    check_legs(legs)
    return Relation(
        system=constraint_system(statement.circuit),
        log2_rows=statement.log2_rows,
        binding=statement.digest,
        publics=public_columns(statement),
        terminal=lambda r, alpha, beta: terminal(statement, r, alpha, beta),
        derived=lambda scalars: challenge_columns(circuit, legs, scalars),
        losses=lambda r: losses_polynomial(statement, r),
    )
