"""The list of attacks is whole, each names tests that exist, and the page about them is current."""

from __future__ import annotations

import importlib
import re

import pytest

from tests.attacks import ATTACKS, ROOT, cases_of, page, place


@pytest.mark.parametrize("number", ATTACKS)
def test_each_attack_is_tried(number: int) -> None:
    assert ATTACKS[number].tried
    for name in ATTACKS[number].tried:
        module, attribute = place(name)
        found = importlib.import_module(module)
        assert not attribute or hasattr(found, attribute), name


def test_the_list_is_whole() -> None:
    assert list(ATTACKS) == list(range(1, 52))


def test_the_page_is_current() -> None:
    def uncounted(text: str) -> list[str]:
        """Numbers and results come from the last runs."""
        lines = text.partition("All tests of that run")[0].splitlines()
        return [re.sub(r"(\| [0-9,]* ){2}\| [a-z*, ]* \|$", "", line) for line in lines]

    shown = (ROOT / "docs" / "assurance.md").read_text("utf-8")
    assert uncounted(shown) == uncounted(page({}, {})), "run `make assurance`"


def test_results_are_found_under_the_names_of_what_is_tried() -> None:
    """Also those of forgeries, which are no tests themselves."""
    cheats = {"byte_of_256": "passed", "better_price": "failure"}
    results = {
        ("tests.malicious.test_cheats", "test_a_cheat_is_named_and_refused"): cheats,
        ("tests.malicious.test_every_constraint", "test_a_witness_that_breaks_it_is_named_and_refused"): {
            "the value identity holds where a chain closes": "passed",
            "merge emits its sum[0]": "passed",
        },
    }
    assert cases_of("cheats.better_price", results) == ["failure"]
    assert cases_of("cases_tree.emitted_sum", results) == ["passed"]
    assert cases_of("test_every_constraint.LABELS", results) == ["passed", "passed"]
    assert cases_of("test_cheats", results) == list(cheats.values())
    assert cases_of("cheats_records.leg_of_the_next_instrument", results) == []
