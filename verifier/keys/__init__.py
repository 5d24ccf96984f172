"""Frozen circuits, one canonical JSON file each, and the digests by which this verifier knows them.

The files are written by `make keys` from `circuits/`; a test re-exports them and compares bytes. A digest changes only
with a new circuit name, by hand, here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

PINS: Mapping[str, str] = MappingProxyType(
    {
        "solvency_equity_v1": "3e7659c90e0d88c2bd21b2b84db941c49346786034207fbf52d28d481b4143a3",
        "solvency_equity_v1_poseidon2": "1285bb4b7cf3a85ce9bedab98291f6834c3f3d204475fc54407f3d3dd06b39f6",
    }
)
