"""The kernels without AVX-512: compiled for the plainest processor of this kind, the same bytes.

The first run compiles for that processor (half a minute); Numba's cache keeps both versions apart.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np

from prover.kernels.field import P
from prover.kernels.poseidon import compress_rows
from prover.randomness import Randomness
from tests.prover.test_prove import fast_proof
from tests.verifier.toy_circuits import ledger
from verifier.params import TEST

PLAINEST = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "SOLVENT_THREADS": "1"}


def digest() -> str:
    """Of a proof with buses at 2^10 rows, and of tree hashes."""
    words = np.random.default_rng(1).integers(0, P, (2, 8, 40), dtype=np.uint32)
    hashes = compress_rows(np.ascontiguousarray(words[0]), np.ascontiguousarray(words[1]))
    proof = fast_proof(ledger(10), TEST, Randomness(b"any processor"))
    return hashlib.sha256(proof + hashes.tobytes()).hexdigest()


def test_same_bytes_without_wide_registers() -> None:
    script = f"import numba; print(numba.config.CPU_NAME); from {__name__} import digest; print(digest())"
    run = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **PLAINEST}, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["generic", digest()]
