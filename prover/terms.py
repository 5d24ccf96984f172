"""What an exchange chooses to state about a snapshot, and the circuit that can prove it."""

from __future__ import annotations

from dataclasses import dataclass

from prover.errors import InputError
from prover.positions import is_plain
from verifier.instruments import Instrument, Scenario
from verifier.poseidon import DEFAULT, INSTANCES
from verifier.solvency import CIRCUITS


@dataclass(frozen=True)
class Terms:
    """What the exchange chooses to state about a snapshot.

    Args:
        profile, policy, circuit: by name.
        scenarios: stress scenarios over the snapshot's instruments.
        evidence: contents of the prices file; None where prices are only the exchange's word.
    """

    profile: str
    policy: str
    circuit: str
    scenarios: tuple[Scenario, ...]
    evidence: bytes | None


def choose_circuit(instruments: tuple[Instrument, ...], scenarios: int, circuit: str | None = None) -> str:
    """The smallest circuit that proves all that the tables say; `circuit`, if given, has to be able to.

    Raises:
        InputError: no circuit does, or this one does not.
    """
    plain = is_plain(instruments)
    able = [
        name
        for name, known in CIRCUITS.items()
        if (known.lenses == 0) == plain and known.scenarios >= scenarios and INSTANCES[known.tree_hash] == DEFAULT
    ]
    if circuit is not None:
        able = [name for name in CIRCUITS if name == circuit and CIRCUITS[name].scenarios >= scenarios]
        if not able or (CIRCUITS[circuit].lenses == 0) != plain:
            table = "plain balances" if plain else "collateral, margins or positions"
            expected = f"a circuit for {table} with {scenarios} scenarios"
            raise InputError(field="--circuit", got=circuit, expected=expected)
    if not able:
        if plain:
            expected = "a table with collateral buckets (plain balances have no margins to stress)"
        else:
            expected = f"at most {max(known.scenarios for known in CIRCUITS.values())}"
        raise InputError(field="--scenarios", got=f"{scenarios} scenarios", expected=expected)
    return min(able, key=lambda name: CIRCUITS[name].lenses)
