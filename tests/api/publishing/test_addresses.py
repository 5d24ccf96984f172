"""Commands that take the address where an exchange publishes: verify, receipt, inclusion."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from api.app import make_app
from api.cli.bench import synthetic_snapshot
from api.handing import Bundles
from api.publish import publish
from api.serving import served
from api.tokens import Tokens
from prover.bundle_writer import write_store
from prover.publication import private_folder, prove_directory
from tests.api.files import Run
from tests.api.publishing.made_up import new_store
from tests.verifier.log.signers import LOG_KEY, policy_text

SNAPSHOT = synthetic_snapshot(3, 2, 4, 1)
USER = SNAPSHOT.user_id(0)


@dataclass(frozen=True)
class Site:
    url: str
    publication: Path
    policy: Path
    token: Path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    proved = folder / "proved"
    prove_directory(SNAPSHOT, proved)
    write_store(proved, private_folder(proved), folder / "bundles")
    store = new_store(folder / "store")
    publish(proved, store, LOG_KEY)
    tokens = Tokens(str(folder / "tokens.db"), create=True)
    (folder / "token").write_text(tokens.issue([USER])[0] + "\n")
    (folder / "policy").write_text(policy_text())
    with served(make_app(store, Bundles([folder / "bundles"], tokens))) as url:
        yield Site(url, proved, folder / "policy", folder / "token")
    store.close()


def test_a_publication_is_verified_where_it_is_published(site: Site, run: Run) -> None:
    code, out, _ = run("verify", site.url, "--log-policy", site.policy)
    assert code == 0 and "ok   log inclusion: the publication is entry 0 of 1" in out
    code, out, _ = run("verify", site.url, "--log-policy", site.policy, "--json")
    found = json.loads(out)
    assert (code, found["verdict"], found["logged"]["index"]) == (0, "liabilities proved, no reserves given", 0)
    code, _, err = run("verify", site.url + "/nowhere")
    assert code == 2 and "answer 404, expected a published file" in err
    code, _, err = run("verify", site.publication.parent / "none")
    assert code == 2 and "no such directory" in err


@pytest.mark.negative
def test_a_publication_that_is_in_another_log_is_refused(site: Site, run: Run, tmp_path: Path) -> None:
    (tmp_path / "policy").write_text(policy_text("w", k=1))
    code, out, _ = run("verify", site.url, "--log-policy", tmp_path / "policy", "--json")
    assert (code, json.loads(out)["reason"]) == (1, "witness-quorum")


def test_a_user_fetches_and_checks_their_receipt(site: Site, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "receipt.json"
    code, out, _ = run("receipt", site.url, "--token", site.token, "--out", file)
    assert code == 0 and USER in out and file.stat().st_mode & 0o777 == 0o600
    code, out, _ = run("inclusion", file, "--log-policy", site.policy)
    assert code == 0 and "SKIP 0 publication" in out and "ok   log inclusion" in out
    code, out, _ = run("inclusion", file, "--log-policy", site.policy, "--against", site.url, "--user-id", USER)
    assert code == 0 and "ok   0 publication" in out and "Verdict: included in statement" in out
    code, _, err = run("receipt", site.url, "--token", site.token, "--out", file)
    assert code == 2 and "something that exists" in err
    again = ("--out", file, "--sequence", SNAPSHOT.meta.sequence, "--force")
    assert run("receipt", site.url, "--token", site.token, *again)[0] == 0


@pytest.mark.negative
def test_tokens_that_fetch_nothing(site: Site, run: Run, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("x" * 43)
    (tmp_path / "words").write_text("two words")
    for name, expected in (("wrong", "answer 401, expected a token"), ("words", "a file with the token"), ("none", "")):
        code, _, err = run("receipt", site.url, "--token", tmp_path / name, "--out", tmp_path / "receipt.json")
        assert code == 2 and expected in err
    assert not (tmp_path / "receipt.json").exists()


def test_the_exchange_makes_the_same_receipt(site: Site, run: Run, tmp_path: Path) -> None:
    private = private_folder(site.publication)
    words = ("--account", USER, "--private", private, "--receipt", "--out", tmp_path / "own.json")
    code, _, err = run("bundle", site.publication, *words)
    assert code == 2 and "manifest.json: got no file, expected a publication that is in a log" in err
    assert run("fetch", site.url, "--out", tmp_path / "fetched")[0] == 0
    assert run("bundle", tmp_path / "fetched", *words)[0] == 0
    assert run("receipt", site.url, "--token", site.token, "--out", tmp_path / "fetched.json")[0] == 0
    assert (tmp_path / "own.json").read_bytes() == (tmp_path / "fetched.json").read_bytes()
    assert run("inclusion", tmp_path / "own.json", "--against", tmp_path / "fetched")[0] == 0
