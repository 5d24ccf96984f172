"""From a snapshot to a published directory: statement, proof, reserves; and beside it the private store."""

from __future__ import annotations

import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from prover.capacity import choose_log2_rows
from prover.errors import InputError
from prover.private import META_FILE, write_private
from prover.progress import Phases, Progress
from prover.prove import prove
from prover.randomness import Randomness, fresh_seed
from prover.snapshot import Snapshot
from prover.warm import compile_kernels
from prover.witness import AccountAtFault, Accounts, Legs, TraceWitness, build_witness, finish
from verifier.account_id import account_id
from verifier.errors import VerificationError
from verifier.legs import derive_legs
from verifier.params import accepted_profile
from verifier.poseidon import INSTANCES
from verifier.report import read_statement
from verifier.reserves import parse_reserves
from verifier.solvency import CIRCUITS, pinned_digest, relation
from verifier.statement import STRICT, Instrument, Statement, Totals, levels_for, parse_statement

DEFAULT_CIRCUIT = "solvency_equity_v1"
STATEMENT_FILE, PROOF_FILE, RESERVES_FILE = "statement.json", "proof.bin", "reserves.csv"


@dataclass(frozen=True)
class ProveReport:
    """What proving cost.

    Args:
        phase_seconds: wall seconds by phase of `prover.progress.PHASES`.
        rows, used_rows: of the trace; only `rows` is public.
        peak_memory_bytes: of this process so far.
    """

    phase_seconds: dict[str, float]
    rows: int
    used_rows: int
    proof_bytes: int
    peak_memory_bytes: int
    statement_digest: str


def private_folder(out: Path) -> Path:
    """Where the secrets of a publication go unless told otherwise: beside it, never inside."""
    return out.with_name(out.name + ".private")


def prove_directory(
    snapshot: Snapshot,
    out: Path,
    *,
    profile: str = "fast",
    policy: str = STRICT,
    circuit: str = DEFAULT_CIRCUIT,
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
        seed: tests only; None takes fresh randomness from the operating system.
        previous: the publication before this one, which the snapshot has to name; its size is kept if it can be.
        log2_rows: trace size; None applies the capacity policy.
        force: replace an earlier publication at `out`.

    Raises:
        InputError: an account, the reserves or the place of `out` is wrong; nothing is written then.
    """
    phases = Phases(progress)
    private = private or private_folder(out)
    _require_apart(out, private)
    _require_place(out, STATEMENT_FILE, force)
    _require_place(private, META_FILE, force)
    instruments = tuple(Instrument(i.symbol, i.kind, i.decimals, i.price) for i in snapshot.meta.instruments)
    reserves_bytes = _read_reserves(reserves, instruments)
    with phases.phase("compile"):
        compile_kernels(phases.at)
    random = Randomness(seed if seed is not None else fresh_seed(), snapshot.meta.to_bytes())
    if log2_rows is None:
        before = _previous_log2_rows(previous, snapshot.meta.previous)
        log2_rows = choose_log2_rows(len(snapshot.offsets) - 1, len(snapshot.legs), len(instruments), before)
    with phases.phase("witness"):
        order, accounts, nonces, users = _accounts(snapshot, random, phases)
        witness = _witness(snapshot, order, accounts, instruments, log2_rows, circuit, policy, random)
        statement = _statement(snapshot, instruments, witness, profile, policy, circuit, log2_rows)
        phases.at(0.8)
        finish(witness.trace, INSTANCES[statement.tree_hash])
    proof = prove(relation(statement), accepted_profile(profile), witness.trace, random, phases).to_bytes()
    with phases.phase("write"):
        files = {STATEMENT_FILE: statement.to_bytes(), PROOF_FILE: proof, RESERVES_FILE: reserves_bytes}
        secrets = (statement.digest.hex(), accounts, nonces, witness.leaf_digests, witness.tree, users)
        _publish(out, files, private, lambda folder: write_private(folder, *secrets))
    return ProveReport(
        phase_seconds=phases.seconds,
        rows=1 << log2_rows,
        used_rows=witness.used_rows,
        proof_bytes=len(proof),
        peak_memory_bytes=peak_memory_bytes(),
        statement_digest=statement.digest.hex(),
    )


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
    snapshot: Snapshot, random: Randomness, phases: Phases
) -> tuple[npt.NDArray[np.int64], Accounts, npt.NDArray[np.uint8], list[str]]:
    """Accounts in a secret random order, with fresh blinding, and a nonce of ours where the client gave none."""
    count = len(snapshot.offsets) - 1
    order = random.permutation("accounts", count)
    drawn = np.frombuffer(random.bytes("nonces", 32 * count), np.uint8).reshape(count, 32)
    nonces = np.where(snapshot.has_nonce[:, None], snapshot.nonces, drawn)[order]
    all_users: list[str] = snapshot.user_ids.to_pylist()
    users = [all_users[i] for i in order.tolist()]
    exchange = snapshot.meta.exchange
    identities = np.array(
        [account_id(exchange, user, nonce.tobytes()) for user, nonce in zip(users, nonces, strict=True)], np.uint32
    ).reshape(count, 8)
    phases.at(0.3)
    counts = np.diff(snapshot.offsets)[order]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    entries = np.repeat(snapshot.offsets[:-1][order] - offsets[:-1], counts) + np.arange(offsets[-1])
    blindings = random.words("account blinding", 6 * count).reshape(count, 6)
    accounts = Accounts(identities, blindings, offsets, snapshot.legs[entries], snapshot.amounts[entries])
    return order, accounts, nonces, users


def _witness(
    snapshot: Snapshot,
    order: npt.NDArray[np.int64],
    accounts: Accounts,
    instruments: tuple[Instrument, ...],
    log2_rows: int,
    circuit: str,
    policy: str,
    random: Randomness,
) -> TraceWitness:
    table = derive_legs(instruments)
    legs = Legs(
        digits=np.array([leg.digits for leg in table], np.int64),
        caps=np.array([leg.cap for leg in table], np.uint64),
        total_ids=np.array([leg.total for leg in table], np.int64),
    )
    instance = INSTANCES[CIRCUITS[circuit].tree_hash]
    try:
        witness = build_witness(
            accounts, legs, 2 * len(instruments), levels_for(log2_rows), log2_rows, random, instance
        )
        if policy == STRICT and witness.negative.any():
            raise AccountAtFault(int(witness.negative.argmax()), "equity is negative, which policy strict forbids")
    except AccountAtFault as fault:
        index = int(order[fault.index])
        raise InputError(
            file=", ".join(source.file for source in snapshot.meta.source) or None,
            row=int(snapshot.lines[index]),
            field="equity",
            got=f"user {snapshot.user_id(index)}: {fault.why}",
            expected="an account that can be proved (--policy disclosed publishes shortfalls)",
        ) from None
    return witness


def _statement(
    snapshot: Snapshot,
    instruments: tuple[Instrument, ...],
    witness: TraceWitness,
    profile: str,
    policy: str,
    circuit: str,
    log2_rows: int,
) -> Statement:
    meta, totals = snapshot.meta, witness.totals
    pairs = tuple(Totals(totals[2 * j], totals[2 * j + 1]) for j in range(len(instruments)))
    net = sum(i.price * (t.long - t.short) for i, t in zip(instruments, pairs, strict=True))
    statement = Statement(
        circuit=circuit,
        circuit_digest=pinned_digest(circuit),
        tree_hash=CIRCUITS[circuit].tree_hash,
        profile=profile,
        parameters_digest=accepted_profile(profile).digest,
        exchange=meta.exchange,
        sequence=meta.sequence,
        time=meta.time,
        ledger_state=bytes.fromhex(meta.ledger_state),
        previous=bytes.fromhex(meta.previous),
        oracle_evidence=bytes.fromhex(meta.oracle_evidence),
        quote=meta.quote,
        value_decimals=meta.value_decimals,
        policy=policy,
        instruments=instruments,
        log2_rows=log2_rows,
        levels=levels_for(log2_rows),
        root=witness.tree.root,
        totals=pairs,
        total_liability=witness.tree.total,
        total_shortfall=witness.tree.total - net,
    )
    try:
        return parse_statement(statement.to_bytes())
    except VerificationError as error:
        raise InputError(got=str(error), expected="a snapshot whose statement a verifier accepts") from None


def _publish(out: Path, files: dict[str, bytes | None], private: Path, fill_private: Callable[[Path], None]) -> None:
    """Put two new folders in place.

    Both are complete and on disk before anything is moved, and what they replace is deleted last: killed at any moment,
    each publication that can be seen still has its store, if need be under a name that starts with a dot.
    """
    with _staged(out) as new_out, _staged(private) as new_private:
        fill_private(new_private)
        for name, data in files.items():
            if data is not None:
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
