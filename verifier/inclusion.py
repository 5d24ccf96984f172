"""A user's inclusion bundle: one file that shows their account in the tree of a published statement.

docs/protocol.md section 7, same step numbers. It does not show that the statement's proof is good: that is the other
command. Without a statement only the bundle's agreement with itself is checked, and the report says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from verifier.account_id import NONCE_BYTES, account_id
from verifier.canonical import Record, dumps, hex_words, read_document, refuse
from verifier.errors import Reason
from verifier.legs import AMOUNT_CAP, SIDES, derive_legs
from verifier.poseidon import DEFAULT, DIGEST_WORDS, INSTANCES
from verifier.statement import (
    DECIMALS_MAX,
    EXCHANGE_CHARACTERS_MAX,
    INSTRUMENTS_MAX,
    LEVELS_MAX,
    SYMBOL_CHARACTERS_MAX,
    Statement,
    units,
)
from verifier.tree import ARITY, BLINDING_WORDS, ENTRIES_MAX, PathStep, account_leaf, climb

FORMAT = "solvent/bundle/v1"
BUNDLE_BYTES_MAX = 2**20
"""4,095 entries with the longest symbols take 0.6 MB."""
USER_ID_CHARACTERS_MAX = 256
_KEYS = frozenset(("exchange", "sequence", "statement", "root", "user_id", "nonce", "blinding", "entries", "path"))


@dataclass(frozen=True)
class Step:
    """One check, in plain words. `ok` is False only where a check was left out: a failed one raises."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class Balance:
    """What the account holds ("long") or owes ("short") of one instrument, in atoms."""

    symbol: str
    side: str
    atoms: int
    decimals: int

    def __str__(self) -> str:
        return f"{'owes' if self.side == 'short' else 'holds'} {units(self.atoms, self.decimals)} {self.symbol}"


@dataclass(frozen=True)
class InclusionReport:
    """An account that was found in the tree.

    Args:
        steps: what was checked.
        compared: whether the bundle was checked against a statement; without one it agrees only with itself.
        user_id, nonce: whose account it is; the user has to recognise both as their own.
        balances: per instrument and side, in the order of the bundle.
        statement_digest, root: hex.
    """

    steps: tuple[Step, ...]
    compared: bool
    exchange: str
    sequence: int
    user_id: str
    nonce: str
    balances: tuple[Balance, ...]
    statement_digest: str
    root: str

    def to_json(self) -> dict[str, Any]:
        """For `--json`; amounts are decimal strings."""
        balances = [asdict(b) | {"atoms": str(b.atoms), "amount": units(b.atoms, b.decimals)} for b in self.balances]
        verdict = "included" if self.compared else "consistent, not compared with a statement"
        return asdict(self) | {"verdict": verdict, "balances": balances}


@dataclass(frozen=True)
class _Entry:
    leg: int
    symbol: str
    side: str
    decimals: int
    amount: int


def make_bundle_bytes(
    statement: Statement,
    *,
    user_id: str,
    nonce: bytes,
    blinding: Sequence[int],
    entries: Sequence[tuple[int, int]],
    path: Sequence[PathStep],
) -> bytes:
    """Write a bundle. It is not checked here: `check_bundle` does that.

    Args:
        nonce: 32 bytes.
        blinding: the six random words of the account's end block.
        entries: (leg, amount in atoms), strictly increasing leg.
        path: from level 1 to the root.
    """
    legs = derive_legs(statement.instruments)
    shown_entries = []
    for leg, amount in entries:
        instrument = statement.instruments[legs[leg].instrument]
        shown_entries.append(
            {
                "leg": leg,
                "symbol": instrument.symbol,
                "side": legs[leg].side,
                "decimals": instrument.decimals,
                "amount": str(amount),
            }
        )
    return dumps(
        {
            "format": FORMAT,
            "exchange": statement.exchange,
            "sequence": statement.sequence,
            "statement": statement.digest.hex(),
            "root": hex_words(statement.root),
            "user_id": user_id,
            "nonce": nonce.hex(),
            "blinding": hex_words(blinding),
            "entries": shown_entries,
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

    exchange, sequence = top.text("exchange", EXCHANGE_CHARACTERS_MAX), top.integer("sequence", 0, 2**53 - 1)
    digest, root = top.raw("statement", 32).hex(), top.words("root", DIGEST_WORDS)
    steps.append(_compare(top, statement))

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

    computed = climb(leaf, 0, path, instance)
    if computed != root:
        refuse(top.where("path"), f"the root {hex_words(root)}", hex_words(computed), Reason.PATH)
    steps.append(Step("7 root", True, f"the path ends in {hex_words(root)}"))
    return InclusionReport(
        steps=tuple(steps),
        compared=statement is not None,
        exchange=exchange,
        sequence=sequence,
        user_id=holder,
        nonce=used_nonce.hex(),
        balances=_balances(entries),
        statement_digest=digest,
        root=hex_words(root),
    )


def _holder(top: Record, user_id: str | None, nonce: bytes | None) -> tuple[str, bytes]:
    """Step 3: user id and nonce of the bundle, which have to be the caller's where the caller knows them."""
    holder, used_nonce = top.text("user_id", USER_ID_CHARACTERS_MAX), top.raw("nonce", NONCE_BYTES)
    if user_id is not None and holder != user_id:
        refuse(top.where("user_id"), f"the user's own id {user_id!r}", holder, Reason.ACCOUNT_ID)
    if nonce is not None and used_nonce != nonce:
        refuse(top.where("nonce"), f"the user's own nonce {nonce.hex()}", used_nonce.hex(), Reason.ACCOUNT_ID)
    return holder, used_nonce


def _compare(top: Record, statement: Statement | None) -> Step:
    """Step 2, while the document holds no more than claims."""
    if statement is None:
        return Step("2 statement", False, "not compared with any statement")
    claims = (
        ("statement", top.raw("statement", 32).hex(), statement.digest.hex()),
        ("exchange", top.text("exchange", EXCHANGE_CHARACTERS_MAX), statement.exchange),
        ("sequence", top.integer("sequence", 0, 2**53 - 1), statement.sequence),
        ("root", hex_words(top.words("root", DIGEST_WORDS)), hex_words(statement.root)),
    )
    for key, got, expected in claims:
        if got != expected:
            refuse(top.where(key), f"the accepted statement's {expected}", got, Reason.WRONG_STATEMENT)
    detail = f"{statement.exchange}, sequence {statement.sequence}, digest {statement.digest.hex()}"
    return Step("2 statement", True, detail)


def _read_entries(top: Record) -> tuple[_Entry, ...]:
    keys = ("leg", "symbol", "side", "decimals", "amount")
    return tuple(
        _Entry(
            item.integer("leg", 0, 2 * INSTRUMENTS_MAX - 1, Reason.ENTRIES),
            item.symbol("symbol", SYMBOL_CHARACTERS_MAX),
            item.choice("side", SIDES, Reason.ENTRIES),
            item.integer("decimals", 0, DECIMALS_MAX, Reason.ENTRIES),
            item.decimal("amount", 1, AMOUNT_CAP + 1, Reason.ENTRIES),
        )
        for item in top.records("entries", keys, ENTRIES_MAX, Reason.ENTRIES)
    )


def _check_entries(top: Record, entries: Sequence[_Entry], statement: Statement | None) -> None:
    """Step 4: strictly increasing legs and, with a statement, everything as in its table."""
    legs = derive_legs(statement.instruments) if statement else ()
    last = -1
    for i, entry in enumerate(entries):
        where = f"{top.where('entries')}[{i}]"
        if entry.leg <= last:
            refuse(f"{where}.leg", f"more than {last}, the leg before", entry.leg, Reason.ENTRIES)
        last = entry.leg
        if statement is None:
            continue
        if entry.leg >= len(legs):
            refuse(f"{where}.leg", f"one of the table's {len(legs)} legs", entry.leg, Reason.ENTRIES)
        leg = legs[entry.leg]
        instrument = statement.instruments[leg.instrument]
        if entry.amount > leg.cap:
            refuse(f"{where}.amount", f"at most the cap {leg.cap}", entry.amount, Reason.ENTRIES)
        got = (entry.symbol, entry.side, entry.decimals)
        expected = (instrument.symbol, leg.side, instrument.decimals)
        if got != expected:
            refuse(where, f"symbol, side and decimals {expected} of leg {entry.leg}", got, Reason.ENTRIES)


def _balances(entries: Sequence[_Entry]) -> tuple[Balance, ...]:
    """The legs of one side of an instrument, summed."""
    sums: dict[tuple[str, str, int], int] = {}
    for entry in entries:
        key = (entry.symbol, entry.side, entry.decimals)
        sums[key] = sums.get(key, 0) + entry.amount
    return tuple(Balance(symbol, side, atoms, decimals) for (symbol, side, decimals), atoms in sums.items())
