"""The order of everything that enters or leaves the transcript, as a value that both sides walk.

Labels and numbers are those of `docs/protocol.md`, section 5.
"""

from __future__ import annotations

from dataclasses import dataclass

from verifier.air import ConstraintSystem
from verifier.field import EXTENSION_DEGREE
from verifier.hashing import DIGEST_BYTES
from verifier.params import QUOTIENT_CHUNKS, ProofParams

PROTOCOL = b"solvent/1"

ABSORB, GRIND, DRAW, POSITIONS = "absorb", "grind", "draw", "positions"


@dataclass(frozen=True)
class Step:
    """One step of the transcript.

    Args:
        kind: `absorb` bytes, check a `grind` nonce, `draw` extension elements or `positions`.
        label: enters the hash.
        count: bytes absorbed, elements or positions drawn; 0 for a nonce.
        bits: of proof of work, or of one position.
    """

    kind: str
    label: str
    count: int = 0
    bits: int = 0


def opened_values(system: ConstraintSystem) -> int:
    """Values opened out of the domain: every column, the columns read at the next row, the chunks."""
    return len(system.all_columns) + len(system.next_row_columns) + QUOTIENT_CHUNKS


def schedule(system: ConstraintSystem, params: ProofParams, log2_rows: int) -> tuple[Step, ...]:
    """Every step of one proof in order."""
    openings = opened_values(system)
    ext_bytes = 4 * EXTENSION_DEGREE
    steps = [
        Step(ABSORB, "protocol", len(PROTOCOL)),
        Step(ABSORB, "circuit", DIGEST_BYTES),
        Step(ABSORB, "parameters", DIGEST_BYTES),
        Step(ABSORB, "rows", 4),
        Step(ABSORB, "statement", DIGEST_BYTES),
        Step(ABSORB, "base root", DIGEST_BYTES),
        Step(GRIND, "lookup grind", bits=params.lookup_grinding_bits),
        Step(DRAW, "r", 1),
        Step(DRAW, "alpha", 1),
        Step(DRAW, "beta", 1),
        Step(ABSORB, "lookup root", DIGEST_BYTES),
        Step(GRIND, "constraint grind", bits=params.constraint_grinding_bits),
        Step(DRAW, "constraint weights", len(system.constraints)),
        Step(ABSORB, "quotient root", DIGEST_BYTES),
        Step(GRIND, "zeta grind", bits=params.zeta_grinding_bits),
        Step(DRAW, "zeta", 1),
        Step(ABSORB, "openings", ext_bytes * openings),
        Step(GRIND, "batching grind", bits=params.batching_grinding_bits),
        Step(DRAW, "batching weights", openings),
    ]
    for layer in range(params.fri_layers(log2_rows)):
        steps += [
            Step(ABSORB, f"fri root {layer}", DIGEST_BYTES),
            Step(GRIND, f"fri grind {layer}", bits=params.fold_grinding_bits),
            Step(DRAW, f"fri folds {layer}", 3),
        ]
    steps += [
        Step(ABSORB, "fri final", ext_bytes * params.final_coefficients(log2_rows)),
        Step(GRIND, "query grind", bits=params.query_grinding_bits),
        Step(POSITIONS, "queries", params.queries, params.log2_points(log2_rows)),
    ]
    return tuple(steps)
