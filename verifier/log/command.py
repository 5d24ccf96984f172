"""`python -m verifier log`: a publication in its log, a log's history, and the proof that a log lied."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from verifier.log.findings import Finding, audited, continued, convicted, logged
from verifier.log.policy import read_policy

_FINDINGS: Mapping[str, Callable[..., Finding]] = {
    "verify": logged,
    "consistency": continued,
    "audit": audited,
    "fraud": convicted,
}
_EPILOG = """\
FILE of --policy is your own choice of whom to believe, c2sp.org/tlog-policy:
  log <vkey>
  witness <name> <vkey>
  group <name> <k> <name>...
  quorum <name>|none

exit codes: 0 shown, 1 refused with a reason, 2 usage error or no such file.
For `fraud`, 0 means that the two checkpoints prove fraud.
"""


def parse(words: Sequence[str]) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    """The command's options; argparse's way of leaving for wrong ones."""
    parser = argparse.ArgumentParser(
        prog="python -m verifier log",
        description="Check the transparency log that a publication is in. Everything is read from files.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    one = commands.add_parser("verify", help="is this publication in the log?")
    one.add_argument("paths", metavar="DIR", type=Path, nargs=1, help="with manifest.json and log.tlog-proof")
    two = commands.add_parser("consistency", help="does the log continue a checkpoint that I saw before?")
    two.add_argument("paths", metavar="PATH", type=Path, nargs=2, help="the older checkpoint, and the log's folder")
    three = commands.add_parser("audit", help="is the log whole, and one chain of publications?")
    three.add_argument("paths", metavar="DIR", type=Path, nargs=1, help="the log's folder: checkpoint and tile/")
    four = commands.add_parser("fraud", help="do two checkpoints prove that the log signed two histories?")
    four.add_argument("paths", metavar="FILE", type=Path, nargs=2, help="two checkpoints of one size")
    for each in (one, two, three, four):
        each.add_argument("--policy", metavar="FILE", type=Path, required=True, help="whose signatures count")
        each.add_argument("--json", action="store_true", help="print one JSON object")
    return parser, parser.parse_args(words)


def find(command: str, paths: Sequence[Path], policy_file: Path) -> Finding:
    """What a command finds. Raises VerificationError."""
    return _FINDINGS[command](*paths, read_policy(policy_file))
