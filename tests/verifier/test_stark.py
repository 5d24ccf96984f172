"""Honest proofs are accepted; an honest proof with one change is refused, each with its own reason."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial

import pytest

from tests.verifier.toy_circuits import Case, block_places, blocks, fibonacci, ledger
from tests.verifier.toy_proofs import CASES, FREE, RATE_QUARTER, honest, parsed, prove, refused, verify
from verifier import stark
from verifier.encoding import as_exts
from verifier.errors import (
    MalformedProof,
    Reason,
    UnacceptableParameters,
    VerificationError,
)
from verifier.field import Ext, P, ext_one
from verifier.params import PROFILES, TEST, ProofParams
from verifier.proof import Opening, Proof, parse_proof
from verifier.stark import Relation, _refuse_base_field, domain_multipliers, verify_stark


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("params", [TEST, FREE], ids=lambda params: params.name)
def test_honest_proofs_are_accepted(name: str, params: ProofParams) -> None:
    verify(CASES[name](), honest(name, params), params)


def test_other_heights_and_rates_are_accepted() -> None:
    verify(fibonacci(11), prove(fibonacci(11)))
    verify(ledger(), prove(ledger(), RATE_QUARTER), RATE_QUARTER)


def test_two_proofs_of_one_witness_share_nothing_secret() -> None:
    """Fresh randomness: no root, opening, salt or row of one proof appears in the other."""
    one = parsed("fibonacci")
    two = parse_proof(prove(fibonacci(), seed=b"other"), fibonacci().relation.system, TEST, 10)

    def pieces(proof: Proof) -> set[object]:
        out: set[object] = {proof.base_root, proof.lookup_root, proof.quotient_root, *proof.fri_roots}
        out |= {*proof.openings, *proof.final}
        for opening in (*proof.trees, *proof.layers):
            out |= {message[:16] for message in opening.messages}
            out |= set(opening.rows) - {()}
            out |= set(opening.siblings)
        return out

    assert len(pieces(one)) > 150
    assert not pieces(one) & pieces(two)
    assert prove(fibonacci()) == honest("fibonacci")


# One change, one reason.


def bump(element: Ext, coordinate: int = 0) -> Ext:
    words = list(element)
    words[coordinate] = (words[coordinate] + 1) % P
    return as_exts(words)[0]


def edit_value(index: int, proof: Proof) -> Proof:
    openings = list(proof.openings)
    openings[index] = bump(openings[index], 4)
    return replace(proof, openings=tuple(openings))


def edit_opening(opening: Opening, leaf: int, byte: int) -> Opening:
    messages = list(opening.messages)
    changed = bytearray(messages[leaf])
    changed[byte] ^= 1
    messages[leaf] = bytes(changed)
    return replace(opening, messages=tuple(messages))


def edit_tree(proof: Proof, tree: int, change: Callable[[Opening], Opening]) -> Proof:
    trees = list(proof.trees)
    trees[tree] = change(trees[tree])
    return replace(proof, trees=tuple(trees))


def edit_layer(proof: Proof, layer: int, change: Callable[[Opening], Opening]) -> Proof:
    layers = list(proof.layers)
    layers[layer] = change(layers[layer])
    return replace(proof, layers=tuple(layers))


def swap_siblings(opening: Opening) -> Opening:
    first, second, *rest = opening.siblings
    return replace(opening, siblings=(second, first, *rest))


def edit_all_trees(proof: Proof, change: Callable[[Opening], Opening]) -> Proof:
    return replace(proof, trees=tuple(change(tree) for tree in proof.trees))


def duplicate(opening: Opening) -> Opening:
    return replace(opening, messages=(*opening.messages[:-1], opening.messages[0], opening.messages[-1]))


def drop(opening: Opening) -> Opening:
    return replace(opening, messages=opening.messages[:-1])


Change = Callable[[Proof], Proof]
FLIPPED = bytes([255] * 32)

TAMPERED: dict[str, tuple[Change, Reason]] = {
    # commitments and messages: every later challenge is another
    "base root": (lambda p: replace(p, base_root=FLIPPED), Reason.CONSTRAINTS),
    "lookup root": (lambda p: replace(p, lookup_root=FLIPPED), Reason.CONSTRAINTS),
    "quotient root": (lambda p: replace(p, quotient_root=FLIPPED), Reason.CONSTRAINTS),
    "roots swapped": (
        lambda p: replace(p, base_root=p.lookup_root, lookup_root=p.base_root),
        Reason.CONSTRAINTS,
    ),
    "fri root": (lambda p: replace(p, fri_roots=(p.fri_roots[0], FLIPPED)), Reason.COMMITMENT),
    "final polynomial": (lambda p: replace(p, final=(bump(p.final[0]), *p.final[1:])), Reason.COMMITMENT),
    # openings
    **{f"opening {i}": (partial(edit_value, i), Reason.CONSTRAINTS) for i in range(9 + 6 + 3)},
    "chunks swapped": (
        lambda p: replace(p, openings=(*p.openings[:-3], p.openings[-2], p.openings[-3], p.openings[-1])),
        Reason.CONSTRAINTS,
    ),
    "row and next row swapped": (
        lambda p: replace(p, openings=(p.openings[9], *p.openings[1:9], p.openings[0], *p.openings[10:])),
        Reason.CONSTRAINTS,
    ),
    # nonces that must be zero
    "lookup nonce": (lambda p: replace(p, lookup_nonce=1), Reason.GRINDING),
    "constraint nonce": (lambda p: replace(p, constraint_nonce=2**63), Reason.GRINDING),
    "zeta nonce": (lambda p: replace(p, zeta_nonce=1), Reason.GRINDING),
    "batching nonce": (lambda p: replace(p, batching_nonce=1), Reason.GRINDING),
    "fri nonce": (lambda p: replace(p, fri_nonces=(0, 1)), Reason.GRINDING),
    "query nonce": (lambda p: replace(p, query_nonce=1), Reason.GRINDING),
    # opened leaves
    "salt": (lambda p: edit_tree(p, 0, lambda o: edit_opening(o, 0, 0)), Reason.COMMITMENT),
    "base word": (lambda p: edit_tree(p, 0, lambda o: edit_opening(o, 1, 16)), Reason.COMMITMENT),
    "lookup word": (lambda p: edit_tree(p, 1, lambda o: edit_opening(o, 2, 20)), Reason.COMMITMENT),
    "mask word": (lambda p: edit_tree(p, 2, lambda o: edit_opening(o, 3, 16 + 4 * 15)), Reason.COMMITMENT),
    "layer 0 word": (lambda p: edit_layer(p, 0, lambda o: edit_opening(o, 0, 16)), Reason.FRI_LAYER),
    "layer 1 salt": (lambda p: edit_layer(p, 1, lambda o: edit_opening(o, 0, 15)), Reason.FRI_LAYER),
    "leaves swapped": (
        lambda p: edit_tree(p, 0, lambda o: replace(o, messages=o.messages[::-1])),
        Reason.COMMITMENT,
    ),
    "siblings swapped": (lambda p: edit_tree(p, 2, swap_siblings), Reason.COMMITMENT),
    "layer siblings swapped": (lambda p: edit_layer(p, 0, swap_siblings), Reason.FRI_LAYER),
    # counts
    "one sibling fewer": (
        lambda p: edit_tree(p, 1, lambda o: replace(o, siblings=o.siblings[:-1])),
        Reason.COMMITMENT,
    ),
    "one sibling more": (
        lambda p: edit_tree(p, 1, lambda o: replace(o, siblings=(*o.siblings, FLIPPED))),
        Reason.COMMITMENT,
    ),
    "one layer sibling more": (
        lambda p: edit_layer(p, 1, lambda o: replace(o, siblings=(*o.siblings, FLIPPED))),
        Reason.FRI_LAYER,
    ),
    "one query fewer": (lambda p: edit_all_trees(p, drop), Reason.MALFORMED),
    "one query twice": (lambda p: edit_all_trees(p, duplicate), Reason.MALFORMED),
    "one layer leaf fewer": (lambda p: edit_layer(p, 0, drop), Reason.MALFORMED),
}


@pytest.mark.negative
@pytest.mark.parametrize("change", TAMPERED)
def test_one_change_one_reason(change: str) -> None:
    """Without proof of work, so that the check which is meant speaks first."""
    edit, reason = TAMPERED[change]
    proof = edit(parsed("ledger", FREE))
    refused(reason, ledger(), proof.to_bytes(), FREE)


RESIZED: dict[str, Change] = {
    "final polynomial longer": (lambda p: replace(p, final=(*p.final, p.final[0]))),
    "final polynomial shorter": (lambda p: replace(p, final=p.final[:-1])),
    "one opening more": (lambda p: replace(p, openings=(*p.openings, ext_one))),
    "one layer fewer": (
        lambda p: replace(p, fri_roots=p.fri_roots[:1], fri_nonces=p.fri_nonces[:1], layers=p.layers[:1])
    ),
    "wider row": (lambda p: edit_tree(p, 0, lambda o: replace(o, messages=tuple(m + bytes(4) for m in o.messages)))),
}


@pytest.mark.negative
@pytest.mark.parametrize("change", RESIZED)
def test_sections_have_one_length(change: str) -> None:
    """What is read next is then something else, so the reason is the first of three that the bytes give."""
    proof = RESIZED[change](parsed("ledger", FREE))
    with pytest.raises(MalformedProof) as caught:
        verify(ledger(), proof.to_bytes(), FREE)
    if caught.value.reason not in (Reason.MALFORMED, Reason.NON_CANONICAL, Reason.TRAILING_BYTES):
        pytest.fail(str(caught.value))


@pytest.mark.negative
@pytest.mark.parametrize("nonce", ["lookup", "constraint", "zeta", "batching", "query"])
def test_a_nonce_serves_once(nonce: str) -> None:
    """Zero, the next number and the nonces of the other challenges are refused."""
    proof = parsed("ledger")
    fields = [f"{name}_nonce" for name in ("lookup", "constraint", "zeta", "batching", "query")]
    mine = f"{nonce}_nonce"
    others = {0, getattr(proof, mine) + 1, *(getattr(proof, field) for field in fields)} - {getattr(proof, mine)}
    for other in others:
        changes: dict[str, int] = {mine: other}
        refused(Reason.GRINDING, ledger(), replace(proof, **changes).to_bytes())  # type: ignore[arg-type]


@pytest.mark.negative
@pytest.mark.parametrize(
    ("first", "reason"), [("base_root", Reason.GRINDING), ("final", Reason.GRINDING), ("trees", Reason.COMMITMENT)]
)
def test_parts_of_another_proof_of_the_same_statement(first: str, reason: Reason) -> None:
    other = parse_proof(prove(fibonacci(), seed=b"other"), fibonacci().relation.system, TEST, 10)
    proof = parsed("fibonacci")
    pieces = {first: getattr(other, first)}
    refused(reason, fibonacci(), replace(proof, **pieces).to_bytes())


# Another statement, circuit, height or parameters.


def other_relations() -> dict[str, Relation]:
    relation = ledger().relation
    system = relation.system
    return {
        "binding": replace(relation, binding=bytes(32)),
        "one bit of the binding": replace(relation, binding=relation.binding[:-1] + b"\x21"),
        "circuit": replace(relation, system=replace(system, name="toy_ledger_v2")),
        "a constraint fewer": replace(relation, system=replace(system, constraints=system.constraints[:-1])),
        "public value": replace(relation, publics={**relation.publics, "grant": (3, 1, 4, 1, 5, 9, 2, 6, 6)}),
        "public pad": replace(relation, publics={**relation.publics, "top": (5, 5, 6, 7, 8)}),
        "terminal": replace(relation, terminal=lambda r, alpha, beta: ext_one),
    }


def other_blocks() -> dict[str, Relation]:
    relation = blocks().relation

    def shifted(scalars: Mapping[str, Ext]) -> dict[str, tuple[int, ...]]:
        return {name: (*words[1:], words[0]) for name, words in block_places(scalars).items()}

    def of_another_r(scalars: Mapping[str, Ext]) -> dict[str, tuple[int, ...]]:
        return block_places({**scalars, "r": bump(scalars["r"])})

    return {
        "derived columns of other rows": replace(relation, derived=shifted),
        "derived columns of another challenge": replace(relation, derived=of_another_r),
        "a scalar": replace(relation, scalars=lambda *drawn: {"losses": bump(relation.scalars(*drawn)["losses"])}),
        "a period twice as long": replace(relation, publics={**relation.publics, "ends": (0, 0, 0, 1, 0, 0, 0, 0)}),
    }


@pytest.mark.negative
@pytest.mark.parametrize("change", other_relations())
def test_another_relation_is_refused(change: str) -> None:
    """Public columns and terminal do not enter the transcript here (the statement's digest does): step 7 stops them."""
    relation = other_relations()[change]
    case = Case(relation, {})
    bound = change in ("public value", "public pad", "terminal")
    refused(Reason.CONSTRAINTS if bound else Reason.GRINDING, case, honest("ledger"))
    refused(Reason.CONSTRAINTS, case, honest("ledger", FREE), FREE)


@pytest.mark.negative
@pytest.mark.parametrize("change", other_blocks())
def test_other_columns_from_challenges_are_refused(change: str) -> None:
    """The witness commits to nothing but the digits: step 7 alone stops these."""
    refused(Reason.CONSTRAINTS, Case(other_blocks()[change], {}), honest("blocks", FREE), FREE)


@pytest.mark.negative
def test_other_parameters_are_refused() -> None:
    for params in (replace(TEST, name="other"), replace(TEST, query_grinding_bits=7), RATE_QUARTER):
        refused(Reason.GRINDING, ledger(), honest("ledger"), params)
    refused(Reason.GRINDING, ledger(), honest("ledger", FREE))
    with pytest.raises(VerificationError):
        verify(ledger(), honest("ledger"), replace(TEST, queries=5))


@pytest.mark.negative
def test_other_heights_are_refused() -> None:
    for log2_rows in (11, 12, 17, 21, 22):
        relation = replace(ledger().relation, log2_rows=log2_rows)
        with pytest.raises(MalformedProof):
            verify_stark(relation, TEST, honest("ledger"))
    for log2_rows in (-1, 0, 9, 24, 25, 64):
        with pytest.raises(UnacceptableParameters):
            verify_stark(replace(ledger().relation, log2_rows=log2_rows), TEST, honest("ledger"))


@pytest.mark.negative
@pytest.mark.parametrize("profile", PROFILES)
def test_a_test_proof_is_nothing_in_production(profile: str) -> None:
    for log2_rows in (11, 17):
        relation = replace(ledger().relation, log2_rows=log2_rows)
        with pytest.raises(VerificationError):
            verify_stark(relation, PROFILES[profile], honest("ledger"))


# Every byte.

PARTS = 8


@pytest.mark.negative
@pytest.mark.parametrize("part", range(PARTS))
def test_every_byte_counts(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte of one proof changed, to a random other value: refused by name and by nothing else."""
    monkeypatch.setattr(stark, "domain_multipliers", cache(domain_multipliers))  # the slowest function of zeta alone
    data, relation, rng = honest("fibonacci"), fibonacci().relation, random.Random(part)
    for index in range(part, len(data), PARTS):
        changed = bytearray(data)
        changed[index] ^= rng.randrange(1, 256)
        try:
            verify_stark(relation, TEST, bytes(changed))
        except VerificationError:
            continue
        pytest.fail(f"byte {index} of {len(data)} does not matter")


@pytest.mark.negative
def test_random_damage_is_refused_by_name() -> None:
    """Bytes cut out, doubled, moved or overwritten in longer runs."""
    data, relation, rng = honest("ledger"), ledger().relation, random.Random(3)
    for _ in range(300):
        start, length = rng.randrange(len(data)), rng.choice((1, 4, 20, 32, 100, 1000))
        piece = data[start : start + length]
        changed = rng.choice(
            (
                data[:start] + data[start + length :],
                data[:start] + piece + data[start:],
                data[:start] + rng.randbytes(len(piece)) + data[start + length :],
                piece + data[:start] + data[start + length :],
                data[:start] + bytes(len(piece)) + data[start + length :],
            )
        )
        if changed == data:
            continue
        with pytest.raises(VerificationError):
            verify_stark(relation, TEST, changed)


@pytest.mark.parametrize("at", range(1, 5))
def test_one_coordinate_outside_the_base_field_is_enough(at: int) -> None:
    _refuse_base_field("r", tuple(int(k in (0, at)) for k in range(5)))  # type: ignore[arg-type]
