"""The page in a real Chromium: served and from a saved file, with honest and forged bundles."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.app import make_app
from api.evidence import manifest_of
from api.handing import Bundles
from api.page import WEB, modules, single_file
from api.publish import publish
from api.serving import served
from api.store import Store
from api.tokens import Tokens
from tests.api.publishing.made_up import new_store
from tests.api.service.stored import stored
from tests.api.web.chromium import CHROMIUM, DRIVER, MISSING, chosen, complaints, opened, resize, wait, words
from tests.api.web.code import text
from tests.api.web.forgeries import HOLDER, all_of, named, outcome, sharded
from tests.api.web.publications import published, read, series, write
from tests.verifier.log.signers import LOG_KEY, policy_text, signed
from verifier.log.proof import LogProof
from verifier.log.tree import leaf_hash
from verifier.receipt import Receipt
from verifier.shards import seal, top_sum

pytestmark = pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason=MISSING)
COUNT = 3
"""Publications."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("page")
    store, folders = published(place, COUNT)
    store.close()
    (place / "page.html").write_bytes(single_file(folders, policy_text()))
    (place / "empty.html").write_bytes(single_file())
    for number, of in enumerate(series(COUNT)):
        (place / f"bundle-{number}.json").write_bytes(of.bundle(HOLDER))
    return place


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with served(make_app(Store(str(folder / "store")))) as address:
        yield address


def steps(driver: Any) -> dict[str, str]:
    """Step: outcome, once the page shows them."""
    wait(driver, "document.getElementById('command') !== null")
    found = driver.execute_script(
        "return [...document.querySelectorAll('#steps li')].map((li) => [li.dataset.step, li.dataset.outcome])"
    )
    return dict(found)


LOGGED = {"9 files": "ok", "10 log signature": "ok", "11 witnesses": "not checked", "12 log inclusion": "ok"}
COUNTED = {"0 proof": "not checked"} | dict.fromkeys(
    ("1 file", "2 statement", "3 account id", "4 entries", "5 leaf", "6 path", "7 shard", "8 root"), "ok"
)


def test_served(browser: Any, url: str, folder: Path) -> None:
    opened(browser, url + "/")
    assert words(browser, "whose").startswith(f"acme, publication {7 + COUNT - 1}, 2026-11-24")
    wait(browser, f"document.querySelectorAll('#sequence option').length === {COUNT}")
    chosen(browser, folder / "bundle-0.json")
    assert steps(browser) == COUNTED | LOGGED | {"10 log signature": "not checked"}
    shown = words(browser)
    assert "Your account is counted in publication 7" in shown and "Zoë 🦊 at acme" in shown
    assert "100\u202f000\u202f000" in shown and "holds" in shown and "is short" in shown
    assert words(browser, "command") == "solvent inclusion bundle-0.json --against DIR"
    browser.execute_script("document.getElementById('trust').open = document.getElementById('own').open = true")
    browser.find_element("id", "policy").send_keys(policy_text())
    wait(browser, "document.querySelector('[data-step=\"10 log signature\"]').dataset.outcome === 'ok'")
    browser.find_element("id", "user-id").send_keys("mallory")
    wait(browser, "document.querySelector('[data-step=\"3 account id\"]').dataset.outcome === 'failed'")
    own = "--user-id mallory --log-policy POLICY"
    assert words(browser, "command") == f"solvent inclusion bundle-0.json --against DIR {own}"
    names = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert names and all(name.startswith(url) for name in names)
    assert not any("bundle" in name for name in names)
    assert complaints(browser) == []


def test_saved_file(browser: Any, folder: Path) -> None:
    opened(browser, (folder / "page.html").as_uri())
    for number in range(COUNT):
        chosen(browser, folder / f"bundle-{number}.json")
        assert steps(browser) == COUNTED | LOGGED
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert browser.execute_script("return document.querySelectorAll('svg').length") >= 4
    assert complaints(browser) == []


def test_saved_file_without_a_publication(browser: Any, folder: Path) -> None:
    opened(browser, (folder / "empty.html").as_uri())
    chosen(browser, folder / "bundle-1.json")
    assert steps(browser) == {name: mark for name, mark in COUNTED.items() if name != "8 root"} | {
        "2 statement": "not checked"
    }
    assert "agrees with itself" in words(browser)
    files = [
        folder / "publication-1" / name for name in ("reserves.csv", "fund.json", "manifest.json", "log.tlog-proof")
    ]
    chosen(browser, *files, folder / "publication-1" / "statement.json")
    wait(browser, "document.querySelector('[data-step=\"12 log inclusion\"]')?.dataset.outcome === 'ok'")
    assert "Your account is counted in publication 8" in words(browser)
    assert "Per asset" in words(browser, "board")
    assert complaints(browser) == []


def receipt_of(folder: Path, number: int) -> bytes:
    names = ("statement.json", "manifest.json", "log.tlog-proof")
    files = [(folder / f"publication-{number}" / name).read_bytes() for name in names]
    return Receipt((folder / f"bundle-{number}.json").read_bytes(), *files).to_bytes()


def test_a_receipt_alone(browser: Any, folder: Path, tmp_path: Path) -> None:
    good = receipt_of(folder, 1)
    (tmp_path / "receipt.json").write_bytes(good)
    opened(browser, (folder / "empty.html").as_uri())
    chosen(browser, tmp_path / "receipt.json")
    assert steps(browser) == COUNTED | LOGGED | {"10 log signature": "not checked"}
    assert "Your account is counted in publication 8" in words(browser) and "Per asset" in words(browser, "board")
    browser.execute_script("document.getElementById('trust').open = true")
    browser.find_element("id", "policy").send_keys(policy_text())
    wait(browser, "document.querySelector('[data-step=\"10 log signature\"]').dataset.outcome === 'ok'")
    for change, failed in (
        (good.replace(b'"amount":"3"', b'"amount":"4"'), "7 shard"),
        (good.replace(b"index 1", b"index 0"), "12 log inclusion"),
    ):
        (tmp_path / "forged.json").write_bytes(change)
        chosen(browser, tmp_path / "forged.json")
        assert change != good and [step for step, mark in steps(browser).items() if mark == "failed"] == [failed]
    (tmp_path / "cut.json").write_bytes(good[:-2])
    chosen(browser, tmp_path / "cut.json")
    wait(browser, "document.getElementById('result').innerText.includes('This receipt is rejected')")
    assert complaints(browser) == []


@pytest.mark.parametrize(
    ("changes", "words_expected"),
    [({"time": "2026-01-01T00:00:00Z"}, "two statements of one number"), ({"sequence": 99}, "none of those published")],
)
def test_a_receipt_of_a_statement_that_nobody_else_sees(
    browser: Any, url: str, tmp_path: Path, changes: dict[str, Any], words_expected: str
) -> None:
    """Good in itself, manifest and a log of its own included."""
    own = series(1)[0]
    statement = replace(own.statement, **changes)
    shards = tuple(replace(shard, header=statement.header_digest) for shard in own.shards)
    top = top_sum([shard.place(statement.liability_output).sum for shard in shards])
    other = replace(own, statement=replace(statement, root=seal(top, len(shards))), shards=shards)
    manifest = manifest_of(write(tmp_path / "other", other), other.statement)
    proof = LogProof(0, (), signed(1, leaf_hash(manifest.entry.to_bytes()))).to_bytes()
    receipt = Receipt(other.bundle(HOLDER), other.statement.to_bytes(), manifest.to_bytes(), proof)
    (tmp_path / "receipt.json").write_bytes(receipt.to_bytes())
    opened(browser, url + "/")
    wait(browser, f"document.querySelectorAll('#sequence option').length === {COUNT}")
    chosen(browser, tmp_path / "receipt.json")
    assert steps(browser) == COUNTED | LOGGED | {"10 log signature": "not checked"}
    assert "The statement is refused" in words(browser) and words_expected in words(browser)
    assert "counted in publication" not in words(browser)


def test_a_token_fetches_the_receipt(browser: Any, tmp_path: Path) -> None:
    of = sharded(1, 0)
    public, bundles = stored(of, tmp_path)
    store = new_store(tmp_path / "store")
    publish(public, store, LOG_KEY, None, verify=read)
    tokens = Tokens(str(tmp_path / "tokens.db"), create=True)
    user = of.accounts[HOLDER].user_id
    (token,) = tokens.issue([user])
    with served(make_app(store, Bundles([bundles], tokens))) as address:
        opened(browser, address + "/")
        wait(browser, "!document.getElementById('mine').hidden")
        browser.execute_script("document.getElementById('mine').open = true")
        browser.find_element("id", "token").send_keys("x" * 43)
        browser.find_element("id", "fetch").click()
        wait(browser, "document.getElementById('result').innerText.includes('No receipt for this token')")
        assert len(complaints(browser)) == 1, "the browser's own line about the answer 401"
        browser.find_element("id", "token").clear()
        browser.find_element("id", "token").send_keys(token)
        browser.find_element("id", "fetch").click()
        wait(browser, "document.getElementById('save') !== null")
        assert steps(browser) == COUNTED | LOGGED | {"10 log signature": "not checked"}
        assert user in words(browser)
        assert complaints(browser) == []


def test_a_statement_that_is_none(browser: Any, folder: Path, tmp_path: Path) -> None:
    statement = (folder / "publication-1" / "statement.json").read_bytes()
    (tmp_path / "statement.json").write_bytes(statement.replace(b'"decimals":8', b'"decimals":7', 1))
    (tmp_path / "other.json").write_bytes(statement.replace(b'"protocol":"solvent/1"', b'"protocol":"solvent/9"'))
    for name, field in (("statement.json", "wrong-statement"), ("other.json", "statement.protocol")):
        opened(browser, (folder / "empty.html").as_uri())
        chosen(browser, tmp_path / name, folder / "bundle-1.json")
        marks, shown = steps(browser), words(browser)
        assert "counted in publication" not in shown
        if field == "statement.protocol":
            assert "The statement is refused" in shown and field in shown
        else:
            assert marks["2 statement"] == "failed"


def test_each_forgery_fails_at_its_step(browser: Any, folder: Path, tmp_path: Path) -> None:
    opened(browser, (folder / "page.html").as_uri())
    got = {}
    forged = named(series(1)[0])
    for number, (name, (data, _, _)) in enumerate(forged.items()):
        path = tmp_path / f"forged-{number}.json"
        path.write_bytes(data)
        chosen(browser, path)
        failed = [step for step, mark in steps(browser).items() if mark == "failed"]
        shown = words(browser)
        assert "rejected" in shown and "counted in publication" not in shown
        got[name] = failed
    assert got == {name: [step] for name, (_, step, _) in forged.items()}
    assert complaints(browser) == []


def test_same_outcome_as_the_verifier_in_one_page_run(browser: Any, url: str) -> None:
    of = sharded()
    files = all_of(of, 150, 11)
    assert len(files) > 200
    opened(browser, url + "/page/")
    names = [name.removesuffix(".js") for name in modules() if name != "page.js"]
    judge = Path(__file__).with_name("judge.mjs").read_text("utf-8").replace("export function", "function")
    result = browser.execute_async_script(
        judge + "const [names, ask, done] = arguments; const code = {};"
        "(async () => { for (const name of names) code[name] = await import(`${location.origin}/page/${name}.js`);"
        "return judge(code, JSON.parse(ask)); })().then((value) => done(JSON.stringify(value)), done)",
        names, json.dumps({"statement": text(of.statement.to_bytes()), "bundles": [text(data) for data in files]}),
    )  # fmt: skip
    answer = json.loads(result)
    assert [(r["reason"], r["field"]) for r in answer["bundles"]] == [outcome(data, of.statement) for data in files]
    assert answer["milliseconds"] / len(files) < 1000


def test_readable(browser: Any, folder: Path) -> None:
    """On a phone and a desk, in light and dark: nothing sticks out, and everything that is used has a name."""
    for width, height in ((390, 844), (1200, 900)):
        for dark in (False, True):
            resize(browser, width, height, dark=dark)
            opened(browser, (folder / "page.html").as_uri())
            chosen(browser, folder / "bundle-2.json")
            assert steps(browser) == COUNTED | LOGGED
            assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    unnamed = browser.execute_script(
        "return [...document.querySelectorAll('input, select, textarea')].filter((e) => !e.labels.length).length"
    )
    pictures = browser.execute_script("return [...document.querySelectorAll('svg')].map((e) => e.ariaLabel)")
    assert unnamed == 0 and all(pictures)


def test_keyboard(browser: Any, folder: Path) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    opened(browser, (folder / "page.html").as_uri())
    reached = []
    for _ in range(5):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        reached.append(browser.execute_script("return document.activeElement.id || document.activeElement.className"))
    assert reached[:2] == ["skip", "file"] and "sequence" in reached
    chosen(browser, folder / "bundle-2.json")
    steps(browser)
    assert browser.execute_script("return document.activeElement.id") == "result"


def test_contrast() -> None:
    """WCAG AA: 4.5 to 1 for every pair of text and paper, in both schemes."""
    style = (WEB / "style.css").read_text("utf-8")
    light, dark = (
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{([^}]*)\}", style)
    )

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for scheme in (light, dark):
        pairs = [(ink, paper) for ink in ("ink", "soft", "link", "good", "bad", "note") for paper in ("card", "paper")]
        pairs += [(mood, f"{mood}-paper") for mood in ("good", "bad", "note")] + [("ink", "good-paper")]
        for one, other in pairs:
            low, high = sorted((luminance(scheme[one]), luminance(scheme[other])))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (one, other)
        for line in ("one", "two"):
            low, high = sorted((luminance(scheme[line]), luminance(scheme["card"])))
            assert (high + 0.05) / (low + 0.05) >= 3, line
