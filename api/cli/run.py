"""From words to an exit code: 0 accepted, 1 rejected with a reason, 2 usage or input error, 130 interrupted."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Any, Final

import typer
from typer.exceptions import TyperException

from api.cli.output import ACCEPTED, INTERRUPTED, REJECTED, USAGE, Output
from prover.errors import InputError
from verifier.errors import VerificationError

EXTRAS: Final = {
    **dict.fromkeys(("numpy", "numba", "pyarrow", "cryptography"), "prover"),
    **dict.fromkeys(("fastapi", "uvicorn", "sqlalchemy"), "service"),
    "psycopg": "postgres",
    "matplotlib": "bench",
    **dict.fromkeys(("dask", "distributed"), "cluster"),
    **dict.fromkeys(("py_ecc", "btclib", "btclib_wallet", "eth_account", "eth_utils", "base58"), "reserves"),
}
"""Which extra of the distribution brings an importable package."""
VENUE: Final = ("simulate", "replay", "snapshot")
"""Commands that find in the extra `exchange` what others find in `service`."""
SPREAD_OPTIONS: Final = ("--users",)
GROUPS: Final = ("import", "log", "prices", "publisher", "reserves", "token", "validator", "witness")


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Only bugs leave this function as an exception."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names may not fit the terminal's encoding
            stream.reconfigure(errors="backslashreplace")
    words = list(sys.argv[1:] if arguments is None else arguments)
    out = Output("--json" in words)
    try:
        code = _dispatch(words)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except InputError as error:
        out.fail(str(error), {"error": str(error), **_fields(error)})
        return USAGE
    except VerificationError as error:
        return rejected(out, error)
    except ModuleNotFoundError as error:
        return _missing(out, error, words)
    except TyperException as error:
        message = error.format_message()
        where = getattr(getattr(error, "ctx", None), "command_path", "solvent")
        out.fail(f"{message} See: {where} --help", {"error": message})
        return USAGE
    except OSError as error:
        message = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)
        out.fail(message, {"error": message})
        return USAGE
    if code == INTERRUPTED:
        out.fail("interrupted", {"error": "interrupted"})
    return code


def rejected(out: Output, error: VerificationError) -> int:
    """Says why something was refused."""
    where = {key: str(value) for key, value in error.where.items()}
    data = {"verdict": "rejected", "reason": error.reason.value, "message": str(error), "where": where}
    out.json(data)
    out.line(f"Verdict: rejected, {error}", mood="bad")
    return REJECTED


def spread(words: Sequence[str]) -> list[str]:
    """`--users A B` becomes `--users A --users B`, up to the next option: a shell's `*.csv` just works."""
    result: list[str] = []
    option = None
    for word in words:
        if word.startswith("-"):
            option = word if word in SPREAD_OPTIONS else None
            if option is None:
                result.append(word)
        elif option is not None:
            result += [option, word]
        else:
            result.append(word)
    return result


def _dispatch(words: list[str]) -> int:
    from api.cli.commands import app

    if not words or (len(words) == 1 and words[0] in GROUPS):
        words = [*words, "--help"]
    command: Any = typer.main.get_command(app)
    code = command.main(args=spread(words), prog_name="solvent", standalone_mode=False)
    return code if isinstance(code, int) else ACCEPTED


def _fields(error: InputError) -> dict[str, str | int | None]:
    return {name: getattr(error, name) for name in ("file", "row", "field", "got", "expected")}


def _missing(out: Output, error: ModuleNotFoundError, words: Sequence[str]) -> int:
    package = (error.name or "").partition(".")[0]
    extra = "exchange" if package == "sqlalchemy" and words[0] in VENUE else EXTRAS.get(package)
    if extra is None and package != "merkletools":
        raise error  # not an optional package: the installation is damaged
    # What merkletools asks for does not build any more; README.md says so.
    message = (
        f'this needs: pip install "solvent[{extra}]"' if extra else "this needs: pip install --no-deps merkletools"
    )
    out.fail(message, {"error": message, "missing": error.name})
    return USAGE
