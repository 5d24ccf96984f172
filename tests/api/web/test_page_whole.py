"""The button that has the whole proof checked, in a real Chromium: served, and from a saved file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from api.app import make_app
from api.page import single_file
from api.publish import publish
from api.serving import served
from api.store import Store
from tests.api.publishing.made_up import new_store
from tests.api.web.chromium import CHROMIUM, DRIVER, MISSING, chosen, complaints, opened, resize, wait, words
from tests.api.web.forgeries import HOLDER
from tests.api.web.proved import solvent
from tests.api.web.publications import published, series
from tests.verifier.log.signers import LOG_KEY
from verifier.manifest import MANIFEST_FILE
from verifier.proofs import proof_file, shard_file

pytestmark = pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason=MISSING)
NAMES = ("1 statement", "2 parameters", "3 claims", "4 shards", "5 proofs", "6 verdict", "7 files")
GOOD = dict.fromkeys(NAMES, "ok")


def written(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def proved(browser: Any) -> dict[str, str]:
    """Step: outcome, after a click on the button."""
    browser.execute_script("document.getElementById('proof').replaceChildren()")
    browser.find_element("id", "prove").click()
    wait(browser, "document.getElementById('whole-steps') !== null && !document.getElementById('prove').disabled")
    found = browser.execute_script(
        "return [...document.querySelectorAll('#whole-steps li')].map((li) => [li.dataset.step, li.dataset.outcome])"
    )
    return dict(found)


def until(step: str) -> dict[str, str]:
    """What is shown where this step fails."""
    at = NAMES.index(step)
    return dict.fromkeys(NAMES[:at], "ok") | {step: "failed"} | dict.fromkeys(NAMES[at + 1 :], "not reached")


def test_served(browser: Any, tmp_path: Path) -> None:
    folder = written(tmp_path / "publication", {n: d for n, d in solvent().items() if n != MANIFEST_FILE})
    store = new_store(tmp_path / "store")
    publish(folder, store, LOG_KEY, None)
    with served(make_app(store)) as address:
        opened(browser, address + "/")
        assert "Solvent, if the proof verifies" in words(browser, "board")
        assert proved(browser) == GOOD
        assert "The whole proof verifies" in words(browser, "proof") and "Verdict: solvent" in words(browser, "proof")
        assert "Solvent: the proof verifies" in words(browser, "board")
        names = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
        assert all(name.startswith(address) for name in names)
        assert any(name.endswith("/page/solvency_equity_v1.json") for name in names)
        resize(browser, 390, 844)
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        assert not [line for line in complaints(browser) if "fund.json" not in line], "there is no fund.json"


def test_a_served_publication_whose_proofs_are_none(browser: Any, tmp_path: Path) -> None:
    """Then nobody is told that they are counted."""
    store, _ = published(tmp_path, 2)
    store.close()
    (tmp_path / "bundle.json").write_bytes(series(2)[1].bundle(HOLDER))
    with served(make_app(Store(str(tmp_path / "store")))) as address:
        opened(browser, address + "/")
        chosen(browser, tmp_path / "bundle.json")
        wait(browser, "document.getElementById('result').innerText.includes('Your account is counted')")
        assert proved(browser) == until("5 proofs")
        assert "The publication is rejected: step 5 proofs" in words(browser, "proof")
        assert "The publication is rejected" in words(browser, "board")
        wait(browser, "document.querySelector('[data-step=\"0 proof\"]').dataset.outcome === 'failed'")
        assert "The statement is refused" in words(browser)
        assert "counted in publication" not in words(browser)
        assert complaints(browser) == []


def test_saved_file(browser: Any, tmp_path: Path) -> None:
    folder = written(tmp_path / "publication", solvent())
    (tmp_path / "page.html").write_bytes(single_file([folder]))
    opened(browser, (tmp_path / "page.html").as_uri())
    assert proved(browser) == until("4 shards")
    assert "A file is missing" in words(browser, "proof") and "rejected" not in words(browser, "proof")
    chosen(browser, folder / shard_file(0), folder / proof_file(0))
    wait(browser, "document.getElementById('whole-steps') === null")
    assert proved(browser) == GOOD
    assert "The whole proof verifies" in words(browser, "proof")
    data = bytearray(solvent()[proof_file(0)])
    data[-1] ^= 1
    (folder / proof_file(0)).write_bytes(data)
    chosen(browser, folder / proof_file(0))
    wait(browser, "document.getElementById('whole-steps') === null")
    assert proved(browser) == until("5 proofs")
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert complaints(browser) == []


def test_saved_file_and_files_in_any_order(browser: Any, tmp_path: Path) -> None:
    folder = written(tmp_path / "publication", solvent())
    (tmp_path / "page.html").write_bytes(single_file())
    opened(browser, (tmp_path / "page.html").as_uri())
    assert not browser.find_element("id", "prove").is_displayed()
    chosen(browser, folder / proof_file(0), folder / shard_file(0))
    chosen(browser, folder / "reserves.csv", folder / "statement.json", folder / MANIFEST_FILE)
    wait(browser, "!document.getElementById('whole').hidden")
    assert proved(browser) == GOOD
