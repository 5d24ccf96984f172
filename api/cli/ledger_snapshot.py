"""`solvent snapshot`: the ledger as it was after any frame of its journal, for `solvent prove`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli.options import Json, require_file
from api.cli.output import ACCEPTED, REJECTED, Output
from api.cli.simulate import JOURNAL
from prover.errors import InputError


def snapshot(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="What `solvent simulate` wrote, or a journal's file or database URL.")
    ],
    out: Annotated[Path, typer.Option(metavar="SNAP", help="Folder to make.")],
    sequence: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="After this frame; default: the last one.")
    ] = None,
    scenarios: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Stress scenarios; default: those that come with the program.")
    ] = None,
    at_marks: Annotated[
        bool, typer.Option("--at-marks", help="Perpetuals at the venue's own marks, without signed prices.")
    ] = False,
    json: Json = False,
) -> int:
    """Replay a journal up to a frame and write that ledger as a snapshot, with prices, scenarios and risk metrics.

    The journal is only read: a venue can go on while it is done.
    """
    from api.importers.scenarios import DEFAULT
    from api.ledger_snapshots import PRICES_FILE, SCENARIOS_FILE, write_ledger_snapshot
    from exchange.errors import LedgerError
    from exchange.journal import Journal, journal_url
    from exchange.recovery import recover

    output = Output(json)
    url = run
    if "://" not in run:
        file = Path(run) / JOURNAL if Path(run).is_dir() else Path(run)
        require_file(file, "a journal, or the folder of a simulation")
        url = journal_url(file)
    if out.exists():
        raise InputError(field="--out", got=str(out), expected="a path that does not exist yet")
    try:
        journal = Journal(url)
        if sequence is not None and sequence > journal.sequence:
            raise InputError(field="--sequence", got=str(sequence), expected=f"at most {journal.sequence}")
        ledger = recover(journal, until=sequence).ledger
        journal.close()
    except LedgerError as error:
        output.json({"verdict": "rejected", "message": str(error)})
        output.line(f"Journal broken: {error}", mood="bad")
        return REJECTED
    chosen = None if scenarios == Path(DEFAULT) else scenarios
    risk = write_ledger_snapshot(ledger, out, scenarios=chosen, at_marks=at_marks)
    output.json({"out": str(out), **risk})
    output.line(f"{risk['accounts']} accounts after frame {ledger.sequence}: {out}")
    rows = [
        (item["name"], str(item["shortfall"]), str(item["margin_deficit"]), str(item["fund_left"]))
        for item in risk["scenarios"]
    ]
    columns = ("scenario", "shortfall", "margin deficit", "fund left")
    output.table(columns, rows, right=columns[1:])
    prices = "" if at_marks or not (out / PRICES_FILE).is_file() else f" --prices {out / PRICES_FILE}"
    output.line(
        f"Next: solvent prove {out} --policy disclosed --scenarios {out / SCENARIOS_FILE}{prices} --out PUBLICATION"
    )
    return ACCEPTED
