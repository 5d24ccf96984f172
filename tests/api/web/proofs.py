"""Proofs for the page's own verifier: relations and parameters as toys.mjs and judge.mjs read them, and outcomes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tests.api.web.code import COMMAND, text
from tests.verifier.toy_circuits import BlockLosses, LedgerTerminal, block_places
from verifier.errors import VerificationError
from verifier.params import ProofParams
from verifier.proofs import shard_file
from verifier.report import STATEMENT_FILE
from verifier.solvency import constraint_system
from verifier.stark import Relation, verify_stark
from verifier.statement import parse_statement

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


def published(files: Mapping[str, bytes], shard: int = 0) -> dict[str, Any]:
    """The relation of a shard, from the files of its publication."""
    circuit = parse_statement(files[STATEMENT_FILE]).circuit
    needed = {name: text(files[name]) for name in (STATEMENT_FILE, shard_file(shard))}
    return {"files": needed, "shard": shard, "key": text(constraint_system(circuit).to_bytes())}


Case = tuple[str, str, bytes]
"""Names of a relation and of parameters, and the proof."""


class PageVerifier:
    """The page's verifier of proofs in a node process that lives until the block is left.

    Args:
        relations: by name, what `described` or `published` gives.
        params: by name.
    """

    def __init__(self, relations: Mapping[str, Mapping[str, Any]], params: Mapping[str, ProofParams]) -> None:
        self._node = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._set_up = {
            "relations": relations,
            "params": {name: described_params(one) for name, one in params.items()},
        }

    def __enter__(self) -> PageVerifier:
        return self

    def __exit__(self, *raised: object) -> None:
        self._node.communicate(timeout=60)

    def judge(self, cases: Sequence[Case]) -> list[str | None]:
        """Per proof: None for an accepted one, the reason of a refusal, or "fault: .." for anything else thrown."""
        told = [(relation, name, text(data)) for relation, name, data in cases]
        ask = {"proofs": {**self._set_up, "cases": told}}
        self._set_up = {}
        if self._node.stdin is None or self._node.stdout is None:
            raise AssertionError("the pipes of a process that was started with pipes")
        self._node.stdin.write(json.dumps(ask).encode() + b"\n")
        self._node.stdin.flush()
        answer: list[str | None] = json.loads(self._node.stdout.readline())["proofs"]
        return answer


def outcome_of_proof(relation: Relation, params: ProofParams, data: bytes) -> str | None:
    """What the verifier says."""
    try:
        verify_stark(relation, params, data)
    except VerificationError as error:
        return error.reason.value
    return None
