"""From a snapshot to a published directory: statement, shards, reserves; and beside it the private store."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from prover.bundles import fund_bundle
from prover.capacity import Capacity, choose_capacity
from prover.errors import InputError
from prover.executors import Executor
from prover.executors.inline import InlineExecutor
from prover.executors.local import LocalExecutor
from prover.files import sync
from prover.positions import Int64, count_entries
from prover.prices import load_evidence
from prover.private import META_FILE, PrivateStore, write_private
from prover.progress import Phases, Progress, peak_memory_bytes
from prover.randomness import Randomness
from prover.reserves import read_reserves
from prover.shards.journal import Run, done_folder
from prover.shards.prove import PROOF_PART, SHARD_PART, AccountRefused, prove_task
from prover.shards.run import run_shards
from prover.shards.split import split_snapshot
from prover.shards.task import ShardResult
from prover.snapshot import Snapshot
from prover.staging import bring, put_in_place, require_apart, require_place, staged, sync_tree
from prover.terms import Terms, choose_circuit
from prover.warm import compile_kernels
from verifier.errors import VerificationError
from verifier.instruments import Scenario
from verifier.legs import derive_legs
from verifier.params import accepted_profile
from verifier.prices import check_prices
from verifier.proofs import SHARDS_FOLDER, proof_file, shard_file
from verifier.report import FUND_FILE, PRICES_FILE, STATEMENT_FILE, read_statement
from verifier.shards import Shard, check_shards, parse_shard, seal, top_sum
from verifier.solvency import CIRCUITS, OUTPUT_END, SpecialRows, pinned_digest
from verifier.statement import STRICT, Losses, Statement, Totals, levels_for, parse_statement
from verifier.verdict import NO_EVIDENCE


@dataclass(frozen=True)
class ProveReport:
    """What proving cost.

    Args:
        phase_seconds, phase_cpu_seconds: by phase of `prover.progress.PHASES`, by the clock and of all threads; those
            of shards added up over all of them.
        rows, shards: of each trace, and how many; public.
        used_rows: of all traces together.
        resumed: shards that an earlier run had finished. repairs: in words, what of it was damaged and done again.
        statement_digest: None where only the inputs were written, to the folder `work`.
        proof_bytes: of all shards together.
        peak_memory_bytes: of this process and all workers on this machine together, at most.
    """

    phase_seconds: dict[str, float]
    rows: int
    shards: int
    used_rows: int
    resumed: int
    proof_bytes: int
    peak_memory_bytes: int
    statement_digest: str | None
    phase_cpu_seconds: dict[str, float] = field(default_factory=dict)
    repairs: tuple[str, ...] = ()
    work: Path | None = None


def private_folder(out: Path) -> Path:
    """Where the secrets of a publication go unless told otherwise: beside it, never inside."""
    return out.with_name(out.name + ".private")


def work_folder(out: Path) -> Path:
    """Where an unfinished run is kept, so that the next one goes on with it; secret, and gone when it is done."""
    return out.with_name(out.name + ".work")


def prove_directory(
    snapshot: Snapshot,
    out: Path,
    *,
    profile: str = "fast",
    policy: str = STRICT,
    circuit: str | None = None,
    scenarios: tuple[Scenario, ...] = (),
    prices: Path | None = None,
    reserves: Path | None = None,
    reserves_evidence: Path | None = None,
    private: Path | None = None,
    seed: bytes | None = None,
    previous: Path | None = None,
    log2_rows: int | None = None,
    shards: int | None = None,
    executor: Executor | None = None,
    only_inputs: bool = False,
    restart: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> ProveReport:
    """Prove a snapshot and write what is published to `out`, secrets to `private` (default: `out` + ".private").

    Interrupted or killed, finished shards stay in `out` + ".work", and the same call goes on with them.

    Args:
        circuit: None chooses the smallest that proves everything in the snapshot, and the scenarios.
        reserves_evidence: the addresses behind `reserves`, as `solvent reserves verify` wrote them.
        prices: signed quotes from which the snapshot's prices follow.
        seed: tests only; None takes fresh randomness from the operating system.
        previous: the publication before this one, which the snapshot has to name; its size is kept if it can be.
        log2_rows, shards: sizes; None applies the capacity policy.
        executor: who proves the shards; None proves a single one in this process, several in one process per processor.
        only_inputs: write what the shards are proved from, and stop: others prove them (docs/cluster.md).
        restart: throw away an unfinished run, of whatever inputs.
        force: replace an earlier publication at `out`.

    Raises:
        InputError: an account, the reserves, the prices or the place of `out` is wrong; nothing is published then.
    """
    phases, meta = Phases(progress), snapshot.meta
    places = _Places(out, private or private_folder(out), work_folder(out))
    places.require(force)
    circuit = choose_circuit(meta.instruments, len(scenarios), circuit)
    evidence = None if prices is None else load_evidence(prices, meta)
    files: dict[str, bytes | None] = {**read_reserves(reserves, reserves_evidence, meta), PRICES_FILE: evidence}
    with phases.phase("compile"):
        compile_kernels(phases.at)
    before = None if previous is None else _previous_capacity(previous, meta.previous)
    plan = _plan(snapshot, Terms(profile, policy, circuit, scenarios, evidence), before, log2_rows, shards)
    if restart and places.work.exists():
        shutil.rmtree(places.work)
    if executor is None:
        executor = InlineExecutor() if plan.statement.shards == 1 else LocalExecutor()
    return _run(plan, snapshot, places, files, None if only_inputs else executor, seed, phases)


@dataclass(frozen=True)
class _Places:
    """Three folders, none inside another."""

    out: Path
    private: Path
    work: Path

    def require(self, force: bool) -> None:
        """They may be written, as `prove_directory` says."""
        require_apart(self.out, self.private, self.work)
        require_place(self.out, STATEMENT_FILE, force)
        require_place(self.private, META_FILE, force)


def _run(
    plan: _Plan,
    snapshot: Snapshot,
    places: _Places,
    files: dict[str, bytes | None],
    executor: Executor | None,
    seed: bytes | None,
    phases: Phases,
) -> ProveReport:
    """Prove what is not proved yet, and publish; without an executor only the inputs are written."""
    statement, used = plan.statement, plan.used_rows
    report = ProveReport(phases.seconds, 1 << statement.log2_rows, statement.shards, used, 0, 0, 0, None)
    try:
        with Run(places.work, statement.to_bytes(), statement.shards, seed) as run:
            _split(run, plan, snapshot, phases)
            report = replace(report, resumed=len(run.finished), repairs=tuple(run.repairs), work=places.work)
            if executor is None:
                return report
            results = _prove_shards(run, executor, phases)
            with phases.phase("write"):
                statement, proof_bytes = _publish(run, statement, files, places.out, places.private)
    except AccountRefused:
        shutil.rmtree(places.work)  # no later run of this snapshot can use it
        raise
    shutil.rmtree(places.work)
    for result in results:
        phases.add(result.seconds, result.cpu_seconds)
    largest = max(result.peak_memory_bytes for result in results)
    return replace(
        report,
        phase_seconds=phases.seconds,
        phase_cpu_seconds=phases.cpu_seconds,
        proof_bytes=proof_bytes,
        peak_memory_bytes=peak_memory_bytes() + min(executor.processes, statement.shards) * largest,
        statement_digest=statement.digest.hex(),
    )


@dataclass(frozen=True)
class _Plan:
    """What is known before any shard is proved: the statement without its outputs, and the rows that accounts take."""

    statement: Statement
    entries: Int64
    used_rows: int


def _plan(
    snapshot: Snapshot, terms: Terms, before: Capacity | None, log2_rows: int | None, shards: int | None
) -> _Plan:
    meta, known = snapshot.meta, CIRCUITS[terms.circuit]
    legs = derive_legs(terms.circuit, meta.value_decimals, meta.instruments, terms.scenarios)
    entries = count_entries(snapshot.offsets, snapshot.positions, snapshot.amounts, legs)
    outputs = legs[-1].total + 2 + known.lenses
    most = SpecialRows(outputs, known.lenses, masked=True).count
    capacity = choose_capacity(entries, most, known.record_rows, previous=before, log2_rows=log2_rows, shards=shards)
    statement = Statement(
        circuit=terms.circuit,
        circuit_digest=pinned_digest(terms.circuit),
        tree_hash=known.tree_hash,
        profile=terms.profile,
        parameters_digest=accepted_profile(terms.profile).digest,
        exchange=meta.exchange,
        sequence=meta.sequence,
        time=meta.time,
        ledger_state=bytes.fromhex(meta.ledger_state),
        previous=bytes.fromhex(meta.previous),
        oracle_evidence=NO_EVIDENCE if terms.evidence is None else hashlib.sha256(terms.evidence).digest(),
        quote=meta.quote,
        value_decimals=meta.value_decimals,
        policy=terms.policy,
        instruments=meta.instruments,
        scenarios=terms.scenarios,
        log2_rows=capacity.log2_rows,
        levels=levels_for(capacity.log2_rows),
        shards=capacity.shards,
        root=bytes(32),
        totals=tuple(Totals(0, 0, (0,) * len(i.buckets)) for i in meta.instruments),
        total_liability=0,
        total_shortfall=0,
        total_margin_deficit=0 if known.lenses else None,
        losses=(Losses(0, 0),) * len(terms.scenarios),
    )
    used = int(entries.sum()) + 2 * len(entries) + -(-10 * len(entries) // 7)
    return _Plan(_accepted(statement, terms.evidence), entries, used)


def _split(run: Run, plan: _Plan, snapshot: Snapshot, phases: Phases) -> None:
    """Write the inputs of all shards, unless they are there."""
    statement = plan.statement
    with phases.phase("split"):
        split_snapshot(
            run,
            snapshot,
            plan.entries,
            Capacity(statement.log2_rows, statement.shards),
            Randomness(run.seed, statement.header_digest),
            special_rows=statement.special_rows.count,
            record_rows=CIRCUITS[statement.circuit].record_rows,
            progress=phases.at,
        )


def _prove_shards(run: Run, executor: Executor, phases: Phases) -> list[ShardResult]:
    """Results of all shards, also of those that were there already."""
    if isinstance(executor, InlineExecutor):
        return run_shards(run, run.tasks(), partial(prove_task, phases=phases.apart()), executor)
    with phases.phase("shards"):
        return run_shards(run, run.tasks(), prove_task, executor, lambda done, of: phases.at(done / of))


def _publish(
    run: Run, draft: Statement, files: dict[str, bytes | None], out: Path, private: Path
) -> tuple[Statement, int]:
    """Put two new folders in place; the insurance fund's account, if there is one, is opened among the public files.

    Both are complete and on disk before anything is moved, and what they replace is deleted last: killed at any moment,
    each publication that can be seen still has its store, if need be under a name that starts with a dot.
    """
    shards = [
        parse_shard((done_folder(run.path, index) / SHARD_PART).read_bytes(), draft, index)
        for index in range(draft.shards)
    ]
    statement = _accepted(_with_outputs(draft, shards), None)
    check_shards(statement, shards)
    with staged(out) as new_out, staged(private) as new_private:
        write_private(new_private, statement, shards, run.path)
        fund = fund_bundle(statement, PrivateStore.open(new_private))
        for name, data in {**files, STATEMENT_FILE: statement.to_bytes(), FUND_FILE: fund}.items():
            if data is not None:
                (new_out / name).write_bytes(data)
        (new_out / SHARDS_FOLDER).mkdir(mode=0o755)
        proof_bytes = 0
        for index in range(statement.shards):
            done = done_folder(run.path, index)
            for part, name in ((SHARD_PART, shard_file(index)), (PROOF_PART, proof_file(index))):
                bring(done / part, new_out / name)
                (new_out / name).chmod(0o644)
            proof_bytes += (done / PROOF_PART).stat().st_size
        new_out.chmod(0o755)
        sync_tree(new_out)
        sync_tree(new_private)
        old = [put_in_place(new_private, private), put_in_place(new_out, out)]
        for parent in {private.parent, out.parent}:
            sync(parent)  # the run, which could be taken up again, is deleted next
    for folder in old:
        if folder is not None:
            shutil.rmtree(folder)
    return statement, proof_bytes


def _with_outputs(draft: Statement, shards: Sequence[Shard]) -> Statement:
    """The statement with what its shards add up to."""
    sums = [sum(parts) % OUTPUT_END for parts in zip(*(shard.outputs for shard in shards), strict=True)]
    amounts, totals = iter(sums), []
    for instrument in draft.instruments:
        buckets = tuple(next(amounts) for _ in instrument.buckets)
        totals.append(Totals(sum(buckets) if buckets else next(amounts), next(amounts), buckets))
    liability, *lost = amounts
    losses = zip(lost[1::2], lost[2::2], strict=True)
    top = top_sum([shard.place(draft.liability_output).sum for shard in shards])
    statement = replace(
        draft,
        root=seal(top, len(shards)),
        totals=tuple(totals),
        total_liability=liability,
        total_margin_deficit=lost[0] if lost else None,
        losses=tuple(Losses(*pair) for pair, _ in zip(losses, draft.scenarios, strict=False)),
    )
    return replace(statement, total_shortfall=liability - statement.net_value)


def _accepted(statement: Statement, evidence: bytes | None) -> Statement:
    """As a verifier reads it.

    Raises:
        InputError: a verifier would refuse it.
    """
    try:
        statement = parse_statement(statement.to_bytes())
        if evidence is not None:
            check_prices(evidence, statement, None)
    except VerificationError as error:
        raise InputError(got=str(error), expected="a snapshot whose statement a verifier accepts") from None
    return statement


def _previous_capacity(previous: Path, digest: str) -> Capacity:
    try:
        statement = read_statement(previous)
    except VerificationError as error:
        raise InputError(file=previous, got=str(error), expected="a publication directory") from None
    if statement.digest.hex() != digest:
        raise InputError(
            file=previous, got=f"statement {statement.digest.hex()}", expected=f"{digest}, which the snapshot names"
        )
    return Capacity(statement.log2_rows, statement.shards)
