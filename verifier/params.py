"""Proof parameters: the verifier's caller picks one of three profiles; a proof never does.

The numbers of queries and grinding bits are justified round by round in `verifier.soundness`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from types import MappingProxyType

from verifier.canonical import dumps
from verifier.errors import Reason, UnacceptableParameters
from verifier.field import EXTENSION_DEGREE, TWO_ADICITY

HIDDEN_ROWS = 512
"""Last rows of the trace: uniformly random and unconstrained, for zero knowledge. Part of `solvent/1`."""
QUOTIENT_CHUNKS = 3
FOLD_ARITY_LOG2 = 3
"""One FRI layer is three binary folds."""
FINAL_COEFFICIENTS_MAX = 64
"""FRI folds until the polynomial has at most this many coefficients."""


@dataclass(frozen=True)
class ProofParams:
    """Everything a caller may vary. The digest covers every field.

    Args:
        name: of the profile.
        log2_blowup: the evaluation domain has 2**log2_blowup points per trace row.
        queries: positions opened, drawn with replacement.
        lookup_grinding_bits: proof of work before r, alpha, beta; the others likewise before their challenge.
    """

    name: str
    log2_blowup: int
    queries: int
    lookup_grinding_bits: int
    constraint_grinding_bits: int
    zeta_grinding_bits: int
    batching_grinding_bits: int
    fold_grinding_bits: int
    query_grinding_bits: int

    @property
    def blowup(self) -> int:
        return 1 << self.log2_blowup

    @property
    def mask_coefficients(self) -> int:
        """m: random coefficients that hide one quotient chunk: the queries and one point of five words."""
        return self.queries + EXTENSION_DEGREE

    def chunk_coefficients(self, log2_rows: int) -> int:
        """M: coefficients of the quotient itself in one chunk."""
        return (1 << log2_rows) - self.mask_coefficients

    def log2_points(self, log2_rows: int) -> int:
        """Size of the evaluation domain D."""
        return log2_rows + self.log2_blowup

    def fri_layers(self, log2_rows: int) -> int:
        layers = 0
        while (1 << log2_rows) >> (FOLD_ARITY_LOG2 * layers) > FINAL_COEFFICIENTS_MAX:
            layers += 1
        return layers

    def final_coefficients(self, log2_rows: int) -> int:
        return 1 << (log2_rows - FOLD_ARITY_LOG2 * self.fri_layers(log2_rows))

    def layer_depth(self, log2_rows: int, layer: int) -> int:
        """Depth of the Merkle tree of one FRI layer, whose leaves hold eight points."""
        return self.log2_points(log2_rows) - FOLD_ARITY_LOG2 * (layer + 1)

    def check_rows(self, log2_rows: int) -> None:
        """Refuse a height at which the quotient, its masks or the domain do not fit.

        The quotient has up to 2N + HIDDEN_ROWS - 1 coefficients, which must fit in three chunks; the field
        must have a subgroup of the size of the domain.

        Also refuses more queries than the hidden rows cover: zero knowledge needs two values a query, at x and at
        its successor, and those at zeta and w zeta (docs/zero-knowledge.md).

        Raises:
            UnacceptableParameters: with the bounds.
        """
        if 2 * (self.queries + EXTENSION_DEGREE) > HIDDEN_ROWS:
            raise UnacceptableParameters(
                Reason.UNACCEPTABLE_PARAMETERS,
                f"profile {self.name}: {HIDDEN_ROWS} hidden rows cannot hide {self.queries} queries",
                queries=self.queries,
            )
        least = (QUOTIENT_CHUNKS * self.mask_coefficients + HIDDEN_ROWS - 2).bit_length()
        most = TWO_ADICITY - self.log2_blowup
        if not least <= log2_rows <= most:
            raise UnacceptableParameters(
                Reason.UNACCEPTABLE_PARAMETERS,
                f"profile {self.name} takes 2^{least} to 2^{most} rows, not 2^{log2_rows}",
                log2_rows=log2_rows,
            )

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the canonical JSON of every field: stands for the parameters in every transcript."""
        return hashlib.sha256(dumps({"format": "solvent/parameters/v1", **asdict(self)})).digest()


def _uniform(name: str, log2_blowup: int, queries: int, early_bits: int, query_bits: int) -> ProofParams:
    return ProofParams(name, log2_blowup, queries, *(early_bits,) * 5, query_bits)


PROFILES: Mapping[str, ProofParams] = MappingProxyType(
    {
        "fast": _uniform("fast", 1, 203, 0, 16),
        "compact": _uniform("compact", 2, 124, 0, 16),
        "high": _uniform("high", 2, 166, 16, 16),
    }
)
"""What a production verifier accepts."""

TEST = _uniform("test", 1, 4, 8, 8)
"""Proves next to nothing. Not in `PROFILES`: refused wherever a test does not hand over the object itself."""


def accepted_profile(name: str) -> ProofParams:
    """The production profile called `name`.

    Raises:
        UnacceptableParameters: for any other name, the test profile's included.
    """
    if name not in PROFILES:
        raise UnacceptableParameters(
            Reason.UNACCEPTABLE_PROFILE, f"profile {name!r} is none of {', '.join(PROFILES)}", profile=name
        )
    return PROFILES[name]
