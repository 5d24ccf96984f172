"""Write the key files that ship with the verifier: `python -m circuits.export` (or `make keys`)."""

from __future__ import annotations

import sys
from pathlib import Path

import verifier
from circuits.registry import CIRCUITS


def key_files() -> dict[str, bytes]:
    """File name -> canonical bytes of every registered circuit."""
    return {f"{name}.json": build().to_bytes() for name, build in CIRCUITS.items()}


def main() -> int:
    """Write each key next to the verifier and print its digest; a changed digest must be pinned by hand."""
    folder = Path(verifier.__file__).parent / "keys"
    folder.mkdir(exist_ok=True)
    for name, data in key_files().items():
        (folder / name).write_bytes(data)
    for name, build in CIRCUITS.items():
        print(f"{name} {build().digest.hex()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
