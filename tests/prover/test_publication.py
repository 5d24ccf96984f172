"""A publication and its store: where they may stand, what they replace, and which size they take."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.cli.bench import synthetic_snapshot
from prover import publication
from prover.errors import InputError
from prover.publication import private_folder, prove_directory
from verifier.canonical import dumps

SNAPSHOT = synthetic_snapshot(3, 2, 4, 1)


@pytest.mark.negative
@pytest.mark.parametrize("place", ["publication", "publication/inner", "."])
def test_store_and_publication_stand_apart(tmp_path: Path, place: str) -> None:
    with pytest.raises(InputError, match="apart from"):
        prove_directory(SNAPSHOT, tmp_path / "publication", private=tmp_path / place)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.negative
def test_force_replaces_only_what_we_wrote(tmp_path: Path) -> None:
    precious = tmp_path / "out" / "precious"
    precious.parent.mkdir()
    precious.write_text("mine")
    for force in (False, True):
        with pytest.raises(InputError, match="expected a"):
            prove_directory(SNAPSHOT, tmp_path / "out", force=force)
    assert precious.read_text() == "mine"


@pytest.mark.negative
def test_bad_reserves_are_refused_before_any_work(tmp_path: Path) -> None:
    reserves = tmp_path / "reserves.csv"
    reserves.write_text("asset,amount\nnobody,1\n")
    with pytest.raises(InputError, match=r"reserves\.csv"):
        prove_directory(SNAPSHOT, tmp_path / "out", reserves=reserves)
    assert not (tmp_path / "out").exists()


@pytest.mark.negative
def test_nothing_is_left_behind_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(publication, "write_private", full_disk)
    with pytest.raises(OSError, match="No space"):
        prove_directory(SNAPSHOT, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out.work"]  # the finished shard, for the next try
    monkeypatch.undo()
    synced: list[tuple[Path, list[str]]] = []
    monkeypatch.setattr(publication, "sync", lambda path: synced.append((path, sorted(p.name for p in path.iterdir()))))
    assert prove_directory(SNAPSHOT, tmp_path / "out").resumed == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.private"]
    # Names are on disk while the run is still there, so a power cut in between loses neither.
    assert synced == [(tmp_path, ["out", "out.private", "out.work"])]


def test_a_second_publication_replaces_the_first_and_keeps_its_size(tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = prove_directory(SNAPSHOT, out, log2_rows=18)
    kept = tmp_path / "first"
    out.rename(kept)
    with pytest.raises(InputError, match="which the snapshot names"):
        prove_directory(SNAPSHOT, out, previous=kept, force=True)
    private_folder(out).rename(private_folder(kept))
    second = prove_directory(SNAPSHOT, out)
    assert (first.rows, second.rows) == (1 << 18, 1 << 17)
    assert first.statement_digest != second.statement_digest
    prove_directory(SNAPSHOT, out, force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "first.private", "out", "out.private"]


@pytest.mark.negative
def test_evidence_of_other_reserves_is_refused_before_any_work(tmp_path: Path) -> None:
    reserves, evidence = tmp_path / "reserves.csv", tmp_path / "reserves-evidence.json"
    reserves.write_text("asset,amount\n")
    meta = SNAPSHOT.meta
    empty = {
        "format": "solvent/reserves-evidence/v1", "exchange": meta.exchange, "sequence": meta.sequence + 1,
        "balances": "claimed", "blocks": [], "addresses": [], "totals": [],
    }  # fmt: skip
    evidence.write_bytes(dumps(empty))
    with pytest.raises(InputError, match="the addresses behind these reserves"):
        prove_directory(SNAPSHOT, tmp_path / "out", reserves=reserves, reserves_evidence=evidence)
    with pytest.raises(InputError, match="the reserves file that it is the evidence of"):
        prove_directory(SNAPSHOT, tmp_path / "out", reserves_evidence=evidence)
    with pytest.raises(InputError, match="a file that can be read"):
        prove_directory(SNAPSHOT, tmp_path / "out", reserves=reserves, reserves_evidence=tmp_path / "none.json")
    assert not (tmp_path / "out").exists()
