"""From a snapshot to a published directory: statement, proof, reserves; and beside it the private store."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from circuits.registry import records_of
from prover.bundles import fund_bundle
from prover.capacity import choose_log2_rows
from prover.errors import InputError
from prover.identities import account_ids
from prover.positions import split_positions
from prover.prices import load_evidence
from prover.private import META_FILE, PrivateStore, write_private
from prover.progress import Phases, Progress
from prover.prove import prove
from prover.randomness import Randomness, fresh_seed
from prover.snapshot import Snapshot
from prover.terms import Terms, choose_circuit
from prover.tree import Tree
from prover.warm import compile_kernels
from prover.witness import AccountAtFault, Accounts, Legs, TraceWitness, build_witness, finish
from verifier.errors import VerificationError
from verifier.instruments import Instrument, Scenario
from verifier.legs import Leg, derive_legs
from verifier.params import accepted_profile
from verifier.poseidon import INSTANCES
from verifier.prices import check_prices
from verifier.report import FUND_FILE, PRICES_FILE, PROOF_FILE, RESERVES_FILE, STATEMENT_FILE, read_statement
from verifier.reserves import parse_reserves
from verifier.solvency import CIRCUITS, pinned_digest, relation
from verifier.statement import STRICT, Losses, Statement, Totals, levels_for, parse_statement
from verifier.verdict import NO_EVIDENCE


@dataclass(frozen=True)
class ProveReport:
    """What proving cost.

    Args:
        phase_seconds, phase_cpu_seconds: by phase of `prover.progress.PHASES`, by the clock and of all threads.
        rows, used_rows: of the trace; only `rows` is public.
        peak_memory_bytes: of this process so far.
    """

    phase_seconds: dict[str, float]
    rows: int
    used_rows: int
    proof_bytes: int
    peak_memory_bytes: int
    statement_digest: str
    phase_cpu_seconds: dict[str, float] = field(default_factory=dict)


def private_folder(out: Path) -> Path:
    """Where the secrets of a publication go unless told otherwise: beside it, never inside."""
    return out.with_name(out.name + ".private")


@dataclass(frozen=True)
class _Prepared:
    """All that a proof is made from. Nonces and users are in trace order."""

    statement: Statement
    witness: TraceWitness
    accounts: Accounts
    nonces: npt.NDArray[np.uint8]
    users: list[str]

    @property
    def secrets(self) -> tuple[str, Accounts, npt.NDArray[np.uint8], npt.NDArray[np.uint32], Tree, list[str]]:
        """Arguments of `write_private` after the folder."""
        witness = self.witness
        return self.statement.digest.hex(), self.accounts, self.nonces, witness.leaf_digests, witness.tree, self.users


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
    private: Path | None = None,
    seed: bytes | None = None,
    previous: Path | None = None,
    log2_rows: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> ProveReport:
    """Prove a snapshot and write what is published to `out`, secrets to `private` (default: `out` + ".private").

    Args:
        circuit: None chooses the smallest that proves everything in the snapshot, and the scenarios.
        prices: signed quotes from which the snapshot's prices follow.
        seed: tests only; None takes fresh randomness from the operating system.
        previous: the publication before this one, which the snapshot has to name; its size is kept if it can be.
        log2_rows: trace size; None applies the capacity policy.
        force: replace an earlier publication at `out`.

    Raises:
        InputError: an account, the reserves, the prices or the place of `out` is wrong; nothing is written then.
    """
    phases, private = Phases(progress), private or private_folder(out)
    _require_apart(out, private)
    _require_place(out, STATEMENT_FILE, force)
    _require_place(private, META_FILE, force)
    instruments = snapshot.meta.instruments
    circuit = choose_circuit(instruments, len(scenarios), circuit)
    reserves_bytes = _read_reserves(reserves, instruments)
    evidence = None if prices is None else load_evidence(prices, snapshot.meta)
    with phases.phase("compile"):
        compile_kernels(phases.at)
    random = Randomness(seed if seed is not None else fresh_seed(), snapshot.meta.to_bytes())
    with phases.phase("witness"):
        before = None if log2_rows else _previous_log2_rows(previous, snapshot.meta.previous)
        terms = Terms(profile, policy, circuit, scenarios, evidence)
        made = _prepare(snapshot, terms, random, log2_rows, before, phases)
        statement = made.statement
    proof = prove(relation(statement), accepted_profile(profile), made.witness.trace, random, phases).to_bytes()
    with phases.phase("write"):
        files = {STATEMENT_FILE: statement.to_bytes(), PROOF_FILE: proof}
        files |= {name: data for name, data in ((RESERVES_FILE, reserves_bytes), (PRICES_FILE, evidence)) if data}
        _publish(out, files, private, statement, lambda folder: write_private(folder, *made.secrets))
    return ProveReport(
        phase_seconds=phases.seconds,
        phase_cpu_seconds=phases.cpu_seconds,
        rows=1 << statement.log2_rows,
        used_rows=made.witness.used_rows,
        proof_bytes=len(proof),
        peak_memory_bytes=peak_memory_bytes(),
        statement_digest=statement.digest.hex(),
    )


def _prepare(
    snapshot: Snapshot,
    terms: Terms,
    random: Randomness,
    log2_rows: int | None,
    before: int | None,
    phases: Phases,
) -> _Prepared:
    """Trace and statement. `before` is the size of the publication before, for the capacity policy."""
    legs = derive_legs(terms.circuit, snapshot.meta.value_decimals, snapshot.meta.instruments, terms.scenarios)
    order, accounts, nonces, users = _accounts(snapshot, legs, random, phases)
    if log2_rows is None:
        size = len(accounts), len(accounts.legs), legs[-1].total + 1
        log2_rows = choose_log2_rows(*size, before, CIRCUITS[terms.circuit].record_rows)
    witness = _witness(snapshot, order, accounts, legs, terms, log2_rows, random)
    statement = _statement(snapshot, witness, terms, log2_rows)
    phases.at(0.8)
    with phases.phase("hashing"):
        finish(witness.trace, INSTANCES[statement.tree_hash])
    return _Prepared(statement, witness, accounts, nonces, users)


def _previous_log2_rows(previous: Path | None, digest: str) -> int | None:
    if previous is None:
        return None
    try:
        statement = read_statement(previous)
    except VerificationError as error:
        raise InputError(file=previous, got=str(error), expected="a publication directory") from None
    if statement.digest.hex() != digest:
        raise InputError(
            file=previous, got=f"statement {statement.digest.hex()}", expected=f"{digest}, which the snapshot names"
        )
    return statement.log2_rows


def _require_apart(out: Path, private: Path) -> None:
    """Neither folder inside the other: replacing one would delete the other, and publishing one reveal it."""
    one, two = out.resolve(), private.resolve()
    if one == two or one in two.parents or two in one.parents:
        raise InputError(file=private, got="a folder inside the other, or the same", expected=f"one apart from {out}")


def _require_place(folder: Path, marker: str, force: bool) -> None:
    """Nothing may stand where we write, unless `force` is given and it is what we wrote before."""
    if not folder.exists():
        return
    if not force:
        raise InputError(file=folder, got="an existing path", expected="a new one (or --force to replace it)")
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / marker).is_file()):
        raise InputError(
            file=folder, got="something else", expected=f"a folder with {marker}: --force replaces no other"
        )


def peak_memory_bytes() -> int:
    """Largest resident size of this process so far (macOS counts bytes, others KiB)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _read_reserves(path: Path | None, instruments: tuple[Instrument, ...]) -> bytes | None:
    if path is None:
        return None
    try:
        data = path.read_bytes()
        parse_reserves(data, instruments)
    except OSError as error:
        raise InputError(file=path, got=error.strerror or "no file", expected="a CSV file asset,amount") from None
    except VerificationError as error:
        raise InputError(file=path, got=str(error), expected="a CSV file asset,amount") from None
    return data


def _accounts(
    snapshot: Snapshot, legs: Sequence[Leg], random: Randomness, phases: Phases
) -> tuple[npt.NDArray[np.int64], Accounts, npt.NDArray[np.uint8], list[str]]:
    """Accounts in a secret random order, with fresh blinding, and a nonce of ours where the client gave none."""
    count = len(snapshot.offsets) - 1
    order = random.permutation("accounts", count)
    drawn = np.frombuffer(random.bytes("nonces", 32 * count), np.uint8).reshape(count, 32)
    nonces = np.where(snapshot.has_nonce[:, None], snapshot.nonces, drawn)[order]
    all_users: list[str] = snapshot.user_ids.to_pylist()
    users = [all_users[i] for i in order.tolist()]
    exchange = snapshot.meta.exchange
    identities = account_ids(exchange, users, nonces)
    phases.at(0.3)
    counts = np.diff(snapshot.offsets)[order]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    held = np.repeat(snapshot.offsets[:-1][order] - offsets[:-1], counts) + np.arange(offsets[-1])
    blindings = random.words("account blinding", 6 * count).reshape(count, 6)
    entries = split_positions(offsets, snapshot.positions[held], snapshot.amounts[held], legs)
    accounts = Accounts(identities, blindings, *entries)
    return order, accounts, nonces, users


def _witness(
    snapshot: Snapshot,
    order: npt.NDArray[np.int64],
    accounts: Accounts,
    legs: Sequence[Leg],
    terms: Terms,
    log2_rows: int,
    random: Randomness,
) -> TraceWitness:
    instance = INSTANCES[CIRCUITS[terms.circuit].tree_hash]
    levels, totals = levels_for(log2_rows), legs[-1].total + 1
    try:
        witness = build_witness(
            accounts, Legs.of(legs), totals, levels, log2_rows, random, instance, records_of(terms.circuit)
        )
        if terms.policy == STRICT:
            _require_healthy(witness)
    except AccountAtFault as fault:
        index = int(order[fault.index])
        raise InputError(
            file=", ".join(source.file for source in snapshot.meta.source) or None,
            row=int(snapshot.lines[index]),
            field=fault.field,
            got=f"user {snapshot.user_id(index)}: {fault.why}",
            expected="an account that can be proved (--policy disclosed publishes shortfalls and margin deficits)",
        ) from None
    return witness


def _require_healthy(witness: TraceWitness) -> None:
    """Policy strict: no account below zero, at the statement's prices."""
    if witness.negative.any():
        why = "equity is negative, which policy strict forbids"
        raise AccountAtFault(int(witness.negative.argmax()), why)
    unhealthy = witness.lens_negative[:, :1].any(axis=1)
    if unhealthy.any():
        why = "collateral after haircuts is below debts and margins, which policy strict forbids"
        raise AccountAtFault(int(unhealthy.argmax()), why, "health")


def _statement(snapshot: Snapshot, witness: TraceWitness, terms: Terms, log2_rows: int) -> Statement:
    meta, amounts = snapshot.meta, iter(witness.totals)
    totals = []
    for instrument in meta.instruments:
        buckets = tuple(next(amounts) for _ in instrument.buckets)
        totals.append(Totals(sum(buckets) if buckets else next(amounts), next(amounts), buckets))
    net = sum(i.price * (t.long - t.short) for i, t in zip(meta.instruments, totals, strict=True))
    deficit, *rest = witness.losses or (None,)
    losses = zip(rest[0 : 2 * len(terms.scenarios) : 2], rest[1 : 2 * len(terms.scenarios) : 2], strict=True)
    statement = Statement(
        circuit=terms.circuit,
        circuit_digest=pinned_digest(terms.circuit),
        tree_hash=CIRCUITS[terms.circuit].tree_hash,
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
        log2_rows=log2_rows,
        levels=levels_for(log2_rows),
        root=witness.tree.root,
        totals=tuple(totals),
        total_liability=witness.tree.total,
        total_shortfall=witness.tree.total - net,
        total_margin_deficit=deficit,
        losses=tuple(Losses(shortfall, margin) for shortfall, margin in losses),
    )
    try:
        statement = parse_statement(statement.to_bytes())
        if terms.evidence is not None:
            check_prices(terms.evidence, statement, None)
    except VerificationError as error:
        raise InputError(got=str(error), expected="a snapshot whose statement a verifier accepts") from None
    return statement


def _publish(
    out: Path, files: dict[str, bytes], private: Path, statement: Statement, fill_private: Callable[[Path], None]
) -> None:
    """Put two new folders in place; the insurance fund's account, if there is one, is opened among the public files.

    Both are complete and on disk before anything is moved, and what they replace is deleted last: killed at any moment,
    each publication that can be seen still has its store, if need be under a name that starts with a dot.
    """
    with _staged(out) as new_out, _staged(private) as new_private:
        fill_private(new_private)
        fund = fund_bundle(statement, PrivateStore.open(new_private))
        for name, data in (files if fund is None else {**files, FUND_FILE: fund}).items():
            (new_out / name).write_bytes(data)
        new_out.chmod(0o755)
        for file in (*new_out.iterdir(), *new_private.iterdir()):
            with file.open("rb") as written:
                os.fsync(written.fileno())
        old = [_put_in_place(new_private, private), _put_in_place(new_out, out)]
    for folder in old:
        if folder is not None:
            shutil.rmtree(folder)


@contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """A new folder (mode 700) beside `target`; gone afterwards if it was not moved."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _put_in_place(fresh: Path, target: Path) -> Path | None:
    """Rename `fresh` to `target`; what stood there moves aside and is returned."""
    aside = None
    if target.exists():
        aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
        target.rename(aside / target.name)
    fresh.rename(target)
    return aside
