"""Lower a circuit to a row program: tables of a few vector operations that one compiled kernel runs over all rows.

Every node becomes an affine form, constant + sum of coefficient * slot, where a slot is a base-valued row of lanes: a
cell or a product. Sums and challenges therefore cost nothing until a form is multiplied by another one, and a weighted
sum of all constraints is one dot product over the distinct slots. Only products of two forms become operations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from prover.kernels.field import R2, R
from verifier.air import DOMAINS, ConstraintSystem
from verifier.errors import InvariantBroken
from verifier.field import EXTENSION_DEGREE, Ext, P, ext_add, ext_mul, ext_one, ext_scale, ext_zero, lift

BASE, BASE_NEXT, EXT, EXT_NEXT, PUBLIC, MULTIPLIER = range(6)
"""Sources of cells, in the order in which the kernel takes their arrays."""
SOURCES = 6

MUL, SUM, DOT, EXT_DOT, EXT_MUL, EXT_INVERT = range(6)
"""Operations; see `RowProgram.operations`."""

_UNITS: tuple[Ext, ...] = ((1, 0, 0, 0, 0), (0, 1, 0, 0, 0), (0, 0, 1, 0, 0), (0, 0, 0, 1, 0), (0, 0, 0, 0, 1))
_MINUS_ONE = P - 1


@dataclass(frozen=True)
class RowProgram:
    """What the row kernel executes for every block of rows.

    Args:
        loads: int64 (n, 3): source, its row, slot to fill. Ascending by source.
        operations: int64 (n, 6): kind, target slot, a, b, first weight, first constant.
            MUL        target = slot a * slot b
            SUM        target = constant + b slots listed from term a, minus `first weight` slots listed after them
            DOT        target = constant + sum of weight * slot over b pairs of terms listed from term a
            EXT_DOT    the same into five slots, with five weights per term and five constants
            EXT_MUL    five slots from five slots at a and five slots at b
            EXT_INVERT five slots from the five slots at a; a zero is reported
        term_slots: int64 (n,): slots the sums refer to.
        weights: uint32 (n,): Montgomery words. `constants`: uint32 (n,): Montgomery words for SUM, and once more
            multiplied by 2**32 for DOT and EXT_DOT, where they start a sum of unreduced products.
        stores: int64 (n, 2): slot, row of the output.
        slots: number of slots.
    """

    loads: npt.NDArray[np.int64]
    operations: npt.NDArray[np.int64]
    term_slots: npt.NDArray[np.int64]
    weights: npt.NDArray[np.uint32]
    constants: npt.NDArray[np.uint32]
    stores: npt.NDArray[np.int64]
    slots: int

    @property
    def tables(self) -> tuple[npt.NDArray[Any], ...]:
        """The arrays, in the order in which the kernel takes them."""
        return self.loads, self.operations, self.term_slots, self.weights, self.constants, self.stores


@dataclass(frozen=True)
class Form:
    """constant + sum of coefficient * slot, with coefficients in the extension."""

    constant: Ext
    terms: Mapping[int, Ext]

    @property
    def is_base(self) -> bool:
        """True when the value lies in the base field for every row."""
        return not any(any(c[1:]) for c in (self.constant, *self.terms.values()))

    @property
    def key(self) -> tuple[Ext, frozenset[tuple[int, Ext]]]:
        return self.constant, frozenset(self.terms.items())

    @property
    def size(self) -> int:
        return len(self.terms) + (self.constant != ext_zero)

    def coordinate(self, k: int) -> Form:
        """Coefficient of X^k as a base-valued form."""
        return Form(lift(self.constant[k]), {slot: lift(c[k]) for slot, c in self.terms.items() if c[k]})


def constant_form(value: Ext) -> Form:
    return Form(value, {})


def slot_form(slot: int) -> Form:
    """The base-valued content of one slot."""
    return Form(ext_zero, {slot: ext_one})


def ext_slots_form(first: int) -> Form:
    """The extension value in five consecutive slots."""
    return Form(ext_zero, {first + k: unit for k, unit in enumerate(_UNITS)})


def _times(a: Ext, b: Ext) -> Ext:
    """Product that is cheap when one side is a base field element: most coefficients are."""
    if not any(b[1:]):
        return a if b[0] == 1 else ext_scale(a, b[0])
    return ext_mul(a, b) if any(a[1:]) else ext_scale(b, a[0])


def weighted_sum(items: Iterable[tuple[Ext, Form]], constant: Ext = ext_zero) -> Form:
    """constant + sum of weight * form."""
    total = constant
    sums: dict[int, Ext] = {}
    for weight, form in items:
        total = ext_add(total, _times(weight, form.constant))
        for slot, c in form.terms.items():
            term = _times(weight, c)
            sums[slot] = ext_add(sums[slot], term) if slot in sums else term
    return Form(total, {slot: c for slot, c in sums.items() if c != ext_zero})


@dataclass
class Lowering:
    """Builds one `RowProgram`.

    Args:
        system: the circuit.
        scalars: canonical value of every scalar by name.
    """

    system: ConstraintSystem
    scalars: Mapping[str, Ext]
    _slots: int = 0
    _loads: dict[tuple[int, int], int] = field(default_factory=dict)
    _operations: list[tuple[int, ...]] = field(default_factory=list)
    _terms: list[int] = field(default_factory=list)
    _weights: list[int] = field(default_factory=list)
    _constants: list[int] = field(default_factory=list)
    _stores: list[tuple[int, int]] = field(default_factory=list)
    _nodes: dict[int, Form] = field(default_factory=dict)
    _rows: dict[object, int] = field(default_factory=dict)
    _products: dict[tuple[int, int, int], int] = field(default_factory=dict)

    # -- from nodes to forms ------------------------------------------------------------------------------------

    def forms(self, nodes: Iterable[int]) -> list[Form]:
        """The forms of the given nodes. Whatever they depend on is lowered first."""
        wanted = list(nodes)
        open_nodes, needed = list(wanted), set(self._nodes)
        while open_nodes:
            index = open_nodes.pop()
            if index not in needed:
                needed.add(index)
                node = self.system.nodes[index]
                if node[0] == "linear":
                    open_nodes.extend(child for _, child in node[2])
                elif node[0] == "product":
                    open_nodes.extend(node[1:])
        for index in sorted(needed - set(self._nodes)):
            self._nodes[index] = self._lower(index)
        return [self._nodes[index] for index in wanted]

    def _lower(self, index: int) -> Form:
        node = self.system.nodes[index]
        kind = node[0]
        if kind == "linear":
            return weighted_sum(((lift(c), self._nodes[child]) for c, child in node[2]), lift(node[1]))
        if kind == "product":
            return self.product(self._nodes[node[1]], self._nodes[node[2]])
        if kind == "scalar":
            return constant_form(self.scalars[self.system.scalars[node[1]]])
        if kind == "public":
            return slot_form(self.load(PUBLIC, node[1]))
        base_columns = len(self.system.columns)
        if node[1] < base_columns:
            return slot_form(self.load((BASE, BASE_NEXT)[node[2]], node[1]))
        first_row = EXTENSION_DEGREE * (node[1] - base_columns)
        slots = (self.load((EXT, EXT_NEXT)[node[2]], first_row + k) for k in range(EXTENSION_DEGREE))
        return Form(ext_zero, dict(zip(slots, _UNITS, strict=True)))

    def load(self, source: int, row: int) -> int:
        """The slot that holds a row of a source array."""
        key = (source, row)
        if key not in self._loads:
            self._loads[key] = self._new_slots(1)
        return self._loads[key]

    # -- products -----------------------------------------------------------------------------------------------

    def product(self, a: Form, b: Form) -> Form:
        """a * b: at most one vector multiplication per coordinate, none if a factor is constant."""
        for one, other in ((a, b), (b, a)):
            if not one.terms:
                return weighted_sum([(one.constant, other)])
        a, factor_a = _without_factor(a)
        b, factor_b = _without_factor(b)
        return weighted_sum([(_times(factor_a, factor_b), self._product(a, b))])

    def _product(self, a: Form, b: Form) -> Form:
        if a.is_base and b.is_base:
            return slot_form(self._multiply(self.base_slot(a), self.base_slot(b)))
        if not a.is_base and not b.is_base:
            few, other = sorted((a, b), key=lambda form: len(form.terms))
            if len(few.terms) <= 2:  # five products a slot and none for coefficients, instead of twenty-five
                parts = ((c, self._product(slot_form(slot), other)) for slot, c in few.terms.items())
                return weighted_sum([(few.constant, other), *parts])
            return ext_slots_form(self._multiply(self.ext_slot(a), self.ext_slot(b), EXT_MUL, EXTENSION_DEGREE))
        gate, value = (self.base_slot(a), b) if a.is_base else (self.base_slot(b), a)
        if value.size > EXTENSION_DEGREE:
            value = ext_slots_form(self.ext_slot(value))
        terms = {self._multiply(gate, slot): c for slot, c in value.terms.items()}
        return weighted_sum([(value.constant, slot_form(gate)), (ext_one, Form(ext_zero, terms))])

    def _multiply(self, a: int, b: int, kind: int = MUL, targets: int = 1) -> int:
        key = (kind, min(a, b), max(a, b))
        if key not in self._products:
            self._products[key] = self._emit(kind, targets, a, b)
        return self._products[key]

    def inverse(self, form: Form) -> Form:
        """1 / form for an extension value; the kernel reports rows where it is zero."""
        return ext_slots_form(self._emit(EXT_INVERT, EXTENSION_DEGREE, self.ext_slot(form)))

    # -- forms into slots ---------------------------------------------------------------------------------------

    def base_slot(self, form: Form) -> int:
        """A slot with the value of a base-valued form."""
        if not form.is_base:
            raise InvariantBroken(f"circuit {self.system.name}: a base field value was expected")
        if form.constant == ext_zero and list(form.terms.values()) == [ext_one]:
            return next(iter(form.terms))
        if form.key not in self._rows:
            coefficients = {slot: c[0] for slot, c in form.terms.items()}
            self._rows[form.key] = self._sum(form.constant[0], coefficients)
        return self._rows[form.key]

    def _sum(self, constant: int, coefficients: Mapping[int, int]) -> int:
        first_constant, first_term = len(self._constants), len(self._terms)
        if all(c in (1, _MINUS_ONE) for c in coefficients.values()):
            plus = [slot for slot, c in coefficients.items() if c == 1]
            minus = [slot for slot, c in coefficients.items() if c != 1]
            self._constants.append(constant * R % P)
            self._terms += plus + minus
            return self._emit(SUM, 1, first_term, len(plus), len(minus), first_constant)
        first_weight = len(self._weights)
        self._constants.append(constant * R2 % P)
        pairs = self._append_terms({slot: (c,) for slot, c in coefficients.items()})
        return self._emit(DOT, 1, first_term, pairs, first_weight, first_constant)

    def _append_terms(self, coefficients: Mapping[int, Sequence[int]]) -> int:
        """List the terms, an even number of them; the number of pairs."""
        for slot, words in coefficients.items():
            self._terms.append(slot)
            self._weights += [word * R % P for word in words]
        if len(coefficients) % 2:
            self._terms.append(self._terms[-1])
            self._weights += [0] * len(next(iter(coefficients.values())))
        return (len(coefficients) + 1) // 2

    def ext_slot(self, form: Form) -> int:
        """The first of five slots with the value of a form."""
        first = next(iter(form.terms), 0)
        if form.key == ext_slots_form(first).key:
            return first
        key = ("ext", form.key)
        if key not in self._rows:
            self._rows[key] = self._ext_sum(form)
        return self._rows[key]

    def _ext_sum(self, form: Form) -> int:
        coordinates = [form.coordinate(k) for k in range(EXTENSION_DEGREE)]
        if all(c[0] in (1, _MINUS_ONE) for part in coordinates for c in part.terms.values()):
            # The five sums land in five new consecutive slots: nothing else is emitted in between.
            sums = [self._sum(part.constant[0], {s: c[0] for s, c in part.terms.items()}) for part in coordinates]
            return sums[0]
        first_constant, first_term, first_weight = len(self._constants), len(self._terms), len(self._weights)
        self._constants += [word * R2 % P for word in form.constant]
        pairs = self._append_terms(form.terms)
        return self._emit(EXT_DOT, EXTENSION_DEGREE, first_term, pairs, first_weight, first_constant)

    def _new_slots(self, count: int) -> int:
        self._slots += count
        return self._slots - count

    def _emit(self, kind: int, targets: int, a: int, b: int = 0, weight: int = 0, constant: int = 0) -> int:
        target = self._new_slots(targets)
        self._operations.append((kind, target, a, b, weight, constant))
        return target

    # -- results ------------------------------------------------------------------------------------------------

    def store_base(self, form: Form, row: int) -> None:
        """Write a base-valued form to a row of the output."""
        self._stores.append((self.base_slot(form), row))

    def store_ext(self, form: Form, first_row: int) -> None:
        """Write a form to five rows of the output."""
        first = self.ext_slot(form)
        self._stores.extend((first + k, first_row + k) for k in range(EXTENSION_DEGREE))

    def program(self) -> RowProgram:
        """All that was asked for so far, as tables."""
        loads = sorted((source, row, slot) for (source, row), slot in self._loads.items())
        return RowProgram(
            loads=np.array(loads, dtype=np.int64).reshape(-1, 3),
            operations=np.array(self._operations, dtype=np.int64).reshape(-1, 6),
            term_slots=np.array(self._terms, dtype=np.int64),
            weights=np.array(self._weights, dtype=np.uint32),
            constants=np.array(self._constants, dtype=np.uint32),
            stores=np.array(self._stores, dtype=np.int64).reshape(-1, 2),
            slots=self._slots,
        )


def _without_factor(form: Form) -> tuple[Form, Ext]:
    """coefficient * slot as (slot, coefficient): the coefficient need not enter the multiplication."""
    if form.constant == ext_zero and len(form.terms) == 1:
        ((slot, coefficient),) = form.terms.items()
        return slot_form(slot), coefficient
    return form, ext_one


# -- the three programs of a circuit --------------------------------------------------------------------------------


def constraint_program(system: ConstraintSystem, scalars: Mapping[str, Ext], weights: Sequence[Ext]) -> RowProgram:
    """sum over constraints of multiplier[domain] * weight * value, into output rows 0..4.

    Args:
        weights: one canonical extension element per constraint.
    """
    lowering = Lowering(system, scalars)
    values = lowering.forms(each.node for each in system.constraints)
    parts = []
    for number, domain in enumerate(DOMAINS):
        whole = zip(system.constraints, weights, values, strict=True)
        chosen = [(weight, value) for constraint, weight, value in whole if constraint.domain == domain]
        if chosen:
            multiplier = slot_form(lowering.load(MULTIPLIER, number))
            parts.append((ext_one, lowering.product(multiplier, weighted_sum(chosen))))
    lowering.store_ext(weighted_sum(parts), 0)
    return lowering.program()


def logup_program(system: ConstraintSystem, scalars: Mapping[str, Ext]) -> RowProgram:
    """Every helper n_a / d_a + n_b / d_b (5 output rows each), then the summand of the running sum: all fractions."""
    lowering = Lowering(system, scalars)
    parts = []
    for first in range(0, len(system.fractions), 2):
        nodes = [(f.numerator, f.denominator) for f in system.fractions[first : first + 2]]
        numerator, denominator = lowering.forms(nodes[0])
        if len(nodes) == 2:
            other_numerator, other_denominator = lowering.forms(nodes[1])
            crossed = [(numerator, other_denominator), (other_numerator, denominator)]
            numerator = weighted_sum((ext_one, lowering.product(n, d)) for n, d in crossed)
            denominator = lowering.product(denominator, other_denominator)
        parts.append((numerator, denominator))
    inverses = _inverses(lowering, [denominator for _, denominator in parts])
    values = [lowering.product(n, inverse) for (n, _), inverse in zip(parts, inverses, strict=True)]
    helpers = len(system.fractions) // 2
    for number, value in enumerate(values[:helpers]):
        lowering.store_ext(value, EXTENSION_DEGREE * number)
    lowering.store_ext(weighted_sum((ext_one, value) for value in values), EXTENSION_DEGREE * helpers)
    return lowering.program()


def _inverses(lowering: Lowering, denominators: Sequence[Form]) -> list[Form]:
    """Montgomery's trick within one row: one inversion for all denominators."""
    prefixes = [constant_form(ext_one)]
    for denominator in denominators:
        prefixes.append(lowering.product(prefixes[-1], denominator))
    rest = lowering.inverse(prefixes[-1])
    inverses: list[Form] = []
    for prefix, denominator in zip(reversed(prefixes[:-1]), reversed(denominators), strict=True):
        inverses.append(lowering.product(rest, prefix))
        rest = lowering.product(rest, denominator)
    return inverses[::-1]


def accumulator_first_program(system: ConstraintSystem, scalars: Mapping[str, Ext]) -> RowProgram:
    """`first` of every accumulator, five output rows each."""
    lowering = Lowering(system, scalars)
    for number, form in enumerate(lowering.forms(a.first for a in system.accumulators)):
        lowering.store_ext(form, EXTENSION_DEGREE * number)
    return lowering.program()


def accumulator_step_program(system: ConstraintSystem, scalars: Mapping[str, Ext]) -> RowProgram:
    """`add` of every accumulator, then `keep` of every accumulator, five output rows each."""
    lowering = Lowering(system, scalars)
    count = len(system.accumulators)
    for number, accumulator in enumerate(system.accumulators):
        keep, add = lowering.forms((accumulator.keep, accumulator.add))
        lowering.store_ext(add, EXTENSION_DEGREE * number)
        lowering.store_ext(keep, EXTENSION_DEGREE * (count + number))
    return lowering.program()
