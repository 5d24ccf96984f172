"""Quorum certificates: several validators, each with the ledger of its own, sign one state of it with BLS.

Signed is (exchange, sequence, ledger state, root of all accounts). Signatures over one message add up to one, which
is checked against the sum of the keys (draft-irtf-cfrg-bls-signature with proofs of possession; the ciphersuite of
Ethereum's consensus). Somebody who may choose their key after the others' can choose it so that they alone sign for all
(a rogue key): so each key comes with a proof that its secret is known, and is counted only with it.

`py_ecc` is plain Python: about 0.4 s for a certificate and as much again for each signer's proof.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

from verifier.canonical import Record, dumps, read_document, refuse
from verifier.errors import Reason
from verifier.files import read_file
from verifier.statement import EXCHANGE_CHARACTERS_MAX, Statement

MESSAGE_FORMAT: Final = "solvent/quorum-message/v1"
CERTIFICATE_FORMAT: Final = "solvent/quorum/v1"
VOTE_FORMAT: Final = "solvent/validator-signature/v1"
VALIDATORS_FORMAT: Final = "solvent/validators/v1"
REGISTRATION_FORMAT: Final = "solvent/validator/v1"
QUORUM_FILE: Final = "quorum.json"
KEY_BYTES, SIGNATURE_BYTES, DIGEST_BYTES = 48, 96, 32
VALIDATORS_MAX: Final = 256
FILE_BYTES_MAX: Final = 1 << 18
NAME_CHARACTERS_MAX: Final = 64
POSSESSIONS_KEPT: Final = 1024
STATE_KEYS: Final = ("exchange", "sequence", "ledger_state", "root")
_VALIDATOR_KEYS: Final = ("name", "public_key", "proof_of_possession")


@dataclass(frozen=True, slots=True)
class State:
    """What validators agree on. Both digests are 64 hex digits, spelled as in the statement."""

    exchange: str
    sequence: int
    ledger_state: str
    root: str

    @classmethod
    def of(cls, statement: Statement) -> State:
        """The state that a statement is about."""
        ledger_state, root = statement.ledger_state.hex(), statement.root.hex()
        return cls(statement.exchange, statement.sequence, ledger_state, root)

    @classmethod
    def read(cls, top: Record) -> State:
        """The four fields of a document."""
        return cls(
            top.text("exchange", EXCHANGE_CHARACTERS_MAX),
            top.integer("sequence", 0, 2**53 - 1),
            top.raw("ledger_state", DIGEST_BYTES).hex(),
            top.raw("root", DIGEST_BYTES).hex(),
        )

    def data(self) -> dict[str, object]:
        """As JSON."""
        return {key: getattr(self, key) for key in STATE_KEYS}

    @property
    def message(self) -> bytes:
        """The bytes that are signed."""
        return dumps({"format": MESSAGE_FORMAT, **self.data()})

    def require(self, expected: State, name: str) -> None:
        """Raises BadQuorum, naming the field, unless this is `expected`."""
        for key in STATE_KEYS:
            got, wanted = getattr(self, key), getattr(expected, key)
            if got != wanted:
                refuse(f"{name}.{key}", str(wanted), got, Reason.QUORUM)


@dataclass(frozen=True, slots=True)
class Validator:
    """A key (48 bytes) and the proof that somebody knows its secret (96 bytes)."""

    name: str
    key: bytes
    possession: bytes

    def data(self) -> dict[str, object]:
        """As JSON."""
        return {"name": self.name, "public_key": self.key.hex(), "proof_of_possession": self.possession.hex()}

    def to_bytes(self) -> bytes:
        """What a validator gives to whoever keeps the list."""
        return dumps({"format": REGISTRATION_FORMAT, **self.data()})


@dataclass(frozen=True, slots=True)
class Validators:
    """Who may sign, sorted by key, and how many of them it takes: more than half, so that two certificates of one
    sequence share a signer."""

    quorum: int
    members: tuple[Validator, ...]

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        validators = [member.data() for member in self.members]
        return dumps({"format": VALIDATORS_FORMAT, "quorum": self.quorum, "validators": validators})


@dataclass(frozen=True, slots=True)
class Vote:
    """One validator's signature."""

    state: State
    key: bytes
    signature: bytes

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        signed = {"public_key": self.key.hex(), "signature": self.signature.hex()}
        return dumps({"format": VOTE_FORMAT, **self.state.data(), **signed})


@dataclass(frozen=True, slots=True)
class Certificate:
    """The sum of several validators' signatures. `signers`: their keys, sorted."""

    state: State
    signers: tuple[bytes, ...]
    signature: bytes

    def to_bytes(self) -> bytes:
        """quorum.json."""
        signers = [{"public_key": key.hex()} for key in self.signers]
        return dumps(
            {
                "format": CERTIFICATE_FORMAT,
                **self.state.data(),
                "signers": signers,
                "signature": self.signature.hex(),
            }
        )


@dataclass(frozen=True, slots=True)
class Quorum:
    """A certificate that holds. `names`: of those who signed; `needed` of `members` had to."""

    state: State
    names: tuple[str, ...]
    needed: int
    members: int

    @property
    def summary(self) -> str:
        """One line."""
        return (
            f"{len(self.names)} of {self.members} validators signed, {self.needed} are needed: {', '.join(self.names)}"
        )

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {"signers": list(self.names), "needed": self.needed, "validators": self.members, **self.state.data()}


def new_secret() -> int:
    """A fresh secret key: KeyGen of the draft, from 32 random bytes."""
    import secrets

    return int(_bls().KeyGen(secrets.token_bytes(32)))


def register(secret: int, name: str) -> Validator:
    """The public part of a key, with its proof of possession."""
    bls = _bls()
    return Validator(name, bytes(bls.SkToPk(secret)), bytes(bls.PopProve(secret)))


def vote(secret: int, state: State) -> Vote:
    """Sign a state. Whoever calls this has recomputed it."""
    bls = _bls()
    return Vote(state, bytes(bls.SkToPk(secret)), bytes(bls.Sign(secret, state.message)))


def make_validators(members: Sequence[Validator], quorum: int | None = None) -> Validators:
    """A list of validators, each key's proof of possession verified.

    Args:
        quorum: default: more than two thirds.

    Raises:
        BadQuorum: a proof does not hold, a name or a key comes twice, or the quorum is not more than half.
    """
    if quorum is None:
        quorum = 2 * len(members) // 3 + 1
    ordered = Validators(quorum, tuple(sorted(members, key=lambda member: member.key)))
    validators = parse_validators(ordered.to_bytes())
    for member in validators.members:
        _require_possession(member)
    return validators


def aggregate(votes: Sequence[Vote], validators: Validators) -> Certificate:
    """Add up the votes for one state, each checked first: a bad one would spoil the sum, and nobody could tell whose.

    Raises:
        BadQuorum: no vote, another state, an unknown key, a key twice, a bad signature, or too few.
    """
    bls = _bls()
    for each in votes:
        each.state.require(votes[0].state, f"vote of {each.key.hex()[:16]}")
    ordered = sorted(votes, key=lambda each: each.key)
    signers = tuple(each.key for each in ordered)
    _signers(signers, validators, validators.quorum, "votes")
    for each in ordered:
        if not bls.Verify(each.key, each.state.message, each.signature):
            refuse(f"vote of {each.key.hex()[:16]}", "its signature of this state", "another", Reason.QUORUM)
    return Certificate(votes[0].state, signers, bytes(bls.Aggregate([each.signature for each in ordered])))


def check_quorum(data: bytes, validators: Validators, statement: Statement, *, quorum: int | None = None) -> Quorum:
    """The verdict's hook: does `quorum.json` certify this statement?

    Args:
        validators: whom the caller relies on.
        quorum: how many the caller wants, instead of what the list says; never less than more than half.

    Raises:
        MalformedProof: it does not decode.
        BadQuorum: QUORUM, it is for another state, or not enough distinct validators with proven keys signed it.
    """
    certificate = parse_certificate(data)
    certificate.state.require(State.of(statement), "quorum")
    needed = validators.quorum if quorum is None else quorum
    _require_majority(needed, len(validators.members))
    members = _signers(certificate.signers, validators, needed, "quorum.signers")
    for member in members:
        _require_possession(member)
    if not _bls().FastAggregateVerify(certificate.signers, certificate.state.message, certificate.signature):
        refuse("quorum.signature", "the sum of the signers' signatures", "another", Reason.QUORUM)
    return Quorum(certificate.state, tuple(m.name for m in members), needed, len(validators.members))


def require_certificate(publication: Path, validators: Validators, statement: Statement) -> Quorum:
    """`check_quorum` of a publication's own quorum.json, which has to be there."""
    return check_quorum(read_file(publication / QUORUM_FILE, FILE_BYTES_MAX), validators, statement)


def parse_certificate(data: bytes) -> Certificate:
    """Read quorum.json. Nothing is verified."""
    top = read_document(data, FILE_BYTES_MAX, "quorum", CERTIFICATE_FORMAT, (*STATE_KEYS, "signers", "signature"))
    signers = tuple(
        item.raw("public_key", KEY_BYTES) for item in top.records("signers", ("public_key",), VALIDATORS_MAX)
    )
    return Certificate(State.read(top), signers, top.raw("signature", SIGNATURE_BYTES))


def parse_vote(data: bytes) -> Vote:
    """Read one validator's signature. Nothing is verified."""
    top = read_document(data, FILE_BYTES_MAX, "vote", VOTE_FORMAT, (*STATE_KEYS, "public_key", "signature"))
    return Vote(State.read(top), top.raw("public_key", KEY_BYTES), top.raw("signature", SIGNATURE_BYTES))


def parse_registration(data: bytes) -> Validator:
    """Read what a validator gave. Its proof is not verified."""
    return _validator(read_document(data, FILE_BYTES_MAX, "validator", REGISTRATION_FORMAT, _VALIDATOR_KEYS))


def parse_validators(data: bytes) -> Validators:
    """Read a list. Proofs of possession are verified when a certificate is, for those who signed it."""
    top = read_document(data, FILE_BYTES_MAX, "validators", VALIDATORS_FORMAT, ("quorum", "validators"))
    members = [_validator(item) for item in top.records("validators", _VALIDATOR_KEYS, VALIDATORS_MAX)]
    keys, names = [member.key for member in members], [member.name for member in members]
    if sorted(set(keys)) != keys:
        refuse("validators.validators", "each key once, sorted", "others", Reason.QUORUM)
    if len(set(names)) != len(names):
        refuse("validators.validators", "each name once", "a name twice", Reason.QUORUM)
    quorum = top.integer("quorum", 1, VALIDATORS_MAX)
    _require_majority(quorum, len(members))
    return Validators(quorum, tuple(members))


def _validator(item: Record) -> Validator:
    name = item.symbol("name", NAME_CHARACTERS_MAX)
    return Validator(name, item.raw("public_key", KEY_BYTES), item.raw("proof_of_possession", SIGNATURE_BYTES))


def _require_majority(quorum: int, members: int) -> None:
    if not members < 2 * quorum <= 2 * members:
        refuse("validators.quorum", f"more than half of {members}, and at most all", quorum, Reason.QUORUM)


def _signers(keys: Sequence[bytes], validators: Validators, needed: int, where: str) -> list[Validator]:
    """The validators with these keys: known, distinct, enough."""
    known = {member.key: member for member in validators.members}
    for key in keys:
        if key not in known:
            refuse(where, "keys of registered validators", key.hex(), Reason.QUORUM)
    if sorted(set(keys)) != list(keys):
        refuse(where, "each key once, sorted", _first_repeated(keys), Reason.QUORUM)
    if len(keys) < needed:
        refuse(where, f"at least {needed} of {len(known)} validators", len(keys), Reason.QUORUM)
    return [known[key] for key in keys]


def _first_repeated(keys: Collection[bytes]) -> str:
    seen: set[bytes] = set()
    for key in keys:
        if key in seen:
            return f"twice {key.hex()}"
        seen.add(key)
    return "another order"


def _require_possession(member: Validator) -> None:
    if not _possesses(member.key, member.possession):
        where = f"validators, proof of possession of {member.name}"
        refuse(where, "that its secret key is known", "another signature", Reason.QUORUM)


@lru_cache(POSSESSIONS_KEPT)
def _possesses(key: bytes, possession: bytes) -> bool:
    return bool(_bls().PopVerify(key, possession))


@cache
def _bls() -> Any:
    """The ciphersuite; its own types are newer names for bytes.

    Importing it raises the interpreter's recursion limit, under which a deeply nested document would crash a decoder
    instead of being refused: the limit is put back.
    """
    limit = sys.getrecursionlimit()
    from py_ecc.bls.ciphersuites import G2ProofOfPossession

    sys.setrecursionlimit(limit)
    return G2ProofOfPossession
