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
    ext_horner,
    ext_mul,
    ext_pow,
    ext_scale,
    ext_sub,
    ext_zero,
    lift,
)
from verifier.tree import limbs16

if TYPE_CHECKING:
    from verifier.air import ConstraintSystem
    from verifier.legs import Leg
    from verifier.shards import Shard
    from verifier.stark import Relation
    from verifier.statement import Statement

TAG_LEG, TAG_TREE, TAG_TOTAL = 3, 4, 5
"""First element of the bus tuples of the leg table, the account tree and the outputs."""
OUTPUT_WORDS = 8
"""Words of 16 bits of a shard's output, which counts modulo 2^128."""
OUTPUT_BYTES = 2 * OUTPUT_WORDS
OUTPUT_END = 1 << (16 * OUTPUT_WORDS)
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


@dataclass(frozen=True)
class SpecialRows:
    """Where the rows with public selectors stand: masks, carries, root, losses, from row 0 on.

    Args:
        outputs: how many there are. lenses: of the circuit. masked: whether there are masks.
    """

    outputs: int
    lenses: int
    masked: bool

    @property
    def mask_rows(self) -> int:
        """Of each of the two chains."""
        return self.outputs if self.masked else 0

    @property
    def first_carry(self) -> int:
        return 2 * self.mask_rows

    @property
    def root(self) -> int:
        return self.first_carry + self.outputs

    @property
    def first_loss(self) -> int:
        return self.root + 1

    @property
    def count(self) -> int:
        """Special rows in all."""
        return self.first_loss + self.lenses


def public_columns(statement: Statement) -> dict[str, tuple[int, ...]]:
    """First rows of the public columns that no challenge enters."""
    rows, circuit = statement.special_rows, CIRCUITS[statement.circuit]
    masks, outputs = rows.mask_rows, tuple(range(rows.outputs))
    liability = rows.outputs - rows.lenses - 1
    chain = (*(1,) * (masks - 1), 0) if masks else ()
    columns = {
        "is_mask_out": (1,) * masks,
        "is_mask_in": _at(masks, (1,) * masks),
        "mask_goes_on": chain * 2,
        "ends_mask_out": _at(masks - 1, (1,)) if masks else (),
        "ends_mask_in": _at(2 * masks - 1, (1,)) if masks else (),
        "is_carry": _at(rows.first_carry, (1,) * rows.outputs),
        "is_root": _at(rows.root, (1,)),
        "output": (*(outputs if masks else ()) * 2, *outputs, liability, *outputs[liability + 1 :]),
    }
    height = circuit.record_rows
    if height:
        columns |= {
            "starts_record": (1,) + (0,) * (height - 1),
            "ends_record": (0,) * (height - 1) + (1,),
            "in_totals_record": (1,) * height,
            "next_in_totals_record": (1,) * (height - 1),
            "is_loss": _at(rows.first_loss, (1,) * rows.lenses),
        }
    return columns


def _at(start: int, values: tuple[int, ...]) -> tuple[int, ...]:
    return (0,) * start + values


def challenge_columns(
    statement: Statement, legs: Sequence[Leg], scalars: Mapping[str, Ext]
) -> dict[str, tuple[int, ...]]:
    """First rows of the public columns that depend on challenges, by coordinate.

    leg_row: fp(TAG_LEG, leg, total, cap limbs, price digits, digits per lens) of each row of the leg table.
    next_weight: r^(lowest position of the next row's window); the window of row i ends at position 16 - w (i mod R).
    next_loss_weight: r^(16 s) on the row before the loss row of lens s.
    """
    columns = _by_coordinate("leg_row", _leg_fingerprints(legs, scalars["beta"]))
    circuit = CIRCUITS[statement.circuit]
    if circuit.record_rows:
        window = LENS_POSITIONS // circuit.record_rows
        starts = [window * (circuit.record_rows - 1 - row) for row in range(circuit.record_rows)]
        following = (*starts[1:], starts[0])
        columns |= _by_coordinate("next_weight", [ext_pow(scalars["r"], start) for start in following])
        weights = [ext_pow(scalars["r"], LENS_POSITIONS * lens) for lens in range(circuit.lenses)]
        before = statement.special_rows.first_loss - 1
        columns |= _by_coordinate("next_loss_weight", [ext_zero] * before + weights)
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


def terminal(outputs: Sequence[int], in_bytes: int, r: Ext, alpha: Ext, beta: Ext) -> Ext:
    """What the sum of all fractions has to be: sum over outputs o of P_o(r) / (alpha - tag - beta o).

    P_o has the eight words of 16 bits of the output at even positions. In a publication of one shard the first
    `in_bytes` outputs, the totals, have seven bytes and all that is above at position 7 instead, since the carries of
    higher positions lie on the mask rows, which that publication does not have; `verifier.statement` bounds them.

    Raises:
        ZeroDivisionError: a denominator is zero: below 2^-140 for honest challenges.
    """
    above_tag = ext_sub(alpha, lift(TAG_TOTAL))
    inverses = ext_batch_inverse([ext_sub(above_tag, ext_scale(beta, o)) for o in range(len(outputs))])
    square, out = ext_mul(r, r), ext_zero
    for o, (amount, inverse) in enumerate(zip(outputs, inverses, strict=True)):
        digits = _total_digits(amount) if o < in_bytes else limbs16(amount, OUTPUT_WORDS)
        out = ext_add(out, ext_mul(ext_horner(map(lift, digits), r if o < in_bytes else square), inverse))
    return out


def _total_digits(amount: int) -> list[int]:
    return [*(amount >> (8 * i) & 0xFF for i in range(TOTAL_BYTES)), amount >> (8 * TOTAL_BYTES)]


def digest_scalars(statement: Statement, shard: Shard, beta: Ext) -> dict[str, Ext]:
    """sum beta^(k+1) e_k of the root with its level as a child, and of the two digests of masks."""
    words = {
        "root": (*shard.root, statement.levels + 1),
        "mask_out": shard.mask_out,
        "mask_in": shard.mask_in,
    }
    return {name: ext_mul(beta, ext_horner(map(lift, values), beta)) for name, values in words.items()}


def relation(statement: Statement, shard: Shard) -> Relation:
    """What `verifier.stark.verify_stark` has to check for a shard of a statement, both parsed."""
    from verifier.legs import check_legs
    from verifier.stark import Relation

    legs = statement.legs
    check_legs(legs)
    in_bytes = len(statement.total_amounts) if statement.shards == 1 else 0
    return Relation(
        system=constraint_system(statement.circuit),
        log2_rows=statement.log2_rows,
        binding=shard.digest,
        publics=public_columns(statement),
        terminal=lambda r, alpha, beta: terminal(shard.outputs, in_bytes, r, alpha, beta),
        derived=lambda scalars: challenge_columns(statement, legs, scalars),
        scalars=lambda r, alpha, beta: digest_scalars(statement, shard, beta),
    )
