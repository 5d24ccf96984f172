"""The opening of one inner node's sum, for an auditor: what is owed below that node of a published tree.

docs/protocol.md section 8 and design 02b R6. The level comes from the length of the path, never from the file.
Opening a node and all but one of its children opens the last child too: whoever publishes openings has to count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from verifier.canonical import dumps, hex_words, read_document, refuse
from verifier.errors import Reason
from verifier.inclusion import Step, path_data, read_path
from verifier.poseidon import DIGEST_WORDS, INSTANCES
from verifier.shards import Place
from verifier.statement import Statement, units
from verifier.tree import (
    TAG_DUMMY,
    VALUE_LIMBS,
    PathStep,
    ValueOpening,
    absorb,
    climb,
    initial_value,
    value_digest,
)

FORMAT = "solvent/opening/v1"
OPENING_BYTES_MAX = 2**16
_KEYS = ("statement", "shard", "state", "value", "path")


@dataclass(frozen=True)
class OpeningReport:
    """A node's sum that follows from the statement's root.

    Args:
        steps: what was checked.
        shard: number of the node's shard.
        level: of the node; the root of a shard has the statement's number of levels.
        positions: child numbers from that root down to the node.
        value: sum of the liabilities of the accounts below the node, in value units.
        quote, value_decimals: one value unit is 10^-value_decimals of `quote`.
        statement_digest: hex.
    """

    steps: tuple[Step, ...]
    shard: int
    level: int
    positions: tuple[int, ...]
    value: int
    quote: str
    value_decimals: int
    statement_digest: str

    def to_json(self) -> dict[str, Any]:
        """For `--json`; amounts are decimal strings."""
        amount = units(self.value, self.value_decimals)
        return asdict(self) | {"verdict": "opened", "value": str(self.value), "amount": amount}


def make_opening_bytes(
    statement: Statement, *, state: Sequence[int], value: ValueOpening, path: Sequence[PathStep], place: Place
) -> bytes:
    """Write an opening. It is not checked here: `check_opening` does that.

    Args:
        state: `node_state` of the node, eight words.
        value: what the node's value digest commits to.
        path: from the node's parent to the root of the shard; empty for that root itself.
        place: of the shard among all shards.
    """
    return dumps(
        {
            "format": FORMAT,
            "statement": statement.digest.hex(),
            "shard": place.data(),
            "state": hex_words(state),
            "value": {
                "random": hex_words(value.random),
                "limbs": hex_words(value.limbs),
                "blinding": hex_words((value.blinding,)),
            },
            "path": path_data(path),
        }
    )


def check_opening(data: bytes, statement: Statement) -> OpeningReport:
    """Check the sum of one inner node against an accepted statement.

    Raises:
        VerificationError: MALFORMED, NON_CANONICAL, TRAILING_BYTES, FILE_TOO_LARGE, UNKNOWN_VERSION,
            WRONG_STATEMENT, PATH_LENGTH, PATH or OPENING.
    """
    top = read_document(data, OPENING_BYTES_MAX, "opening", FORMAT, _KEYS)
    top.choice("statement", (statement.digest.hex(),), Reason.WRONG_STATEMENT)
    steps = [Step("statement", True, f"{statement.exchange}, sequence {statement.sequence}")]

    path = read_path(top)
    level = statement.levels - len(path)
    if level < 1:
        refuse(top.where("path"), f"at most {statement.levels - 1} steps", len(path), Reason.PATH_LENGTH)
    steps.append(Step("level", True, f"level {level} of {statement.levels}, from the length of the path"))

    state = top.words("state", DIGEST_WORDS)
    if state == initial_value(TAG_DUMMY, level):
        # A dummy's block is free: it may be the commitment to any sum. A node's state is a compression output.
        refuse(
            top.where("state"),
            "the state of a node",
            f"the start of a dummy of level {level}",
            Reason.OPENING,
        )
    steps.append(Step("kind", True, "a node, not the dummy of an empty subtree"))

    fields = top.record("value", ("random", "limbs", "blinding"))
    random, limbs = fields.words("random", 7), fields.words("limbs", VALUE_LIMBS)
    for limb in limbs:
        if limb >= 1 << 16:
            refuse(fields.where("limbs"), "limbs below 2^16", limb, Reason.OPENING)
    opening = ValueOpening(random, limbs, *fields.words("blinding", 1))
    steps.append(Step("sum", True, f"{units(opening.value, statement.value_decimals)} {statement.quote}"))

    instance = INSTANCES[statement.tree_hash]
    node = absorb(state, [value_digest(opening, instance)], instance)
    place = Place.read(top)
    computed = climb(node, level, path, instance)
    if computed != place.leaf.root:
        refuse("opening", f"the shard's root {hex_words(place.leaf.root)}", hex_words(computed), Reason.OPENING)
    place.check("opening", statement.root, statement.shards)
    steps.append(Step("root", True, f"the path ends in shard {place.leaf.index} under {statement.root.hex()}"))
    return OpeningReport(
        steps=tuple(steps),
        shard=place.leaf.index,
        level=level,
        positions=tuple(step.position for step in reversed(path)),
        value=opening.value,
        quote=statement.quote,
        value_decimals=statement.value_decimals,
        statement_digest=statement.digest.hex(),
    )
