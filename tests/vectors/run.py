"""What the verifier says of a case: which public entry point each kind of vector is for.

`python -m tests.vectors.run` runs all of them. `run.mjs` is the same for the page's JavaScript.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from api.quorum import check_quorum, parse_validators
from tests.vectors.toys import params_of, relation_of
from verifier import solvency, verify_directory
from verifier.canonical import loads, refuse
from verifier.ed25519 import is_valid
from verifier.errors import Reason, VerificationError
from verifier.fund import check_fund
from verifier.inclusion import InclusionReport, check_bundle
from verifier.log.check import audit, check_documents
from verifier.log.checkpoint import open_checkpoint
from verifier.log.fraud import verify_fraud
from verifier.log.note import parse_note
from verifier.log.policy import Policy, parse_policy
from verifier.log.proof import check_log_proof, parse_log_proof
from verifier.log.tree import check_consistency, leaf_hash
from verifier.manifest import MANIFEST_FILE, File, check_directory, check_file_proof, parse_manifest, read_manifest
from verifier.opening import check_opening
from verifier.prices import check_prices
from verifier.quotes import parse_signed_quotes, read_sources
from verifier.receipt import check_user_file
from verifier.reserves import parse_reserves
from verifier.reserves_evidence import check_reserves_evidence
from verifier.shards import check_shards, parse_shard
from verifier.stark import evaluate_scalars, verify_stark
from verifier.statement import Statement, parse_statement
from verifier.verdict import FundValue, check_solvency, verdict

Inputs = Mapping[str, bytes]
"""Files, and what a caller gives beside them, by name. All of it is bytes; numbers are decimal, ids UTF-8."""
DOCUMENT_BYTES_MAX = 2**20


@dataclass(frozen=True)
class Outcome:
    """What a verifier says.

    Args:
        reason: a value of `Reason`; None where it accepts.
        field: what is refused; None where that is no field of a document.
        value: what was read, for kinds where two readers could read different things.
    """

    reason: str | None
    field: str | None = None
    value: Any = None

    def to_json(self) -> dict[str, Any]:
        """As the other runner answers."""
        return asdict(self)


def outcome(kind: str, inputs: Inputs) -> Outcome:
    """Run one case. Whatever else than VerificationError comes out is a fault of the verifier, and comes out here."""
    try:
        return Outcome(None, None, KINDS[kind](inputs))
    except VerificationError as error:
        field = error.where.get("field")
        return Outcome(error.reason.value, None if field is None else str(field))


def _stated(inputs: Inputs) -> Statement:
    return parse_statement(inputs["statement"])


def _policy(inputs: Inputs) -> Policy:
    return parse_policy(inputs["policy"])


@contextmanager
def _folder(inputs: Inputs) -> Iterator[Path]:
    """The inputs as files."""
    with TemporaryDirectory() as place:
        for name, data in inputs.items():
            path = Path(place) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        yield Path(place)


# Documents about accounts and statements


def _document(inputs: Inputs) -> None:
    loads(inputs["document"], DOCUMENT_BYTES_MAX, "document")


def _statement(inputs: Inputs) -> list[list[str | None]]:
    of = _stated(inputs)
    health = [next(map(str, leg.lens_coefficients), None) for leg in of.legs]
    legs = zip(of.legs, health, strict=True)
    return [[of.digest.hex()], *([str(leg.cap), str(leg.price_coefficient), str(leg.total), h] for leg, h in legs)]


def _shown(report: InclusionReport) -> list[Any]:
    rows = [[b.symbol, b.side, b.kind, b.bucket, b.decimals, str(b.atoms)] for b in report.balances]
    return [rows, report.to_json()["worth"]]


def _bundle(inputs: Inputs) -> list[Any]:
    statement = _stated(inputs) if "statement" in inputs else None
    user_id = inputs["user_id"].decode() if "user_id" in inputs else None
    return _shown(check_bundle(inputs["bundle"], statement, user_id=user_id, nonce=inputs.get("nonce")))


def _receipt(inputs: Inputs) -> list[Any]:
    with _folder({name: data for name, data in inputs.items() if name == "policy"}) as folder:
        policy = folder / "policy" if "policy" in inputs else None
        report, _ = check_user_file(inputs["receipt"], log_policy=policy)
    return _shown(report)


def _opening(inputs: Inputs) -> str:
    return str(check_opening(inputs["opening"], _stated(inputs)).value)


def _reserves(inputs: Inputs) -> list[str]:
    return [str(atoms) for atoms in parse_reserves(inputs["reserves"], _stated(inputs).instruments)]


def _reserves_evidence(inputs: Inputs) -> None:
    check_reserves_evidence(inputs["evidence"], inputs["reserves"], _stated(inputs))


def _fund(inputs: Inputs) -> list[Any]:
    fund = check_fund(inputs["fund"], _stated(inputs))
    return [str(fund.value), [str(value) for value in fund.scenario_values]]


def _verdict(inputs: Inputs) -> list[Any]:
    of, fund = _stated(inputs), None
    held = parse_reserves(inputs["reserves"], of.instruments) if "reserves" in inputs else None
    if "fund_value" in inputs:
        value = json.loads(inputs["fund_value"])
        fund = FundValue(int(value["today"]), tuple(map(int, value["stressed"])))
    checks = check_solvency(of, held, fund)
    keys = ("name", "left", "relation", "right", "ok", "unit", "decides")
    return [verdict(checks, held is not None), *([getattr(check, key) for key in keys] for check in checks)]


def _prices(inputs: Inputs) -> None:
    sources = read_sources(inputs["sources"]) if "sources" in inputs else None
    check_prices(inputs["prices"], _stated(inputs), sources)


def _quorum(inputs: Inputs) -> None:
    check_quorum(inputs["certificate"], parse_validators(inputs["validators"]), _stated(inputs))


# Shards, proofs, publications


def _shard(inputs: Inputs) -> list[str]:
    shard = parse_shard(inputs["shard"], _stated(inputs), int(inputs["index"]))
    return [shard.digest.hex(), *map(str, shard.outputs)]


def _shards(inputs: Inputs) -> None:
    of = _stated(inputs)
    names = sorted(name for name in inputs if name != "statement")
    check_shards(of, [parse_shard(inputs[name], of, index) for index, name in enumerate(names)])


def _proof(inputs: Inputs) -> None:
    of = _stated(inputs)
    shard = parse_shard(inputs["shard"], of, int(inputs["index"]))
    verify_stark(solvency.relation(of, shard), params_of(inputs["params"]), inputs["proof"])


def _toy_proof(inputs: Inputs) -> None:
    verify_stark(relation_of(inputs["circuit"], inputs["relation"]), params_of(inputs["params"]), inputs["proof"])


def _challenges(inputs: Inputs) -> None:
    drawn = json.loads(inputs["challenges"])
    evaluate_scalars(
        relation_of(inputs["circuit"], inputs["relation"]), *(tuple(drawn[n]) for n in ("r", "alpha", "beta"))
    )


def _publication(inputs: Inputs) -> str:
    files = {name: data for name, data in inputs.items() if name != "params"}
    params = params_of(inputs["params"]) if "params" in inputs else None
    with _folder(files) as folder:
        report = verify_directory(folder, params=params, workers=1)
        if MANIFEST_FILE in files:
            check_directory(folder, report.statement)
    return report.verdict


# The transparency log


def _manifest(inputs: Inputs) -> None:
    if "statement" in inputs:
        read_manifest(inputs["manifest"], _stated(inputs))
    else:
        parse_manifest(inputs["manifest"])


def _file_proof(inputs: Inputs) -> None:
    data = inputs["file"]
    check_file_proof(inputs["proof"], File("", len(data), hashlib.sha256(data).digest()), inputs["evidence"])


def _log(inputs: Inputs) -> None:
    of = _stated(inputs)
    check_documents(inputs["manifest"], inputs["log_proof"], of, _policy(inputs) if "policy" in inputs else None)


def _log_proof(inputs: Inputs) -> None:
    check_log_proof(parse_log_proof(inputs["log_proof"]), leaf_hash(inputs["entry"]), _policy(inputs))


def _log_policy(inputs: Inputs) -> list[Any]:
    of = _policy(inputs)
    groups = [[name, group.k, list(group.members)] for name, group in of.groups.items()]
    return [[k.vkey for k in of.logs], [[w.name, w.key.vkey] for w in of.witnesses], groups, of.quorum]


def _consistency(inputs: Inputs) -> None:
    of = json.loads(inputs["claim"])
    old, new, proof = bytes.fromhex(of["old_root"]), bytes.fromhex(of["root"]), [bytes.fromhex(d) for d in of["proof"]]
    check_consistency(of["old_size"], old, of["size"], new, proof)


def _fraud(inputs: Inputs) -> None:
    verify_fraud(inputs["one"], inputs["other"], _policy(inputs).logs)


def _log_audit(inputs: Inputs) -> None:
    with _folder({name: data for name, data in inputs.items() if name != "policy"}) as folder:
        audit(folder, _policy(inputs))


def _ed25519(inputs: Inputs) -> None:
    if not is_valid(inputs["key"], inputs["message"], inputs["signature"]):
        refuse("signature", "one by this key", "another", Reason.SIGNATURE)


KINDS: Mapping[str, Callable[[Inputs], Any]] = {
    "document": _document,
    "statement": _statement,
    "bundle": _bundle,
    "receipt": _receipt,
    "opening": _opening,
    "reserves": _reserves,
    "reserves-evidence": _reserves_evidence,
    "fund": _fund,
    "verdict": _verdict,
    "prices": _prices,
    "signed-quotes": lambda inputs: parse_signed_quotes(inputs["quotes"]).source,
    "price-sources": lambda inputs: list(read_sources(inputs["sources"])),
    "quorum": _quorum,
    "shard": _shard,
    "shards": _shards,
    "proof": _proof,
    "toy-proof": _toy_proof,
    "challenges": _challenges,
    "publication": _publication,
    "manifest": _manifest,
    "file-proof": _file_proof,
    "log": _log,
    "log-proof": _log_proof,
    "log-policy": _log_policy,
    "note": lambda inputs: parse_note(inputs["note"]).text,
    "checkpoint": lambda inputs: open_checkpoint(inputs["checkpoint"], _policy(inputs)).checkpoint.size,
    "consistency": _consistency,
    "fraud": _fraud,
    "log-audit": _log_audit,
    "ed25519": _ed25519,
}


def main() -> int:
    """Run every vector; a line for each that comes out otherwise."""
    from tests.vectors.book import read_all

    count = failed = 0
    for kind, vectors in read_all().items():
        for vector in vectors:
            got = outcome(kind, vector.inputs)
            count += 1
            if not vector.is_met(got.reason, got.field, got.value):
                failed += 1
                print(f"{kind}, {vector.name}: expected {vector.reason} {vector.where}, got {got.reason} {got.field}")
    print(f"{count} vectors, {failed} of them with another outcome")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
