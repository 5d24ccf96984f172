"""Proofs for the page's own verifier: relations and parameters as toys.mjs and judge.mjs read them, and outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tests.api.web.code import judge, text
from tests.verifier.toy_circuits import BlockLosses, LedgerTerminal, block_places
from verifier.errors import VerificationError
from verifier.field import Ext
from verifier.params import ProofParams
from verifier.stark import Relation, verify_stark

GRINDS = ("lookup", "constraint", "zeta", "batching", "fold", "query")


def described(relation: Relation, **other: object) -> dict[str, Any]:
    """A toy's relation; `other`: what cannot be seen in it."""
    out: dict[str, Any] = {
        "system": text(relation.system.to_bytes()),
        "log2Rows": relation.log2_rows,
        "publics": dict(relation.publics),
        "binding": text(relation.binding),
    }
    if isinstance(relation.terminal, LedgerTerminal):
        out["totals"] = [*relation.terminal.totals.items()]
    if isinstance(relation.scalars, BlockLosses):
        out["losses"] = relation.scalars.sums
    if relation.derived is block_places:
        out["places"] = "right"
    return out | other


def described_params(params: ProofParams) -> list[Any]:
    """The arguments of `proofParams` in params.js."""
    fields = asdict(params)
    return [
        params.name,
        params.log2_blowup,
        params.queries,
        {name: fields[f"{name}_grinding_bits"] for name in GRINDS},
    ]


Case = tuple[str, str, bytes]
"""Names of a relation and of parameters, and the proof."""


def judged(
    relations: Mapping[str, Mapping[str, Any]],
    params: Mapping[str, ProofParams],
    cases: Sequence[Case],
    drawn: Mapping[str, Ext] | None = None,
) -> list[str | None]:
    """The page's verifier, per proof: None, the reason of a refusal, or "fault: .." for anything else thrown.

    Args:
        drawn: challenges by label in place of those of the transcript.
    """
    ask = {
        "drawn": drawn or {},
        "relations": relations,
        "params": {name: described_params(one) for name, one in params.items()},
        "cases": [(relation, name, text(data)) for relation, name, data in cases],
    }
    answer: list[str | None] = judge(proofs=ask)["proofs"]
    return answer


def outcome_of_proof(relation: Relation, params: ProofParams, data: bytes) -> str | None:
    """What the verifier says."""
    try:
        verify_stark(relation, params, data)
    except VerificationError as error:
        return error.reason.value
    return None
