"""Quorum certificates: known answers, the rogue key, and every way in which too few could look like enough."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from eth_typing import BLSPubkey
from py_ecc.bls.ciphersuites import G2ProofOfPossession
from py_ecc.bls.g2_primitives import G1_to_pubkey, pubkey_to_G1
from py_ecc.optimized_bls12_381.optimized_curve import G1, add, curve_order, multiply, neg

from api.quorum import (
    Certificate,
    State,
    Validator,
    Validators,
    Vote,
    aggregate,
    check_quorum,
    make_validators,
    new_secret,
    parse_certificate,
    parse_registration,
    parse_validators,
    parse_vote,
    register,
    vote,
)
from tests.api.files import ROOT
from tests.verifier.small_tree import publication
from verifier.canonical import dumps
from verifier.errors import BadQuorum, Reason, VerificationError

BLS: Any = G2ProofOfPossession
"""Its own types are newer names for bytes."""
NAMES = ("amber", "birch", "cedar", "delta")
SECRETS = {name: 1_000 + i for i, name in enumerate(NAMES)}
# github.com/ethereum/bls12-381-tests, sign_case_84d45c9c7cca6b92 and verify: secret, key, message, signature.
KNOWN_SECRET = 0x263DBD792F5B1BE47ED85F8938C0F29586AF0D3AC7B977F21C278FE1462040E3
KNOWN_KEY = "a491d1b0ecd9bb917989f0e74f0dea0422eac4a873e5e2644f368dffb9a6e20fd6e10c1b77654d067c0618f6e5a7f79a"
KNOWN_SIGNATURE = (
    "882730e5d03f6b42c3abc26d3372625034e1d871b65a8a6b900a56dae22da98abbe1b68f85e49fe7652a55ec3d0591c2"
    "0767677e33e5cbb1207315c41a9ac03be39c2e7668edc043d6cb1d9fd93033caa8a1c5b0e84bedaeb6c64972503a43eb"
)


@cache
def member(name: str) -> Validator:
    return register(SECRETS[name], name)


@cache
def validators() -> Validators:
    """Four, of whom three have to sign."""
    return make_validators([member(name) for name in NAMES])


@cache
def state() -> State:
    return State.of(publication().statement)


@cache
def vote_of(name: str, sequence: int = 7) -> Vote:
    return vote(SECRETS[name], replace(state(), sequence=sequence))


@cache
def certificate() -> bytes:
    return aggregate([vote_of(name) for name in NAMES[:3]], validators()).to_bytes()


def refused(data: bytes, known: Validators | None = None, **options: Any) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        check_quorum(data, known or validators(), publication().statement, **options)
    return caught.value


def unchecked_sum(names: tuple[str, ...], *, sequence: int = 7) -> Certificate:
    """What somebody makes who leaves out every check."""
    votes = [vote_of(name, sequence) for name in names]
    signature = bytes(BLS.Aggregate([each.signature for each in votes]))
    return Certificate(votes[0].state, tuple(sorted(each.key for each in votes)), signature)


def test_a_known_answer() -> None:
    key = register(KNOWN_SECRET, "known").key
    assert key.hex() == KNOWN_KEY
    signed = bytes(BLS.Sign(KNOWN_SECRET, b"\x56" * 32))
    assert signed.hex() == KNOWN_SIGNATURE


def test_what_is_signed() -> None:
    statement = publication().statement
    assert json.loads(state().message) == {
        "format": "solvent/quorum-message/v1",
        "exchange": statement.exchange,
        "sequence": statement.sequence,
        "ledger_state": statement.ledger_state.hex(),
        "root": statement.root.hex(),
    }


def test_enough_validators() -> None:
    found = check_quorum(certificate(), validators(), publication().statement)
    names = {member(name).key: name for name in NAMES[:3]}
    assert found.names == tuple(names[key] for key in sorted(names))
    assert (found.needed, found.members, found.state) == (3, 4, state())
    assert found.summary.startswith("3 of 4 validators signed, 3 are needed: ")
    assert found.to_json()["signers"] == list(found.names)


def test_documents_read_back() -> None:
    assert parse_certificate(certificate()).to_bytes() == certificate()
    assert parse_validators(validators().to_bytes()) == validators()
    assert parse_registration(member("amber").to_bytes()) == member("amber")
    assert parse_vote(vote_of("amber").to_bytes()) == vote_of("amber")


def test_the_order_of_votes_does_not_matter() -> None:
    votes = [vote_of(name) for name in reversed(NAMES[:3])]
    assert aggregate(votes, validators()).to_bytes() == certificate()


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("exchange", {"exchange": "Zeta"}),
        ("sequence", {"sequence": 8}),
        ("ledger_state", {"ledger_state": bytes(32)}),
        ("root", {"root": bytes(32)}),
    ],
)
def test_a_certificate_fits_one_statement(field: str, change: dict[str, Any]) -> None:
    with pytest.raises(BadQuorum) as caught:
        check_quorum(certificate(), validators(), replace(publication().statement, **change))
    assert caught.value.where["field"] == f"quorum.{field}"


def test_a_certificate_of_another_sequence_cannot_be_relabelled() -> None:
    old = unchecked_sum(NAMES[:3], sequence=6)
    assert refused(old.to_bytes()).where["field"] == "quorum.sequence"
    error = refused(replace(old, state=state()).to_bytes())
    assert error.where["field"] == "quorum.signature"


def test_too_few() -> None:
    few = unchecked_sum(NAMES[:2])
    assert "at least 3 of 4" in str(refused(few.to_bytes()))
    with pytest.raises(BadQuorum, match="at least 3 of 4"):
        aggregate([vote_of(name) for name in NAMES[:2]], validators())
    with pytest.raises(BadQuorum, match="at least 3"):
        aggregate([], validators())


def test_the_caller_may_ask_for_more_but_for_no_minority() -> None:
    assert "at least 4 of 4" in str(refused(certificate(), quorum=4))
    assert "more than half of 4" in str(refused(certificate(), quorum=2))
    assert "more than half of 4" in str(refused(certificate(), quorum=5))


def test_one_validator_several_times_is_one() -> None:
    twice = unchecked_sum(("amber", "amber", "birch"))
    error = refused(twice.to_bytes())
    assert (error.where["field"], "twice" in str(error)) == ("quorum.signers", True)
    with pytest.raises(BadQuorum, match="twice"):
        aggregate([vote_of("amber"), vote_of("amber"), vote_of("birch")], validators())


def test_keys_come_sorted() -> None:
    good = parse_certificate(certificate())
    assert "another order" in str(refused(replace(good, signers=good.signers[::-1]).to_bytes()))


def test_strangers_do_not_count() -> None:
    stranger = register(77, "stranger")
    with_stranger = replace(parse_certificate(certificate()), signers=tuple(sorted((stranger.key, *_keys(2)))))
    assert "keys of registered validators" in str(refused(with_stranger.to_bytes()))
    with pytest.raises(BadQuorum, match="keys of registered validators"):
        aggregate([vote(77, state()), *(vote_of(name) for name in NAMES[:3])], validators())


def _keys(count: int) -> tuple[bytes, ...]:
    return tuple(member(name).key for name in NAMES[:count])


def test_claiming_a_signer_who_did_not_sign() -> None:
    two = unchecked_sum(NAMES[:2])
    claimed = replace(two, signers=tuple(sorted(_keys(3))))
    assert refused(claimed.to_bytes()).where["field"] == "quorum.signature"


@pytest.mark.parametrize("signature", [bytes(96), b"\xc0" + bytes(95), b"\xff" * 96, KNOWN_SIGNATURE])
def test_other_signatures(signature: bytes | str) -> None:
    raw = signature if isinstance(signature, bytes) else bytes.fromhex(signature)
    forged = replace(parse_certificate(certificate()), signature=raw)
    assert refused(forged.to_bytes()).where["field"] == "quorum.signature"


def test_a_bad_vote_is_named_before_it_spoils_the_sum() -> None:
    bad = replace(vote_of("amber"), signature=vote_of("birch").signature)
    with pytest.raises(BadQuorum, match=f"vote of {bad.key.hex()[:16]}"):
        aggregate([bad, vote_of("birch"), vote_of("cedar")], validators())


def test_votes_for_different_states_are_not_added() -> None:
    with pytest.raises(BadQuorum, match="sequence"):
        aggregate([vote_of("amber", 8), vote_of("birch"), vote_of("cedar")], validators())


def test_a_rogue_key_signs_for_all_and_is_refused_for_want_of_a_proof() -> None:
    # A key chosen after the others': its owner alone knows the secret of the sum, and nobody that of the key.
    own = 4_242
    others = [pubkey_to_G1(BLSPubkey(member(name).key)) for name in NAMES[:2]]
    rogue = bytes(G1_to_pubkey(add(multiply(G1, own), neg(add(*others)))))
    alone = vote(own, state())
    keys = (*_keys(2), rogue)
    assert BLS.FastAggregateVerify(keys, state().message, alone.signature)
    # What it cannot have is a proof of possession: neither another key's, nor one of its own making.
    for possession in (register(own, "x").possession, member("amber").possession, alone.signature, b"\xc0" + bytes(95)):
        listed = Validator("rogue", rogue, possession)
        with pytest.raises(BadQuorum, match="proof of possession of rogue"):
            make_validators([member("amber"), member("birch"), listed])
    # A list that somebody else put together is not trusted, either.
    ordered = sorted((member("amber"), member("birch"), listed), key=lambda each: each.key)
    smuggled = parse_validators(Validators(3, tuple(ordered)).to_bytes())
    certified = Certificate(state(), tuple(sorted(keys)), alone.signature)
    assert "proof of possession of rogue" in str(refused(certified.to_bytes(), smuggled))


def test_keys_that_are_no_keys_have_no_proof() -> None:
    for key in (b"\xc0" + bytes(47), bytes(48), b"\xff" * 48):  # the point at infinity, and no points
        with pytest.raises(BadQuorum, match="proof of possession of strange"):
            make_validators([Validator("strange", key, b"\xc0" + bytes(95))])


LISTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a key twice": lambda d: d["validators"].append(d["validators"][-1]),
    "not sorted": lambda d: d["validators"].reverse(),
    "a name twice": lambda d: d["validators"][0].update(name=d["validators"][1]["name"]),
    "half of them": lambda d: d.update(quorum=2),
    "more than all": lambda d: d.update(quorum=5),
    "nobody": lambda d: d.update(validators=[]),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_that_are_refused(name: str) -> None:
    document = json.loads(validators().to_bytes())
    LISTS[name](document)
    with pytest.raises(BadQuorum) as caught:
        parse_validators(dumps(document))
    assert caught.value.reason is Reason.QUORUM


def test_a_quorum_is_more_than_two_thirds_unless_said_otherwise() -> None:
    assert validators().quorum == 3
    assert make_validators([member("amber")]).quorum == 1
    assert make_validators([member(name) for name in NAMES[:3]]).quorum == 3
    assert make_validators([member(name) for name in NAMES[:3]], 2).quorum == 2


def test_secrets_are_fresh_and_in_range() -> None:
    one, two = new_secret(), new_secret()
    assert one != two
    assert 0 < one < curve_order


def test_the_library_leaves_the_recursion_limit_alone() -> None:
    """In a fresh interpreter: here other modules have imported it already."""
    limit = "sys.getrecursionlimit()"
    code = f"import sys; from api.quorum import _bls; a = {limit}; _bls(); print(a, {limit})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    before, after = done.stdout.split()
    assert before == after
