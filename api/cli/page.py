"""`solvent page`: the page on which users check their balance, in one file that works offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli.options import Json, require_directory, require_file
from api.cli.output import ACCEPTED, Output


def page(
    out: Annotated[Path, typer.Option(metavar="FILE", help="HTML file to write.")],
    publications: Annotated[
        list[Path] | None,
        typer.Argument(metavar="DIR..", help="Publications whose small files go into it, oldest first."),
    ] = None,
    log_policy: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Whom to believe about the log (c2sp.org/tlog-policy).")
    ] = None,
    json: Json = False,
) -> int:
    """Write the page as one file: it checks bundles in a browser, offline, and can send nothing to anybody."""
    from api.page import single_file
    from prover.files import PUBLIC_MODE, write_whole
    from verifier.log.policy import read_policy

    folders = publications or []
    for folder in folders:
        require_directory(folder, "a publication directory")
        require_file(folder / "statement.json", "a publication's statement")
    policy = None
    if log_policy is not None:
        require_file(log_policy, "a policy file")
        read_policy(log_policy)
        policy = log_policy.read_text("utf-8")
    data = single_file(folders, policy)
    write_whole(out, data, PUBLIC_MODE)
    output = Output(json)
    output.json({"verdict": "written", "out": str(out), "bytes": len(data), "publications": len(folders)})
    output.line(f"{out}: {len(data)} bytes, {len(folders)} publications. Open it in a browser.")
    return ACCEPTED
