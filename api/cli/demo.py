"""`solvent demo`: the whole way on Binance's published sample, then venues with margin; forged now and then."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

from api.cli.demo_margin import default_scenarios, margin_venue, smaller_loss
from api.cli.demo_steps import Steps, forged
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
from verifier.inclusion import check_bundle
from verifier.instruments import SPOT
from verifier.report import Against, read_statement
from verifier.statement import Statement, units

USERS: Final = ("sample_users0.csv", "sample_users1.csv")
ASSETS: Final = "cex_assets_info_sample4.csv"
ACCOUNT_NUMBER: Final = 9
RESERVES_PERCENT: Final = 105
BUNDLE_SUFFIX: Final = ".bundle.json"
RECEIPT_SUFFIX: Final = ".receipt.json"


def data_directory() -> Path:
    """The samples: `data/` of the repository, or the copy inside an installed package.

    Raises:
        InputError: neither is there.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package.parent / "data", package / "data"):
        if (folder / "binance" / ASSETS).is_file():
            return folder
    raise InputError(file=package.parent / "data", got="no sample files", expected="the repository's data")


def run_demo(out: Path | None, profile: Profile, serve: bool, output: Output) -> int:
    """`solvent demo`; see there. `out` None: everything goes to a temporary folder and away again."""
    from api.cli.demo_venue import run_venue  # what it needs and is not there is said before anything is done

    samples = data_directory()
    with tempfile.TemporaryDirectory(prefix="solvent-demo-") as folder:
        work = Path(folder)
        publication = out or work / "publication"
        steps = Steps(samples, work, profile, output)
        _Demo(steps, publication).run()
        receipt = publication.with_name(publication.name + RECEIPT_SUFFIX)
        run_venue(steps, receipt, serve)
        return _conclude(steps, publication if out is not None else None, receipt)


def _conclude(steps: Steps, kept: Path | None, receipt: Path) -> int:
    output, good = steps.output, all(step["ok"] for step in steps.done)
    verdict = "demonstrated" if good else "failed"
    output.json({"verdict": verdict, "steps": steps.done, "publication": None if kept is None else str(kept)})
    output.line()
    if kept is not None:
        output.line(f"Kept: {kept}, {private_directory(kept, None)} (secret), {_bundle(kept)}, {receipt}")
    words = "honest publications and bundles accepted, all forgeries refused" if good else "a step went wrong"
    output.line(f"Verdict: {words}", mood="good" if good else "bad")
    return ACCEPTED if good else REJECTED


def _bundle(publication: Path) -> Path:
    return publication.with_name(publication.name + BUNDLE_SUFFIX)


class _Demo:
    def __init__(self, steps: Steps, publication: Path) -> None:
        self.steps, self.publication, self.output = steps, publication, steps.output
        self.samples, self.work, self.profile = steps.samples / "binance", steps.work, steps.profile
        self.private, self.bundle = private_directory(publication, None), _bundle(publication)

    def run(self) -> None:
        check_free(self.publication, self.private, force=True)
        snapshot = self._import()
        self._prove(snapshot)
        self._verify()
        self._include(snapshot.user_id(ACCOUNT_NUMBER))
        wrong = forged(self.publication, self.work / "forged", _one_unit_less)
        title = "Forge: publish one unit less owed, with every sum in the statement made to fit"
        self.steps.refused(title, lambda: verify_directory(wrong, profile=self.profile.value))
        self._forge_bundle()
        self._margin_venue()

    def _import(self) -> Snapshot:
        with self.steps.step("Import Binance's sample: two account files and one token file") as step:
            options = ImportOptions(exchange="binance-sample", sequence=1)
            snapshot = import_binance(
                [self.samples / name for name in USERS], self.samples / ASSETS, options, equity_only=True
            )
            snapshot.write(self.work / "snapshot")
            meta = snapshot.meta
            step["detail"] = f"{meta.accounts} accounts, {meta.entries} entries, {len(meta.instruments)} assets"
        return snapshot

    def _prove(self, snapshot: Snapshot) -> None:
        with self.steps.step(
            f"Prove it, profile {self.profile.value}; reserves are made up, {RESERVES_PERCENT} %"
        ) as step:
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
        with self.steps.step("Verify it, as a stranger with nothing but the published directory") as step:
            report = verify_directory(self.publication, profile=self.profile.value)
            print_report(report, self.output)
            step["ok"] = report.solvent
            step["detail"] = report.spoken

    def _include(self, account: str) -> None:
        with self.steps.step("Check that one user's account is counted, as that user") as step:
            data = make_bundle(self.publication, self.private, account)
            write_whole(self.bundle, data)
            against = Against.read(self.publication)
            report = check_bundle(data, against.statement, user_id=account)
            print_inclusion(report, against, self.output)
            step["ok"] = report.compared
            step["detail"] = f"bundle of {len(data)} bytes"

    def _margin_venue(self) -> None:
        venue, prices, reserves = self.work / "venue", self.work / "prices.json", self.work / "venue-reserves.csv"
        with self.steps.step(
            "A venue with margin: Binance's 483 tokens with their haircuts, perpetuals, a fund"
        ) as step:
            snapshot = margin_venue(self.samples)
            scenarios = default_scenarios(snapshot)
            prices.write_bytes(simulate_evidence(snapshot.meta)[0])
            reserves.write_text(_reserves(snapshot), encoding="ascii")
            meta = snapshot.meta
            step["detail"] = f"{meta.accounts} made-up users, {meta.entries} positions, {len(scenarios)} scenarios"
        with self.steps.step("Prove it: equity, collateral against debts and margins, losses in each scenario") as step:
            with self.output.progress() as progress:
                report = prove_directory(
                    snapshot, venue, profile=self.profile.value, scenarios=scenarios, prices=prices, reserves=reserves,
                    progress=progress,
                )  # fmt: skip
            step["detail"] = f"{report.proof_bytes} bytes over {report.rows} rows"
        with self.steps.step(
            "Verify it: prices follow from signed quotes, the fund is open, losses are proved"
        ) as step:
            verified = verify_directory(venue, profile=self.profile.value)
            print_report(verified, self.output)
            step["ok"], step["detail"] = verified.solvent, verified.spoken
        wrong = forged(venue, self.work / "venue-wrong", smaller_loss)
        title = "Forge: publish a smaller loss for the worst scenario"
        self.steps.refused(title, lambda: verify_directory(wrong, profile=self.profile.value))

    def _forge_bundle(self) -> None:
        body = json.loads(self.bundle.read_bytes())
        body["entries"][0]["amount"] = str(int(body["entries"][0]["amount"]) + 1)
        statement = read_statement(self.publication)
        title = "Forge: show the user one atom more than is counted"
        self.steps.refused(title, lambda: check_bundle(dumps(body), statement))


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
