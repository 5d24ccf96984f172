"""The table of bits against a second one, written from the published formulas, and against the designed profiles."""

from __future__ import annotations

import math
import runpy
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path

import pytest

from tests.verifier.toy_circuits import fibonacci_system, ledger_system
from verifier import soundness
from verifier.air import ConstraintSystem
from verifier.params import PROFILES, TEST, ProofParams
from verifier.poseidon import DIGEST_WORDS
from verifier.soundness import ACCOUNT_TREE_BITS, CEILING, FIELD_SIZE, Shape, document, rounds, soundness_bits

ROOT = Path(__file__).resolve().parents[2]
HEIGHTS = (17, 20, 21)
EQUITY = Shape(constraints=300, degree=3, fractions=21, value_tuple_width=17, row_polynomial_degree=14)
"""About the figures of the first solvency circuit."""


def published_table(shape: Shape, params: ProofParams, log2_rows: int) -> dict[str, float]:
    """Unique-decoding bits as the Ethereum Foundation's soundness calculator (soundcalc) defines them.

    Written again from its formulas: lines cost gamma n + 1; a fold by eight with one challenge counts seven lines on
    the folded domain (here: three binary folds with a challenge each, that is 4 + 2 + 1 lines of that size);
    lookups count rows of both sides times columns of the tuple, the tag being one of them.
    """
    field, trace = float((2**31 - 2**24 + 1) ** 5), 2**log2_rows
    rho = 1 / params.blowup
    gamma, points = (1 - rho) / 2, trace / rho
    out = {
        "r, alpha, beta": shape.fractions * trace * (shape.value_tuple_width + 1) / field,
        "constraint weights": shape.constraints / field,
        "zeta": (shape.degree * (trace + 2 - 1) + (trace - 1)) / (field - trace - points),
        "batching weights": (gamma * points + 1) / field,
    }
    layer = 0
    while trace > 64:
        trace, points, layer = trace // 8, points / 8, layer + 1
        out[f"fri folds {layer - 1}"] = (gamma * points + 1) / field * (8 - 1)
    out["queries"] = (1 - gamma) ** params.queries
    grinding = {
        "r, alpha, beta": params.lookup_grinding_bits,
        "constraint weights": params.constraint_grinding_bits,
        "zeta": params.zeta_grinding_bits,
        "batching weights": params.batching_grinding_bits,
        "queries": params.query_grinding_bits,
    }
    return {name: -math.log2(error) + grinding.get(name, params.fold_grinding_bits) for name, error in out.items()}


@pytest.mark.parametrize("log2_rows", HEIGHTS)
@pytest.mark.parametrize("params", PROFILES.values(), ids=PROFILES)
@pytest.mark.parametrize("shape", [EQUITY, CEILING], ids=["equity", "ceiling"])
def test_within_one_bit_of_the_published_formulas(shape: Shape, params: ProofParams, log2_rows: int) -> None:
    """All differences: our lookup round counts more (W + 2 instead of W + 1 for denominators that vanish, the row
    polynomials in r, the verifier's own terms); a layer counts the +1 of a line three times instead of seven."""
    ours = {each.name: each.bits for each in rounds(shape, params, log2_rows)}
    theirs = published_table(shape, params, log2_rows)
    assert ours.keys() == theirs.keys()
    for name, bits in ours.items():
        assert theirs[name] - 1 < bits < theirs[name] + 0.1, name
        if name != "r, alpha, beta":
            assert bits == pytest.approx(theirs[name], abs=0.1 if name.startswith("fri") else 0.001)


@pytest.mark.parametrize("log2_rows", HEIGHTS)
def test_the_profiles_keep_their_promise(log2_rows: int) -> None:
    bits = {name: soundness_bits(CEILING, params, log2_rows) for name, params in PROFILES.items()}
    assert bits == {"fast": 100, "compact": 100, "high": 128}


def test_the_query_round_is_the_weakest() -> None:
    """So the number of queries is not set by rounding elsewhere; one query fewer would miss the promise."""
    for params, promise in ((PROFILES["fast"], 100), (PROFILES["compact"], 100), (PROFILES["high"], 128)):
        table = rounds(CEILING, params, 21)
        assert min(table, key=lambda each: each.bits).name == "queries"
        assert soundness_bits(CEILING, replace(params, queries=params.queries - 1), 21) < promise


@pytest.mark.parametrize("params", PROFILES.values(), ids=PROFILES)
def test_n_exceptional_challenges_change_no_promise(params: ProofParams, monkeypatch: pytest.MonkeyPatch) -> None:
    """ePrint 2020/654 counts n of them for a line, the later bound gamma n + 1."""
    before = {rows: (soundness_bits(CEILING, params, rows), rounds(CEILING, params, rows)) for rows in range(17, 22)}
    monkeypatch.setattr(soundness, "_line_error", lambda _, points: Fraction(points, FIELD_SIZE))
    for rows, (promise, table) in before.items():
        lost = [a.bits - b.bits for a, b in zip(table, rounds(CEILING, params, rows), strict=True)]
        assert 1 < max(lost) <= 2, "or the bound was not replaced"
        assert soundness_bits(CEILING, params, rows) == promise


def test_the_account_tree_binds_by_less_than_the_high_profile() -> None:
    exact = math.log2((2**31 - 2**24 + 1) ** DIGEST_WORDS) / 2
    assert exact - 0.1 < ACCOUNT_TREE_BITS == 123.9 <= exact
    page = document()
    assert "costs 123.9" in page
    assert "at most 123 bits" in page


def test_the_test_profile_proves_nothing() -> None:
    assert soundness_bits(CEILING, TEST, 17) < 10


def test_the_shape_of_a_circuit_is_read_from_it() -> None:
    assert Shape.of(ledger_system()) == Shape(14, 3, 5, 1, 2)
    assert Shape.of(fibonacci_system()) == Shape(5, 1, 0, 0, 0)
    assert rounds(Shape.of(fibonacci_system()), TEST, 17)[0].bits == math.inf


def test_more_of_anything_is_never_better() -> None:
    base = {each.name: each.bits for each in rounds(EQUITY, PROFILES["fast"], 20)}
    for field in fields(Shape):
        changes: dict[str, int] = {field.name: getattr(EQUITY, field.name) + 1}
        worse = rounds(replace(EQUITY, **changes), PROFILES["fast"], 20)
        assert all(each.bits <= base[each.name] for each in worse)
        assert any(each.bits < base[each.name] for each in worse)
        assert not replace(EQUITY, **changes).within(EQUITY)
    assert EQUITY.within(EQUITY) and EQUITY.within(CEILING) and not CEILING.within(EQUITY)
    assert all(each.bits <= base[each.name] for each in rounds(EQUITY, PROFILES["fast"], 20, 1 << 20))
    for name, params in PROFILES.items():
        short, tall = rounds(CEILING, params, 20), rounds(CEILING, params, 21)
        assert all(a.bits >= b.bits for a, b in zip(short, tall, strict=True)), name


def test_grinding_counts_where_it_is_done() -> None:
    for field in fields(ProofParams):
        if not field.name.endswith("_grinding_bits"):
            continue
        changes: dict[str, int] = {field.name: getattr(TEST, field.name) + 3}
        more = rounds(EQUITY, replace(TEST, **changes), 17)  # type: ignore[arg-type]
        gained = {a.name for a, b in zip(more, rounds(EQUITY, TEST, 17), strict=True) if a.bits - b.bits > 2.9}
        assert len(gained) == (TEST.fri_layers(17) if field.name.startswith("fold") else 1)


def test_the_page_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "verifier" / "soundness.py"), run_name="__main__")
    assert (ROOT / "docs" / "soundness.md").read_text(encoding="utf-8") == document() == capsys.readouterr().out


def test_every_registered_circuit_is_below_the_ceiling() -> None:
    for path in sorted((ROOT / "verifier" / "keys").glob("*.json")):
        assert Shape.of(ConstraintSystem.from_bytes(path.read_bytes())).within(CEILING), path.name


def test_the_error_at_zeta_is_a_degree_over_the_points_outside() -> None:
    shape = replace(CEILING, degree=3)
    degree = 3 * (8 + soundness.POINTS_PER_COLUMN - 1) + 7
    assert soundness._zeta_error(shape, 8, 64) == Fraction(degree, soundness.OUTSIDE_BASE_FIELD)


def test_the_error_of_the_lookups_counts_every_term() -> None:
    shape = replace(CEILING, fractions=2, value_tuple_width=3, row_polynomial_degree=4)
    expected = (2 * 8 + 5) * (3 + 2) + 4 * (8 + 5)
    assert soundness._lookup_error(shape, 8, 5) == Fraction(expected, soundness.OUTSIDE_BASE_FIELD)
