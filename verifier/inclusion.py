"""A user's inclusion bundle: one file that shows their account in the tree of a published statement.

docs/protocol.md section 7, same step numbers. It does not show that the statement's proof is good: that is the other
command. Without a statement only the bundle's agreement with itself is checked, and the report says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from verifier.account_id import NONCE_BYTES, account_id
from verifier.canonical import SAFE_INTEGER_END, Record, dumps, hex_words, read_document, refuse
from verifier.errors import Reason
from verifier.instruments import (
    COST_BASIS,
    DECIMALS_MAX,
    KINDS,
    LEGS_MAX,
    PERPETUAL,
    SPOT,
    SYMBOL_CHARACTERS_MAX,
)
from verifier.legs import AMOUNT_CAP, LONG, SHORT, SIDES, Leg
from verifier.poseidon import DEFAULT, DIGEST_WORDS, INSTANCES
from verifier.shards import Place
from verifier.statement import EXCHANGE_CHARACTERS_MAX, LEVELS_MAX, Statement, units
from verifier.tree import ARITY, BLINDING_WORDS, ENTRIES_MAX, Digest, PathStep, account_leaf, climb

FORMAT = "solvent/bundle/v1"
BUNDLE_BYTES_MAX = 2**20
"""4,095 entries with the longest names take 0.9 MB."""
USER_ID_CHARACTERS_MAX = 256
_KEYS = ("exchange", "sequence", "statement", "root", "shard", "user_id", "nonce", "blinding", "entries", "path")
_ENTRY_KEYS = ("leg", "symbol", "kind", "bucket", "side", "decimals", "amount")
_WORDS = {
    (SPOT, LONG): "holds {}",
    (SPOT, SHORT): "owes {}",
    (PERPETUAL, LONG): "is long {}",
    (PERPETUAL, SHORT): "is short {}",
    (COST_BASIS, LONG): "was credited {} for open positions",
    (COST_BASIS, SHORT): "was charged {} for open positions",
}


@dataclass(frozen=True)
class Step:
    """One check, in plain words. `ok` is False only where a check was left out: a failed one raises."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class Balance:
    """One side of an instrument in the account, or one bucket of what it holds, in atoms.

    Args:
        kind: of the instrument: assets are held ("long") or owed ("short"), positions are long or short, and a cost
            basis is what was credited ("long") or charged ("short") when positions were opened.
        bucket: name of the collateral bucket, for assets held under a circuit that proves margins.
    """

    symbol: str
    side: str
    atoms: int
    decimals: int
    kind: str = SPOT
    bucket: str | None = None

    def __str__(self) -> str:
        words = _WORDS[self.kind, self.side].format(f"{units(self.atoms, self.decimals)} {self.symbol}")
        return words + ("" if self.bucket is None else f" in bucket {self.bucket}")


@dataclass(frozen=True)
class Worth:
    """What the account is worth by the statement's prices, exactly as the proof counts it.

    Args:
        equity: all that it has minus all that it owes, in value units, signed.
        health: the same after haircuts and margins; None for circuits that do not prove margins.
        quote, value_decimals: one value unit is 10^-value_decimals of `quote`.
    """

    equity: int
    health: int | None
    quote: str
    value_decimals: int

    def __str__(self) -> str:
        words = f"equity {units(self.equity, self.value_decimals)} {self.quote}"
        if self.health is not None:
            words += f", health {units(self.health, self.value_decimals)} {self.quote} (after haircuts and margins)"
        return words


@dataclass(frozen=True)
class InclusionReport:
    """An account that was found in the tree.

    Args:
        steps: what was checked.
        compared: whether the bundle was checked against a statement; without one it agrees only with itself.
        user_id, nonce: whose account it is; the user has to recognise both as their own.
        balances: per instrument, side and bucket, in the order of the bundle.
        worth: None where there is no statement to take prices from.
        statement_digest, root: hex.
    """

    steps: tuple[Step, ...]
    compared: bool
    exchange: str
    sequence: int
    user_id: str
    nonce: str
    balances: tuple[Balance, ...]
    worth: Worth | None
    statement_digest: str
    root: str

    def to_json(self) -> dict[str, Any]:
        """For `--json`; amounts are decimal strings."""
        balances = [asdict(b) | {"atoms": str(b.atoms), "amount": units(b.atoms, b.decimals)} for b in self.balances]
        verdict = "included" if self.compared else "consistent, not compared with a statement"
        worth = None
        if self.worth is not None:
            parts = {"equity": self.worth.equity, "health": self.worth.health}
            worth = {k: None if v is None else units(v, self.worth.value_decimals) for k, v in parts.items()}
            worth["quote"] = self.worth.quote
        return asdict(self) | {"verdict": verdict, "balances": balances, "worth": worth}


@dataclass(frozen=True)
class _Entry:
    leg: int
    symbol: str
    kind: str
    bucket: str | None
    side: str
    decimals: int
    amount: int

    @classmethod
    def of(cls, statement: Statement, leg: Leg, amount: int) -> _Entry:
        """As the statement's tables have it."""
        of = statement.instruments[leg.instrument]
        bucket = None if leg.bucket is None else of.buckets[leg.bucket].name
        return cls(leg.index, of.symbol, of.kind, bucket, leg.side, of.decimals, amount)


def make_bundle_bytes(
    statement: Statement,
    *,
    user_id: str,
    nonce: bytes,
    blinding: Sequence[int],
    entries: Sequence[tuple[int, int]],
    path: Sequence[PathStep],
    place: Place,
) -> bytes:
    """Write a bundle. It is not checked here: `check_bundle` does that.

    Args:
        nonce: 32 bytes.
        blinding: the six random words of the account's end block.
        entries: (leg, amount in atoms), strictly increasing leg.
        path: from level 1 to the root of the shard.
        place: of the shard among all shards.
    """
    shown = [asdict(_Entry.of(statement, statement.legs[leg], amount)) for leg, amount in entries]
    return dumps(
        {
            "format": FORMAT,
            "exchange": statement.exchange,
            "sequence": statement.sequence,
            "statement": statement.digest.hex(),
            "root": statement.root.hex(),
            "shard": place.data(),
            "user_id": user_id,
            "nonce": nonce.hex(),
            "blinding": hex_words(blinding),
            "entries": [entry | {"amount": str(entry["amount"])} for entry in shown],
            "path": path_data(path),
        }
    )


def path_data(path: Sequence[PathStep]) -> list[dict[str, object]]:
    """The JSON form of a path, as `read_path` takes it."""
    return [
        {
            "position": step.position,
            "siblings": "".join(hex_words(sibling) for sibling in step.siblings),
            "value": hex_words(step.value_digest),
        }
        for step in path
    ]


def read_path(top: Record) -> tuple[PathStep, ...]:
    """The field `path` of a bundle or an opening; its length is still to be checked."""
    steps = []
    for item in top.records("path", ("position", "siblings", "value"), LEVELS_MAX, Reason.PATH_LENGTH):
        words = item.words("siblings", (ARITY - 1) * DIGEST_WORDS)
        siblings = tuple(words[i : i + DIGEST_WORDS] for i in range(0, len(words), DIGEST_WORDS))
        position = item.integer("position", 0, ARITY - 1, Reason.PATH)
        steps.append(PathStep(position, siblings, item.words("value", DIGEST_WORDS)))
    return tuple(steps)


def check_bundle(
    data: bytes, statement: Statement | None = None, *, user_id: str | None = None, nonce: bytes | None = None
) -> InclusionReport:
    """Check one account against an accepted statement.

    Args:
        data: the bundle file.
        statement: what the exchange published and whose proof was verified. None checks only that the bundle agrees
            with its own root (with the default tree hash), which proves nothing about a publication.
        user_id, nonce: what the caller knows to be the user's own; other ones in the bundle are refused. Two users
            can be shown one leaf only if one of them accepts an id or a nonce that is not theirs.

    Raises:
        VerificationError: MALFORMED, NON_CANONICAL, TRAILING_BYTES, FILE_TOO_LARGE, UNKNOWN_VERSION,
            WRONG_STATEMENT, ACCOUNT_ID, ENTRIES, PATH_LENGTH or PATH.
    """
    top = read_document(data, BUNDLE_BYTES_MAX, "bundle", FORMAT, _KEYS)
    steps = [Step("1 file", True, f"canonical, format {FORMAT}")]
    exchange, sequence = top.text("exchange", EXCHANGE_CHARACTERS_MAX), top.integer("sequence", 0, SAFE_INTEGER_END - 1)
    digest, root = top.raw("statement", 32).hex(), top.raw("root", 32).hex()
    steps.append(_compare(top, (digest, exchange, sequence, root), statement))

    holder, used_nonce = _holder(top, user_id, nonce)
    identity = account_id(exchange, holder, used_nonce)
    known = "as expected" if user_id is not None and nonce is not None else "both must be the user's own"
    steps.append(Step("3 account id", True, f"made from exchange, user id {holder} and nonce, {known}"))

    entries = _read_entries(top)
    _check_entries(top, entries, statement)
    count = f"{len(entries)} {'entry' if len(entries) == 1 else 'entries'}"
    names = "names as in the instrument table" if statement else "names are the bundle's own"
    steps.append(Step("4 entries", True, f"{count}, each leg once, amounts in range, {names}"))

    instance = INSTANCES[statement.tree_hash] if statement else DEFAULT
    blinding = top.words("blinding", BLINDING_WORDS)
    leaf = account_leaf(identity, [(e.leg, e.amount) for e in entries], blinding, instance)
    steps.append(Step("5 leaf", True, f"digest {hex_words(leaf)}"))

    path = read_path(top)
    levels = statement.levels if statement else max(len(path), 1)
    if len(path) != levels:
        refuse(top.where("path"), f"{levels} steps", len(path), Reason.PATH_LENGTH)
    steps.append(Step("6 path", True, f"{levels} levels{', as the statement says' if statement else ''}"))

    steps += _climbed(top, leaf, path, statement)
    return InclusionReport(
        steps=tuple(steps),
        compared=statement is not None,
        exchange=exchange,
        sequence=sequence,
        user_id=holder,
        nonce=used_nonce.hex(),
        balances=_balances(entries),
        worth=_worth(entries, statement) if statement else None,
        statement_digest=digest,
        root=root,
    )


def _climbed(top: Record, leaf: Digest, path: Sequence[PathStep], statement: Statement | None) -> list[Step]:
    """Steps 7 and 8: the path ends in the shard's root, and the shard stands under the statement's."""
    place = Place.read(top)
    computed = climb(leaf, 0, path, INSTANCES[statement.tree_hash] if statement else DEFAULT)
    if computed != place.leaf.root:
        refuse(top.where("path"), f"the root {hex_words(place.leaf.root)}", hex_words(computed), Reason.PATH)
    steps = [Step("7 shard", True, f"the path ends in the root of shard {place.leaf.index}")]
    # Without a statement the number of shards is unknown: nothing but the shard's own claims could be compared.
    if statement is not None:
        place.check("bundle", statement.root, statement.shards)
        of = "the only shard" if statement.shards == 1 else f"shard {place.leaf.index} of {statement.shards}"
        steps.append(Step("8 root", True, f"{of} stands under {statement.root.hex()}"))
    return steps


def _holder(top: Record, user_id: str | None, nonce: bytes | None) -> tuple[str, bytes]:
    """Step 3: user id and nonce of the bundle, which have to be the caller's where the caller knows them."""
    holder, used_nonce = top.text("user_id", USER_ID_CHARACTERS_MAX), top.raw("nonce", NONCE_BYTES)
    if user_id is not None and holder != user_id:
        refuse(top.where("user_id"), f"the user's own id {user_id!r}", holder, Reason.ACCOUNT_ID)
    if nonce is not None and used_nonce != nonce:
        refuse(top.where("nonce"), f"the user's own nonce {nonce.hex()}", used_nonce.hex(), Reason.ACCOUNT_ID)
    return holder, used_nonce


def _compare(top: Record, claims: tuple[str, str, int, str], statement: Statement | None) -> Step:
    """Step 2, while the document holds no more than claims: digest, exchange, sequence and root of a statement."""
    if statement is None:
        return Step("2 statement", False, "not compared with any statement")
    accepted = statement.digest.hex(), statement.exchange, statement.sequence, statement.root.hex()
    for key, got, expected in zip(("statement", "exchange", "sequence", "root"), claims, accepted, strict=True):
        if got != expected:
            refuse(top.where(key), f"the accepted statement's {expected}", got, Reason.WRONG_STATEMENT)
    detail = f"{statement.exchange}, sequence {statement.sequence}, digest {statement.digest.hex()}"
    return Step("2 statement", True, detail)


def _read_entries(top: Record) -> tuple[_Entry, ...]:
    return tuple(
        _Entry(
            item.integer("leg", 0, LEGS_MAX - 1, Reason.ENTRIES),
            item.symbol("symbol", SYMBOL_CHARACTERS_MAX),
            item.choice("kind", KINDS, Reason.ENTRIES),
            None if item.is_null("bucket") else item.symbol("bucket", SYMBOL_CHARACTERS_MAX),
            item.choice("side", SIDES, Reason.ENTRIES),
            item.integer("decimals", 0, DECIMALS_MAX, Reason.ENTRIES),
            item.decimal("amount", 1, AMOUNT_CAP + 1, Reason.ENTRIES),
        )
        for item in top.records("entries", _ENTRY_KEYS, ENTRIES_MAX, Reason.ENTRIES)
    )


def _check_entries(top: Record, entries: Sequence[_Entry], statement: Statement | None) -> None:
    """Step 4: strictly increasing legs and, with a statement, everything as in its tables."""
    last = -1
    for i, entry in enumerate(entries):
        where = f"{top.where('entries')}[{i}]"
        if entry.leg <= last:
            refuse(f"{where}.leg", f"more than {last}, the leg before", entry.leg, Reason.ENTRIES)
        last = entry.leg
        if statement is None:
            continue
        if entry.leg >= len(statement.legs):
            refuse(f"{where}.leg", f"one of the table's {len(statement.legs)} legs", entry.leg, Reason.ENTRIES)
        leg = statement.legs[entry.leg]
        if entry.amount > leg.cap:
            refuse(f"{where}.amount", f"at most the cap {leg.cap}", entry.amount, Reason.ENTRIES)
        expected = _Entry.of(statement, leg, entry.amount)
        for name in ("symbol", "kind", "bucket", "side", "decimals"):
            right, got = getattr(expected, name), getattr(entry, name)
            if got != right:
                refuse(f"{where}.{name}", f"{right!r}, that of leg {entry.leg}", got, Reason.ENTRIES)


def _balances(entries: Sequence[_Entry]) -> tuple[Balance, ...]:
    """The legs of one side of an instrument, or of one bucket of it, summed: tiers are not shown."""
    sums: dict[Balance, int] = {}
    for entry in entries:
        key = Balance(entry.symbol, entry.side, 0, entry.decimals, entry.kind, entry.bucket)
        sums[key] = sums.get(key, 0) + entry.amount
    return tuple(replace(balance, atoms=atoms) for balance, atoms in sums.items())


def _worth(entries: Sequence[_Entry], statement: Statement) -> Worth:
    legs = statement.legs
    equity = sum(legs[e.leg].price_coefficient * e.amount for e in entries)
    health = None
    if statement.total_margin_deficit is not None:
        health = sum(legs[e.leg].lens_coefficients[0] * e.amount for e in entries)
    return Worth(equity, health, statement.quote, statement.value_decimals)
