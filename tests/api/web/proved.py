"""Publications with real proofs of profile TEST: files by name, as the page and the verifier read them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

from prover.prove import prove
from prover.randomness import Randomness
from tests.malicious.documents import equity_statement, only_shard, sealed, shard_of
from tests.malicious.forge import Forge
from tests.malicious.risk_world import honest, risk_world, statement_of
from tests.malicious.world import ENTRIES, LOG2_ROWS, SHARDS, World, make_world
from verifier import solvency
from verifier.manifest import MANIFEST_FILE, File, make_manifest
from verifier.params import PROFILES, TEST, ProofParams
from verifier.proofs import proof_file, shard_file
from verifier.report import RESERVES_FILE, STATEMENT_FILE
from verifier.shards import Shard
from verifier.statement import Statement, levels_for, parse_statement

Files = Mapping[str, bytes]
RESERVES = b"asset,amount\ncoin0,99999999999\ncoin1,99999999999\ncoin2,99999999999\ncoin3,99999999999\n"


def with_manifest(files: Files) -> Files:
    """The files and their manifest."""
    listed = {name: data for name, data in files.items() if name != MANIFEST_FILE}
    records = [File(name, len(data), hashlib.sha256(data).digest()) for name, data in listed.items()]
    return {**listed, MANIFEST_FILE: make_manifest(parse_statement(files[STATEMENT_FILE]), records).to_bytes()}


def _files(statement: Statement, shards: Sequence[Shard], worlds: Sequence[World], params: ProofParams = TEST) -> Files:
    parse_statement(statement.to_bytes())
    out = {STATEMENT_FILE: statement.to_bytes()}
    for shard, world in zip(shards, worlds, strict=True):
        proof = prove(solvency.relation(statement, shard), params, world.base.copy(), Randomness(b"published"))
        out |= {shard_file(shard.index): shard.to_bytes(), proof_file(shard.index): proof.to_bytes()}
    return out


@cache
def equity() -> Files:
    """Three shards with other accounts each, with reserves."""
    levels = levels_for(LOG2_ROWS)
    worlds = [make_world(ENTRIES[3 * i :], None, levels, shard=i) for i in range(SHARDS)]
    forged = [Forge(world.plan).build() for world in worlds]
    statement = equity_statement(forged)
    documents = [shard_of(statement, each, index) for index, each in enumerate(forged)]
    return with_manifest({**_files(statement, documents, worlds), RESERVES_FILE: RESERVES})


@cache
def solvent() -> Files:
    """One shard of three accounts, none of which owes anything, with a proof that a production verifier accepts."""
    params = PROFILES["fast"]
    world = make_world((((0, 10**9),), ((2, 5), (4, 10**6)), ()), None, levels_for(LOG2_ROWS))
    forged = Forge(world.plan).build()
    named = replace(equity_statement([forged]), profile=params.name, parameters_digest=params.digest, policy="strict")
    shard = shard_of(named, forged)
    return with_manifest({**_files(sealed(named, [shard]), [shard], [world], params), RESERVES_FILE: RESERVES})


@cache
def risky(circuit: str) -> Files:
    """Margins and, where the circuit proves them, scenarios; no reserves, no manifest."""
    world = risk_world(circuit)
    forged = honest(world)
    statement = statement_of(forged)
    return _files(statement, [only_shard(statement, forged.root.digest)], [world])
