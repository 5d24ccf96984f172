"""Relations and parameters of the toy circuits as documents, so that a vector of a proof is complete."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from tests.verifier.toy_circuits import BlockLosses, LedgerTerminal, block_places, no_terminal
from verifier.air import ConstraintSystem
from verifier.canonical import dumps
from verifier.params import ProofParams
from verifier.stark import Relation


def described(relation: Relation) -> bytes:
    """All of a toy's relation but its circuit, which is the key file; README.md says what `totals`, `losses` and
    `places` mean."""
    terminal, losses = relation.terminal, relation.scalars
    return dumps(
        {
            "log2_rows": relation.log2_rows,
            "publics": {name: list(words) for name, words in relation.publics.items()},
            "binding": relation.binding.hex(),
            "totals": [list(pair) for pair in terminal.totals.items()]
            if isinstance(terminal, LedgerTerminal)
            else None,
            "losses": list(losses.sums) if isinstance(losses, BlockLosses) else None,
            "places": int(relation.derived is block_places),
        }
    )


def relation_of(key: bytes, document: bytes) -> Relation:
    """The relation of a key file and what `described` wrote."""
    of = json.loads(document)
    optional: dict[str, Any] = {}
    if of["losses"] is not None:
        optional["scalars"] = BlockLosses(tuple(of["losses"]))
    if of["places"]:
        optional["derived"] = block_places
    terminal = no_terminal if of["totals"] is None else LedgerTerminal({slot: total for slot, total in of["totals"]})
    system = ConstraintSystem.from_bytes(key)
    return Relation(system, of["log2_rows"], of["publics"], terminal, bytes.fromhex(of["binding"]), **optional)


def params_bytes(params: ProofParams) -> bytes:
    """Parameters that a caller of the verifier chose."""
    return dumps(asdict(params))


def params_of(document: bytes) -> ProofParams:
    return ProofParams(**json.loads(document))
