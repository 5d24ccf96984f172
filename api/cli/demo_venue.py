"""The last part of `solvent demo`: a venue in a crash; its snapshot proved, published, and checked over HTTP."""

from __future__ import annotations

import hashlib
import signal
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Final

import numpy as np

from api.app import make_app
from api.cli.demo_margin import smaller_loss
from api.cli.demo_steps import Steps, forged
from api.cli.report import print_report, print_steps
from api.cli.simulate import SNAPSHOTS, Plan, run_simulation
from api.cli.simulation_report import report_data
from api.cli.users import print_inclusion
from api.fetch import fetch_publication, fetch_receipt
from api.handing import Bundles
from api.importers.bars import read_markets
from api.importers.scenarios import read_scenarios
from api.ledger_snapshots import HOLDINGS_FILE, PRICES_FILE, SCENARIOS_FILE
from api.notes import log_key, sign_checkpoint, witness_key
from api.publish import publish
from api.serving import served
from api.store import Store
from api.tokens import Tokens
from api.witness import Witness
from api.witness import make_app as witness_app
from prover.bundle_writer import write_store
from prover.files import write_whole
from prover.prices import load_key, new_key
from prover.publication import private_folder, prove_directory
from prover.snapshot import Snapshot
from verifier import verify_directory
from verifier.fund import FUND_USER_ID
from verifier.log.check import check_logged
from verifier.log.checkpoint import Checkpoint
from verifier.log.fraud import verify_fraud
from verifier.log.policy import Policy, read_policy
from verifier.log.tiles import CHECKPOINT_FILE
from verifier.receipt import check_user_file

MARKET_FILE: Final = "market/bitstamp_BTCUSD_1h_20200305_20200319.csv"
FIRST_S, LAST_S = 1_583_971_200, 1_584_140_400
"""From 12 March 2020, 00:00 UTC, to the 13th, 23:00: bitcoin loses half of its price in a day."""
ACCOUNTS, SEED = 200, 2020
MAKER: Final = "maker "
"""How the population names its market makers."""
ORIGIN, WITNESS = "demo.example/solvency", "witness.example/demo"


def run_venue(steps: Steps, receipt: Path, wait: bool) -> None:
    """From the crash to the forgeries.

    Args:
        receipt: of one user, to write.
        wait: serve what was published until interrupted.
    """
    snapshot = _crash(steps)
    publication = steps.work / "venue-publication"
    _prove(steps, snapshot, publication)
    with _Site(steps, publication) as site:
        site.publish()
        with served(make_app(site.store, site.bundles)) as url:
            site.audit(url)
            site.include(url, _customer(Snapshot.load(snapshot)), receipt)
            site.forge()
            if wait:
                site.wait(url)


def _crash(steps: Steps) -> Path:
    """The folder of the snapshot after it."""
    lines = (steps.samples / MARKET_FILE).read_text("ascii").splitlines()
    rows = [line for line in lines[1:] if FIRST_S <= int(line.partition(",")[0]) <= LAST_S]
    market, out = steps.work / "BTCUSD.csv", steps.work / "simulation"
    market.write_text("\n".join([lines[0], *rows]) + "\n")
    out.mkdir()
    with steps.step("A venue through 12 and 13 March 2020: real bitcoin prices, made-up users with leverage") as step:
        bars, times = read_markets([market])
        simulation, figures = run_simulation(Plan(bars, times, None, ACCOUNTS, SEED, len(times), out), steps.output)
        audit, totals = figures["audit"], report_data(simulation, figures)["totals"]
        step["ok"] = all(check["ok"] for check in audit) and not figures["invariants_broken"]
        step["detail"] = (
            f"{len(times)} hours, {totals['commands']:,} commands, {totals['trades']:,} trades, "
            f"{totals['liquidations']} liquidations; all {len(audit)} figures of the audit agree"
        )
    (folder,) = (out / SNAPSHOTS).iterdir()
    return folder


def _prove(steps: Steps, folder: Path, out: Path) -> None:
    snapshot = Snapshot.load(folder)
    meta = snapshot.meta
    scenarios = read_scenarios(folder / SCENARIOS_FILE, meta.instruments, meta.value_decimals, meta.quote)
    with steps.step("Prove its snapshot: balances, margins, both sides of every position, losses in stress") as step:
        with steps.output.progress() as progress:
            report = prove_directory(
                snapshot, out, profile=steps.profile.value, policy="disclosed", scenarios=scenarios,
                prices=folder / PRICES_FILE, reserves=folder / HOLDINGS_FILE, progress=progress,
            )  # fmt: skip
        step["detail"] = f"{meta.accounts} accounts, {len(scenarios)} scenarios, {report.proof_bytes} bytes of proof"


def _customer(snapshot: Snapshot) -> str:
    """The user with the most entries, who is no market maker."""
    names: list[str] = snapshot.user_ids.to_pylist()
    entries = dict(zip(names, np.diff(snapshot.offsets).tolist(), strict=True))
    users = (name for name in names if name != FUND_USER_ID and not name.startswith(MAKER))
    return max(users, key=entries.__getitem__)


class _Site:
    """A publisher with its log, a witness, and a reader's policy that names both."""

    def __init__(self, steps: Steps, publication: Path) -> None:
        self.steps, self.publication = steps, publication
        self._open = ExitStack()

    def __enter__(self) -> _Site:
        work = self.steps.work
        for name in ("log", "witness"):
            write_whole(work / f"{name}.pem", new_key())
        self.key, witness = load_key(work / "log.pem"), load_key(work / "witness.pem")
        own = log_key(ORIGIN, self.key)
        self.store = self._open.enter_context(closing(Store.create(str(work / "store"), own)))
        memory = f"sqlite:///{(work / 'witness.db').absolute()}"
        cosigner = self._open.enter_context(closing(Witness(memory, WITNESS, witness, (own,), create=True)))
        address = self._open.enter_context(served(witness_app(cosigner)))
        self.policy = work / "policy"
        self.policy.write_text(
            f"log {own.vkey}\nwitness demo {witness_key(WITNESS, witness).vkey} {address}\nquorum demo\n"
        )
        write_store(self.publication, private_folder(self.publication), work / "bundles")
        self.tokens = Tokens(str(work / "tokens.db"), create=True)
        self.bundles = self._open.enter_context(closing(Bundles([work / "bundles"], self.tokens)))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def trusted(self) -> Policy:
        return read_policy(self.policy)

    def publish(self) -> None:
        with self.steps.step("Publish it: verified, stored, logged, signed, cosigned by a witness") as step:
            done = publish(self.publication, self.store, self.key, self.trusted)
            answers = ", ".join(f"{answer.witness}: {answer.why}" for answer in done.answers)
            step["ok"] = done.is_shown
            step["detail"] = f"{len(done.manifest.files)} files, log entry {done.index}, witness {answers}"

    def audit(self, url: str) -> None:
        self.fetched = self.steps.work / "fetched"
        with self.steps.step(f"Auditor, with nothing but {url} and the log's key: solvent verify URL") as step:
            fetch_publication(url, self.fetched)
            report = verify_directory(self.fetched, profile=self.steps.profile.value)
            print_report(report, self.steps.output)
            print_steps(check_logged(self.fetched, report.statement, self.trusted).steps, self.steps.output)
            step["ok"], step["detail"] = report.solvent, report.spoken

    def include(self, url: str, user: str, receipt: Path) -> None:
        with self.steps.step(f"User {user}, with a token: solvent receipt, solvent inclusion") as step:
            (self.token,) = self.tokens.issue([user])
            data = fetch_receipt(url, self.token)
            write_whole(receipt, data)
            report, against = check_user_file(data, self.fetched, log_policy=self.policy, user_id=user)
            print_inclusion(report, against, self.steps.output)
            step["ok"] = report.compared and against is not None and against.report is not None
            step["detail"] = f"receipt of {len(data)} bytes: {receipt.name}"

    def forge(self) -> None:
        wrong = forged(self.publication, self.steps.work / "venue-forged", smaller_loss)
        title = "Forge: publish a smaller loss for the worst scenario"
        self.steps.refused(title, lambda: publish(wrong, self.store, self.key, self.trusted))
        shown = (self.store.log / CHECKPOINT_FILE).read_bytes()
        other = sign_checkpoint(Checkpoint(ORIGIN, 1, hashlib.sha256(b"another history").digest()), self.key)
        with self.steps.step("Forge: sign another log of the same size for somebody else") as step:
            found = verify_fraud(shown, other, self.trusted.logs)
            step["detail"] = f"both together are evidence: {ORIGIN} signed two histories of {found.size} entries"

    def wait(self, url: str) -> None:
        """Until Ctrl-C."""
        self.steps.output.line()
        self.steps.output.line(f"The page: {url}/page/  Token: {self.token}", mood="title")
        self.steps.output.line("Stop it with Ctrl-C.")
        with suppress(KeyboardInterrupt):  # which is how waiting is meant to end
            signal.pause()
