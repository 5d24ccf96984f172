"""`solvent bundles` and `solvent bundle --store`: what they say and refuse. The store itself is tested elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.cli import main
from prover.bundle_store import META_FILE, segment_name
from tests.api.files import Command
from tests.prover.test_bundle_store import flip, published
from tests.verifier.small_tree import publication, risk_publication


def test_all_bundles_then_one(run_json: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    public, _ = published(publication(), tmp_path)
    store, file = tmp_path / "store", tmp_path / "bundle.json"
    code, data = run_json("bundles", public, "--out", store)
    assert (code, data["verdict"], data["users"], data["segments"]) == (0, "bundled", 11, 1)
    assert data["bytes"] == (store / segment_name(0)).stat().st_size
    assert data["users_per_second"] == pytest.approx(11 / data["seconds"])
    code, data = run_json("bundles", public, "--check", store)
    assert (code, data["verdict"], data["users"]) == (0, "whole", 11)
    for place in ((), (public,)):
        code, data = run_json("bundle", *place, "--store", store, "--account", "user-3", "--out", file, "--force")
        assert (code, data["user_id"], data["bytes"]) == (0, "user-3", file.stat().st_size)
        assert file.read_bytes() == publication().bundle(3)
    assert main(["bundles", str(public), "--out", str(store), "--force"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("11 bundles, ")
    assert f"solvent bundle --store {store}" in captured.out
    assert captured.err.startswith("bundles ")


@pytest.mark.negative
def test_what_is_refused(run_json: Command, tmp_path: Path) -> None:
    public, _ = published(publication(), tmp_path)
    (tmp_path / "other").mkdir()
    other, _ = published(risk_publication(), tmp_path / "other")
    store, file = tmp_path / "store", tmp_path / "bundle.json"
    assert run_json("bundles", public, "--out", store)[0] == 0
    cases: tuple[tuple[tuple[object, ...], str, str], ...] = (
        (("bundles", public), "--out", "either --out"),
        (("bundles", public, "--out", store, "--check", store), "--out", "either --out"),
        (("bundles", public, "--out", store), str(store), "--force"),
        (("bundles", public, "--out", public / "store"), str(public / "store"), "apart"),
        (("bundles", public, "--out", tmp_path / "s", "--private", tmp_path / "no"), str(tmp_path / "no"), "secrets"),
        (("bundles", tmp_path / "no", "--out", tmp_path / "s"), str(tmp_path / "no"), "publication"),
        (("bundles", other, "--check", store), str(store), "one of "),
        (("bundles", public, "--check", public), str(public / META_FILE), "list of files"),
        (("bundle", "--account", "user-3", "--out", file), "--store", "publication DIR"),
        (("bundle", "--store", store, "--account", "zoe", "--out", file), "--account", "this store"),
        (("bundle", "--store", public, "--account", "user-3", "--out", file), str(public / META_FILE), "list of files"),
    )
    for words, where, expected in cases:
        code, data = run_json(*words)
        assert code == 2, words
        assert where in (data["field"], data["file"]), words
        assert expected in data["expected"], words
    code, data = run_json("bundle", other, "--store", store, "--account", "user-3", "--out", file)
    assert (code, data["reason"]) == (1, "wrong-statement")
    flip(store / segment_name(0), 5)
    code, data = run_json("bundles", public, "--check", store)
    assert (code, data["file"]) == (2, str(store / segment_name(0)))
    assert not file.exists()
