"""The refusals again, with asserts compiled away: `python -O -m tests.run_negative`, run by `make negative`.

Uses no assert and no pytest: each case must end in a `VerificationError` with the expected reason, or the script fails.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from api.importers.accounts import ImportOptions
from api.importers.binance import Invalid, import_binance
from api.reserves.bitcoin import check as check_bitcoin
from api.reserves.evidence import check_again
from api.reserves.results import Status
from prover.bundles import make_bundle, make_opening
from prover.prove import prove
from prover.publication import private_folder, prove_directory
from prover.randomness import Randomness
from tests.api.reserves.signed import outcome_of
from tests.api.reserves.test_bitcoin import ERRORS
from tests.api.reserves.test_evidence import CHANGES, evidence
from tests.api.reserves.test_verify import FORGERIES
from tests.malicious.cases import case_for
from tests.malicious.cases_records import LOSSES, VALUES, with_records
from tests.malicious.changed_statements import AFTERWARDS, REFUSED
from tests.malicious.cheating_prover import CheatingProver, Lookup
from tests.malicious.cheats_records import CHEATS
from tests.malicious.documents import only_shard
from tests.malicious.forge import Forge, Forged
from tests.malicious.published import Published
from tests.malicious.risk_world import RISK, STRESS, honest, risk_world, statement_of
from tests.malicious.sheet import columns_of
from tests.malicious.wrong_records import WRONG_LOSSES, WRONG_RECORDS, losing
from verifier import verify_directory
from verifier.canonical import dumps
from verifier.errors import VerificationError
from verifier.inclusion import check_bundle
from verifier.instruments import Scenario
from verifier.opening import check_opening
from verifier.params import TEST, accepted_profile
from verifier.proofs import proof_file, read_shards, shard_file
from verifier.report import read_statement
from verifier.solvency import relation as relation_of
from verifier.stark import verify_stark
from verifier.statement import parse_statement

DATA = Path(__file__).parent.parent / "data" / "binance"
FLIPS = 400
RECORD_LABELS = (
    "lens0_negative is a bit",
    "lens0_negative is kept in a record",
    "lens0_negative is 0 in the totals record",
    "lens 0 has no carry at the top",
    "entries first",
    "entries step",
    "records first",
    "records step",
    "losses first",
    "losses step",
)
Document = dict[str, object]


def edited(data: bytes, change: Callable[[Document], None]) -> bytes:
    """Canonical JSON again after a change."""
    document = json.loads(data)
    change(document)
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def plus_one(*path: str | int) -> Callable[[Document], None]:
    """Add one to the number, or decimal string, at `path`."""

    def change(document: Document) -> None:
        node: object = document
        for step in path[:-1]:
            node = node[step]  # type: ignore[index]
        value = node[path[-1]]  # type: ignore[index]
        node[path[-1]] = str(int(value) + 1) if isinstance(value, str) else value + 1  # type: ignore[index]

    return change


def replaced(key: str, value: object) -> Callable[[Document], None]:
    return lambda document: document.update({key: value})


def inside(key: str, change: Callable[[Document], None]) -> Callable[[Document], None]:
    return lambda document: change(document[key])  # type: ignore[arg-type]


def one_more(document: Document) -> str:
    """The first output of a shard plus one."""
    outputs = str(document["outputs"])
    first = int.from_bytes(bytes.fromhex(outputs[:32]), "little") + 1
    return (first % 2**128).to_bytes(16, "little").hex() + outputs[32:]


Case = tuple[str, Callable[[Document], None], str | None]
STATEMENT_CASES: list[Case] = [
    ("one atom more held", plus_one("outputs", "totals", 0, "long"), "arithmetic"),
    ("liability less honest", plus_one("outputs", "total_liability"), "arithmetic"),
    ("price changed", plus_one("instruments", 0, "price"), "arithmetic"),
    ("sequence changed", plus_one("sequence"), "statement-mismatch"),
    ("exchange changed", replaced("exchange", "another"), "statement-mismatch"),
    ("time changed", replaced("time", "2026-01-01T00:00:01Z"), "statement-mismatch"),
    ("policy changed", replaced("policy", "disclosed"), "statement-mismatch"),
    ("a haircut changed", plus_one("instruments", 0, "buckets", 2, "tiers", 0, "to"), "statement-mismatch"),
    ("a scenario's value changed", plus_one("scenarios", 0, "values", 0), "statement-mismatch"),
    ("another shortfall in a scenario", plus_one("outputs", "losses", 0, "shortfall"), "arithmetic"),
    ("another margin deficit in a scenario", plus_one("outputs", "losses", 0, "margin_deficit"), "arithmetic"),
    ("another margin deficit", plus_one("outputs", "total_margin_deficit"), None),  # policy strict says no, too
    ("collateral above the holdings", plus_one("outputs", "totals", 0, "buckets", 1), "arithmetic"),
    ("another root", inside("outputs", replaced("root", "00" * 32)), "shards"),
    ("a shard more", plus_one("capacity", "shards"), "statement-mismatch"),
    ("test profile claimed", replaced("profile", "test"), "unacceptable-profile"),
    ("other profile claimed", replaced("profile", "compact"), "unacceptable-parameters"),
    ("other circuit claimed", replaced("circuit", "anything"), "unknown-circuit"),
    ("other circuit digest", replaced("circuit_digest", "00" * 32), "unknown-circuit"),
    ("larger trace", plus_one("capacity", "log2_rows"), None),  # the file is cut elsewhere: any parse error
]
SHARD_CASES: list[Case] = [
    ("another statement's shard", replaced("header", "00" * 32), "statement-mismatch"),
    ("the other shard", plus_one("shard"), "statement-mismatch"),
    ("another tree", replaced("root", "01000000" * 8), "shards"),
    ("masks of nobody", replaced("mask_in", "01000000" * 8), "shards"),
    ("other masks out", replaced("mask_out", "01000000" * 8), "shards"),
    ("an output one more", lambda document: document.update(outputs=one_more(document)), "arithmetic"),
    ("an output less", lambda document: document.update(outputs=str(document["outputs"])[:-32]), "malformed"),
]
SHARDS = 2


class Negative:
    """One publication, its bundle and its opening; counts what was tried."""

    def __init__(self, folder: Path) -> None:
        options = ImportOptions(exchange="negative", time="2026-01-01T00:00:00Z")
        files = [DATA / "sample_users0.csv"], DATA / "cex_assets_info_sample4.csv"
        snapshot = import_binance(*files, options, invalid=Invalid.DROP)
        crash = Scenario("everything halves", tuple(i.price // 2 for i in snapshot.meta.instruments))
        self.out = folder / "publication"
        prove_directory(snapshot, self.out, scenarios=(crash,), shards=SHARDS)
        self.bundle = make_bundle(self.out, private_folder(self.out), snapshot.user_id(1))
        self.opening = make_opening(self.out, private_folder(self.out), 0, 1, 0)
        self.statement = read_statement(self.out)
        self.shards = read_shards(self.out, self.statement)
        self.tried = 0
        self.failures: list[str] = []

    def expect(self, name: str, action: Callable[[], object], reason: str | None) -> None:
        """`reason` None accepts any."""
        self.tried += 1
        try:
            action()
        except VerificationError as error:
            if reason is not None and error.reason.value != reason:
                self.failures.append(f"{name}: refused as {error.reason.value}, expected {reason}")
        except Exception as error:
            self.failures.append(f"{name}: {type(error).__name__} escaped: {error}")
        else:
            self.failures.append(f"{name}: ACCEPTED")

    def with_file(self, name: str, data: bytes) -> Callable[[], object]:
        """Verify the publication with one file replaced for the moment."""

        def action() -> object:
            file = self.out / name
            kept = file.read_bytes()
            file.write_bytes(data)
            try:
                return verify_directory(self.out, workers=1)
            finally:
                file.write_bytes(kept)

        return action

    def forged(self) -> None:
        """Witnesses forged by a cheating prover, under the circuits with curves and with scenarios."""
        provers = {circuit: CheatingProver(risk_world(circuit)) for circuit in (RISK, STRESS)}

        def offer(
            name: str, circuit: str, forged: Forged, broken: frozenset[str], cheat: Callable[[Lookup], object] | None
        ) -> None:
            relation = Published.by(forged).relation()
            columns = columns_of(forged, risk_world(circuit))
            proof = provers[circuit].prove(relation, columns, broken, cheat).proof.to_bytes()
            self.expect(name, lambda: verify_stark(relation, TEST, proof), "constraints")

        for name, made in CHEATS.items():
            forged = made.cheat.forge(risk_world(made.circuit).plan).build()
            offer(name, made.circuit, forged, frozenset({"running_sum last"}), None)
        for name, (circuit, change) in WRONG_RECORDS.items():
            offer(name, circuit, with_records(risk_world(circuit).plan, change).build(), frozenset({VALUES}), None)
        for name, (circuit, publish) in WRONG_LOSSES.items():
            forged = Forge(risk_world(circuit).plan).then(losing(publish)).build()
            offer(name, circuit, forged, frozenset({LOSSES}), None)
        for label in RECORD_LABELS:
            case = case_for(label, risk_world(RISK).plan)
            offer(label, RISK, case.forged, frozenset({label}), case.cheat)

    def changed(self) -> None:
        """An honest proof, and its statement changed afterwards, with the document of its shard."""
        world = risk_world(STRESS)
        forged = honest(world)
        statement = parse_statement(statement_of(forged).to_bytes())
        shard = only_shard(statement, forged.root.digest)
        relation = relation_of(statement, shard)
        proof = prove(relation, TEST, world.base.copy(), Randomness(b"published")).to_bytes()
        verify_stark(relation, TEST, proof)
        for name, change in AFTERWARDS.items():
            changed = change(statement)
            relation = relation_of(changed, only_shard(changed, forged.root.digest))
            relation = replace(relation, binding=shard.digest)
            self.expect(name, lambda: verify_stark(relation, TEST, proof), "constraints")  # noqa: B023
        for name, (change, reason) in REFUSED.items():
            data = change(statement).to_bytes()
            self.expect(name, lambda: parse_statement(data), reason.value)  # noqa: B023

    def run(self) -> None:
        rng = random.Random(1)
        for file, cases in (("statement.json", STATEMENT_CASES), (shard_file(0), SHARD_CASES)):
            data = (self.out / file).read_bytes()
            for name, change, reason in cases:
                self.expect(name, self.with_file(file, edited(data, change)), reason)
        self.proofs(rng)
        for what, data, check in (("bundle", self.bundle, check_bundle), ("opening", self.opening, check_opening)):
            for _ in range(FLIPS):
                at = rng.randrange(len(data))
                flipped = bytearray(data)
                flipped[at] ^= 1 << rng.randrange(8)
                self.expect(f"{what} byte {at}", lambda: check(bytes(flipped), self.statement), None)  # noqa: B023
        self.expect(
            "bundle with one atom more",
            lambda: check_bundle(edited(self.bundle, plus_one("entries", 0, "amount")), self.statement),
            "path",
        )

    def proofs(self, rng: random.Random) -> None:
        """The proof of a shard, cut, longer, flipped, and in the place of another."""
        data = (self.out / proof_file(1)).read_bytes()
        self.expect("proof cut", self.with_file(proof_file(1), data[:-1]), "malformed")
        self.expect("proof longer", self.with_file(proof_file(1), data + b"\0"), "trailing-bytes")
        self.expect("proof of the other shard", self.with_file(proof_file(0), data), None)
        params = accepted_profile(self.statement.profile)
        relations = [relation_of(self.statement, shard) for shard in self.shards]
        verify_stark(relations[1], params, data)
        for name, mask in (("mask_in", (1,) * 8), ("mask_out", (1,) * 8), ("root", (1,) * 8)):
            other = replace(self.shards[1], **{name: mask})  # type: ignore[arg-type]
            relation = replace(relation_of(self.statement, other), binding=self.shards[1].digest)
            self.expect(f"another {name}", lambda: verify_stark(relation, params, data), "constraints")  # noqa: B023
        for _ in range(FLIPS // 4):
            at = rng.randrange(len(data))
            flipped = bytearray(data)
            flipped[at] ^= 1 << rng.randrange(8)
            self.expect(f"proof byte {at}", lambda: verify_stark(relations[1], params, bytes(flipped)), None)  # noqa: B023


def signed(cases: Negative) -> None:
    """Signatures of reserves: lists, the BIP's own errors, published evidence. Libraries lose their asserts, too."""
    statuses = [(name, outcome_of(change, index).status) for name, (index, change, _) in FORGERIES.items()]
    statuses += [
        (why, check_bitcoin(address, text.encode(), signature).status) for why, text, address, signature in ERRORS
    ]
    cases.tried += len(statuses)
    cases.failures += [f"{name}: {status.value}" for name, status in statuses if status is not Status.FAILED]
    for name, (edit, reason) in CHANGES.items():
        document = json.loads(evidence())
        edit(document)
        data = dumps(document)
        cases.expect(f"evidence, {name}", lambda: check_again(data), reason.value)  # noqa: B023


def main() -> int:
    """Exit 1 if anything was accepted, refused for another reason, or failed in another way."""
    with tempfile.TemporaryDirectory() as folder:
        cases = Negative(Path(folder))
        verify_directory(cases.out, workers=1)
        check_bundle(cases.bundle, cases.statement)
        cases.run()
        cases.forged()
        cases.changed()
        signed(cases)
    for failure in cases.failures:
        print(failure)
    print(f"negative: {cases.tried} forgeries tried, {len(cases.failures)} not refused as expected")
    return 1 if cases.failures else 0


if __name__ == "__main__":
    sys.exit(main())
