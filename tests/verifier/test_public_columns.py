"""The verifier's own numbers in a proof: public columns, multipliers, terminals and scalars."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.verifier.reference_polynomials import interpolate
from tests.verifier.toy_circuits import Case, Toy, blocks, ledger, no_terminal
from tests.verifier.toy_proofs import FREE, honest, refused
from verifier.air import ALWAYS, FIRST, LAST, TRANSITION
from verifier.encoding import as_exts
from verifier.errors import (
    BadStatement,
    InvariantBroken,
    Reason,
)
from verifier.field import Ext, P, ext_horner, ext_inverse, ext_mul, ext_one, ext_pow, ext_sub, lift, root_of_unity
from verifier.params import HIDDEN_ROWS
from verifier.stark import Relation, domain_multipliers, evaluate_publics, evaluate_scalars, verify_stark

POINT: Ext = (11, 22, 33, 44, 55)


def test_multipliers_are_one_over_the_rows_of_their_domain() -> None:
    """By definition: the product over exactly the rows on which a constraint must hold."""
    active = 1024 - HIDDEN_ROWS
    rows = {ALWAYS: range(active), TRANSITION: range(active - 1), FIRST: range(1), LAST: range(active - 1, active)}
    multipliers = domain_multipliers(10, POINT)
    assert multipliers.keys() == rows.keys()
    for domain, members in rows.items():
        product = ext_one
        for i in members:
            product = ext_mul(product, ext_sub(POINT, lift(pow(root_of_unity(10), i, P))))
        assert multipliers[domain] == ext_inverse(product)


def public_relation(**publics: tuple[int, ...]) -> Relation:
    pads = [(name, "repeat" if name.startswith("repeat") else name) for name in publics]
    toy = Toy(columns=("x",), publics=tuple(pads))
    toy.require(FIRST, "x", toy.row("x"))
    return Relation(toy.freeze("toy_publics", 0, 0), 10, publics, no_terminal, bytes(32))


@pytest.mark.parametrize("values", [(), (5,), (0,), tuple(range(7, 40)), tuple(range(512))])
def test_public_columns_are_those_of_the_whole_trace(values: tuple[int, ...]) -> None:
    padded = {
        "zero": list(values) + [0] * (1024 - len(values)),
        "last": list(values) + [values[-1] if values else 0] * (1024 - len(values)),
    }
    got = evaluate_publics(public_relation(zero=values, last=values), (), POINT)
    for column, value in zip(padded.values(), got, strict=True):
        assert value == ext_horner(map(lift, interpolate(column)), POINT)


def test_repeated_public_columns_are_those_of_the_whole_trace() -> None:
    """Two of one period, others beside them; they go on over the hidden rows."""
    columns = {f"repeat{n}": tuple(range(7, 7 + n)) for n in (1, 2, 4, 8, 256, 512)}
    columns |= {"zero": (3, 1, 4), "repeat4 again": (9, 9, 0, 8), "last": (5, 6)}
    padded = {name: list(values) * (1024 // len(values)) for name, values in columns.items() if "repeat" in name}
    padded |= {"zero": [3, 1, 4] + [0] * 1021, "last": [5] + [6] * 1023}
    got = evaluate_publics(public_relation(**columns), (), POINT)
    for name, value in zip(columns, got, strict=True):
        assert value == ext_horner(map(lift, interpolate(padded[name])), POINT), name


@pytest.mark.negative
@pytest.mark.parametrize("period", [3, 6, 511, 1024])
def test_a_period_is_a_power_of_two_that_ends_with_the_active_rows(period: int) -> None:
    with pytest.raises(InvariantBroken):
        evaluate_publics(public_relation(repeat=(1,) * period), (), POINT)


def test_derived_public_columns_are_made_from_the_scalars() -> None:
    """Whatever a challenge makes of them, they are public columns like all others."""
    case, challenges = blocks(), as_exts(range(1, 16))
    scalars = evaluate_scalars(case.relation, *challenges)
    assert scalars == (challenges[0], (0, 1, 0, 0, 0), case.relation.scalars(*challenges)["losses"])
    got = evaluate_publics(case.relation, scalars, POINT)
    places = [ext_pow(challenges[0], 3 - (row + 1) % 4) for row in range(1024)]
    for k in range(5):
        assert got[1 + k] == ext_horner(map(lift, interpolate([place[k] for place in places])), POINT)


@pytest.mark.negative
def test_public_columns_stay_out_of_the_hidden_rows() -> None:
    with pytest.raises(BadStatement) as caught:
        evaluate_publics(public_relation(zero=(1,) * 513, last=()), (), POINT)
    if caught.value.reason is not Reason.CAPACITY:
        pytest.fail(str(caught.value))
    relation, places = public_relation(zero=(1,), last=()), {"last": (1,), "more": (1,)}
    for changed in (
        replace(relation, publics={"zero": (1,)}),
        replace(relation, publics={"zero": (), "last": (), "more": ()}),
        replace(relation, derived=lambda scalars: places),
    ):
        with pytest.raises(InvariantBroken):
            evaluate_publics(changed, (), POINT)


@pytest.mark.negative
def test_a_terminal_that_does_not_exist_is_a_refusal() -> None:
    """The challenges hit a pole of the verifier's own fractions."""

    def pole(r: Ext, alpha: Ext, beta: Ext) -> Ext:
        return ext_inverse((0, 0, 0, 0, 0))

    refused(Reason.OUT_OF_DOMAIN_POINT, Case(replace(ledger().relation, terminal=pole), {}), honest("ledger"))


@pytest.mark.negative
def test_an_unknown_scalar_is_our_bug() -> None:
    system = replace(ledger().relation.system, scalars=("r", "alpha", "beta", "gamma"))
    with pytest.raises(InvariantBroken):
        verify_stark(replace(ledger().relation, system=system), FREE, honest("ledger", FREE))
