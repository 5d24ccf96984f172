"""A witness assembled chain by chain in plain Python, so that a test can cheat anywhere: the twin of `prover.witness`.

Whatever a cheat changes, the forge recomputes what follows from it (chaining values, digests up to the root, sums,
totals), as an exchange would that wants everything to fit but one thing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from circuits.registry import records_of
from tests.malicious.records import Records, honest_records
from tests.malicious.rows import (
    CONSUMING,
    POSEIDON1,
    Item,
    Row,
    Words,
    carries_of,
    centered,
    encode_carry,
    hash_chain,
    limbs,
    number,
)
from tests.malicious.special import OUTPUT_END, Layout, Mask, chain_digest, fit_output, mask_chain
from verifier.solvency import CIRCUITS
from verifier.tree import ARITY, TAG_ACCOUNT, TAG_DUMMY, TAG_END, TAG_NODE, TAG_VALUE

EQUITY = "solvency_equity_v1"
Edit = Callable[[list[Row]], object]
NO_WRAPS: Mapping[int, int] = {}


@dataclass(frozen=True)
class Leg:
    """A row of the leg table; `digits` in [-128, 127], of the price and of the coefficient under each lens."""

    total: int
    cap: int
    digits: Words
    lens_digits: tuple[Words, ...] = ()


@dataclass(frozen=True)
class Account:
    identity: Words
    blinding: Words
    entries: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Node:
    """`children`: eight names of chains, "account 3", "node 1.0" (level, number) or "dummy 0.5"."""

    level: int
    children: tuple[str, ...]
    random: Words


@dataclass(frozen=True)
class Dummy:
    level: int
    block: Words


Spec = Account | Node | Dummy


@dataclass(frozen=True)
class Plan:
    """An honest shard: the leg table and all chains in trace order; the last node is the root.

    Args:
        masks: those that go out and those that come in; none in a publication of one shard.
    """

    legs: tuple[Leg, ...]
    total_count: int
    chains: Mapping[str, Spec]
    circuit: str = EQUITY
    masks: tuple[Mask, ...] = ()

    @property
    def layout(self) -> Layout:
        return Layout(self.total_count, CIRCUITS[self.circuit].lenses, bool(self.masks))

    @property
    def root(self) -> str:
        return [name for name, spec in self.chains.items() if isinstance(spec, Node)][-1]

    def account(self, name: str) -> Account:
        spec = self.chains[name]
        assert isinstance(spec, Account)
        return spec

    def node(self, name: str) -> Node:
        spec = self.chains[name]
        assert isinstance(spec, Node)
        return spec

    def parent(self, name: str) -> str:
        return next(k for k, spec in self.chains.items() if isinstance(spec, Node) and name in spec.children)

    def put(self, name: str, spec: Spec) -> Plan:
        """Add a chain, or replace one."""
        return replace(self, chains={**self.chains, name: spec})

    def first(self, name: str, spec: Spec) -> Plan:
        """Add a chain before all others (the last node stays the root)."""
        return replace(self, chains={name: spec, **self.chains})

    def holding(self, name: str, *entries: tuple[int, int]) -> Plan:
        """An account with other entries."""
        return self.put(name, replace(self.account(name), entries=entries))

    def without(self, *names: str) -> Plan:
        return replace(self, chains={name: spec for name, spec in self.chains.items() if name not in names})

    def instead(self, old: str, new: str) -> Plan:
        """`new` stands where `old` stood in its parent; `old` is still there, but nobody counts it."""
        parent = self.parent(old)
        node = self.node(parent)
        return self.put(parent, replace(node, children=tuple(new if name == old else name for name in node.children)))

    def with_spare(self, level: int = 0) -> Plan:
        """One more dummy, "spare", that stands nowhere yet."""
        return self.put("spare", Dummy(level, (level, 11, 22, 33, 44, 55, 66, 77)))


# -- honest chains ----------------------------------------------------------------------------------------------------


def account_rows(account: Account, legs: Sequence[Leg]) -> list[Row]:
    """Open, entries, close; everything but the chaining values."""
    rows = [Row({"is_open": 1}).put("b", account.identity)]
    previous = None
    for count, (leg, amount) in enumerate(account.entries, start=1):
        rows.append(entry_row(leg, amount, legs[leg], count, leg if previous is None else leg - previous - 1))
        if previous is None:
            rows[-1]["u4"] = 0
        previous = leg
    count = len(account.entries)
    rows.append(Row({"is_close": 1, "count": count}).put("b", (TAG_END, count, *account.blinding)))
    fit_equity(rows)
    return rows


def entry_row(leg_id: int, amount: int, leg: Leg, count: int, gap: int) -> Row:
    row = Row({"is_entry": 1, "count": count, "b0": leg_id, "total_id": leg.total, "u5": 16 * count})
    row["u4"] = gap
    row.put("cap", limbs(leg.cap, 4)).put("d", leg.digits).put("y", limbs(amount, 8, 8))
    for s, digits in enumerate(leg.lens_digits):
        row.put(f"lens{s}_digit", digits)
    for i, limb in enumerate(limbs(amount, 4)):
        row[f"b{i + 1}"] = limb
    return row.put("u", limbs((leg.cap - amount) % 2**64, 4))


def fit_equity(
    rows: Sequence[Row], signed: int | None = None, wraps: Mapping[int, int] = NO_WRAPS, open_times: int = 1
) -> None:
    """Write sign, magnitude, liability and carries of an account: what its entries come to, or the forged `signed`.

    Args:
        wraps: k -> multiples of p that the identity's coefficient k silently carries.
        open_times: how often the open row's carries count (2 when its selector is 2).
    """
    coefficients = [0] * 14
    for row in rows:
        for i, byte in enumerate(row.read("y", 8) if row["is_entry"] else ()):
            for j, digit in enumerate(row.read("d", 7)):
                coefficients[i + j] += row["is_entry"] * centered(byte) * centered(digit)
    if signed is None:
        signed = number(coefficients, 8) + number([wraps.get(k, 0) for k in range(14)], 8) * (2**31 - 2**24 + 1)
    sign, v = int(signed < 0), limbs(abs(signed), 7)
    first, last = rows[0], rows[-1]
    last["cap0"] = sign
    last.put("u", v).put("d", [(1 - sign) * limb for limb in v])
    rest = [a - (1 - 2 * sign) * (v[k // 2] if k % 2 == 0 else 0) for k, a in enumerate(coefficients)]
    write_carries(first, last, carries_of(rest, 256, wraps), open_times)


def write_carries(first: Row, last: Row, carries: Sequence[int], open_times: int = 1) -> None:
    for k, carry in enumerate(carries):
        if k < 5:
            assert (carry + 2**22) % open_times == 0
            low, high = encode_carry((carry + 2**22) // open_times - 2**22)
        else:
            low, high = encode_carry(carry)
            assert k >= 10 or low % open_times == 0
        (first if k < 10 else last)[f"u{k}" if k < 10 else f"u{k - 3}"] = low // (open_times if 5 <= k < 10 else 1)
        (first if k < 5 else last)[f"y{k}" if k < 5 else f"y{k - 5}"] = high


def node_rows(level: int, children: Sequence[Item], random: Words) -> list[Row]:
    """Eight children, merge, value row; everything but the chaining values and the value digest."""
    rows = []
    for slot, child in enumerate(children):
        row = Row({"level": level, "count": slot, "is_next_child" if slot else "is_first_child": 1})
        rows.append(row.put("b", child.digest).put("d", child.value))
    rows[0].put("h", (TAG_NODE, level))
    rows.append(Row({"is_merge": 1, "level": level, "count": len(children) - 1}))
    rows.append(Row({"b7": random[7]}).put("h", (TAG_VALUE, *random[:7])))
    fit_sum(rows)
    return rows


def fit_sum(rows: Sequence[Row], wraps: Mapping[int, int] = NO_WRAPS, total: int | None = None) -> None:
    """Write the sum of the children, its carries and its value row. `wraps` as in `fit_equity`, in base 2^16.

    What does not fit in 112 bits is dropped.
    """
    merge, value = rows[-2], rows[-1]
    columns = [sum(sum(row.read_all(CONSUMING)) * centered(row[f"d{j}"]) for row in rows) for j in range(7)]
    exact = number(columns) + number([wraps.get(k, 0) for k in range(7)]) * (2**31 - 2**24 + 1)
    v = limbs(exact if total is None else total, 7)
    merge.put("u", v).put("d", v)
    value.put("b", v)
    if total is None:
        columns[6] -= exact >> 112 << 16
        merge.put("y", carries_of([a - b for a, b in zip(columns, v, strict=True)], 2**16, wraps))


def dummy_row(level: int, block: Words) -> Row:
    return Row({"is_dummy": 1, "level": level}).put("h", (TAG_DUMMY, level)).put("b", block)


# -- the forge --------------------------------------------------------------------------------------------------------


@dataclass
class Forged:
    """A whole witness and what it publishes; tests may still change it.

    Args:
        rows: from row 0 on. at: first row of each chain. placed: further rows, anywhere.
        padding: what every other row holds.
        totals: per total id, what is published without the masks. root: published. losses: likewise, one per lens.
        mask_out, mask_in: published digests.
        counters: table_n and table_high where they are not the honest ones.
        records: of the circuits that have them.
    """

    plan: Plan
    rows: list[Row]
    at: dict[str, int]
    totals: list[int]
    root: Item
    mask_out: Words
    mask_in: Words
    instance: str = POSEIDON1
    losses: list[int] = field(default_factory=list)
    records: Records | None = None
    placed: dict[int, Row] = field(default_factory=dict)
    padding: Row = field(default_factory=Row)
    counters: tuple[Sequence[int], Sequence[int]] | None = None

    def chain(self, name: str) -> list[Row]:
        """The rows from the first one of a chain on."""
        return self.rows[self.at[name] :]

    @property
    def layout(self) -> Layout:
        return self.plan.layout

    def mask(self, output: int) -> int:
        """What is published of an output less what it is."""
        out, into = (mask.value(output) for mask in self.plan.masks) if self.plan.masks else (0, 0)
        return out - into

    def publish(self, output: int, value: int) -> None:
        """Publish another number for an output, given without its masks."""
        liability = self.layout.totals
        if output < liability:
            self.totals[output] = value
        elif output == liability:
            self.root = replace(self.root, value=(*limbs(value, 6), value >> 96))
        else:
            self.losses[output - liability - 1] = value

    def fit(self, output: int, wraps: Mapping[int, int] = NO_WRAPS) -> None:
        """Publish what the rows bring to an output, with the carries that show it; `wraps` as in `fit_output`."""
        published = fit_output(self.rows, self.layout, output, None, wraps)
        self.publish(output, (published - self.mask(output)) % OUTPUT_END)

    def lose(self, losses: Sequence[int]) -> None:
        """Say in the loss rows that this is lost, and publish it."""
        for lens, loss in enumerate(losses):
            self.rows[self.layout.loss(lens)].put("u", limbs(loss, 7))
            self.fit(self.layout.totals + 1 + lens)


class Forge:
    """Builds the witness of a plan with cheats put in.

    Attributes:
        chains: name -> what makes its rows; delete, replace, add.
        edits: name -> changes to the chain's rows before anything is hashed.
        after: changes to the whole witness when everything is hashed.
        foreign: name -> what nodes may consume although no chain emits it.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self.instance = plan, CIRCUITS[plan.circuit].tree_hash
        self.chains: dict[str, Callable[[], list[Row]]] = {}
        for name, spec in plan.chains.items():
            self.chains[name] = lambda spec=spec: self._honest(spec)  # type: ignore[misc]
        self.edits: dict[str, list[Edit]] = {}
        self.after: list[Callable[[Forged], object]] = []
        self.foreign: dict[str, Item] = {}
        self._built: dict[str, tuple[list[Row], list[Item]]] = {}

    def edit(self, name: str, change: Edit) -> Forge:
        self.edits.setdefault(name, []).append(change)
        return self

    def then(self, change: Callable[[Forged], object]) -> Forge:
        self.after.append(change)
        return self

    def item(self, name: str) -> Item:
        """What a chain emits; "name#0", "name#1" where it emits twice."""
        if name in self.foreign:
            return self.foreign[name]
        chain, _, number_ = name.partition("#")
        emitted = self.rows_and_items(chain)[1]
        assert len(emitted) == 1 or number_, f"{name} emits {len(emitted)} times"
        return emitted[int(number_ or 0)]

    def build(self) -> Forged:
        layout, at = self.plan.layout, {}
        rows = [row for mask in self.plan.masks for row in mask_chain(mask, self.instance)]
        mask_out, mask_in = chain_digest(rows[: layout.masks]), chain_digest(rows[layout.masks :])
        rows += [Row({"total_id": layout.output_of(row) or 0}) for row in range(len(rows), layout.count)]
        for name in self.chains:
            at[name] = len(rows)
            rows += self.rows_and_items(name)[0]
        root = self.item(self.plan.root)
        rows[layout.root]["level"] = root.level + 1
        rows[layout.root].put("b", root.digest).put("d", root.value)
        parts = [0] * layout.totals, root, mask_out, mask_in, self.instance, [0] * layout.lenses
        out = Forged(self.plan, rows, at, *parts)
        for output in range(layout.totals + 1):
            out.fit(output)
        shape = records_of(self.plan.circuit)
        if shape is not None:
            out.records, losses = honest_records(shape, rows)
            out.lose(losses)
        for change in self.after:
            change(out)
        for row in (*out.rows, *out.placed.values(), out.padding):
            row.instance = self.instance
        return out

    def rows_and_items(self, name: str) -> tuple[list[Row], list[Item]]:
        """A chain, hashed, and what it emits; made once."""
        if name not in self._built:
            rows = self.chains[name]()
            for change in self.edits.get(name, ()):
                change(rows)
            for row in rows:
                row.instance = self.instance
            self._built[name] = rows, hash_chain(rows)
        return self._built[name]

    def _honest(self, spec: Spec) -> list[Row]:
        if isinstance(spec, Account):
            rows = account_rows(spec, self.plan.legs)
            rows[0].put("h", (TAG_ACCOUNT,))
            return rows
        if isinstance(spec, Dummy):
            return [dummy_row(spec.level, spec.block)]
        assert len(spec.children) >= ARITY - 1
        return node_rows(spec.level, [self.item(name) for name in spec.children], spec.random)
