"""The proof file: strict, and writing undoes parsing."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.verifier.toy_circuits import ledger
from tests.verifier.toy_proofs import CASES, FREE, RATE_QUARTER, expect, honest, parsed, refused
from verifier.encoding import pack_exts
from verifier.errors import MalformedProof, Reason, VerificationError
from verifier.field import P
from verifier.params import TEST
from verifier.proof import MAGIC, Opening, parse_proof, proof_bytes_max
from verifier.protocol import opened_values
from verifier.stark import verify_stark

SYSTEM = ledger().relation.system
ROWS = ledger().relation.log2_rows


@pytest.mark.parametrize("name", CASES)
def test_writing_undoes_parsing(name: str) -> None:
    system = CASES[name]().relation.system
    for params in (TEST, FREE):
        data = honest(name, params)
        assert parse_proof(data, system, params, ROWS).to_bytes() == data
        assert len(data) <= proof_bytes_max(system, params, ROWS)


def test_the_longest_proof() -> None:
    """Every query at a place of its own, and no digest shared by two paths."""
    proof = parsed("ledger")

    def longest(opening: Opening, depth: int) -> Opening:
        return Opening(TEST.queries * opening.messages[:1], TEST.queries * depth * (bytes(32),))

    big = replace(
        proof,
        trees=tuple(longest(tree, TEST.log2_points(ROWS)) for tree in proof.trees),
        layers=tuple(longest(layer, TEST.layer_depth(ROWS, i)) for i, layer in enumerate(proof.layers)),
    )
    data = big.to_bytes()
    assert parse_proof(data, SYSTEM, TEST, ROWS) == big
    # The number of positions is written once, and counted once more for each of the three trees.
    assert proof_bytes_max(SYSTEM, TEST, ROWS) - len(data) == 3 * 4


def test_the_file_begins_as_the_protocol_says() -> None:
    proof = parsed("ledger")
    head = MAGIC + proof.base_root + struct.pack("<Q", proof.lookup_nonce) + proof.lookup_root
    head += struct.pack("<Q", proof.constraint_nonce) + proof.quotient_root + struct.pack("<Q", proof.zeta_nonce)
    head += pack_exts(proof.openings) + struct.pack("<Q", proof.batching_nonce)
    for root, nonce in zip(proof.fri_roots, proof.fri_nonces, strict=True):
        head += root + struct.pack("<Q", nonce)
    head += pack_exts(proof.final) + struct.pack("<Q", proof.query_nonce)
    assert honest("ledger").startswith(head + struct.pack("<I", len(proof.trees[0].messages)))
    assert len(proof.openings) == opened_values(SYSTEM) == 9 + 6 + 3
    assert len(proof.final) == 16


@pytest.mark.negative
def test_every_shorter_file_is_refused() -> None:
    data = honest("ledger")
    for size in range(len(data)):
        with pytest.raises(MalformedProof) as caught:
            parse_proof(data[:size], SYSTEM, TEST, ROWS)
        expect(Reason.MALFORMED, caught.value)


@pytest.mark.negative
@pytest.mark.parametrize("tail", [b"\0", b"\n", bytes(1000), MAGIC])
def test_nothing_may_follow(tail: bytes) -> None:
    refused(Reason.TRAILING_BYTES, ledger(), honest("ledger") + tail)
    refused(Reason.TRAILING_BYTES, ledger(), honest("ledger") * 2)


@pytest.mark.negative
@pytest.mark.parametrize("magic", [b"SOLVPRF2", b"solvprf1", bytes(8)])
def test_another_version_is_refused(magic: bytes) -> None:
    refused(Reason.UNKNOWN_VERSION, ledger(), magic + honest("ledger")[8:])


def sections() -> dict[str, int]:
    """Offset of the first byte of some parts of the ledger's proof."""
    proof = parsed("ledger")
    openings = 8 + 3 * 32 + 3 * 8
    final = openings + 20 * len(proof.openings) + 8 + 40 * len(proof.fri_roots)
    count = final + 20 * len(proof.final) + 8
    out = {"openings": openings, "final": final, "positions": count}
    at = count + 4
    for name, tree in zip(("base", "lookup", "quotient"), proof.trees, strict=True):
        out[name] = at
        at += sum(map(len, tree.messages))
        out[f"{name} digests"] = at
        at += 4 + 32 * len(tree.siblings)
    for k, layer in enumerate(proof.layers):
        out[f"leaves {k}"] = at
        out[f"layer {k}"] = at + 4
        at += 4 + sum(map(len, layer.messages))
        out[f"layer {k} digests"] = at
        at += 4 + 32 * len(layer.siblings)
    assert at == len(honest("ledger"))
    return out


WORDS: dict[str, Callable[[int], int]] = {
    "openings": lambda at: at,
    "final": lambda at: at,
    **{name: lambda at: at + 16 for name in ("base", "lookup", "quotient", "layer 0", "layer 1")},
}


@pytest.mark.negative
@pytest.mark.parametrize("section", WORDS)
def test_a_word_plus_p_is_refused(section: str) -> None:
    """x + p fits in 32 bits and stands for the same element."""
    data = bytearray(honest("ledger"))
    at = WORDS[section](sections()[section])
    for word in (int.from_bytes(data[at : at + 4], "little") + P, P, 2**32 - 1):
        data[at : at + 4] = word.to_bytes(4, "little")
        refused(Reason.NON_CANONICAL, ledger(), bytes(data))


@pytest.mark.negative
@pytest.mark.parametrize("name", ["positions", "base digests", "quotient digests", "leaves 0", "layer 1 digests"])
@pytest.mark.parametrize("value", [0, 5, 1000, 2**31, 2**32 - 1])
def test_counts_are_bounded_before_anything_is_built(name: str, value: int) -> None:
    """Zero queries, more than the verifier asked for, and giant lengths."""
    data = bytearray(honest("ledger"))
    at = sections()[name]
    if int.from_bytes(data[at : at + 4], "little") == value:
        value += 1
    data[at : at + 4] = value.to_bytes(4, "little")
    with pytest.raises(MalformedProof) as caught:
        parse_proof(bytes(data), SYSTEM, TEST, ROWS)
    if caught.value.reason not in (Reason.MALFORMED, Reason.NON_CANONICAL, Reason.TRAILING_BYTES):
        pytest.fail(str(caught.value))


@pytest.mark.negative
def test_a_proof_for_other_numbers_does_not_parse() -> None:
    """The file cannot choose height or circuit: the sections of another choice have other lengths."""
    data = honest("ledger")
    for system, params, log2_rows in (
        (SYSTEM, TEST, ROWS + 1),
        (SYSTEM, TEST, ROWS + 3),
        (CASES["fibonacci"]().relation.system, TEST, ROWS),
    ):
        with pytest.raises(MalformedProof):
            parse_proof(data, system, params, log2_rows)
    # The rate changes no length. It is bound by the transcript, and the file has no say in it.
    refused(Reason.GRINDING, ledger(), data, RATE_QUARTER)


@pytest.mark.negative
def test_noise_is_refused_by_name() -> None:
    rng, relation = random.Random(5), ledger().relation
    good = honest("ledger")
    for trial in range(400):
        size = rng.randrange(0, len(good) * 2)
        data = rng.randbytes(size) if trial % 2 else good[: rng.randrange(len(good))] + rng.randbytes(size)
        with pytest.raises(VerificationError):
            verify_stark(relation, TEST, data)
