"""`solvent opening` and `check-opening`: the sum below one inner node, shown to an auditor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli.options import (
    Force,
    Json,
    Private,
    Publication,
    private_directory,
    require_directory,
    require_file,
    require_free,
)
from api.cli.output import ACCEPTED, Output
from api.cli.publication import AcceptedCircuit, LogPolicy, StatementOnly, read_against
from api.cli.report import print_steps
from prover.errors import InputError
from prover.files import write_whole


def opening(
    publication: Publication,
    node: Annotated[
        str, typer.Option(metavar="LEVEL:NUMBER", help="The node: level 1 is above the accounts, numbers start at 0.")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Opening to write, for the auditor's eyes only.")],
    shard: Annotated[int, typer.Option(metavar="S", help="Shard of the node, from 0.")] = 0,
    private: Private = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Open the sum of one inner node to an auditor, checked before it is written.

    Opening a node and all but one of its children opens the last one too: keep count of what you open.
    """
    from prover.bundles import make_opening
    from verifier.opening import check_opening
    from verifier.report import read_statement

    output = Output(json)
    require_directory(publication, "a publication directory")
    hidden = private_directory(publication, private)
    require_directory(hidden, "the secrets that `solvent prove` kept")
    level, _, number = node.partition(":")
    if not (level.isascii() and level.isdigit() and number.isascii() and number.isdigit()):
        raise InputError(field="--node", got=node, expected="LEVEL:NUMBER, for example 2:0")
    require_free(out, force)
    data = make_opening(publication, hidden, shard, int(level), int(number))
    report = check_opening(data, read_statement(publication))
    write_whole(out, data)
    output.json(report.to_json() | {"opening": str(out), "bytes": len(data)})
    output.line(f"Opening of {len(data)} bytes written to {out}, for the auditor and nobody else.")
    output.line(f"They run: solvent check-opening {out.name} --against {publication}")
    return ACCEPTED


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The opening, as you got it from the exchange.")],
    against: Annotated[Path, typer.Option(metavar="DIR", help="The publication.")],
    circuit: AcceptedCircuit = None,
    statement_only: StatementOnly = False,
    log_policy: LogPolicy = None,
    json: Json = False,
) -> int:
    """What is owed below one node of the tree? Verifies a publication, then an opening against it."""
    from verifier.files import read_file
    from verifier.opening import OPENING_BYTES_MAX, check_opening
    from verifier.statement import units

    output = Output(json)
    require_file(file, "an opening")
    compared = read_against(against, circuit, statement_only, log_policy)
    report = check_opening(read_file(file, OPENING_BYTES_MAX), compared.statement)
    output.json(compared.extend(report.to_json()) | {"reason": None})
    print_steps((*compared.steps, *report.steps), output)
    amount = f"{units(report.value, report.value_decimals)} {report.quote}"
    words = f"{amount} are owed below this node of level {report.level} {compared.place} {report.statement_digest}"
    output.line(f"Verdict: {words}", mood="good" if compared.report else "plain")
    return ACCEPTED
