"""The page on which a user checks their balance: its files, and one file with all of them that works offline.

`python -m api.page` writes `web/constants.js` again; a test compares.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from verifier import keys
from verifier import poseidon_constants as numbers
from verifier.field import P
from verifier.poseidon import DEFAULT
from verifier.solvency import CIRCUITS, Circuit

WEB: Final = Path(__file__).with_name("web")
PAGE_FILE: Final = "index.html"
ENTRY_MODULE: Final = "page.js"
CONSTANTS_FILE: Final = "constants.js"
STYLE_FILE: Final = "style.css"
MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
}
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
)
"""Content security policy of the served page: nothing from elsewhere, nothing inline, nothing sent."""
EMBEDDED: Final = ("statement.json", "reserves.csv", "fund.json", "manifest.json", "log.tlog-proof")
"""Small files of a publication that the page uses."""

_OWN_SUFFIXES: Final = (".html", ".css", ".js")
_IMPORT: Final = re.compile(r'^import \{ [^}]* \} from "\./([a-z0-9]+\.js)";\n', re.M)
_EXPORT: Final = re.compile(r"^export (?=(?:async )?(?:function|class|const|let) )", re.M)


def _circuits() -> Mapping[str, Circuit]:
    """Those that the page knows."""
    return {name: circuit for name, circuit in CIRCUITS.items() if circuit.tree_hash == DEFAULT.name}


def key_files() -> Mapping[str, bytes]:
    """The circuits' key files by name. The page knows their digests, so whoever serves them need not be believed."""
    folder = Path(keys.__file__).parent
    return {name: (folder / circuit.key_file).read_bytes() for name, circuit in _circuits().items()}


def constants_js() -> str:
    """The numbers of the tree hash and the circuits over it, as a module."""
    circuits = {
        name: {
            "digest": keys.PINS[name],
            "kinds": list(circuit.kinds),
            "lenses": circuit.lenses,
            "scenarios": circuit.scenarios,
            "recordRows": circuit.record_rows,
        }
        for name, circuit in _circuits().items()
    }
    values = {
        "P": P,
        "GRAIN_STREAM": numbers.GRAIN_STREAM,
        "MDS_FIRST_ROW": numbers.POSEIDON1_MDS_FIRST_ROW,
        "KNOWN_ANSWER": numbers.POSEIDON1_KNOWN_ANSWER,
        "CIRCUITS": circuits,
    }
    head = "// Made by `python -m api.page` from verifier/poseidon_constants.py and verifier/keys. Do not edit.\n"
    return head + "".join(f"export const {name} = {_wrapped(value)};\n" for name, value in values.items())


def _wrapped(value: object) -> str:
    text = json.dumps(value)
    return re.sub(r"(.{1,116})(?: |$)", r"\1\n", text).rstrip("\n") if len(text) > 100 else text


def modules(name: str = ENTRY_MODULE) -> list[str]:
    """The modules that `name` needs, itself last, each after those that it imports."""
    order: list[str] = []

    def visit(module: str) -> None:
        if module not in order:
            for needed in _IMPORT.findall((WEB / module).read_text("utf-8")):
                visit(needed)
            order.append(module)

    visit(name)
    return order


def script(name: str = ENTRY_MODULE) -> str:
    """All those modules as one: their names are unique, so imports and exports can go."""
    texts = (_IMPORT.sub("", (WEB / module).read_text("utf-8")) for module in modules(name))
    return "\n".join(_EXPORT.sub("", text) for text in texts)


@cache
def served() -> Mapping[str, bytes]:
    """The page's files as they are served, by name."""
    files = {path.name: path.read_bytes() for path in WEB.iterdir() if path.suffix in _OWN_SUFFIXES}
    files |= {f"{name}.json": data for name, data in key_files().items()}
    head = f'<meta http-equiv="Content-Security-Policy" content="{html.escape(POLICY)}">'
    return files | {PAGE_FILE: files[PAGE_FILE].replace(b"<!-- policy -->", head.encode())}


def embedded(folder: Path) -> Mapping[str, str]:
    """The small files of a publication, in base64, by name; those that are there."""
    files = ((name, folder / name) for name in EMBEDDED)
    return {name: base64.b64encode(path.read_bytes()).decode("ascii") for name, path in files if path.is_file()}


def single_file(publications: Sequence[Path] = (), log_policy: str | None = None) -> bytes:
    """The whole page in one HTML file that can send nothing to anybody.

    Args:
        publications: folders whose small files are put into it, oldest first.
        log_policy: whom to believe about the transparency log, a c2sp.org/tlog-policy; None: the reader says.
    """
    code, style = script(), (WEB / STYLE_FILE).read_text("utf-8")
    packed = {name: base64.b64encode(zlib.compress(key, 9)).decode("ascii") for name, key in key_files().items()}
    data = {"publications": [embedded(folder) for folder in publications], "policy": log_policy, "keys": packed}
    csp = (
        f"default-src 'none'; script-src {_source(code)}; style-src {_source(style)}; "
        "base-uri 'none'; form-action 'none'"
    )
    page = (WEB / PAGE_FILE).read_text("utf-8")
    for old, new in (
        ("<!-- policy -->", f'<meta http-equiv="Content-Security-Policy" content="{html.escape(csp)}">'),
        (f'<link rel="stylesheet" href="{STYLE_FILE}">', f"<style>{style}</style>"),
        # `<` is escaped, so that no name in a file can end the element.
        ("<!-- data -->", f'<script type="application/json" id="embedded">{_inert(data)}</script>'),
        (f'<script type="module" src="{ENTRY_MODULE}"></script>', f'<script type="module">{code}</script>'),
    ):
        if page.count(old) != 1:
            raise ValueError(f"{PAGE_FILE}: expected {old} once")
        page = page.replace(old, new)
    return page.encode()


def _inert(data: object) -> str:
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


if __name__ == "__main__":
    (WEB / CONSTANTS_FILE).write_text(constants_js(), "utf-8")
