"""What an exchange says that it holds, on its way into a publication."""

from __future__ import annotations

from pathlib import Path

from prover.errors import InputError
from prover.snapshot_meta import SnapshotMeta
from verifier.errors import VerificationError
from verifier.report import RESERVES_FILE
from verifier.reserves import parse_reserves
from verifier.reserves_evidence import FILE as RESERVES_EVIDENCE_FILE
from verifier.reserves_evidence import check_reserves_evidence


def read_reserves(path: Path | None, signed: Path | None, meta: SnapshotMeta) -> dict[str, bytes]:
    """The files about reserves that are published, checked."""
    if path is None:
        if signed is not None:
            raise InputError(file=signed, got="no reserves", expected="the reserves file that it is the evidence of")
        return {}
    files = {}
    try:
        files[RESERVES_FILE] = path.read_bytes()
        parse_reserves(files[RESERVES_FILE], meta.instruments)
        path = signed or path
        if signed is not None:
            files[RESERVES_EVIDENCE_FILE] = signed.read_bytes()
            check_reserves_evidence(files[RESERVES_EVIDENCE_FILE], files[RESERVES_FILE], meta)
    except OSError as error:
        raise InputError(file=path, got=error.strerror or "no file", expected="a file that can be read") from None
    except VerificationError as error:
        what = "a CSV file asset,amount" if len(files) == 1 else "the addresses behind these reserves, of this snapshot"
        raise InputError(file=path, got=str(error), expected=what) from None
    return files
