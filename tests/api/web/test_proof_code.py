"""The page's verifier of proofs against the verifier: the same outcome and the same reason on the same bytes."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from api.page import script
from tests.api.web.code import NODE, judge, needs_node, text
from tests.api.web.proofs import Case, described, judged, outcome_of_proof
from tests.verifier import test_malicious, test_stark
from tests.verifier.toy_circuits import Case as Toy
from tests.verifier.toy_circuits import blocks, fibonacci, ledger
from tests.verifier.toy_proofs import CASES, FREE, RATE_QUARTER, honest, parsed, prove
from verifier import stark
from verifier.encoding import as_exts
from verifier.errors import InvariantBroken
from verifier.field import (
    Ext,
    P,
    ext_add,
    ext_batch_inverse,
    ext_inverse,
    ext_mul,
    ext_pow,
    ext_scale,
    ext_sub,
    ext_zero,
    lift,
    root_of_unity,
)
from verifier.hashing import leaf_digest, node_digest, transcript_digest
from verifier.params import PROFILES, TEST, ProofParams
from verifier.proof import proof_bytes_max
from verifier.protocol import ABSORB, DRAW, POSITIONS, Step
from verifier.solvency import CIRCUITS, constraint_system
from verifier.stark import Relation, domain_multipliers
from verifier.transcript import Transcript

pytestmark = needs_node

TOY_PARAMS = {"TEST": TEST, "FREE": FREE, "RATE_QUARTER": RATE_QUARTER}
WITHOUT_WORK = "FREE"


def agree(
    cases: Iterable[Case],
    relations: Mapping[str, Relation] | None = None,
    hidden: Mapping[str, Mapping[str, object]] | None = None,
    params: Mapping[str, ProofParams] = TOY_PARAMS,
) -> list[str | None]:
    """Both verifiers say the same of every case; `hidden`: what `described` has to be told of a relation."""
    cases = [*cases]
    relations = relations or {name: make().relation for name, make in CASES.items()}
    told = {name: described(relation, **(hidden or {}).get(name, {})) for name, relation in relations.items()}
    got = judged(told, params, cases)
    for (relation, name, data), reason in zip(cases, got, strict=True):
        expected = outcome_of_proof(relations[relation], params[name], data)
        assert reason == expected, f"{relation} with {name}, {len(data)} bytes: {data.hex()[:100]}"
    return got


# Arithmetic and hashes.


def elements(source: random.Random, count: int) -> list[Ext]:
    """Random ones and those at the edges of the field."""
    edge = [0, 1, 2, P - 1, P - 2, 2**16, 2**16 - 1, P - 2**16]
    words = [source.choice(edge) for _ in range(5 * (count // 2))]
    words += [source.randrange(P) for _ in range(5 * count - len(words))]
    return [*as_exts(words)]


def test_field() -> None:
    source = random.Random(1)
    left, right = elements(source, 100), elements(source, 100)
    source.shuffle(right)
    left[0] = right[0] = (P - 1,) * 5
    expected: list[tuple[list[object], object]] = []
    for a, b in zip(left, right, strict=True):
        k = b[0]
        expected += [(["extAdd", a, b], ext_add(a, b)), (["extSub", a, b], ext_sub(a, b))]
        expected += [(["extMul", a, b], ext_mul(a, b)), (["extScale", a, k], ext_scale(a, k))]
        expected += [(["extPow", a, k], ext_pow(a, k)), (["lift", k - a[0]], lift(k - a[0]))]
        expected += [(["wordInverse", k], pow(k, P - 2, P)), (["multiply", k, a[1]], k * a[1] % P)]
    nonzero = [a for a in left if any(a)]
    expected += [(["extInverse", a], ext_inverse(a)) for a in nonzero]
    expected.append((["extBatchInverse", nonzero], ext_batch_inverse(nonzero)))
    expected += [(["rootOfUnity", log2_order], root_of_unity(log2_order)) for log2_order in range(25)]
    words = [b[0] for b in right]
    total = ext_zero
    for a, word in zip(left, words, strict=True):
        total = ext_add(total, ext_scale(a, word))
    expected += [(["extDot", words, left], total), (["extDot", [P - 1] * 500, [(P - 1,) * 5] * 500], (500,) * 5)]
    answer = judge(calls=[["field", *call] for call, _ in expected])["calls"]
    for (call, value), got in zip(expected, answer, strict=True):
        assert got == json.loads(json.dumps(value)), call


def test_blake2s() -> None:
    source = random.Random(2)
    messages = [source.randbytes(n) for n in (0, 1, 3, 4, 31, 63, 64, 65, 127, 128, 129, 1000, 3000)]
    sides = [(source.randbytes(32), source.randbytes(32)) for _ in range(5)]
    calls = [["blake2s", name, {"bytes": text(m)}] for m in messages for name in ("leafDigest", "transcriptDigest")]
    calls += [["blake2s", "nodeDigest", {"bytes": text(left)}, {"bytes": text(right)}] for left, right in sides]
    expected = [made(m).hex() for m in messages for made in (leaf_digest, transcript_digest)]
    expected += [node_digest(left, right).hex() for left, right in sides]
    assert judge(calls=calls)["calls"] == expected


def test_transcript() -> None:
    data = random.Random(3).randbytes(100)
    steps = (
        Step(ABSORB, "one", 100), Step(DRAW, "two", 300), Step(DRAW, "none", 0), Step(ABSORB, "", 0),
        Step(POSITIONS, "three", 203, 18), Step(DRAW, "four", 1),
    )  # fmt: skip
    transcript = Transcript(steps)
    transcript.absorb("one", data)
    drawn: list[Any] = [transcript.draw("two"), transcript.draw("none")]
    transcript.absorb("", b"")
    drawn += [sorted(set(transcript.draw_positions("three"))), transcript.draw("four")]
    ask = [
        ["absorb", "one", text(data)], ["draw", "two", 300], ["draw", "none", 0], ["absorb", "", ""],
        ["drawPositions", "three", 203, 18], ["draw", "four", 1],
    ]  # fmt: skip
    (answer,) = judge(transcripts=[ask])["transcripts"]
    assert answer["state"] == transcript.state.hex()
    assert answer["drawn"] == [[list(one) if isinstance(one, tuple) else one for one in value] for value in drawn]


def test_profiles() -> None:
    assert judge(profiles=True)["profiles"] == [[name, params.digest.hex()] for name, params in PROFILES.items()]


def test_every_circuit_is_read() -> None:
    """Also the least length that is too long for a proof is the same."""
    systems = {name: constraint_system(name) for name in CIRCUITS}
    asked = [["air", "parseCircuit", {"bytes": text(system.to_bytes())}] for system in systems.values()]
    params = {"digest": "", "log2Blowup": 1, "queries": 203}
    answer = judge(calls=asked)["calls"]
    for system, got in zip(systems.values(), answer, strict=True):
        assert bytes(got["digest"].values()) == system.digest
        assert got["nextRowColumns"] == list(system.next_row_columns)
    sizes = judge(calls=[["proof", "proofBytesMax", got, params, 17] for got in answer])["calls"]
    assert sizes == [proof_bytes_max(system, PROFILES["fast"], 17) for system in systems.values()]


def test_one_script_is_one_module(tmp_path: Any) -> None:
    """No two modules use one name: node reads them all as one."""
    file = tmp_path / "all.mjs"
    file.write_text(script(), "utf-8")
    done = subprocess.run([NODE or "node", "--check", str(file)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


# Honest proofs.


def test_honest_proofs_are_accepted() -> None:
    cases = [(name, params, honest(name, TOY_PARAMS[params])) for name in CASES for params in ("TEST", "FREE")]
    assert agree(cases) == [None] * len(cases)


def test_another_rate_and_one_query() -> None:
    params = {"rate": RATE_QUARTER, "one": replace(FREE, queries=1)}
    assert (
        agree([("fibonacci", name, prove(fibonacci(), params[name])) for name in params], params=params) == [None] * 2
    )


# One change, one reason: that of the verifier.


def test_what_is_changed_in_a_proof() -> None:
    """The changes of tests/verifier/test_stark.py, one by one and in pairs: which check speaks first."""
    source = random.Random(4)
    proof = parsed("ledger", FREE)
    changes = {name: change for name, (change, _) in test_stark.TAMPERED.items()}
    pairs = [source.sample([*changes], 2) for _ in range(60)]
    changed = [change(proof) for change in (*changes.values(), *test_stark.RESIZED.values())]
    changed += [changes[other](changes[one](proof)) for one, other in pairs]
    got = agree([("ledger", WITHOUT_WORK, one.to_bytes()) for one in changed])
    expected = [reason.value for _, reason in test_stark.TAMPERED.values()]
    assert got[: len(expected)] == expected and len({*got}) >= 6


def test_nonces() -> None:
    """Of a proof with work: zero, the next one, one of more than 53 bits, and that of another challenge."""
    proof = parsed("ledger")
    names = [f"{name}_nonce" for name in ("lookup", "constraint", "zeta", "batching", "query")]
    others: list[dict[str, Any]] = [
        {name: value}
        for name in names
        for value in (0, getattr(proof, name) + 1, 2**64 - 1, 2**56 + getattr(proof, name), proof.lookup_nonce)
    ]
    got = agree([("ledger", "TEST", replace(proof, **other).to_bytes()) for other in others])
    assert set(got) <= {"grinding", None}


def edited(data: bytes, at: int, piece: bytes) -> bytes:
    return data[:at] + piece + data[at + len(piece) :]


def test_bytes_of_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every 31st byte changed, and every 25th word set to p, of a proof without work."""
    monkeypatch.setattr(stark, "domain_multipliers", cache(domain_multipliers))  # the slowest function of zeta alone
    source, data = random.Random(5), honest("ledger", FREE)
    changed = [edited(data, at, bytes([data[at] ^ source.randrange(1, 256)])) for at in range(0, len(data), 31)]
    changed += [edited(data, at, P.to_bytes(4, "little")) for at in range(8, len(data) - 3, 100)]
    got = agree([("ledger", WITHOUT_WORK, one) for one in changed])
    assert None not in got and len({*got}) >= 6


def test_random_damage() -> None:
    """Ends cut off, bytes cut out, doubled, moved or overwritten in runs."""
    source, data = random.Random(6), honest("fibonacci")
    changed = [data[: source.randrange(len(data))] for _ in range(40)] + [b"", data[:7], data[:8], data + b"\0"]
    for _ in range(120):
        start, length = source.randrange(len(data)), source.choice((1, 4, 20, 32, 100, 1000))
        piece, end = data[start : start + length], data[start + length :]
        moved = (data[:start] + end, data[:start] + piece + data[start:], piece + data[:start] + end)
        changed.append(source.choice((*moved, data[:start] + source.randbytes(len(piece)) + end)))
    changed += [source.randbytes(source.randrange(3000)) for _ in range(20)]
    agree([("fibonacci", "TEST", one) for one in changed])


# Another statement, circuit, height or parameters.


def test_other_relations() -> None:
    relations = test_stark.other_relations() | {f"blocks: {k}": v for k, v in test_stark.other_blocks().items()}
    hidden: dict[str, dict[str, object]] = {
        "terminal": {"totals": None, "terminal": [1, 0, 0, 0, 0]},
        "blocks: derived columns of other rows": {"places": "shifted"},
        "blocks: derived columns of another challenge": {"places": "another r"},
        "blocks: a scalar": {"losses": blocks().relation.scalars.sums, "bumpsLosses": True},  # type: ignore[attr-defined]
    }
    cases = [(name, "FREE", honest("blocks" if name.startswith("blocks") else "ledger", FREE)) for name in relations]
    assert {*agree(cases, relations, hidden)} == {"constraints"}


def test_other_parameters_and_heights() -> None:
    of = ledger().relation
    params = TOY_PARAMS | dict(PROFILES) | {
        "name": replace(TEST, name="other"), "bits": replace(TEST, query_grinding_bits=7),
        "queries": replace(TEST, queries=5), "many": replace(TEST, queries=252), "most": replace(TEST, queries=251),
    }  # fmt: skip
    heights = {str(log2_rows): replace(of, log2_rows=log2_rows) for log2_rows in (-1, 0, 9, 10, 11, 17, 21, 23, 24, 64)}
    cases = [("10", name, honest("ledger", kept)) for name in params for kept in (TEST, FREE)]
    cases += [(name, given, honest("ledger")) for name in heights for given in ("TEST", "fast", "many", "most")]
    assert {*agree(cases, heights, params=params)} > {None, "grinding", "constraints", "unacceptable-parameters"}


def test_longer_public_columns() -> None:
    """As many rows as are active, and one more."""
    of = fibonacci().relation
    relations = {str(n): replace(of, publics={**of.publics, "start": (7, *(0,) * (n - 1))}) for n in (512, 513)}
    got = agree([(name, "FREE", honest("fibonacci", FREE)) for name in relations], relations)
    assert got == [None, "capacity"]


def test_challenges_that_divide_by_zero() -> None:
    """A terminal that does not exist is refused by name."""

    def terminal(r: Ext, alpha: Ext, beta: Ext) -> Ext:
        raise ZeroDivisionError

    relation = replace(ledger().relation, terminal=terminal)
    hidden: dict[str, dict[str, object]] = {"none": {"totals": [[0, 1]], "dividesByZero": True}}
    assert agree([("none", "FREE", honest("ledger", FREE))], {"none": relation}, hidden) == ["out-of-domain-point"]


@pytest.mark.parametrize(("label", "word"), [("r", 12345), ("r", 0), ("zeta", 12345), ("zeta", 1), ("zeta", 3)])
def test_challenges_in_the_base_field(label: str, word: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No honest transcript draws one, so they are put in; 1 is a row of the trace, 3 a point of D."""
    relation, data, draw_one = fibonacci().relation, honest("fibonacci", FREE), Transcript.draw_one
    got = judged({"of": described(relation)}, TOY_PARAMS, [("of", "FREE", data)], drawn={label: lift(word)})

    def unlucky(self: Transcript, name: str) -> Ext:
        element = draw_one(self, name)
        return lift(word) if name == label else element

    monkeypatch.setattr(Transcript, "draw_one", unlucky)
    assert got == [outcome_of_proof(relation, FREE, data)] == ["out-of-domain-point"]


# Whole proofs of a cheating prover.


def cheats() -> Iterable[tuple[str, bytes]]:
    """The provers of tests/verifier/test_malicious.py that cheat in one place, with work and without."""
    of = test_malicious
    case: Toy = fibonacci()
    for prover in (
        of.SwappedChunks, of.Liar, of.SmoothLiar, of.SharedCoefficient, of.NoMask, of.Noise, of.OneDegreeTooMany,
        of.FalseFinal, of.FalseFold, of.WideLeaves, of.MovedWord, of.forgetting("openings"),
    ):  # fmt: skip
        yield WITHOUT_WORK, prove(case, FREE, prover=prover)
    yield "TEST", prove(case, prover=type("Lazy", (of.Lazy,), {"skipped": "query grind"}))


def test_cheating_provers() -> None:
    cases = [("fibonacci", params, data) for params, data in cheats()]
    got = agree(cases)
    assert {*got} == {None, "constraints", "fri-final", "fri-fold", "commitment", "grinding"}, got


def test_what_is_no_refusal_is_a_fault() -> None:
    """Here a relation without a public column."""
    broken = replace(fibonacci().relation, publics={})
    with pytest.raises(InvariantBroken):
        outcome_of_proof(broken, FREE, honest("fibonacci", FREE))
    (fault,) = judged({"broken": described(broken)}, TOY_PARAMS, [("broken", "FREE", honest("fibonacci", FREE))])
    assert fault is not None and fault.startswith("fault: TypeError")
