"""The evidence tree as `merkletools` builds it, and the manifest around it. `verifier.manifest` recomputes both."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prover.errors import InputError
from verifier.canonical import dumps
from verifier.errors import InvariantBroken
from verifier.manifest import (
    FILE_PROOF_FORMAT,
    File,
    Manifest,
    Stated,
    digest_file,
    leaves,
    make_manifest,
    role_of,
    walk,
    wrap,
)

with warnings.catch_warnings():
    # It says at import that it has no pysha3, which it does not need: hashlib has SHA-3, and we take SHA-256.
    warnings.filterwarnings("ignore", "sha3 is not working!", UserWarning)
    from merkletools import MerkleTools


def manifest_of(directory: Path, statement: Stated) -> Manifest:
    """The manifest of a publication's files as they are.

    Raises:
        InputError: a file that does not belong into a publication, or a link.
        InvariantBroken: library and verifier disagree about the tree.
    """
    files = []
    for name in walk(directory):
        path = directory / name
        if role_of(name) is None or path.is_symlink():
            raise InputError(file=path, got="something else", expected="only files that belong into a publication")
        files.append(digest_file(directory, name))
    manifest = make_manifest(statement, files)
    root = bytes.fromhex(_tree(manifest.files).get_merkle_root())
    if wrap(root, len(files)) != manifest.evidence:
        raise InvariantBroken("merkletools builds another evidence tree than the verifier")
    return manifest


def file_proof(manifest: Manifest, index: int) -> bytes:
    """What shows that file number `index` is in the evidence tree, without the others: `solvent/file-proof/v1`."""
    path = [next(iter(step.values())) for step in _tree(manifest.files).get_proof(index)]
    return dumps(
        {
            "format": FILE_PROOF_FORMAT,
            "file": manifest.files[index].data,
            "index": index,
            "count": len(manifest.files),
            "path": [{"digest": digest} for digest in path],
        }
    )


def _tree(files: Sequence[File]) -> Any:
    tree = MerkleTools(hash_type="sha256")
    tree.add_leaf([digest.hex() for digest in leaves(files)])
    tree.make_tree()
    return tree
