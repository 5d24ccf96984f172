"""Profiles: what is accepted, what the digest covers, which heights fit."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from tests.verifier.toy_proofs import FREE, expect
from verifier.errors import Reason, UnacceptableParameters
from verifier.field import EXTENSION_DEGREE, TWO_ADICITY
from verifier.params import HIDDEN_ROWS, PROFILES, TEST, ProofParams, accepted_profile


def test_the_profiles_are_those_of_the_protocol() -> None:
    numbers = {
        name: (p.blowup, p.queries, p.query_grinding_bits, p.lookup_grinding_bits, p.fold_grinding_bits)
        for name, p in PROFILES.items()
    }
    assert numbers == {"fast": (2, 203, 16, 0, 0), "compact": (4, 124, 16, 0, 0), "high": (4, 166, 16, 16, 16)}
    assert all(accepted_profile(name) is params and params.name == name for name, params in PROFILES.items())


@pytest.mark.negative
@pytest.mark.parametrize("name", ["test", TEST.name, FREE.name, "", "Fast", "production"])
def test_any_other_profile_is_refused(name: str) -> None:
    with pytest.raises(UnacceptableParameters) as caught:
        accepted_profile(name)
    expect(Reason.UNACCEPTABLE_PROFILE, caught.value)


@pytest.mark.parametrize("field", [field.name for field in fields(ProofParams)])
def test_the_digest_covers_every_field(field: str) -> None:
    value = getattr(TEST, field)
    changes: dict[str, Any] = {field: value + "x" if isinstance(value, str) else value + 1}
    assert replace(TEST, **changes).digest != TEST.digest


def test_no_two_parameter_sets_share_a_digest() -> None:
    digests = {params.digest for params in (*PROFILES.values(), TEST, FREE)}
    assert len(digests) == len(PROFILES) + 2


def test_the_digest_is_pinned() -> None:
    """It enters every transcript: a change breaks every proof ever made."""
    assert {name: params.digest.hex()[:16] for name, params in PROFILES.items()} == {
        "fast": "7e1a8e1a20928e76",
        "compact": "f38b67040f00638d",
        "high": "1bb8f2869c01a23f",
    }


@pytest.mark.parametrize(
    ("log2_rows", "layers", "final"), [(6, 0, 64), (10, 2, 16), (17, 4, 32), (20, 5, 32), (21, 5, 64)]
)
def test_layers_end_at_64_coefficients(log2_rows: int, layers: int, final: int) -> None:
    assert TEST.fri_layers(log2_rows) == layers
    assert TEST.final_coefficients(log2_rows) == final
    assert TEST.layer_depth(log2_rows, layers - 1) == TEST.log2_points(log2_rows) - 3 * layers


@pytest.mark.parametrize("params", [*PROFILES.values(), TEST], ids=lambda params: params.name)
def test_the_least_height_holds_the_quotient_and_the_hidden_rows_suffice(params: ProofParams) -> None:
    heights = [h for h in range(30) if _accepted(params, h)]
    assert heights == list(range(heights[0], heights[-1] + 1))
    assert params.log2_points(heights[-1]) == TWO_ADICITY
    for log2_rows, fits in ((heights[0], True), (heights[0] - 1, False)):
        coefficients = 2 * (1 << log2_rows) + HIDDEN_ROWS - 1
        assert (coefficients <= 3 * params.chunk_coefficients(log2_rows)) is fits
    assert heights[0] <= 17 and heights[-1] >= 21
    assert 2 * (params.queries + 2 * EXTENSION_DEGREE) <= HIDDEN_ROWS


def _accepted(params: ProofParams, log2_rows: int) -> bool:
    try:
        params.check_rows(log2_rows)
    except UnacceptableParameters as error:
        expect(Reason.UNACCEPTABLE_PARAMETERS, error)
        return False
    return True


def test_more_queries_than_the_hidden_rows_cover_are_refused() -> None:
    most = HIDDEN_ROWS // 2 - EXTENSION_DEGREE
    replace(PROFILES["fast"], queries=most).check_rows(17)
    with pytest.raises(UnacceptableParameters, match="cannot hide") as caught:
        replace(PROFILES["fast"], queries=most + 1).check_rows(17)
    expect(Reason.UNACCEPTABLE_PARAMETERS, caught.value)
