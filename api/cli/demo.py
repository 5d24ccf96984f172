"""`solvent demo`: the whole way on Binance's published sample, then a venue with margin; forged now and then."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from api.cli.demo_margin import default_scenarios, margin_venue, smaller_loss
from api.cli.options import Profile, private_directory
from api.cli.output import ACCEPTED, REJECTED, Output
from api.cli.proving import check_free
from api.cli.report import print_report
from api.cli.users import print_inclusion
from api.importers.accounts import ImportOptions
from api.importers.binance import import_binance
from prover.bundles import make_bundle
from prover.errors import InputError
from prover.files import write_whole
from prover.prices import simulate_evidence
from prover.publication import prove_directory
from prover.snapshot import Snapshot
from verifier import verify_directory
from verifier.canonical import dumps
from verifier.errors import VerificationError
from verifier.inclusion import check_bundle
from verifier.instruments import SPOT
from verifier.proofs import shard_file
from verifier.report import STATEMENT_FILE, Against, read_statement
from verifier.shards import parse_shard, seal
from verifier.statement import Statement, units

USERS: Final = ("sample_users0.csv", "sample_users1.csv")
ASSETS: Final = "cex_assets_info_sample4.csv"
ACCOUNT_NUMBER: Final = 9
RESERVES_PERCENT: Final = 105
BUNDLE_SUFFIX: Final = ".bundle.json"


def data_directory() -> Path:
    """Where the samples are: `data/` of the repository, or the copy inside an installed package.

    Raises:
        InputError: neither is there.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package.parent / "data" / "binance", package / "data" / "binance"):
        if (folder / ASSETS).is_file():
            return folder
    raise InputError(
        file=package.parent / "data" / "binance", got="no sample files", expected="the repository's data/binance"
    )


def run_demo(out: Path | None, profile: Profile, output: Output) -> int:
    """`solvent demo`; see there. `out` None: everything goes to a temporary folder and away again."""
    samples = data_directory()
    with tempfile.TemporaryDirectory(prefix="solvent-demo-") as folder:
        work = Path(folder)
        return _Demo(samples, work, out or work / "publication", profile, output).run(keep=out is not None)


class _Demo:
    def __init__(self, samples: Path, work: Path, publication: Path, profile: Profile, output: Output) -> None:
        self.samples, self.work, self.publication = samples, work, publication
        self.private = private_directory(publication, None)
        self.bundle = publication.with_name(publication.name + BUNDLE_SUFFIX)
        self.profile, self.output = profile, output
        self.steps: list[dict[str, Any]] = []

    def run(self, keep: bool) -> int:
        check_free(self.publication, self.private, force=True)
        snapshot = self._import()
        self._prove(snapshot)
        self._verify()
        account = snapshot.user_id(ACCOUNT_NUMBER)
        self._include(account)
        self._forge_total()
        self._forge_bundle()
        self._margin_venue()
        good = all(step["ok"] for step in self.steps)
        kept = str(self.publication) if keep else None
        verdict = "demonstrated" if good else "failed"
        self.output.json({"verdict": verdict, "steps": self.steps, "publication": kept})
        self.output.line()
        if keep:
            self.output.line(f"Kept: {self.publication}, {self.private} (secret), {self.bundle}")
        words = "honest publications and bundle accepted, all forgeries refused" if good else "a step went wrong"
        self.output.line(f"Verdict: {words}", mood="good" if good else "bad")
        return ACCEPTED if good else REJECTED

    @contextmanager
    def _step(self, title: str) -> Iterator[dict[str, Any]]:
        """Announces a step, times it, and says what came out: the body fills in `ok` and `detail`."""
        number = len(self.steps) + 1
        self.output.line(f"{number}. {title}", mood="title")
        step: dict[str, Any] = {"step": title, "ok": True, "detail": "", "seconds": 0.0}
        started = time.perf_counter()
        yield step
        step["seconds"] = time.perf_counter() - started
        self.steps.append(step)
        self.output.line(f"   {step['detail']} [{step['seconds']:.2f} s]", mood="plain" if step["ok"] else "bad")

    def _import(self) -> Snapshot:
        with self._step("Import Binance's sample: two account files and one token file") as step:
            options = ImportOptions(exchange="binance-sample", sequence=1)
            snapshot = import_binance(
                [self.samples / name for name in USERS], self.samples / ASSETS, options, equity_only=True
            )
            snapshot.write(self.work / "snapshot")
            meta = snapshot.meta
            step["detail"] = f"{meta.accounts} accounts, {meta.entries} entries, {len(meta.instruments)} assets"
        return snapshot

    def _prove(self, snapshot: Snapshot) -> None:
        with self._step(f"Prove it, profile {self.profile.value}; reserves are made up, {RESERVES_PERCENT} %") as step:
            reserves = self.work / "reserves.csv"
            reserves.write_text(_reserves(snapshot), encoding="ascii")
            with self.output.progress() as progress:
                report = prove_directory(
                    snapshot,
                    self.publication,
                    profile=self.profile.value,
                    reserves=reserves,
                    private=self.private,
                    force=True,
                    progress=progress,
                )
            step["detail"] = f"{report.proof_bytes} bytes over {report.rows} rows"
            step["phase_seconds"] = report.phase_seconds

    def _verify(self) -> None:
        with self._step("Verify it, as a stranger with nothing but the published directory") as step:
            report = verify_directory(self.publication, profile=self.profile.value)
            print_report(report, self.output)
            step["ok"] = report.solvent
            step["detail"] = report.spoken

    def _include(self, account: str) -> None:
        with self._step("Check that one user's account is counted, as that user") as step:
            data = make_bundle(self.publication, self.private, account)
            write_whole(self.bundle, data)
            against = Against.read(self.publication)
            report = check_bundle(data, against.statement, user_id=account)
            print_inclusion(report, against, self.output)
            step["ok"] = report.compared
            step["detail"] = f"bundle of {len(data)} bytes"

    def _forge_total(self) -> None:
        with self._step("Forge: publish one unit less owed, with every sum in the statement made to fit") as step:
            forged = self.work / "forged"
            shutil.copytree(self.publication, forged)
            _restate(forged, _one_unit_less(read_statement(self.publication)))
            self._expect_refusal(step, lambda: verify_directory(forged, profile=self.profile.value))

    def _margin_venue(self) -> None:
        venue, prices, reserves = self.work / "venue", self.work / "prices.json", self.work / "venue-reserves.csv"
        with self._step("A venue with margin: Binance's 483 tokens with their haircuts, perpetuals, a fund") as step:
            snapshot = margin_venue(self.samples)
            scenarios = default_scenarios(snapshot)
            prices.write_bytes(simulate_evidence(snapshot.meta)[0])
            reserves.write_text(_reserves(snapshot), encoding="ascii")
            meta = snapshot.meta
            step["detail"] = f"{meta.accounts} made-up users, {meta.entries} positions, {len(scenarios)} scenarios"
        with self._step("Prove it: equity, collateral against debts and margins, losses in each scenario") as step:
            with self.output.progress() as progress:
                report = prove_directory(
                    snapshot, venue, profile=self.profile.value, scenarios=scenarios, prices=prices, reserves=reserves,
                    progress=progress,
                )  # fmt: skip
            step["detail"] = f"{report.proof_bytes} bytes over {report.rows} rows"
        with self._step("Verify it: prices follow from signed quotes, the fund is open, losses are proved") as step:
            verified = verify_directory(venue, profile=self.profile.value)
            print_report(verified, self.output)
            step["ok"], step["detail"] = verified.solvent, verified.spoken
        with self._step("Forge: publish a smaller loss for the worst scenario") as step:
            _restate(venue, smaller_loss(verified.statement))
            (venue / "fund.json").unlink()  # its opening names the true statement
            self._expect_refusal(step, lambda: verify_directory(venue, profile=self.profile.value))

    def _forge_bundle(self) -> None:
        with self._step("Forge: show the user one atom more than is counted") as step:
            body = json.loads(self.bundle.read_bytes())
            body["entries"][0]["amount"] = str(int(body["entries"][0]["amount"]) + 1)
            statement = read_statement(self.publication)
            self._expect_refusal(step, lambda: check_bundle(dumps(body), statement))

    @staticmethod
    def _expect_refusal(step: dict[str, Any], check: Callable[[], object]) -> None:
        try:
            check()
        except VerificationError as error:
            step["reason"] = error.reason.value
            step["detail"] = f"refused, {error}"
        else:
            step["ok"] = False
            step["detail"] = "ACCEPTED, which must not happen"


def _restate(publication: Path, statement: Statement) -> None:
    """Publish another statement, with the document of its only shard and the root made to fit."""
    path = publication / shard_file(0)
    shard = parse_shard(path.read_bytes(), read_statement(publication), 0)
    shard = replace(shard, header=statement.header_digest, outputs=statement.outputs)
    statement = replace(statement, root=seal(shard.place(statement.liability_output).sum, 1))
    path.write_bytes(shard.to_bytes())
    (publication / STATEMENT_FILE).write_bytes(statement.to_bytes())


def _one_unit_less(statement: Statement) -> Statement:
    """The same statement with one unit of the first asset less held by users, and the liability lowered to match."""
    first, totals = statement.instruments[0], statement.totals[0]
    atoms = 10**first.decimals
    return replace(
        statement,
        totals=(replace(totals, long=totals.long - atoms), *statement.totals[1:]),
        total_liability=statement.total_liability - atoms * first.price,
    )


def _reserves(snapshot: Snapshot) -> str:
    """What the exchange would have to hold, and a little more."""
    lines = ["asset,amount"]
    for instrument, (held, owed) in zip(snapshot.meta.instruments, snapshot.totals(), strict=True):
        if instrument.kind != SPOT:
            continue
        needed = -(-max(0, held - owed) * RESERVES_PERCENT // 100)
        lines.append(f"{instrument.symbol},{units(needed, instrument.decimals)}")
    return "\n".join(lines) + "\n"
