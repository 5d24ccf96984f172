"""Frozen circuits, one canonical JSON file each, and the digests by which this verifier knows them.

The files are written by `make keys` from `circuits/`; a test re-exports them and compares bytes. A digest changes only
with a new circuit name, by hand, here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

PINS: Mapping[str, str] = MappingProxyType(
    {
        "solvency_equity_v1": "731a21d262eca3b867320c17995d7be1ffe39bb558f37d4ec133886ad70d60b3",
        "solvency_equity_v1_poseidon2": "1a6708a727be9625147c91428704dc480358b3fe248fc4d9f73507c0a9324d61",
        "solvency_risk_v1": "4f1aa5df235f72d682bf74e97f3f7637fcc0505bdb99ab7e3548780316b756b3",
        "solvency_stress_v1_1": "b2849fb66174db3ea9e4942a78be2ce3784d7cd4935437ac7ee8bafa8e456542",
        "solvency_stress_v1_3": "36ff691b7af7e6ca093a912c0b1d555e7886849711b92ae2784bb90274307ef4",
        "solvency_stress_v1_10": "9e50c2f9fca8c1c205032e7f27bf0698cec0abc61de0b1b8b2eef7ac9969e29e",
    }
)
