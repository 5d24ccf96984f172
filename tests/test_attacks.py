"""The list of attacks is whole, each names tests that exist, and the page about them is current."""

from __future__ import annotations

import importlib
import re
from collections import Counter

import pytest

from tests.attacks import ATTACKS, ROOT, page, place


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
    def uncounted(text: str) -> str:
        return re.sub(r"\| [0-9]* \|$", "|  |", text, flags=re.MULTILINE)

    shown = (ROOT / "docs" / "assurance.md").read_text("utf-8")
    assert uncounted(shown) == uncounted(page(Counter())), "run `python -m tests.attacks > docs/assurance.md`"
