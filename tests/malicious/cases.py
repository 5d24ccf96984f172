"""For every constraint of the circuit a forgery that breaks it and, wherever that is possible, nothing else.

The cases are found by pattern, so that a new constraint without a forgery of its own fails the suite.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tests.malicious.cheating_prover import Cheat
from tests.malicious.forge import Forge, Forged, Plan


@dataclass(frozen=True)
class Case:
    """A forged witness.

    Args:
        also: constraints that break along with the one in question, and `why` that cannot be helped.
        cheat: what is done to the extension columns.
    """

    forged: Forged
    also: frozenset[str] = frozenset()
    why: str = ""
    cheat: Cheat | None = None


Maker = Callable[..., Forge | Case]
AnyMaker = TypeVar("AnyMaker", bound=Maker)
PATTERNS: dict[str, Maker] = {}


def breaks(pattern: str) -> Callable[[AnyMaker], AnyMaker]:
    """Register a forgery: a function of the honest plan and of the pattern's groups (integers where they can be)."""

    def register(maker: AnyMaker) -> AnyMaker:
        if pattern in PATTERNS:
            raise ValueError(f"{pattern} is registered twice")
        PATTERNS[pattern] = maker
        return maker

    return register


def makers(label: str) -> list[tuple[Maker, tuple[int | str, ...]]]:
    """The forgeries whose pattern matches a label as a whole."""
    found = []
    for pattern, maker in PATTERNS.items():
        match = re.fullmatch(pattern, label)
        if match:
            found.append((maker, tuple(int(g) if g.isdigit() else g for g in match.groups())))
    return found


def case_for(label: str, plan: Plan) -> Case:
    """The one forgery for a label.

    Raises:
        LookupError: there is none, or more than one.
    """
    found = makers(label)
    if len(found) != 1:
        raise LookupError(f"{len(found)} forgeries break {label!r}: a constraint needs exactly one in tests/malicious")
    maker, groups = found[0]
    made = maker(plan, *groups)
    return made if isinstance(made, Case) else Case(made.build())


def also(forge: Forge, *labels: str, why: str) -> Case:
    """A forgery that cannot but break other constraints, too."""
    return Case(forge.build(), frozenset(labels), why)
