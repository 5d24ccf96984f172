"""From entries to what readers of the log get: tiles, a signed checkpoint, and proofs. All of it can be made again."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.notes import log_key, sign_checkpoint
from api.store import Store
from prover.errors import InputError
from prover.files import PUBLIC_MODE, write_once, write_whole
from verifier.errors import InvariantBroken, Reason, VerificationError
from verifier.files import read_file
from verifier.log.check import reader
from verifier.log.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint
from verifier.log.note import NOTE_BYTES_MAX
from verifier.log.policy import Policy
from verifier.log.proof import LogProof
from verifier.log.tiles import CHECKPOINT_FILE, TILE_WIDTH, Tile, Tiles, newest_tiles, pack_entries
from verifier.log.tree import leaf_hash, node_hash


def sign_new(store: Store, key: Ed25519PrivateKey) -> None:
    """Sign a checkpoint for every entry that has none yet: tiles first, then the signature, then the record of it.

    Raises:
        InputError: the key is not the log's.
        InvariantBroken: the database knows less than was signed or written before.
    """
    require_key(store, key)
    store.require_newest()
    note = store.signed()
    done = 0 if note is None else parse_checkpoint(note)[0].size
    for size in range(done + 1, store.size + 1):
        write_tiles(store, size)
        root = Tiles(reader(store.log), size).root()
        store.step("checkpoint: before signing")
        store.record(size, sign_checkpoint(Checkpoint(store.origin, size, root), key))


def require_key(store: Store, key: Ed25519PrivateKey) -> None:
    """Only one key signs for a log. Raises InputError."""
    own = log_key(store.origin, key).vkey
    if own != store.vkey:
        raise InputError(got=f"the key of {own}", expected=f"that of {store.vkey}")


def write_tiles(store: Store, size: int) -> None:
    """The tiles that a tree of this size has and a smaller one has not. Those that are there have to agree."""
    for tile in newest_tiles(size):
        write_once(store.log / tile.path, _contents(store, tile), store.step)


def _contents(store: Store, tile: Tile) -> bytes:
    first = tile.index * TILE_WIDTH
    if not tile.level:  # entries, or their hashes
        entries = store.entry_bytes(first, first + tile.width)
        if len(entries) != tile.width:
            raise InvariantBroken(f"entries from {first}: {len(entries)} instead of {tile.width}")
        return pack_entries(entries) if tile.level is None else b"".join(map(leaf_hash, entries))
    below = (Tile(tile.level - 1, first + i, TILE_WIDTH) for i in range(tile.width))
    return b"".join(_root(store.log / each.path) for each in below)


def _root(path: Path) -> bytes:
    """Root over a full tile."""
    data = path.read_bytes()
    level = [data[i : i + 32] for i in range(0, len(data), 32)]
    while len(level) > 1:
        level = [node_hash(level[i], level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


def show(store: Store, policy: Policy | None = None) -> bool:
    """Let readers have the newest checkpoint, with a policy only when its quorum has cosigned.

    Returns:
        Whether they have it.
    """
    note = store.cosigned()
    if note is None:
        return False
    if policy is not None:
        try:
            open_checkpoint(note, policy)
        except VerificationError as error:
            if error.reason is Reason.WITNESS_QUORUM:
                return False
            raise
    path = store.log / CHECKPOINT_FILE
    if not path.exists() or path.read_bytes() != note:
        write_whole(path, note, PUBLIC_MODE, store.step)
    return True


def log_proof(store: Store, index: int) -> bytes:
    """The tlog-proof of an entry, against the checkpoint that readers have.

    Raises:
        InputError: no checkpoint that is shown holds it yet.
    """
    shown = store.shown()
    if shown is None or index >= shown.size:
        expected = "a checkpoint that holds it (run solvent publish again: witnesses may have been missing)"
        raise InputError(got=f"entry {index} of a log that shows {shown.size if shown else 0}", expected=expected)
    path = Tiles(reader(store.log), shown.size).inclusion(index)
    note = read_file(store.log / CHECKPOINT_FILE, NOTE_BYTES_MAX)
    return LogProof(index, tuple(path), note).to_bytes()
