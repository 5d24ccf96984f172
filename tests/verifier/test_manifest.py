"""Manifest and evidence tree: `merkletools` and the verifier agree, and nothing else does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.evidence import file_proof, manifest_of
from prover.errors import InputError
from verifier.canonical import dumps
from verifier.errors import BadManifest, InvariantBroken, Reason, VerificationError
from verifier.manifest import (
    FILE_BYTES_END,
    FILES_MAX,
    FORMAT,
    MANIFEST_FILE,
    ROLES,
    File,
    Manifest,
    check_directory,
    check_file_proof,
    digest_file,
    evidence_root,
    leaf,
    leaves,
    parse_entry,
    parse_manifest,
    role_of,
    wrap,
)


@dataclass(frozen=True)
class Named:
    """As much of a statement as a manifest repeats."""

    exchange: str = "test"
    sequence: int = 3
    digest: bytes = bytes(32)
    previous: bytes = bytes(range(32))


STATEMENT = Named()


def files_of(count: int) -> tuple[File, ...]:
    names = ["statement.json", *(f"shards/{i:06d}.proof" for i in range(count - 1))]
    return tuple(File(n, len(n), hashlib.sha256(n.encode()).digest()) for n in sorted(names))


def manifest(count: int) -> Manifest:
    return Manifest("test", 3, bytes(32), bytes(range(32)), files_of(count))


def write_publication(folder: Path, **more: bytes) -> None:
    folder.mkdir()
    (folder / "statement.json").write_bytes(b"{}\n")
    (folder / "shards").mkdir()
    (folder / "shards" / "000000.proof").write_bytes(b"a proof")
    for name, data in more.items():
        (folder / name.replace("_", ".")).write_bytes(data)


def written(folder: Path) -> bytes:
    """A publication with its manifest; returns the manifest's bytes."""
    write_publication(folder, reserves_csv=b"asset,amount\n")
    data = manifest_of(folder, STATEMENT).to_bytes()
    (folder / MANIFEST_FILE).write_bytes(data)
    return data


def test_a_file_is_listed_with_its_length_and_digest(tmp_path: Path) -> None:
    """Longer than what is read at once."""
    data = bytes(range(256)) * (2**13 + 1)
    (tmp_path / "long").write_bytes(data)
    assert digest_file(tmp_path, "long") == File("long", len(data), hashlib.sha256(data).digest())


@pytest.mark.negative
@pytest.mark.parametrize(
    "change", [lambda path: path.pop(), lambda path: path.append(path[0]), lambda path: path.clear()]
)
def test_a_path_of_another_length(change: Callable[[list[Any]], object]) -> None:
    whole = manifest(5)
    document = json.loads(file_proof(whole, 2))
    change(document["path"])
    with pytest.raises(VerificationError) as caught:
        check_file_proof(dumps(document), whole.files[2], whole.evidence)
    assert caught.value.reason is Reason.MANIFEST


@pytest.mark.parametrize("count", [*range(1, 18), 31, 32, 33, 100])
def test_the_library_s_proofs_lead_to_the_verifier_s_root(count: int) -> None:
    whole = manifest(count)
    assert parse_manifest(whole.to_bytes()) == whole
    for index in range(count):
        file = whole.files[index]
        assert check_file_proof(file_proof(whole, index), file, whole.evidence) == file


@given(st.integers(1, 20), st.data())
def test_a_file_proof_shows_one_file_only(count: int, data: st.DataObject) -> None:
    whole = manifest(count)
    index = data.draw(st.integers(0, count - 1))
    good = json.loads(file_proof(whole, index))
    changes: list[Callable[[dict[str, Any]], None]] = [
        lambda d: d["file"].update(bytes=d["file"]["bytes"] + 1),
        lambda d: d.update(count=d["count"] + 1),
        lambda d: d["path"].append({"digest": "00" * 32}),
        lambda d: d["path"].pop() if d["path"] else d.update(count=count + 1),
        lambda d: d.update(index=(index + 1) % count) if count > 1 else d.update(index=1),
        lambda d: d["path"][0].update(digest="00" * 32) if d["path"] else d.update(format="other"),
    ]
    changed = json.loads(json.dumps(good))
    data.draw(st.sampled_from(changes))(changed)
    with pytest.raises(VerificationError):
        check_file_proof(dumps(changed), whole.files[index], whole.evidence)


@pytest.mark.negative
def test_another_file_another_root() -> None:
    whole = manifest(5)
    proof = file_proof(whole, 2)
    other = replace(whole.files[2], sha256=bytes(32))
    for got, evidence in (
        (other, whole.evidence),
        (replace(other, size=0), whole.evidence),
        (whole.files[2], bytes(32)),
    ):
        with pytest.raises(VerificationError) as caught:
            check_file_proof(proof, got, evidence)
        assert caught.value.reason is Reason.MANIFEST


@pytest.mark.negative
@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(index=-1),
        lambda d: d.update(index=5),
        lambda d: d.update(count=FILES_MAX + 1),
        lambda d: d.update(path=[{"digest": "00" * 32}] * 20),
    ],
)
def test_places_that_no_tree_has(change: Callable[[dict[str, Any]], None]) -> None:
    whole = manifest(5)
    document = json.loads(file_proof(whole, 4))
    change(document)
    with pytest.raises(VerificationError) as caught:
        check_file_proof(dumps(document), whole.files[4], whole.evidence)
    assert caught.value.reason is Reason.MALFORMED


def test_leaves_bind_number_count_length_name_and_digest() -> None:
    file = File("statement.json", 5, bytes(32))
    same = [leaf(file, 0, 2), leaf(file, 1, 2), leaf(file, 0, 3), leaf(replace(file, size=6), 0, 2)]
    same += [leaf(replace(file, sha256=bytes(31) + b"\1"), 0, 2), leaf(replace(file, name="fund.json"), 0, 2)]
    assert len(set(same)) == len(same)


def test_the_tree_s_own_ambiguities_are_closed() -> None:
    """Unwrapped, merkletools gives one root to [a, b, c] and [h(a, b), c], and to a list and its only element."""
    a, b, c = leaves(files_of(3))
    inner = hashlib.sha256(a + b).digest()
    assert evidence_root([a, b, c]) != evidence_root([inner, c])
    assert evidence_root([a]) != a
    assert evidence_root([inner]) != evidence_root([a, b])
    assert evidence_root([a, b, c, c]) != evidence_root([a, b, c])
    assert evidence_root([]) == wrap(b"", 0)


def test_roles() -> None:
    assert role_of("shards/000001.json") == "shard"
    for name in ("private.json", "shards/1.json", "shards/000001.json.tmp", "../statement.json", "STATEMENT.JSON", ""):
        assert role_of(name) is None
    assert len({role for _, role in ROLES}) == len(ROLES)
    assert File("private.json", 1, bytes(32)).role == ""


def test_the_longest_file_and_the_last_sequence() -> None:
    whole = manifest(3)
    assert parse_manifest(replace(whole, sequence=2**53 - 1).to_bytes()).sequence == 2**53 - 1
    longest = replace(whole.files[0], size=FILE_BYTES_END - 1)
    data = replace(whole, files=(longest, *whole.files[1:])).to_bytes()
    assert parse_manifest(data).files[0] == longest


def test_a_publication_and_its_manifest(tmp_path: Path) -> None:
    data = written(tmp_path / "p")
    checked = check_directory(tmp_path / "p", STATEMENT)
    assert checked.to_bytes() == data
    assert [(file.name, file.role) for file in checked.files] == [
        ("reserves.csv", "reserves"),
        ("shards/000000.proof", "shard-proof"),
        ("statement.json", "statement"),
    ]
    entry = checked.entry
    assert parse_entry(entry.to_bytes()) == entry
    assert entry.manifest == hashlib.sha256(data).digest()
    (tmp_path / "p" / "log.tlog-proof").write_bytes(b"what it says is checked elsewhere")
    check_directory(tmp_path / "p", STATEMENT)


@pytest.mark.negative
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda p: (p / "reserves.csv").write_bytes(b"asset,amounT\n"), Reason.MANIFEST),
        (lambda p: (p / "reserves.csv").write_bytes(b"asset,amount\n\n"), Reason.MANIFEST),
        (lambda p: (p / "reserves.csv").unlink(), Reason.FILE_MISSING),
        (lambda p: (p / "prices.json").write_bytes(b""), Reason.MANIFEST),
        (lambda p: (p / "shards" / "000001.proof").write_bytes(b""), Reason.MANIFEST),
        (lambda p: (p / ".hidden").write_bytes(b""), Reason.MANIFEST),
        (lambda p: (p / MANIFEST_FILE).unlink(), Reason.FILE_MISSING),
        (lambda p: [(p / "reserves.csv").unlink(), (p / "reserves.csv").mkdir()], Reason.FILE_MISSING),
        (lambda p: [(p / "reserves.csv").unlink(), (p / "reserves.csv").symlink_to("/dev/null")], Reason.FILE_MISSING),
    ],
)
def test_damaged_publications(tmp_path: Path, damage: Callable[[Path], object], reason: Reason) -> None:
    written(tmp_path / "p")
    damage(tmp_path / "p")
    with pytest.raises(VerificationError) as caught:
        check_directory(tmp_path / "p", STATEMENT)
    assert caught.value.reason is reason


@pytest.mark.negative
@pytest.mark.parametrize("name", ["a\nVerdict: solvent", "a\x1b[2J"])
def test_a_file_s_name_does_not_write_on_the_terminal(tmp_path: Path, name: str) -> None:
    written(tmp_path / "p")
    (tmp_path / "p" / name).write_bytes(b"")
    with pytest.raises(BadManifest) as caught:
        check_directory(tmp_path / "p", STATEMENT)
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()


@pytest.mark.negative
@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(sequence=d["sequence"] + 1),
        lambda d: d.update(exchange="another"),
        lambda d: d.update(statement="01" * 32),
        lambda d: d.update(previous="11" * 32),
        lambda d: d.update(evidence="00" * 32),
        lambda d: d["files"].reverse(),
        lambda d: d["files"].append(d["files"][-1]),
        lambda d: d["files"].pop(0),
        lambda d: d["files"].pop(),
        lambda d: d.update(files=[]),
        lambda d: d["files"][0].update(role="prices"),
        lambda d: d["files"][0].update(bytes=1),
    ],
)
def test_changed_manifests(tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(written(tmp_path / "p"))
    change(document)
    (tmp_path / "p" / MANIFEST_FILE).write_bytes(dumps(document))
    with pytest.raises(VerificationError) as caught:
        check_directory(tmp_path / "p", STATEMENT)
    assert caught.value.reason is Reason.MANIFEST


@pytest.mark.negative
@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda files: files[::-1], "a name after"),
        (lambda files: (*files, files[-1]), "a name after"),
        (lambda files: tuple(file for file in files if file.role != "statement"), "a statement among them"),
        (lambda files: (replace(files[0], size=files[0].size + 1), *files[1:]), "bytes, got"),
        (lambda files: (replace(files[0], sha256=bytes(32)), *files[1:]), "SHA-256"),
    ],
)
def test_wrong_manifests_whose_evidence_is_right(
    tmp_path: Path, change: Callable[[tuple[File, ...]], tuple[File, ...]], what: str
) -> None:
    good = parse_manifest(written(tmp_path / "p"))
    (tmp_path / "p" / MANIFEST_FILE).write_bytes(replace(good, files=change(good.files)).to_bytes())
    with pytest.raises(VerificationError, match=what) as caught:
        check_directory(tmp_path / "p", STATEMENT)
    assert caught.value.reason is Reason.MANIFEST


@pytest.mark.negative
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d.update(format="solvent/manifest/v2"), Reason.UNKNOWN_VERSION),
        (lambda d: d["files"][0].update(name="private.json"), Reason.MALFORMED),
        (lambda d: d["files"][0].update(name="../statement.json"), Reason.MALFORMED),
        (lambda d: d["files"][0].update(bytes=-1), Reason.MALFORMED),
        (lambda d: d["files"][0].update(bytes=FILE_BYTES_END), Reason.MALFORMED),
        (lambda d: d.update(exchange="a" * 129), Reason.MALFORMED),
        (lambda d: d.update(sequence=-1), Reason.MALFORMED),
        (lambda d: d["files"][0].update(sha256="00"), Reason.MALFORMED),
        (lambda d: d.update(more=1), Reason.MALFORMED),
    ],
)
def test_manifests_of_another_form(change: Callable[[dict[str, Any]], None], reason: Reason) -> None:
    document = json.loads(manifest(3).to_bytes())
    assert document["format"] == FORMAT
    change(document)
    with pytest.raises(VerificationError) as caught:
        parse_manifest(dumps(document))
    assert caught.value.reason is reason


@pytest.mark.negative
def test_a_manifest_lists_so_many_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verifier.manifest.FILES_MAX", 4)
    assert len(parse_manifest(manifest(4).to_bytes()).files) == 4
    with pytest.raises(BadManifest, match="at most 4"):
        parse_manifest(manifest(5).to_bytes())


@pytest.mark.negative
def test_a_file_that_may_not_be_read_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "p")

    def forbidden(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbidden)
    with pytest.raises(VerificationError, match="Permission denied") as caught:
        digest_file(tmp_path / "p", "reserves.csv")
    assert (caught.value.reason, caught.value.where["field"]) == (Reason.FILE_MISSING, "reserves.csv")


@pytest.mark.negative
def test_only_what_belongs_there_is_published(tmp_path: Path) -> None:
    write_publication(tmp_path / "p", private_json=b"secret")
    with pytest.raises(InputError, match=r"private\.json"):
        manifest_of(tmp_path / "p", STATEMENT)
    (tmp_path / "p" / "private.json").unlink()
    (tmp_path / "p" / "fund.json").symlink_to(tmp_path / "p" / "statement.json")
    with pytest.raises(InputError, match=r"fund\.json"):
        manifest_of(tmp_path / "p", STATEMENT)


def test_a_library_that_builds_another_tree_stops_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_publication(tmp_path / "p")
    monkeypatch.setattr("api.evidence.wrap", lambda root, count: bytes(32))
    with pytest.raises(InvariantBroken, match="another evidence tree"):
        manifest_of(tmp_path / "p", STATEMENT)
