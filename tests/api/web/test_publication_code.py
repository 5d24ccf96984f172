"""The page's check of a whole publication against the verifier's: the same relations, outcomes and reasons."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.api.web.code import judge, needs_node, text
from tests.api.web.forgeries import sharded
from tests.api.web.proofs import described_params
from tests.api.web.proved import RESERVES, Files, equity, risky, solvent, with_manifest
from tests.malicious.changed_statements import AFTERWARDS, REFUSED
from tests.malicious.documents import only_shard, sealed
from tests.malicious.published import SCALARS
from tests.malicious.test_shards import CHANGES
from tests.verifier.small_tree import Publication, edited, publication, risk_publication
from verifier import verify_directory
from verifier.canonical import dumps
from verifier.errors import VerificationError
from verifier.field import P
from verifier.manifest import MANIFEST_FILE, check_directory
from verifier.params import TEST, ProofParams
from verifier.proofs import proof_file, shard_file
from verifier.shards import parse_shard
from verifier.solvency import CIRCUITS, relation
from verifier.stark import evaluate_scalars
from verifier.statement import Statement, parse_statement

pytestmark = [needs_node, pytest.mark.negative]
BY = "judge_publication.mjs"
KEYS = Path("verifier/keys")
STRESS = "solvency_stress_v1_3"
STATEMENT, MISSING = "statement.json", None
Changed = Mapping[str, bytes | None]
"""Files that differ from those of an honest publication; None: it is not there."""


def _relations(of: Publication, index: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the page is asked, and what the verifier says."""
    ask = {
        "statement": text(of.statement.to_bytes()), "shard": text(of.shards[index].to_bytes()), "index": index,
        "challenges": SCALARS,
    }  # fmt: skip
    expected = relation(of.statement, of.shards[index])
    scalars = evaluate_scalars(expected, *SCALARS)
    named = dict(zip(expected.system.scalars, scalars, strict=True))
    return ask, {
        "publics": {name: [word % P for word in words] for name, words in expected.public_values(scalars).items()},
        "terminal": list(named["terminal"]),
        "scalars": {name: list(named[name]) for name in ("root", "mask_out", "mask_in")},
        "binding": of.shards[index].digest.hex(),
    }


def test_relations_are_derived_alike() -> None:
    circuits = ("solvency_risk_v1", "solvency_stress_v1_1", "solvency_stress_v1_10")
    cases = [(publication(), 0), (sharded(), 0), (sharded(), 2), *((risk_publication(name), 0) for name in circuits)]
    asked, expected = zip(*(_relations(*case) for case in cases), strict=True)
    assert judge(by=BY, relations=asked)["relations"] == list(expected)


# -- whole publications -----------------------------------------------------------------------------------------------


def _outcome(files: Files, folder: Path, params: ProofParams | None) -> str:
    """The verifier's: the verdict, or the reason of the refusal; then the manifest, where there is one."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    try:
        report = verify_directory(folder, params=params, workers=1)
        if MANIFEST_FILE in files:
            check_directory(folder, report.statement)
    except VerificationError as error:
        return error.reason.value
    return report.spoken


def _page_outcomes(
    bases: Mapping[str, Files], cases: Sequence[tuple[str, Changed]], params: ProofParams | None
) -> list[str]:
    answer = judge(
        by=BY,
        params=params and described_params(params),
        keys={name: text((KEYS / circuit.key_file).read_bytes()) for name, circuit in CIRCUITS.items()},
        bases={name: {file: text(data) for file, data in files.items()} for name, files in bases.items()},
        publications=[
            {"of": of, "changed": {name: None if data is None else text(data) for name, data in changed.items()}}
            for of, changed in cases
        ],
    )["publications"]
    return [one["report"]["spoken"] if one["ok"] else one["reason"] for one in answer]


def _compared(
    bases: Mapping[str, Files], cases: Sequence[tuple[str, Changed]], folder: Path, params: ProofParams | None = TEST
) -> list[str]:
    """Both outcomes of every case, which have to be the same."""
    expected = []
    for number, (of, changed) in enumerate(cases):
        files = {**bases[of], **changed}
        present = {name: data for name, data in files.items() if data is not None}
        expected.append(_outcome(present, folder / str(number), params))
    assert _page_outcomes(bases, cases, params) == expected
    return expected


def test_honest_publications(tmp_path: Path) -> None:
    bases = {"three": equity(), "risk": risky("solvency_risk_v1"), "stress": risky(STRESS)}
    assert _compared(bases, [(name, {}) for name in bases], tmp_path) == ["insolvent"] * len(bases)


def test_an_honest_publication_of_a_production_profile(tmp_path: Path) -> None:
    bare: Changed = {"reserves.csv": MISSING, MANIFEST_FILE: MISSING}
    found = _compared({"fast": solvent()}, [("fast", {}), ("fast", bare)], tmp_path, None)
    assert found == [
        "solvent at the exchange's own prices (proved: equity only)",
        "liabilities proved, no reserves given (proved: equity only)",
    ]


def _statement(files: Files) -> Statement:
    return parse_statement(files[STATEMENT])


def test_changed_statements(tmp_path: Path) -> None:
    """Each change alone; and with a document of the shard that agrees with it, so that the proof is in the way."""
    honest = risky(STRESS)
    statement = _statement(honest)
    root = parse_shard(honest[shard_file(0)], statement, 0).root
    cases: list[tuple[str, Changed]] = []
    for change in AFTERWARDS.values():
        changed = change(statement)
        follows = only_shard(changed, root)
        again = {STATEMENT: sealed(changed, [follows]).to_bytes(), shard_file(0): follows.to_bytes()}
        cases += [("stress", {STATEMENT: changed.to_bytes()}), ("stress", again)]
    cases += [("stress", {STATEMENT: change(statement).to_bytes()}) for change, _ in REFUSED.values()]
    found = _compared({"stress": honest}, cases, tmp_path)
    assert not {"solvent", "insolvent"} & set(found), found
    assert {"grinding", "statement-mismatch", "arithmetic", "instrument-table", "output-range"} <= set(found)


def _shard_changes(files: Files) -> Iterator[Changed]:
    """Documents in each other's places, and documents that say something else."""
    statement = _statement(files)
    shards = [parse_shard(files[shard_file(i)], statement, i) for i in range(statement.shards)]
    for change in CHANGES.values():
        moved = change(shards)
        yield {shard_file(i): moved[i].to_bytes() if i < len(moved) else None for i in range(max(3, len(moved)))}
        numbered = [replace(shard, index=i) for i, shard in enumerate(moved[:3])]
        yield {shard_file(shard.index): shard.to_bytes() for shard in numbered}
    second = shards[1]
    others = [
        replace(second, mask_in=second.mask_out),
        replace(second, mask_out=(*second.mask_out[:7], 1)),
        replace(second, root=second.root[::-1]),
        replace(second, outputs=(second.outputs[0] + 1, *second.outputs[1:])),
        replace(second, header=bytes(32)),
        replace(second, index=7),
    ]
    for other in others:
        yield {shard_file(1): other.to_bytes()}
        again = sealed(statement, [shards[0], other, shards[2]])
        yield {STATEMENT: again.to_bytes(), shard_file(1): other.to_bytes()}
    blind = [replace(shard, mask_in=(0,) * 8, mask_out=(0,) * 8) for shard in shards]
    sealed_blind = sealed(statement, blind).to_bytes()
    yield {STATEMENT: sealed_blind, **{shard_file(shard.index): shard.to_bytes() for shard in blind}}
    document = files[shard_file(1)]
    for broken in (document[:-1], document + b" ", document.replace(b"v1", b"v2"), document[::-1], b"", b" " * 2**22):
        yield {shard_file(1): broken}


def _proof_changes(files: Files, source: random.Random) -> Iterator[Changed]:
    one, other = (files[proof_file(i)] for i in (1, 2))
    yield from (
        {proof_file(1): broken} for broken in (b"", other, one[:-1], one + b"\0", b"X" + one[1:], b"\xff" * 2**21)
    )
    yield {proof_file(1): other, proof_file(2): one}
    yield {proof_file(2): MISSING}
    for _ in range(25):
        at = source.randrange(len(one))
        yield {proof_file(1): one[:at] + bytes([one[at] ^ 1 << source.randrange(8)]) + one[at + 1 :]}


def test_changed_shards_and_proofs(tmp_path: Path) -> None:
    honest = equity()
    changes = [*_shard_changes(honest), *_proof_changes(honest, random.Random(7))]
    changes = [change for change in changes if {**honest, **change} != honest]
    found = _compared({"three": honest}, [("three", change) for change in changes], tmp_path)
    assert not {"solvent", "insolvent"} & set(found), found
    assert len(set(found)) > 8, sorted(set(found))


def _manifest_changes(manifest: bytes) -> Iterator[Changed]:
    edits: list[Callable[[Any], object]] = [
        lambda m: m.update(sequence=m["sequence"] + 1),
        lambda m: m.update(exchange="another"),
        lambda m: m.update(statement="01" * 32),
        lambda m: m.update(previous="11" * 32),
        lambda m: m.update(evidence="00" * 32),
        lambda m: m["files"].reverse(),
        lambda m: m["files"].append(m["files"][-1]),
        lambda m: m["files"].pop(0),
        lambda m: m["files"].pop(),
        lambda m: m.update(files=[]),
        lambda m: m["files"][0].update(role="prices"),
        lambda m: m["files"][0].update(bytes=1),
        lambda m: m["files"][0].update(name="private.json"),
        lambda m: m.update(format="solvent/manifest/v2"),
        lambda m: m.update(more=1),
    ]
    yield from ({MANIFEST_FILE: edited(manifest, edit)} for edit in edits)


def _file_changes(files: Files) -> Iterator[Changed]:
    """Files beside the proof, with and without a manifest of theirs."""
    manifest = json.loads(files[MANIFEST_FILE])
    yield from _manifest_changes(files[MANIFEST_FILE])
    yield {"reserves.csv": RESERVES + b"coin0,1\n"}
    yield {"reserves.csv": RESERVES.replace(b"coin0,9", b"coin0,8")}  # good in itself, another than the manifest's
    yield {"reserves.csv": MISSING}  # optional, but the manifest lists it
    yield {"risk.json": b"{}\n"}  # not listed
    yield {STATEMENT: MISSING}
    bare = {**files, MANIFEST_FILE: MISSING}
    for more in ("prices.json", "fund.json"):
        yield {**bare, more: b"{}\n"}
    yield {**bare, "reserves-evidence.json": b"{}\n", "reserves.csv": MISSING}
    yield dict(with_manifest({**files, "reserves.csv": b"asset,amount\n"}))
    listed = {**manifest, "files": [{**manifest["files"][0], "sha256": "00" * 32}, *manifest["files"][1:]]}
    yield {MANIFEST_FILE: dumps(listed)}


def _update(change: Mapping[str, str], statement: Any) -> None:
    statement.update(change)


def _parameter_changes(files: Files) -> Iterator[Changed]:
    for change in (
        {"profile": "fast"}, {"profile": "weak"}, {"parameters_digest": "00" * 32}, {"circuit": "solvency_equity_v2"},
        {"circuit_digest": "00" * 32}, {"protocol": "solvent/2"}, {"oracle_evidence": "11" * 32},
    ):  # fmt: skip
        yield {STATEMENT: edited(files[STATEMENT], partial(_update, change))}


def test_changed_files_and_parameters(tmp_path: Path) -> None:
    honest = equity()
    changes = [*_file_changes(honest), *_parameter_changes(honest)]
    found = _compared({"three": honest}, [("three", change) for change in changes], tmp_path)
    assert found.count("insolvent") == 1, found
    assert {"manifest", "reserves", "file-missing", "price-evidence", "unacceptable-profile"} <= set(found)


def test_a_production_page_refuses_the_test_profile() -> None:
    files = {name: text(data) for name, data in equity().items()}
    (one,) = judge(by=BY, keys={}, bases={"three": files}, publications=[{"of": "three", "changed": {}}])[
        "publications"
    ]
    assert (one["failed"], one["reason"]) == ("2 parameters", "unacceptable-profile")


def test_a_key_that_is_not_the_pinned_one(tmp_path: Path) -> None:
    files = {name: text(data) for name, data in equity().items()}
    key = (KEYS / "solvency_equity_v1.json").read_bytes()
    for wrong in (key + b" ", key.replace(b'"is_root"', b'"is_toor"'), b""):
        ask = {
            "params": described_params(TEST),
            "bases": {"three": files},
            "publications": [{"of": "three", "changed": {}}],
        }
        (one,) = judge(by=BY, keys={"solvency_equity_v1": text(wrong)}, **ask)["publications"]
        assert (one["failed"], one["reason"]) == ("5 proofs", "unknown-circuit")
