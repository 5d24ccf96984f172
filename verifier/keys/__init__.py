"""Frozen circuits, one canonical JSON file each, and the digests by which this verifier knows them.

The files are written by `make keys` from `circuits/`; a test re-exports them and compares bytes. A digest changes only
with a new circuit name, by hand, here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

PINS: Mapping[str, str] = MappingProxyType(
    {
        "solvency_equity_v1": "d4a47a11b301a7a5ce24a49d4e64a6ad075efea95a34754b5f87652dfa15fb93",
        "solvency_equity_v1_poseidon2": "406b9656ebf54844d07841b3bac84db9d9df24f5253b844cf6872dfb2ba94390",
        "solvency_risk_v1": "617cd2da38de022d60a86b6d49ead78133fde1775ccb2aaf11c5add54f891ade",
        "solvency_stress_v1_1": "db0566fab9b9656a7a4aa27e3411ce4868cfce11a7051a733bf0dc6b28d9a08d",
        "solvency_stress_v1_3": "1165a9ab2b9659dc5842c4835a3f03222476544335d3df632e9f13aeb39a1037",
        "solvency_stress_v1_10": "8582c3428c8d8ca314cbc6657c7c64701064c37a566a95c6ec9270172c9a54ae",
    }
)
