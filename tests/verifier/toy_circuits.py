"""Small circuits that together use every feature of a `ConstraintSystem`, each with an honest witness.

`fibonacci`: no lookup and no extension column; public columns with both pads.
`ledger`: an accumulator, five fractions on two buses, a constrained table with multiplicities, all four domains, the
four scalars of buses, numerators of degree two, public columns with both pads that are longer than one row.
`blocks`: accumulators whose factors are extension elements, public columns that repeat, some of them drawn from the
challenges, the scalars of losses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from verifier.air import (
    ALWAYS,
    FIRST,
    LAST,
    TRANSITION,
    Accumulator,
    Constraint,
    ConstraintSystem,
    Fraction,
    Node,
)
from verifier.errors import InvariantBroken
from verifier.field import (
    EXTENSION_DEGREE,
    Ext,
    P,
    ext_add,
    ext_inverse,
    ext_mul,
    ext_one,
    ext_pow,
    ext_scale,
    ext_sub,
    ext_zero,
    lift,
)
from verifier.params import HIDDEN_ROWS
from verifier.stark import Relation

LOG2_ROWS = 10


@dataclass
class Toy:
    """Builds the graph by hand: every method appends one node and returns its index."""

    columns: tuple[str, ...]
    extension_columns: tuple[str, ...] = ()
    publics: tuple[tuple[str, str], ...] = ()
    scalars: tuple[str, ...] = ()
    nodes: list[Node] = field(default_factory=list)
    constraints: list[Constraint] = field(default_factory=list)
    fractions: list[Fraction] = field(default_factory=list)
    accumulators: list[Accumulator] = field(default_factory=list)

    def _add(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1

    def row(self, name: str, rotation: int = 0) -> int:
        return self._add(("column", (self.columns + self.extension_columns).index(name), rotation))

    def next(self, name: str) -> int:
        return self.row(name, 1)

    def public(self, name: str) -> int:
        return self._add(("public", [known for known, _ in self.publics].index(name)))

    def scalar(self, name: str) -> int:
        return self._add(("scalar", self.scalars.index(name)))

    def linear(self, constant: int, *terms: tuple[int, int]) -> int:
        return self._add(("linear", constant % P, tuple((c % P, node) for c, node in terms)))

    def product(self, a: int, b: int) -> int:
        return self._add(("product", a, b))

    def require(self, domain: str, label: str, node: int) -> None:
        self.constraints.append(Constraint(label, domain, node))

    def fraction(self, label: str, numerator: int, denominator: int) -> None:
        self.fractions.append(Fraction(label, numerator, denominator))

    def logup(self, helpers: Sequence[str], running: str, terminal: int) -> None:
        """The constraints of helper columns and running sum: two fractions a helper, the last one into the sum."""
        for helper, left, right in zip(helpers, self.fractions[:-1:2], self.fractions[1::2], strict=True):
            both = self.product(left.denominator, right.denominator)
            value = self.product(self.row(helper), both)
            cross = self.product(left.numerator, right.denominator)
            other = self.product(right.numerator, left.denominator)
            total = self.linear(0, (1, value), (-1, cross), (-1, other))
            self.require(ALWAYS, f"{helper} is the sum of its fractions", total)
        last = self.fractions[-1]
        so_far = [(-1, self.row(name)) for name in (*helpers, running)]
        step = self.linear(0, (1, self.next(running)), *so_far)
        end = self.linear(0, (1, terminal), *so_far)
        self.require(FIRST, "sum starts at 0", self.row(running))
        for domain, label, difference in ((TRANSITION, "sum steps", step), (LAST, "sum ends at terminal", end)):
            cleared = self.product(difference, last.denominator)
            self.require(domain, label, self.linear(0, (1, cleared), (-1, last.numerator)))

    def freeze(self, name: str, value_tuple_width: int, row_polynomial_degree: int) -> ConstraintSystem:
        system = ConstraintSystem(
            name=name,
            columns=self.columns,
            extension_columns=self.extension_columns,
            publics=self.publics,
            scalars=self.scalars,
            nodes=tuple(self.nodes),
            constraints=tuple(self.constraints),
            fractions=tuple(self.fractions),
            accumulators=tuple(self.accumulators),
            value_tuple_width=value_tuple_width,
            row_polynomial_degree=row_polynomial_degree,
        )
        system.validate()
        return system


@dataclass(frozen=True)
class Case:
    """A relation and an honest witness: the words of each base column on the active rows."""

    relation: Relation
    witness: Mapping[str, Sequence[int]]

    @property
    def columns(self) -> list[list[int]]:
        """The witness in the circuit's order."""
        return [list(self.witness[name]) for name in self.relation.system.columns]


def active_rows(log2_rows: int) -> int:
    return (1 << log2_rows) - HIDDEN_ROWS


def no_terminal(r: Ext, alpha: Ext, beta: Ext) -> Ext:
    """For circuits without the scalar `terminal`: never called."""
    raise InvariantBroken("a circuit without buses has no terminal value")


@cache
def fibonacci_system() -> ConstraintSystem:
    toy = Toy(columns=("a", "b"), publics=(("start", "zero"), ("end", "last")))
    a, b = toy.row("a"), toy.row("b")
    toy.require(FIRST, "a starts", toy.linear(0, (1, a), (-1, toy.public("start"))))
    toy.require(FIRST, "b starts at 1", toy.linear(-1, (1, b)))
    toy.require(TRANSITION, "a' = b", toy.linear(0, (1, toy.next("a")), (-1, b)))
    toy.require(TRANSITION, "b' = a + b", toy.linear(0, (1, toy.next("b")), (-1, a), (-1, b)))
    toy.require(LAST, "b ends", toy.linear(0, (1, b), (-1, toy.public("end"))))
    return toy.freeze("toy_fibonacci", value_tuple_width=0, row_polynomial_degree=0)


@cache
def fibonacci(log2_rows: int = LOG2_ROWS) -> Case:
    """a, b = 7, 1 and on; the last b is public."""
    a, b = [7], [1]
    while len(a) < active_rows(log2_rows):
        a.append(b[-1])
        b.append((a[-2] + b[-1]) % P)
    publics = {"start": (7,), "end": (b[-1],)}
    relation = Relation(fibonacci_system(), log2_rows, publics, no_terminal, bytes(range(32)))
    return Case(relation, {"a": a, "b": b})


@cache
def ledger_system() -> ConstraintSystem:
    """Rows come in pairs (flag 1, then 0) that repeat one amount and one slot; sums per slot are public.

    Pairs: acc = r amount + r^2 slot on the first row, minus the same on the second, where it must be 0.
    Range bus (tag 1): amount and twice the amount are in the table 0 .. 255, so amount <= 127.
    Slot bus (tag 2): flag amount + flag grant per slot; the verifier's side is the terminal.
    """
    toy = Toy(
        columns=("amount", "slot", "flag", "n", "m"),
        extension_columns=("acc", "h0", "h1", "sum"),
        publics=(("grant", "zero"), ("top", "last")),
        scalars=("r", "alpha", "beta", "terminal"),
    )
    amount, slot, flag, n, m = (toy.row(name) for name in toy.columns)
    r, alpha, beta = toy.scalar("r"), toy.scalar("alpha"), toy.scalar("beta")
    counted = toy.linear(0, (1, toy.next("n")), (-1, n))
    toy.require(FIRST, "n starts at 0", n)
    toy.require(TRANSITION, "n counts", toy.product(counted, toy.linear(-1, (1, counted))))
    toy.require(LAST, "n ends at 255", toy.linear(-255, (1, n)))
    toy.require(FIRST, "flag starts at 1", toy.linear(-1, (1, flag)))
    toy.require(TRANSITION, "flag alternates", toy.linear(-1, (1, flag), (1, toy.next("flag"))))
    small = toy.product(slot, toy.linear(-1, (1, slot)))
    toy.require(ALWAYS, "slot is 0, 1 or top", toy.product(small, toy.linear(0, (1, slot), (-1, toy.public("top")))))
    r_squared = toy.product(r, r)

    def value(rotation: int) -> int:
        terms = (toy.product(r, toy.row("amount", rotation)), toy.product(r_squared, toy.row("slot", rotation)))
        return toy.linear(0, *((1, term) for term in terms))

    first, following = value(0), toy.product(toy.linear(1, (-2, flag)), value(1))
    toy.accumulators.append(Accumulator("acc", first, flag, following))
    acc = toy.row("acc")
    kept = toy.product(flag, acc)
    toy.require(FIRST, "acc starts", toy.linear(0, (1, acc), (-1, first)))
    toy.require(TRANSITION, "acc steps", toy.linear(0, (1, toy.next("acc")), (-1, kept), (-1, following)))
    toy.require(ALWAYS, "a pair balances", toy.linear(0, (1, acc), (-1, kept)))

    def fingerprint(tag: int, factor: int, cell: int) -> int:
        return toy.linear(-tag, (1, alpha), (-factor, toy.product(beta, cell)))

    one, slots = toy.linear(1), fingerprint(2, 1, slot)
    toy.fraction("range of amount", one, fingerprint(1, 1, amount))
    toy.fraction("range of twice the amount", one, fingerprint(1, 2, amount))
    toy.fraction("table", toy.linear(0, (-1, m)), fingerprint(1, 1, n))
    toy.fraction("amounts by slot", toy.product(flag, amount), slots)
    toy.fraction("grants by slot", toy.product(flag, toy.public("grant")), slots)
    toy.logup(("h0", "h1"), "sum", toy.scalar("terminal"))
    return toy.freeze("toy_ledger", value_tuple_width=1, row_polynomial_degree=2)


GRANTS = (3, 1, 4, 1, 5, 9, 2, 6, 5)
TOPS = (5, 5, 6, 7)


@cache
def ledger(log2_rows: int = LOG2_ROWS) -> Case:
    """An honest ledger; grants on the first nine rows; the highest slot is 5, 5, 6, then 7. No amount is 0."""
    rows = range(active_rows(log2_rows))
    return ledger_of(
        amounts=[1 + (37 * (i // 2) + 11) % 127 for i in rows],
        slots=[(0, 1, 7)[(i // 2) % 3] if i > 1 else 5 for i in rows],
        flags=[1 - i % 2 for i in rows],
        table=[min(i, 255) for i in rows],
        log2_rows=log2_rows,
    )


def ledger_of(
    amounts: Sequence[int],
    slots: Sequence[int],
    flags: Sequence[int],
    table: Sequence[int],
    log2_rows: int = LOG2_ROWS,
) -> Case:
    """Whatever the four columns say, the multiplicities and the public totals that go with them."""
    uses = Counter([*amounts, *(2 * amount for amount in amounts)])
    firsts = {value: row for row, value in reversed(list(enumerate(table)))}
    multiplicities = [uses[value] if firsts[value] == row else 0 for row, value in enumerate(table)]
    totals: Counter[int] = Counter()
    for row, (flag, amount, slot) in enumerate(zip(flags, amounts, slots, strict=True)):
        totals[slot] += flag * (amount + (GRANTS[row] if row < len(GRANTS) else 0))
    witness = {"amount": amounts, "slot": slots, "flag": flags, "n": table, "m": multiplicities}
    publics = {"grant": GRANTS, "top": TOPS}
    return Case(
        Relation(ledger_system(), log2_rows, publics, LedgerTerminal(dict(totals)), bytes(range(1, 33))), witness
    )


@dataclass(frozen=True)
class LedgerTerminal:
    """Sum over slots of total / (alpha - 2 - beta slot)."""

    totals: Mapping[int, int]

    def __call__(self, r: Ext, alpha: Ext, beta: Ext) -> Ext:
        out = ext_zero
        for slot, total in self.totals.items():
            denominator = ext_sub(ext_sub(alpha, lift(2)), ext_mul(beta, lift(slot)))
            out = ext_add(out, ext_scale(ext_inverse(denominator), total))
        return out


BLOCK = 4


@cache
def blocks_system() -> ConstraintSystem:
    """Blocks of four digits, highest first, are the numbers of `numbers` and, times r^5 each, of `packed`; losses are
    the digits of rows with a flag by their place: sum r^place.

    `packed` steps by r in a block and by r^2 to the next; `place` is r^(place of the next row), known with r only.
    """
    toy = Toy(
        columns=("digit", "flag"),
        extension_columns=("packed", "lost"),
        publics=(("ends", "repeat"), *((f"place{k}", "repeat") for k in range(EXTENSION_DEGREE)), ("total", "zero")),
        scalars=("r", "x", "losses"),
    )
    digit, flag, following, next_flag = toy.row("digit"), toy.row("flag"), toy.next("digit"), toy.next("flag")
    r, x, one = toy.scalar("r"), toy.scalar("x"), toy.linear(1)
    powers = [one]
    while len(powers) < EXTENSION_DEGREE:
        powers.append(toy.product(powers[-1], x))
    coordinates = [toy.product(power, toy.public(f"place{k}")) for k, power in enumerate(powers)]
    place = toy.linear(0, *((1, coordinate) for coordinate in coordinates))
    toy.require(ALWAYS, "flag is a bit", toy.product(flag, toy.linear(-1, (1, flag))))
    toy.require(ALWAYS, "no flag on the highest digit of all", toy.product(toy.public("total"), flag))
    kept_flag = toy.product(toy.linear(1, (-1, toy.public("ends"))), toy.linear(0, (1, next_flag), (-1, flag)))
    toy.require(TRANSITION, "flag is kept in a block", kept_flag)
    jump = toy.linear(0, (1, toy.product(r, r)), (-1, r))
    keep = toy.linear(0, (1, r), (1, toy.product(toy.public("ends"), jump)))
    lost = toy.product(place, toy.product(next_flag, following))
    for name, first, factor, add in (("packed", digit, keep, following), ("lost", toy.linear(0), one, lost)):
        toy.accumulators.append(Accumulator(name, first, factor, add))
        here = toy.row(name)
        toy.require(FIRST, f"{name} starts", toy.linear(0, (1, here), (-1, first)))
        kept = toy.product(factor, here)
        toy.require(TRANSITION, f"{name} steps", toy.linear(0, (1, toy.next(name)), (-1, kept), (-1, add)))
    toy.require(LAST, "lost are the losses", toy.linear(0, (1, toy.row("lost")), (-1, toy.scalar("losses"))))
    return toy.freeze("toy_blocks", value_tuple_width=0, row_polynomial_degree=BLOCK)


@cache
def blocks(log2_rows: int = LOG2_ROWS) -> Case:
    """Every third block has a flag."""
    rows = range(active_rows(log2_rows))
    return blocks_of([(7 * i + 3) % 256 for i in rows], [int(i // BLOCK % 3 == 2) for i in rows], log2_rows)


def blocks_of(digits: Sequence[int], flags: Sequence[int], log2_rows: int = LOG2_ROWS) -> Case:
    """Whatever the two columns say, the losses that go with them."""
    publics = {"ends": (0,) * (BLOCK - 1) + (1,), "total": (1,)}
    lost = [flag * digit if row else 0 for row, (flag, digit) in enumerate(zip(flags, digits, strict=True))]
    losses = BlockLosses(tuple(sum(lost[place::BLOCK]) for place in range(BLOCK)))
    relation = Relation(
        blocks_system(), log2_rows, publics, no_terminal, bytes(range(2, 34)), derived=block_places, scalars=losses
    )
    return Case(relation, {"digit": digits, "flag": flags})


def block_places(scalars: Mapping[str, Ext]) -> dict[str, tuple[int, ...]]:
    """r^(place of the next row), by coordinate; the first row of a block has place 3."""
    elements = [ext_pow(scalars["r"], place) for place in (2, 1, 0, 3)]
    return {f"place{k}": tuple(element[k] for element in elements) for k in range(EXTENSION_DEGREE)}


@dataclass(frozen=True)
class BlockLosses:
    """The sum of flagged digits by place, the highest place first: the polynomial that has them as coefficients."""

    sums: tuple[int, ...]

    def __call__(self, r: Ext, alpha: Ext = ext_zero, beta: Ext = ext_zero) -> dict[str, Ext]:
        """The scalar `losses` at the challenges."""
        out, power = ext_zero, ext_one
        for total in reversed(self.sums):
            out = ext_add(out, ext_scale(power, total % P))
            power = ext_mul(power, r)
        return {"losses": out}
