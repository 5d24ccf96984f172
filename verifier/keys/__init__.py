"""Frozen circuits, one canonical JSON file each, and the digests by which this verifier knows them.

The files are written by `make keys` from `circuits/`; a test re-exports them and compares bytes. A digest changes only
with a new circuit name, by hand, here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

PINS: Mapping[str, str] = MappingProxyType(
    {
        "solvency_equity_v1": "284bd399987fd79bccd5e74747064ea6dd7f7676887cde2050566caf67f06c7d",
        "solvency_equity_v1_poseidon2": "a7f3677bb42e80d1b95728ee39d87883c554d816b769f312f11ded7541efb319",
        "solvency_risk_v1": "4153189126ec6b6ea64cc691b745cbef0141113828d53510bb91f35d79369a78",
        "solvency_stress_v1_1": "2a5a0efc9039f971797b4477d7d7d38cab5f7e4c17f3f33c63d8a3ad8f273f35",
        "solvency_stress_v1_3": "a1e03b9458bb7f875669afa8dc969da2f365d1b1dc4c1d327af645d42626fa4e",
        "solvency_stress_v1_10": "fcd3abb6e6bb7bd293636422de63d531c3202ac96134933a3e8c9fcc2fae3022",
    }
)
