"""`python -m verifier`: verify a publication, one user's bundle, or the opening of one node's sum."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verifier.errors import VerificationError

if TYPE_CHECKING:
    from verifier.inclusion import Step
    from verifier.report import Against, Report

ACCEPTED, REJECTED = 0, 1
"""Exit codes; 2, for usage and files that are not there, is argparse's own."""

_EPILOG = """\
commands:
  python -m verifier DIR
      Is the exchange solvent? Checks statement.json and the shards of a publication and, where they are there,
      reserves.csv, prices.json (signed quotes) and fund.json (the insurance fund's opened account).
  python -m verifier inclusion FILE --against DIR
      Is my account counted in it? Verifies DIR as well, then your bundle against its statement. A receipt
      holds statement and log proof itself and can be checked without DIR, all but the proof.
  python -m verifier opening FILE --against DIR
      How much is owed below one node of the tree? For auditors.
  python -m verifier log verify|consistency|audit|fraud .. --policy FILE
      Is the publication in the transparency log, and has nobody been shown another one?

exit codes: 0 accepted, 1 rejected with a reason, 2 usage error or no such file.
Without a reserves file the best verdict is "liabilities proved, no reserves given", exit code 0: the
liabilities are then exact, and whether they are covered is open. Checks marked "note" are shown and decide nothing.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names may not fit the terminal's encoding
            stream.reconfigure(errors="backslashreplace")
    words = list(sys.argv[1:] if arguments is None else arguments)
    commands = {"inclusion": _inclusion, "opening": _opening, "log": _log}
    command = commands.get(words[0]) if words else None
    try:
        return command(words[1:]) if command else _verify(words)
    except VerificationError as error:
        return _rejected(error, "--json" in words)


def _verify(words: Sequence[str]) -> int:
    from verifier.files import read_file
    from verifier.params import PROFILES
    from verifier.quotes import SOURCES_BYTES_MAX, read_sources
    from verifier.report import verify_directory

    parser = argparse.ArgumentParser(
        prog="python -m verifier",
        description="Verify a published proof of solvency. Needs nothing but Python and the published files.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("directory", metavar="DIR", type=Path, help="the publication (or a command, see below)")
    parser.add_argument("--profile", choices=tuple(PROFILES), help="accept only this profile; default: any of them")
    _add_circuit(parser)
    parser.add_argument("--reserves", metavar="CSV", type=Path, help="use these reserves, not DIR/reserves.csv")
    parser.add_argument(
        "--price-sources",
        metavar="FILE",
        type=Path,
        help="accept only prices that these sources signed: lines `name public-key [weight]`",
    )
    parser.add_argument("--workers", metavar="N", type=int, help="processes for shards; default: one per processor")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(words)
    _require(parser, options.directory, Path.is_dir, "directory")
    for path in (options.reserves, options.price_sources):
        if path is not None:
            _require(parser, path, Path.is_file, "file")
    sources = options.price_sources
    report = verify_directory(
        options.directory,
        profile=options.profile,
        circuit=options.circuit,
        reserves=options.reserves,
        price_sources=None if sources is None else read_sources(read_file(sources, SOURCES_BYTES_MAX)),
        workers=options.workers,
    )
    if options.json:
        _print_json(report.to_json())
    else:
        _print_report(report)
    return ACCEPTED if report.accepted else REJECTED


def _inclusion(words: Sequence[str]) -> int:
    from verifier.files import read_file
    from verifier.receipt import RECEIPT_BYTES_MAX, check_user_file, is_receipt

    parser = argparse.ArgumentParser(
        prog="python -m verifier inclusion",
        description="Check that one account is counted in a publication. Nothing is sent anywhere.",
        epilog="Give --user-id and --nonce (what your own client drew): an exchange that shows two users one "
        "account has to change one of them.",
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="your bundle or receipt, as you got it")
    parser.add_argument("--against", metavar="DIR", type=Path, help="the publication; without it no proof is verified")
    _add_acceptance(parser)
    parser.add_argument("--user-id", metavar="ID", help="your id at the exchange")
    parser.add_argument("--nonce", metavar="HEX", type=_nonce, help="your nonce, 64 hex digits")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(words)
    _require(parser, options.file, Path.is_file, "file")
    _require_publication(parser, options)
    data = read_file(options.file, RECEIPT_BYTES_MAX)
    if options.against is None and options.statement_only:
        parser.error("--statement-only needs --against DIR")
    if options.against is None and (options.circuit or options.log_policy) and not is_receipt(data):
        parser.error("--circuit and --log-policy need a receipt or --against DIR")
    report, against = check_user_file(
        data,
        options.against,
        circuit=options.circuit,
        statement_only=options.statement_only,
        log_policy=options.log_policy,
        user_id=options.user_id,
        nonce=options.nonce,
    )
    if options.json:
        shown = report.to_json()
        _print_json((against.extend(shown) if against else shown) | {"reason": None})
        return ACCEPTED
    _print_steps((*against.steps, *report.steps) if against else report.steps)
    print(f"Account {report.user_id} at {report.exchange}, sequence {report.sequence}:")
    for balance in report.balances:
        print(f"  {balance}")
    if not report.balances:
        print("  holds and owes nothing")
    if report.worth:
        print(f"  in all: {report.worth}")
    if against:
        print(f"Verdict: included {against.place} {report.statement_digest}")
    else:
        print("Verdict: the bundle agrees with itself; add --against DIR to compare it with a publication")
    return ACCEPTED


def _opening(words: Sequence[str]) -> int:
    from verifier.files import read_file
    from verifier.opening import OPENING_BYTES_MAX, check_opening
    from verifier.statement import units

    parser = argparse.ArgumentParser(
        prog="python -m verifier opening",
        description="Check the opened sum of one node of the account tree: what is owed below it.",
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="the opening, as you got it from the exchange")
    parser.add_argument("--against", metavar="DIR", type=Path, required=True, help="the publication")
    _add_acceptance(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(words)
    _require(parser, options.file, Path.is_file, "file")
    against = _read_against(parser, options)
    report = check_opening(read_file(options.file, OPENING_BYTES_MAX), against.statement)
    if options.json:
        _print_json(against.extend(report.to_json()) | {"reason": None})
        return ACCEPTED
    _print_steps((*against.steps, *report.steps))
    way = " > ".join(str(position) for position in report.positions) or "the root itself"
    print(f"Node of level {report.level} ({way}) of statement {report.statement_digest}")
    amount = units(report.value, report.value_decimals)
    print(f"Verdict: {amount} {report.quote} are owed below it {against.place} {report.statement_digest}")
    return ACCEPTED


def _log(words: Sequence[str]) -> int:
    from verifier.log.command import find, parse

    parser, options = parse(words)
    for path in (*options.paths, options.policy):
        _require(parser, path, Path.exists, "file or directory")
    finding = find(options.command, options.paths, options.policy)
    if options.json:
        _print_json(finding.to_json())
    else:
        _print_steps(finding.steps)
        print(f"Verdict: {finding.verdict}")
    return ACCEPTED


def _add_circuit(parser: argparse.ArgumentParser) -> None:
    from verifier.solvency import CIRCUITS

    words = "accept only this circuit; default: any over the default tree hash. One of %(choices)s"
    parser.add_argument("--circuit", metavar="NAME", choices=tuple(CIRCUITS), help=words)


def _add_acceptance(parser: argparse.ArgumentParser) -> None:
    _add_circuit(parser)
    words = "do not verify DIR's proof here; the verdict then says so"
    parser.add_argument("--statement-only", action="store_true", help=words)
    words = "DIR has to be in the transparency log, by this policy (docs/log.md)"
    parser.add_argument("--log-policy", metavar="FILE", type=Path, help=words)


def _read_against(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Against:
    from verifier.report import Against

    _require_publication(parser, options)
    return Against.read(
        options.against,
        circuit=options.circuit,
        statement_only=options.statement_only,
        log_policy=options.log_policy,
    )


def _require_publication(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if options.against is not None:
        _require(parser, options.against, Path.is_dir, "directory")
    if options.log_policy is not None:
        _require(parser, options.log_policy, Path.is_file, "file")


def _nonce(text: str) -> bytes:
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise argparse.ArgumentTypeError("expected 64 hex digits")
    return raw


def _require(parser: argparse.ArgumentParser, path: Path, is_there: Callable[[Path], bool], what: str) -> None:
    try:
        found = is_there(path)
    except OSError as error:  # a path too long, for one
        parser.error(f"{path}: {error.strerror}")
    if not found:
        parser.error(f"{path}: no such {what}")


def _print_json(data: dict[str, Any]) -> None:
    print(json.dumps(data, indent=2))


def _print_report(report: Report) -> None:
    statement = report.statement
    print(f"Statement: {statement.exchange}, sequence {statement.sequence}, {statement.time}")
    print(f"Digest: {report.statement_digest}")
    print(
        f"Proof: accepted, profile {report.profile}, {report.soundness_bits} provable bits, "
        f"{report.proof_bytes} bytes, {report.seconds:.1f} s"
    )
    print(f"Circuit: {statement.circuit}, tree hash {statement.tree_hash}")
    print(f"Reserves: {'sha256 ' + report.reserves_sha256 if report.reserves_sha256 else 'none'}")
    if report.signed:
        print(f"Signed: {report.signed.summary}")
    print(f"Prices: {report.evidence.summary if report.evidence else 'no price file'}")
    print(f"Insurance fund: {report.fund.summary if report.fund else 'not opened'}")
    for check in report.checks:
        mark = "ok  " if check.ok else "FAIL" if check.decides else "note"
        print(f"  {mark} {check.name}: {check.left} {check.relation} {check.right} {check.unit} ({check.note})")
    print(f"Verdict: {report.spoken}")
    for caveat in report.caveats:
        print(f"  caveat: {caveat}")


def _print_steps(steps: Sequence[Step]) -> None:
    for step in steps:
        print(f"  {'ok  ' if step.ok else 'SKIP'} {step.name}: {step.detail}")


def _rejected(error: VerificationError, as_json: bool) -> int:
    if as_json:
        where = {key: str(value) for key, value in error.where.items()}
        _print_json({"verdict": "rejected", "reason": error.reason.value, "message": str(error), "where": where})
    else:
        print(f"Verdict: rejected, {error}")
    return REJECTED


if __name__ == "__main__":
    sys.exit(main())
