"""Stress scenarios: what people write about prices becomes value units per atom of every instrument.

A scenario is either relative, `{"name": .., "shock": {"all": "-0.3", "BTC": "-0.5"}}`, or absolute, `{"name": ..,
"prices": {"BTC": "50000"}}`; docs/formats.md has the rules. Whatever a scenario does not name stays at its price.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from api.importers.instruments import load_json
from prover.errors import InputError
from verifier.instruments import COST_BASIS, PERPETUAL, PRICE_END, SCENARIO_CHARACTERS_MAX, Instrument, Scenario

FORMAT: Final = "solvent/scenarios/v1"
DEFAULT: Final = "default"
ALL: Final = "all"
SCENARIOS_MAX: Final = 10
KEYS: Final = {"format", "scenarios"}
OPTIONAL: Final = {"groups", "steady"}

_SHOCK = re.compile(r"(-?)([0-9]{1,9}(?:\.[0-9]{1,18})?)")
_PRICE = re.compile(r"[0-9]{1,30}(?:\.[0-9]{1,30})?")
_UNDERLYING = re.compile(r"[-/_:]")


def default_file() -> Path:
    """The scenarios that come with the program: in the repository, or the copy inside an installed package.

    Raises:
        InputError: neither is there.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package.parent / "data" / "scenarios", package / "data" / "scenarios"):
        if (folder / "default.json").is_file():
            return folder / "default.json"
    raise InputError(field="--scenarios", got=DEFAULT, expected="a file: this installation lacks the default scenarios")


def read_scenarios(
    path: Path, instruments: Sequence[Instrument], value_decimals: int, quote: str
) -> tuple[Scenario, ...]:
    """All scenarios of a file for one instrument table.

    Args:
        quote: an instrument of this name is what prices are counted in: only its own name moves it.

    Raises:
        InputError: naming the file and the path of the field.
    """
    document = load_json(path)
    if not isinstance(document, dict) or not KEYS <= document.keys() <= KEYS | OPTIONAL:
        expected = "an object with format and scenarios, and perhaps groups and steady"
        raise InputError(file=path, got="something else", expected=expected)
    if document["format"] != FORMAT:
        raise InputError(file=path, field="format", got=str(document["format"]), expected=FORMAT)
    groups = _groups(path, document.get("groups", {}))
    steady = document.get("steady", [])
    if not isinstance(steady, list) or not all(isinstance(name, str) and name in groups for name in steady):
        raise InputError(file=path, field="steady", expected="a list of names of groups, which `all` passes over")
    items = document["scenarios"]
    if not isinstance(items, list) or not 1 <= len(items) <= SCENARIOS_MAX:
        raise InputError(file=path, field="scenarios", expected=f"a list of 1 to {SCENARIOS_MAX} scenarios")
    table = _Table(path, tuple(instruments), value_decimals, quote.lower(), groups, tuple(steady))
    scenarios: list[Scenario] = []
    for number, item in enumerate(items):
        scenario = table.scenario(f"scenarios[{number}]", item)
        if scenario.name.lower() in (other.name.lower() for other in scenarios):
            field = f"scenarios[{number}].name"
            raise InputError(file=path, field=field, got=scenario.name, expected="each name once, in one spelling")
        scenarios.append(scenario)
    return tuple(scenarios)


def _groups(path: Path, groups: object) -> dict[str, frozenset[str]]:
    """Lower-case symbols by name of the group; no symbol in two."""
    if not isinstance(groups, dict):
        raise InputError(file=path, field="groups", expected="an object of lists of symbols")
    found: dict[str, frozenset[str]] = {}
    seen: set[str] = set()
    for name, members in groups.items():
        field = f"groups.{name}"
        if not isinstance(members, list) or not all(isinstance(symbol, str) for symbol in members) or name == ALL:
            raise InputError(file=path, field=field, expected=f'a list of symbols, under another name than "{ALL}"')
        symbols = [symbol.lower() for symbol in members]
        for symbol in symbols:
            if symbol in seen:
                raise InputError(file=path, field=field, got=symbol, expected="each symbol once, in one group")
            seen.add(symbol)
        found[name] = frozenset(symbols)
    return found


@dataclass(frozen=True, slots=True)
class _Table:
    """What names mean: symbols without regard to case; perpetuals follow their underlying asset."""

    path: Path
    instruments: tuple[Instrument, ...]
    value_decimals: int
    quote: str
    groups: dict[str, frozenset[str]]
    steady: tuple[str, ...]

    def scenario(self, place: str, item: object) -> Scenario:
        if not isinstance(item, dict) or item.keys() - {"source"} not in ({"name", "shock"}, {"name", "prices"}):
            expected = "an object with name, either shock or prices, and perhaps source"
            raise InputError(file=self.path, field=place, expected=expected)
        name = item["name"]
        is_name = isinstance(name, str) and name.isprintable() and name == name.strip()
        if not is_name or not 1 <= len(name) <= SCENARIO_CHARACTERS_MAX:
            expected = f"1 to {SCENARIO_CHARACTERS_MAX} printable characters without blanks around them"
            raise InputError(file=self.path, field=f"{place}.name", got=str(name), expected=expected)
        kind = "shock" if "shock" in item else "prices"
        moves = self._moves(f"{place}.{kind}", item[kind], kind)
        values = []
        for instrument in self.instruments:
            value = self._value(instrument, moves, kind)
            if value >= PRICE_END:
                got = f"{value} value units per atom of {instrument.symbol}"
                expected = "a value below 2^54: import again with fewer --value-decimals"
                raise InputError(file=self.path, got=f"{place}: {got}", expected=expected)
            values.append(value)
        return Scenario(name, tuple(values))

    def _moves(self, place: str, moves: object, kind: str) -> dict[str, Fraction]:
        """Numbers by lower-case symbol, or by name of a group or "all"."""
        if not isinstance(moves, dict) or not moves:
            raise InputError(file=self.path, field=place, expected="an object of symbols and decimal numbers")
        symbols = {part for instrument in self.instruments for part in _names(instrument)}
        found: dict[str, Fraction] = {}
        for name, text in moves.items():
            key = name if kind == "shock" and (name == ALL or name in self.groups) else name.lower()
            if key not in symbols and not (kind == "shock" and (key == ALL or key in self.groups)):
                others = f", a group or {ALL}" if kind == "shock" else ""
                expected = f"a symbol of the snapshot{others}"
                raise InputError(file=self.path, field=place, got=name, expected=expected)
            if key in found:
                raise InputError(file=self.path, field=place, got=name, expected="each symbol once, in one spelling")
            found[key] = self._number(f"{place}.{name}", text, kind)
        for instrument in self.instruments:
            if instrument.kind == COST_BASIS and instrument.symbol.lower() in found:
                raise InputError(
                    file=self.path,
                    field=place,
                    got=instrument.symbol,
                    expected="no cost basis: it is money, its value stays",
                )
        return found

    def _number(self, place: str, text: Any, kind: str) -> Fraction:
        match = (_SHOCK if kind == "shock" else _PRICE).fullmatch(text) if isinstance(text, str) else None
        number = None if match is None else Fraction(text)
        if number is None or number < (-1 if kind == "shock" else 0):
            expected = (
                '-1 or more, a decimal number in quotes: "-0.3" is -30 %' if kind == "shock" else "a decimal number"
            )
            raise InputError(file=self.path, field=place, got=str(text), expected=expected)
        return number

    def _value(self, instrument: Instrument, moves: Mapping[str, Fraction], kind: str) -> int:
        """Value units per atom, to the nearest, halves up."""
        if instrument.kind == COST_BASIS:
            return instrument.price
        names = _names(instrument)
        own = next((moves[name] for name in names if name in moves), None)
        if kind == "prices":
            exact = None if own is None else own * Fraction(10) ** (self.value_decimals - instrument.decimals)
        else:
            move = self._group_move(names[-1], moves) if own is None else own
            exact = None if move is None else instrument.price * (1 + move)
        return instrument.price if exact is None else int((2 * exact + 1) // 2)

    def _group_move(self, name: str, moves: Mapping[str, Fraction]) -> Fraction | None:
        """What moves an asset that has no number of its own: its group, or all. The quote currency stays."""
        if name == self.quote:
            return None
        group = next((group for group, members in self.groups.items() if name in members), None)
        if group is not None and group in moves:
            return moves[group]
        return None if group in self.steady else moves.get(ALL)


def _names(instrument: Instrument) -> tuple[str, ...]:
    """Lower-case names that move an instrument, the strongest first.

    A symbol; for a perpetual then what stands in it before the first of - / _ : and names what it follows.
    """
    symbol = instrument.symbol.lower()
    if instrument.kind != PERPETUAL:
        return (symbol,)
    return tuple(dict.fromkeys((symbol, _UNDERLYING.split(symbol, maxsplit=1)[0])))
