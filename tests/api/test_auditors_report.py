"""The auditor's report: everything that was checked, on one page that asks nobody for anything."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest

from api.auditors_report import report_html
from api.cli import main
from tests.verifier.small_tree import risk_publication
from verifier import proofs, verify_directory


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A publication with margins whose proof is taken for good."""
    monkeypatch.setattr(proofs, "verify_stark", lambda *_: None)
    out = tmp_path / "out"
    out.mkdir()
    risk_publication().write(out)
    (out / "fund.json").write_bytes(risk_publication().bundle(0))
    (out / "reserves.csv").write_bytes(b"asset,amount\nbtc,1000\nusdt,100000000\n")
    return out


def test_every_check_parameter_and_file_is_there(folder: Path) -> None:
    report = verify_directory(folder)
    page = report_html(report, folder).decode()
    for check in report.checks:
        assert check.name in page.replace("&gt;", ">")
        assert check.left in page and check.right in page
    for expected in (report.spoken, report.statement_digest, "203 queries at rate 1/2", "queries", "fri folds 0"):
        assert expected.replace("'", "&#x27;") in page
    for path in folder.rglob("*"):
        if path.is_file():
            assert hashlib.sha256(path.read_bytes()).hexdigest() in page
    assert all(caveat.replace("'", "&#x27;") in page for caveat in report.caveats)
    assert not re.search(r"<script|https?:|src=|href=", page)


@pytest.mark.negative
def test_a_failed_check_stands_out_and_names_are_only_text(folder: Path) -> None:
    (folder / "reserves.csv").write_bytes(b"asset,amount\nbtc,0\nusdt,0\n")
    report = verify_directory(folder)
    named = replace(report, statement=replace(report.statement, exchange="<script>alert(1)</script>"))
    page = report_html(named, folder).decode()
    assert 'class="verdict bad"' in page
    assert '<td class="fail">FAIL</td>' in page
    assert "<script" not in page


def test_the_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "report.html"
    assert main(["verify", str(folder), "--report", str(page)]) == 0
    assert risk_publication().statement.exchange in page.read_text()
    assert main(["verify", str(folder), "--report", str(page)]) == 2
    assert "something that exists" in capsys.readouterr().err
