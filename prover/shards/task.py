"""What an executor carries to a worker and back: names and digests. Files travel by a folder that all can see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ShardTask:
    """One shard to prove. Proving it twice gives the same bytes.

    Args:
        index: 0 to `shards` - 1.
        run: the run folder, under the same path on every machine.
        input_digest: SHA-256 of the shard's input, hex.
        spec: what is the same for all shards, in words of the function that proves them.
    """

    index: int
    shards: int
    run: Path
    input_digest: str
    spec: bytes


@dataclass(frozen=True, slots=True)
class ShardResult:
    """One proved shard, its files in place and on disk.

    Args:
        files: SHA-256 (hex) by name, below the shard's folder in `done/`.
        seconds, cpu_seconds: by phase, of the clock and of the process.
        peak_memory_bytes: of the process that proved it, so far.
    """

    index: int
    files: dict[str, str]
    seconds: dict[str, float]
    peak_memory_bytes: int
    cpu_seconds: dict[str, float] = field(default_factory=dict)


ShardFunction = Callable[[ShardTask], ShardResult]
"""Writes its files with `prover.shards.files.put_outputs`. Top level of a module, so that it can be pickled."""


def shard_name(index: int) -> str:
    """Six digits, as files and folders of a shard are called."""
    return f"{index:06d}"
