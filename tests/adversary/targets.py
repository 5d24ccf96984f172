"""Every reader and check of the verifier that takes bytes from outside, each as one function for fuzzing and replays.

Where a document has one meaning only, the target is strict: what is accepted has to say what an honest one says. Where
it may say many things, it has to be written again as the same bytes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

from prover.prices import simulate_evidence, sources_text
from tests.adversary import seeds
from tests.adversary.bundles import meaning, remembered_hashes
from tests.adversary.proofs import toy
from tests.adversary.seeds import Published
from tests.verifier.log.signers import LOG_VKEY, policy_text, root, signed
from tests.verifier.test_reserves_evidence import DOCUMENT, RESERVES, STATEMENT
from tests.verifier.toy_proofs import FREE
from verifier.canonical import Record, dumps, loads
from verifier.errors import VerificationError
from verifier.fund import check_fund
from verifier.inclusion import check_bundle
from verifier.instruments import KINDS, instruments_data, read_instruments, read_scenarios, scenarios_data
from verifier.log.check import check_documents
from verifier.log.checkpoint import open_checkpoint, parse_checkpoint
from verifier.log.fraud import verify_fraud
from verifier.log.note import COSIGNATURE_V1, ED25519, format_note, parse_note, parse_vkey
from verifier.log.policy import parse_policy
from verifier.log.proof import parse_log_proof
from verifier.log.tiles import Tiles, pack_entries, unpack_entries
from verifier.manifest import check_file_proof, parse_entry, parse_manifest
from verifier.opening import check_opening
from verifier.prices import check_evidence, parse_evidence
from verifier.proof import parse_proof
from verifier.quotes import parse_signed_quotes, read_sources
from verifier.receipt import parse_receipt
from verifier.reserves import parse_reserves
from verifier.reserves_evidence import check_reserves_evidence, parse_reserves_evidence
from verifier.shards import check_shards, parse_shard
from verifier.statement import parse_statement

SPLIT = b"\n--\n"
"""Between two files in the input of a target that takes two."""
Check = Callable[[bytes], object]


class Faulty(Exception):
    """Accepted, and should not have been."""


@dataclass(frozen=True)
class Target:
    """One reader.

    Args:
        read: takes untrusted bytes; returns what they say, or raises a refusal.
        honest: documents to start from, made when first asked for.
        refusals: what a refusal may be.
        strict: what is accepted has to say what one of the honest documents says.
        bytes_max: of inputs that fuzzing makes.
    """

    read: Check
    honest: Callable[[], Sequence[bytes]]
    refusals: tuple[type[Exception], ...] = (VerificationError,)
    strict: bool = False
    bytes_max: int = 16_384

    def __call__(self, data: bytes) -> None:
        """Refuse or accept; a refusal is no exception here. Raises Faulty, or whatever escapes."""
        try:
            said = self.read(data)
        except self.refusals:
            return
        if self.strict and said not in self._sayings():
            raise Faulty("accepted with another meaning")

    def _sayings(self) -> list[object]:
        return _sayings(self.read, self.honest)


@cache
def _sayings(read: Check, honest: Callable[[], Sequence[bytes]]) -> list[object]:
    return [read(data) for data in honest()]


def same(data: bytes, again: bytes) -> bytes:
    """What was read has one spelling only."""
    if data != again:
        raise Faulty(f"read, and written again as other bytes: {again[:200]!r}")
    return data


def _canonical(data: bytes) -> object:
    return same(data, dumps(loads(data, 2**16)))


def _statement(data: bytes) -> object:
    statement = parse_statement(data)
    _ = statement.legs, statement.outputs, statement.special_rows, statement.header_digest
    return same(data, statement.to_bytes())


def _instruments(data: bytes) -> object:
    """Tables by themselves: most statements are refused before theirs is looked at."""
    top = Record(loads(data, 2**16), "tables", ("instruments", "scenarios"))
    instruments = read_instruments(top, "stress", KINDS, True, 16)
    scenarios = read_scenarios(top, "stress", 10, instruments)
    return same(data, dumps(_tables(instruments, scenarios)))


def _tables(instruments: Any, scenarios: Any) -> dict[str, object]:
    return {"instruments": instruments_data(instruments), "scenarios": scenarios_data(scenarios)}


def first(data: bytes, *reads: Check) -> object:
    """What the first reader says that accepts; the last refusal where none does."""
    for read in reads[:-1]:
        with contextlib.suppress(VerificationError):
            return read(data)
    return reads[-1](data)


def _bundle(data: bytes) -> object:
    """Against each of two publications; alone, too, but any root may be claimed there."""
    with remembered_hashes():
        with contextlib.suppress(VerificationError):
            check_bundle(data)
        first(data, *(partial(check_bundle, statement=seeds.small(risky).statement) for risky in (False, True)))
    return data


def _opening(data: bytes) -> object:
    with remembered_hashes():
        check_opening(data, seeds.small(True).statement)
    return data


def _fund(data: bytes) -> object:
    with remembered_hashes():
        check_fund(data, seeds.small(True).statement)
    return data


def _receipt(data: bytes) -> object:
    receipt = parse_receipt(data)
    same(data, receipt.to_bytes())
    statement = parse_statement(receipt.statement)
    check_documents(receipt.manifest, receipt.log_proof, statement, seeds.policy())
    with remembered_hashes():
        check_bundle(receipt.bundle, statement)
    return meaning(data)


def _shard(data: bytes) -> object:
    made = seeds.full(True)
    shard = parse_shard(data, made.statement, 1)
    same(data, shard.to_bytes())
    check_shards(made.statement, [made.shards[0], shard, made.shards[2]])
    return data


def _manifest(data: bytes) -> object:
    return same(data, parse_manifest(data).to_bytes())


def _file_proof(data: bytes) -> object:
    manifest = Published.of(True).manifest
    check_file_proof(data, manifest.files[1], manifest.evidence)
    return data


def _entry(data: bytes) -> object:
    return same(data, parse_entry(data).to_bytes())


def _note(data: bytes) -> object:
    return same(data, format_note(parse_note(data)))


def _checkpoint(data: bytes) -> object:
    return open_checkpoint(data, seeds.policy()).checkpoint


def _keys(data: bytes) -> object:
    def read(kind: int) -> Check:
        return lambda text: same(text, parse_vkey(text.decode("utf-8", "replace"), kind).vkey.encode())

    return first(data, read(ED25519), read(COSIGNATURE_V1))


def _policy(data: bytes) -> object:
    policy = parse_policy(data)
    return policy.spoken, policy.is_met([witness.name for witness in policy.witnesses])


def _log_proof(data: bytes) -> object:
    published = Published.of(True)
    proof = parse_log_proof(data)
    same(data, proof.to_bytes())
    check_documents(published.manifest.to_bytes(), data, seeds.full(True).statement, seeds.policy())
    return proof.index, proof.path, parse_checkpoint(proof.checkpoint)[1].text


def _tiles(data: bytes) -> object:
    """A bundle of three entries, and the same bytes as the tiles of a tree of 300 leaves."""
    tiles = Tiles(lambda path: data, 300)
    for make in (tiles.root, lambda: tiles.inclusion(7), lambda: tiles.consistency(200)):
        with contextlib.suppress(VerificationError):
            make()
    return same(data, pack_entries(unpack_entries(data, 3, "entries")))


def _fraud(data: bytes) -> object:
    one, _, other = data.partition(SPLIT)
    fraud = verify_fraud(one, other, [LOG_VKEY])
    return fraud.size, frozenset(fraud.roots)


def _reserves(data: bytes) -> object:
    return parse_reserves(data, seeds.full(True).statement.instruments)


def _reserves_evidence(data: bytes) -> object:
    evidence = parse_reserves_evidence(data)
    _ = evidence.summary, evidence.caveat, evidence.to_json()
    return check_reserves_evidence(data, RESERVES, STATEMENT)


def _prices(data: bytes) -> object:
    made, _ = _priced()
    _ = check_evidence(data, made.statement).summary
    return same(data, parse_evidence(data).to_bytes())


@cache
def _priced() -> tuple[Any, tuple[bytes, bytes]]:
    """A publication, its price file and its sources."""
    made = seeds.full(True)
    evidence, sources = simulate_evidence(made.statement)
    return SimpleNamespace(statement=made.statement), (evidence, sources_text(sources).encode())


def _quotes(data: bytes) -> object:
    return same(data, parse_signed_quotes(data).to_bytes())


def _proof(name: str) -> Check:
    def read(data: bytes) -> object:
        target = toy(name, FREE)
        relation = target.relation
        same(data, parse_proof(data, relation.system, FREE, relation.log2_rows).to_bytes())
        target.verify(data)
        return data

    return read


def _honest_quotes() -> list[bytes]:
    return [quotes.to_bytes() for quotes in parse_evidence(_priced()[1][0]).quotes[:1]]


def _two_heads() -> list[bytes]:
    """Two roots for one size."""
    return [SPLIT.join((signed(5, root("one")), signed(5, root("two"))))]


def _honest_tables() -> list[bytes]:
    statement = seeds.full(True).statement
    return [dumps(_tables(statement.instruments, statement.scenarios))]


TARGETS: Mapping[str, Target] = {
    "canonical": Target(_canonical, lambda: [b'{"a":[1,-2,"x",null,{}],"b":"\\u00e9\\ud83d\\ude00"}\n', b"[]\n"]),
    "statement": Target(_statement, lambda: [seeds.full(risky).statement.to_bytes() for risky in (False, True)]),
    "instruments": Target(_instruments, _honest_tables),
    "bundle": Target(
        _bundle, lambda: [seeds.small(risky).bundle(i) for risky in (False, True) for i in (0, 1, 3)], strict=True
    ),
    "opening": Target(_opening, lambda: [seeds.small(True).opening(level, 0) for level in (1, 2, 4)], strict=True),
    "fund": Target(_fund, lambda: [seeds.small(True).bundle(0)], strict=True),
    "receipt": Target(_receipt, lambda: [seeds.receipt(False, 3), seeds.receipt(True, 0)], strict=True),
    "shard": Target(_shard, lambda: [seeds.full(True).shards[1].to_bytes()], strict=True),
    "manifest": Target(_manifest, lambda: [Published.of(True).manifest.to_bytes()]),
    "file_proof": Target(_file_proof, lambda: [Published.of(True).file_proof], strict=True),
    "entry": Target(_entry, lambda: [Published.of(True).manifest.entry.to_bytes()]),
    "note": Target(_note, lambda: [Published.of(False).checkpoint]),
    "checkpoint": Target(_checkpoint, lambda: [Published.of(True).checkpoint], strict=True),
    "key": Target(_keys, lambda: [LOG_VKEY.vkey.encode()], bytes_max=2048),
    "policy": Target(_policy, lambda: [seeds.POLICY_TEXT, policy_text("a/1", "b/2", "c/3", k=2).encode()]),
    "log_proof": Target(_log_proof, lambda: [Published.of(True).log_proof], strict=True),
    "tiles": Target(_tiles, lambda: [pack_entries([b"one", b"", b"three"]), bytes(range(256)) * 32]),
    "fraud": Target(_fraud, _two_heads, strict=True),
    "reserves": Target(_reserves, lambda: [b"asset,amount\nbtc,1000.00000001\nusdt,0\n"], bytes_max=2048),
    "reserves_evidence": Target(_reserves_evidence, lambda: [dumps(DOCUMENT)]),
    "prices": Target(_prices, lambda: [_priced()[1][0]]),
    "price_sources": Target(read_sources, lambda: [_priced()[1][1]], bytes_max=4096),
    "quotes": Target(_quotes, _honest_quotes),
    "proof_fibonacci": Target(_proof("fibonacci"), lambda: toy("fibonacci", FREE).proofs, strict=True),
    "proof_blocks": Target(_proof("blocks"), lambda: toy("blocks", FREE).proofs, strict=True),
}
"""By name."""
