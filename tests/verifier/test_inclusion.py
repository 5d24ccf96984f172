"""A user's bundle: honest ones pass, and everything else is refused with its own reason."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verifier.small_tree import (
    INSTRUMENTS,
    Account,
    Builder,
    Publication,
    edited,
    fast_compress,
    make_accounts,
    publication,
    words,
)
from verifier import tree
from verifier.account_id import account_id
from verifier.canonical import hex_words
from verifier.errors import NotIncluded, Reason, VerificationError
from verifier.field import P
from verifier.inclusion import BUNDLE_BYTES_MAX, Balance, check_bundle
from verifier.statement import Statement
from verifier.tree import ENTRIES_MAX, Digest, PathStep, account_leaf, dummy_digest, value_digest

VICTIM = 7
"""Has three entries."""


@pytest.fixture(scope="module")
def small() -> Publication:
    return publication()


def refused(data: bytes, statement: Statement | None = None, **known: Any) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        check_bundle(data, statement, **known)
    return caught.value


def test_every_account_is_included(small: Publication) -> None:
    for i, account in enumerate(small.accounts):
        data = small.bundle(i)
        report = check_bundle(data, small.statement, user_id=account.user_id, nonce=account.nonce)
        assert (report.compared, report.exchange, report.sequence) == (True, "acme", 7)
        assert (report.user_id, report.nonce) == (account.user_id, account.nonce.hex())
        assert report.statement_digest == small.statement.digest.hex()
        assert report.root == small.statement.root.hex()
        assert [(2 * index_of(b) + (b.side == "short"), b.atoms) for b in report.balances] == list(account.entries)
        assert [step.name[0] for step in report.steps] == list("12345678")
        assert all(step.ok for step in report.steps)


def index_of(balance: Balance) -> int:
    return [instrument.symbol for instrument in INSTRUMENTS].index(balance.symbol)


def test_both_tree_hashes() -> None:
    small = publication("solvency_equity_v1_poseidon2")
    assert check_bundle(small.bundle(0), small.statement).compared
    assert refused(publication().bundle(0), small.statement).reason is Reason.WRONG_STATEMENT


def test_without_a_statement_the_report_says_what_is_missing(small: Publication) -> None:
    report = check_bundle(small.bundle(VICTIM))
    assert not report.compared
    assert [step.ok for step in report.steps] == [True, False, True, True, True, True, True]
    assert report.to_json()["verdict"] == "consistent, not compared with a statement"
    assert check_bundle(small.bundle(VICTIM), small.statement).to_json()["verdict"] == "included"


def test_a_report_is_plain_json_with_exact_amounts(small: Publication) -> None:
    report = check_bundle(small.bundle(VICTIM), small.statement).to_json()
    amounts = [str(amount) for _, amount in small.accounts[VICTIM].entries]
    assert [balance["atoms"] for balance in json.loads(json.dumps(report))["balances"]] == amounts


def test_the_report_in_words(small: Publication) -> None:
    account, statement, data = small.accounts[VICTIM], small.statement, small.bundle(VICTIM)
    leaf = hex_words(
        account_leaf(account_id("acme", account.user_id, account.nonce), account.entries, account.blinding)
    )
    whose = "made from exchange, user id user-7 and nonce, "
    expected = {
        "1 file": "canonical, format solvent/bundle/v1",
        "2 statement": f"acme, sequence 7, digest {statement.digest.hex()}",
        "3 account id": whose + "both must be the user's own",
        "4 entries": "3 entries, each leg once, amounts in range, names as in the instrument table",
        "5 leaf": f"digest {leaf}",
        "6 path": "6 levels, as the statement says",
        "7 shard": "the path ends in the root of shard 0",
        "8 root": f"the only shard stands under {statement.root.hex()}",
    }
    assert {step.name: step.detail for step in check_bundle(data, statement).steps} == expected
    of_user = check_bundle(data, statement, user_id=account.user_id, nonce=account.nonce).steps
    assert {step.name: step.detail for step in of_user} == {**expected, "3 account id": whose + "as expected"}
    for known in ({"user_id": account.user_id}, {"nonce": account.nonce}):
        assert check_bundle(data, statement, **known).steps[2].detail == expected["3 account id"]
    del expected["8 root"]
    expected["2 statement"] = "not compared with any statement"
    expected["4 entries"] = "3 entries, each leg once, amounts in range, names are the bundle's own"
    expected["6 path"] = "6 levels"
    assert {step.name: step.detail for step in check_bundle(data).steps} == expected
    one = next(i for i, other in enumerate(small.accounts) if len(other.entries) == 1)
    assert check_bundle(small.bundle(one), statement).steps[3].detail.startswith("1 entry, ")


@pytest.mark.parametrize("sequence", [0, 2**53 - 1])
def test_the_first_and_the_last_sequence(small: Publication, sequence: int) -> None:
    """Without a statement a sequence is no more than a claim, in the range of all sequences."""
    assert check_bundle(edited(small.bundle(VICTIM), change("sequence", sequence))).sequence == sequence


@pytest.mark.parametrize("decimals", [0, 30])
def test_whole_units_and_the_smallest_ones(small: Publication, decimals: int) -> None:
    report = check_bundle(edited(small.bundle(VICTIM), change_entry("decimals", decimals)))
    assert report.balances[0].decimals == decimals


def test_balances_in_words() -> None:
    assert str(Balance("btc", "long", 150_000_000, 8)) == "holds 1.5 btc"
    assert str(Balance("usdt", "short", 1, 6)) == "owes 0.000001 usdt"
    assert str(Balance("btc", "long", 150_000_000, 8, bucket="loan")) == "holds 1.5 btc in bucket loan"


def test_size_of_a_bundle_with_ten_entries_and_seven_levels() -> None:
    """Issue 2: at most 8 KB."""
    instruments = tuple(replace(INSTRUMENTS[0], symbol=f"token-{j}") for j in range(10))
    statement = replace(publication().statement, instruments=instruments, log2_rows=21, levels=7)
    step = PathStep(7, (words(random.Random(0), 8),) * 7, words(random.Random(1), 8))
    big = replace(publication(), statement=statement)
    data = big.bundle(0, entries=[(2 * j, 2**63 - 1) for j in range(10)], path=[step] * 7)
    assert len(data) <= 8192


def test_the_largest_account_fits(small: Publication) -> None:
    table = tuple(replace(INSTRUMENTS[0], symbol=f"{j:032d}", decimals=30) for j in range(2048))
    account = replace(small.accounts[0], entries=tuple((leg, 2**63 - 1) for leg in range(1, ENTRIES_MAX + 1)))
    statement = replace(small.statement, instruments=table)
    data = replace(small, statement=statement, accounts=(account,)).bundle(0)
    assert len(data) < BUNDLE_BYTES_MAX
    assert refused(data, statement).reason is Reason.PATH


def change_entry(key: str, value: object) -> Callable[[Any], None]:
    return lambda bundle: bundle["entries"][0].__setitem__(key, value)


def change_step(key: str, value: object) -> Callable[[Any], None]:
    return lambda bundle: bundle["path"][2].__setitem__(key, value)


def change(key: str, value: object) -> Callable[[Any], None]:
    return lambda bundle: bundle.__setitem__(key, value)


def add_atoms(bundle: Any, atoms: int = 1) -> None:
    entry = bundle["entries"][0]
    entry["amount"] = str(int(entry["amount"]) + atoms)


def flip_side(bundle: Any) -> None:
    entry = bundle["entries"][0]
    entry["side"] = "short" if entry["side"] == "long" else "long"


def swap_siblings(bundle: Any) -> None:
    siblings = bundle["path"][0]["siblings"]
    bundle["path"][0]["siblings"] = siblings[64:128] + siblings[:64] + siblings[128:]


def repeat_entry(bundle: Any) -> None:
    bundle["entries"].insert(0, dict(bundle["entries"][0]))


def split_entry(bundle: Any) -> None:
    """One holding in two entries of the same leg."""
    repeat_entry(bundle)
    bundle["entries"][0]["amount"] = "1"
    add_atoms(bundle, -1)


BAD_WORD = (P).to_bytes(4, "little").hex()
MALFORMED, ENTRIES, PATH = Reason.MALFORMED, Reason.ENTRIES, Reason.PATH
WRONG, LENGTH, SPELLING = Reason.WRONG_STATEMENT, Reason.PATH_LENGTH, Reason.NON_CANONICAL
TAMPERED: list[tuple[str, Callable[[Any], object], Reason]] = [
    ("another format", change("format", "solvent/bundle/v2"), Reason.UNKNOWN_VERSION),
    ("a key too many", change("note", "hello"), MALFORMED),
    ("a key too few", lambda b: b.pop("blinding"), MALFORMED),
    ("another statement", change("statement", "00" * 32), WRONG),
    ("another exchange", change("exchange", "acme2"), WRONG),
    ("an older sequence", change("sequence", 6), WRONG),
    ("a root of its own", change("root", "00" * 32), WRONG),
    ("another user id", change("user_id", "user-8"), PATH),
    ("user id with a control character", change("user_id", "user-\x1b[2J"), MALFORMED),
    ("user id too long", change("user_id", "u" * 257), MALFORMED),
    ("another nonce", change("nonce", "00" * 32), PATH),
    ("a short nonce", change("nonce", "00" * 31), MALFORMED),
    ("another blinding", change("blinding", "00" * 24), PATH),
    ("no blinding", change("blinding", ""), MALFORMED),
    ("blinding that is not a field element", change("blinding", BAD_WORD + "00" * 20), SPELLING),
    ("one atom more", add_atoms, PATH),
    ("one atom less", lambda b: add_atoms(b, -1), PATH),
    ("p atoms more", lambda b: add_atoms(b, P), PATH),
    ("amount 0", change_entry("amount", "0"), ENTRIES),
    ("amount above the cap", change_entry("amount", str(2**63)), ENTRIES),
    ("amount wrapped to a negative one", change_entry("amount", "-1"), MALFORMED),
    ("amount 2^64 - 1", change_entry("amount", str(2**64 - 1)), ENTRIES),
    ("amount 1.0", change_entry("amount", "1.0"), MALFORMED),
    ("amount 01", change_entry("amount", "01"), MALFORMED),
    ("amount as a number", change_entry("amount", 1), MALFORMED),
    ("another symbol", change_entry("symbol", "doge"), ENTRIES),
    ("another side", flip_side, ENTRIES),
    ("a third side", change_entry("side", "middle"), ENTRIES),
    ("other decimals", change_entry("decimals", 7), ENTRIES),
    ("a leg outside the table", lambda b: b["entries"][-1].__setitem__("leg", 6), ENTRIES),
    ("a leg far outside", lambda b: b["entries"][-1].__setitem__("leg", 2**16 - 2), ENTRIES),
    ("a leg beyond all tables", lambda b: b["entries"][-1].__setitem__("leg", 2**16 - 1), ENTRIES),
    ("a bucket where there are none", change_entry("bucket", "loan"), ENTRIES),
    ("another kind", change_entry("kind", "perpetual"), ENTRIES),
    ("an entry dropped", lambda b: b["entries"].pop(), PATH),
    ("no entries", change("entries", []), PATH),
    ("entries reversed", lambda b: b["entries"].reverse(), ENTRIES),
    ("an entry twice", repeat_entry, ENTRIES),
    ("an entry split in two", split_entry, ENTRIES),
    ("a path one level shorter", lambda b: b["path"].pop(), LENGTH),
    ("a path without its first level", lambda b: b["path"].pop(0), LENGTH),
    ("a path one level longer", lambda b: b["path"].append(b["path"][-1]), LENGTH),
    ("a path without end", lambda b: b["path"].extend(b["path"] * 100), LENGTH),
    ("no path", change("path", []), LENGTH),
    ("position 8", change_step("position", 8), PATH),
    ("position -1", change_step("position", -1), PATH),
    ("another position", lambda b: b["path"][0].__setitem__("position", b["path"][0]["position"] ^ 1), PATH),
    ("siblings swapped", swap_siblings, PATH),
    ("another sibling", change_step("siblings", "00" * 224), PATH),
    ("a sibling too few", change_step("siblings", "00" * 192), MALFORMED),
    ("a sibling too many", change_step("siblings", "00" * 256), MALFORMED),
    ("sibling words above p", change_step("siblings", BAD_WORD + "00" * 220), SPELLING),
    ("another value digest", change_step("value", "00" * 32), PATH),
    ("levels in another order", lambda b: b["path"].reverse(), PATH),
]


@pytest.mark.negative
@pytest.mark.parametrize(("tamper", "reason"), [t[1:] for t in TAMPERED], ids=[t[0] for t in TAMPERED])
def test_one_change_one_reason(small: Publication, tamper: Callable[[Any], object], reason: Reason) -> None:
    error = refused(edited(small.bundle(VICTIM), tamper), small.statement)
    assert error.reason is reason, str(error)
    assert "\n" not in str(error)


@pytest.mark.negative
@pytest.mark.parametrize(
    ("key", "value"), [("statement", "00" * 32), ("exchange", "acne"), ("sequence", 8), ("root", "00" * 32)]
)
def test_the_claim_that_is_another_is_named(small: Publication, key: str, value: object) -> None:
    error = refused(edited(small.bundle(VICTIM), change(key, value)), small.statement)
    assert error.reason is Reason.WRONG_STATEMENT and error.where["field"] == f"bundle.{key}"


@pytest.mark.negative
def test_what_is_checked_of_entries_without_a_statement(small: Publication) -> None:
    data = small.bundle(VICTIM)
    assert refused(edited(data, lambda b: b["entries"].reverse())).reason is ENTRIES
    assert refused(edited(data, lambda b: b["entries"][-1].__setitem__("leg", 2**16 - 2))).reason is PATH
    assert refused(edited(data, lambda b: b["entries"][-1].__setitem__("leg", 2**16 - 1))).reason is ENTRIES
    assert refused(edited(data, change_entry("amount", str(2**63 - 1)))).reason is PATH
    assert refused(edited(data, change_entry("amount", str(2**63)))).reason is ENTRIES


@pytest.mark.negative
def test_spelling_of_the_file(small: Publication) -> None:
    data = small.bundle(VICTIM)
    for changed, reason in (
        (data + b"x", Reason.TRAILING_BYTES),
        (data + b"\n", Reason.NON_CANONICAL),
        (data.replace(b'"leg":', b'"leg":0,"leg":', 1), Reason.MALFORMED),
        (data.replace(b'"sequence":7', b'"sequence":7.0'), Reason.MALFORMED),
        (data.replace(b'"sequence":7', b'"sequence":07'), Reason.MALFORMED),
        (data + b" " * BUNDLE_BYTES_MAX, Reason.FILE_TOO_LARGE),
        (b"", Reason.MALFORMED),
    ):
        assert refused(changed, small.statement).reason is reason


@pytest.mark.negative
def test_every_flipped_byte_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "compress", fast_compress)
    source = random.Random(3)
    small = Builder(source).build(make_accounts(11, source))
    data = small.bundle(VICTIM)
    for i in range(len(data)):
        for flip in (1 << source.randrange(8), 0x20):  # 0x20 turns a letter to the other case
            changed = data[:i] + bytes([data[i] ^ flip]) + data[i + 1 :]
            refused(changed, small.statement)


@pytest.mark.negative
@given(st.binary(max_size=40), st.integers(0, 4000), st.integers(0, 40))
def test_only_the_typed_error_leaves(junk: bytes, at: int, cut: int) -> None:
    small = publication()
    data = small.bundle(VICTIM)
    changed = data[:at] + junk + data[at + cut :]
    with contextlib.suppress(VerificationError):
        assert check_bundle(changed, small.statement) == check_bundle(data, small.statement)


@pytest.mark.negative
def test_no_depth_of_nesting_escapes(small: Publication) -> None:
    """Deep values parse up to some depth and must then be refused without being printed."""
    data = small.bundle(0)
    for depth in (*range(1, 20), *range(800, 1200)):
        deep = b"[" * depth + b"]" * depth
        assert refused(data.replace(b'"user-0"', deep), small.statement).reason is Reason.MALFORMED


@pytest.mark.negative
def test_a_user_refuses_an_id_or_a_nonce_that_is_not_theirs(small: Publication) -> None:
    account = small.accounts[VICTIM]
    data = small.bundle(VICTIM)
    assert refused(data, small.statement, user_id="user-8").reason is Reason.ACCOUNT_ID
    assert refused(data, small.statement, nonce=bytes(32)).reason is Reason.ACCOUNT_ID
    assert refused(data, user_id="user-8").reason is Reason.ACCOUNT_ID
    check_bundle(data, small.statement, user_id=account.user_id, nonce=account.nonce)


@pytest.mark.negative
def test_two_users_cannot_be_shown_one_leaf(small: Publication) -> None:
    """06 attack 7, 02a finding 18: equal balances do not help, because user id and client nonce are in the leaf."""
    one = small.accounts[VICTIM]
    nonce = random.Random(8).randbytes(32)
    shared = {"blinding": one.blinding, "entries": one.entries, "path": small.path(VICTIM)}
    for changes in ({"user_id": "user-b", "nonce": nonce}, {"user_id": "user-b"}, {"nonce": nonce}):
        assert refused(small.bundle(VICTIM, **shared, **changes), small.statement).reason is Reason.PATH
    # The exchange may hand user b the first user's whole bundle: that names another id and another nonce.
    known = {"user_id": "user-b", "nonce": nonce}
    assert refused(small.bundle(VICTIM), small.statement, **known).reason is Reason.ACCOUNT_ID


@pytest.mark.negative
def test_another_users_path_does_not_serve(small: Publication) -> None:
    assert refused(small.bundle(VICTIM, path=small.path(VICTIM - 1)), small.statement).reason is Reason.PATH


@pytest.mark.negative
def test_a_leaf_outside_the_counted_set(small: Publication) -> None:
    """06 attack 6: an account in a second tree has a fine path, to a root that was not published."""
    source = random.Random(99)
    shadow = Builder(source).build(make_accounts(11, source))
    assert check_bundle(shadow.bundle(VICTIM), shadow.statement).compared
    assert refused(shadow.bundle(VICTIM), small.statement).reason is Reason.WRONG_STATEMENT
    relabelled = replace(shadow, statement=small.statement)
    assert refused(relabelled.bundle(VICTIM), small.statement).reason is Reason.PATH


class HidingBuilder(Builder):
    """Puts a digest of the cheater's choice where the victim's leaf belongs."""

    def __init__(self, hidden: Callable[[Digest], Digest]) -> None:
        super().__init__(random.Random(17))
        self.hidden = hidden

    def leaf(self, account: Account) -> Digest:
        leaf = super().leaf(account)
        return self.hidden(leaf) if account.user_id == f"user-{VICTIM}" else leaf


def cheat(hidden: Callable[[Digest], Digest]) -> Publication:
    return HidingBuilder(hidden).build(publication().accounts)


@pytest.mark.negative
@pytest.mark.parametrize(
    "hidden",
    [
        pytest.param(lambda leaf: account_leaf(leaf, [], (0,) * 6), id="account whose id is the leaf"),
        pytest.param(
            lambda leaf: account_leaf(leaf, [(i, 1) for i in range(7)], (0,) * 6), id="with entries for siblings"
        ),
        pytest.param(lambda leaf: dummy_digest(0, leaf), id="dummy whose block is the leaf"),
    ],
)
def test_an_account_or_dummy_cannot_pose_as_the_victims_parent(hidden: Callable[[Digest], Digest]) -> None:
    """02a findings 1 and 8: the leaf under an uncounted chain, offered with every path that might fit."""
    small = cheat(hidden)
    honest = small.path(VICTIM)
    assert refused(small.bundle(VICTIM), small.statement).reason is Reason.PATH
    # One level more, the uncounted chain posing as a node of its own: paths have a fixed length.
    posing = PathStep(0, (words(random.Random(0), 8),) * 7, words(random.Random(1), 8))
    assert refused(small.bundle(VICTIM, path=[posing, *honest]), small.statement).reason is Reason.PATH_LENGTH
    # The right length, with the uncounted chain in place of a real node.
    assert refused(small.bundle(VICTIM, path=[posing, *honest[1:]]), small.statement).reason is Reason.PATH


@pytest.mark.negative
def test_a_node_cannot_be_shown_as_a_leaf(small: Publication) -> None:
    """A node's blocks offered as an account: id = first child, and so on, and the rest of the path."""
    node = small.nodes[0][0]
    above = small.path(0, 1)
    data = small.bundle(VICTIM, path=above)
    assert refused(data, small.statement).reason is Reason.PATH_LENGTH
    filler = PathStep(0, node.children[1:], value_digest(node.opening))
    assert refused(small.bundle(VICTIM, path=[filler, *above]), small.statement).reason is Reason.PATH


@pytest.mark.negative
def test_a_path_of_another_capacity_does_not_fit(small: Publication) -> None:
    """The number of levels is the statement's, not the bundle's."""
    source = random.Random(4)
    taller = Builder(source).build(make_accounts(9, source), log2_rows=20)
    assert len(taller.path(VICTIM)) == 7
    assert check_bundle(taller.bundle(VICTIM), taller.statement).compared
    mixed = replace(taller, statement=replace(small.statement, root=taller.statement.root))
    assert refused(mixed.bundle(VICTIM), mixed.statement).reason is Reason.PATH_LENGTH


@pytest.mark.negative
def test_symbols_swapped_after_proving(small: Publication) -> None:
    """06 attack 19: a bundle written against another table names another statement, or another symbol."""
    table = (INSTRUMENTS[1], INSTRUMENTS[0], INSTRUMENTS[2])
    swapped = replace(small.statement, instruments=table)
    data = replace(small, statement=swapped).bundle(VICTIM)
    assert refused(data, small.statement).reason is Reason.WRONG_STATEMENT
    renamed = edited(data, change("statement", small.statement.digest.hex()))
    assert refused(renamed, small.statement).reason is Reason.ENTRIES


@pytest.mark.negative
def test_more_entries_than_an_account_has(small: Publication) -> None:
    """02a finding 3: 4,095 is what the circuit's bounds allow, so a longer list is refused unread."""
    data = edited(small.bundle(VICTIM), lambda b: b.__setitem__("entries", [{}] * (ENTRIES_MAX + 1)))
    assert refused(data, small.statement).reason is Reason.ENTRIES


FUND, BORROWER, BULL, BEAR = range(4)


@pytest.mark.negative
def test_refusals_are_of_the_inclusion_class(small: Publication) -> None:
    assert isinstance(refused(small.bundle(0, path=small.path(1)), small.statement), NotIncluded)
