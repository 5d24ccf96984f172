"""What commands print cannot be forged by what files say, and stays greppable."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

import pytest

from api.cli.output import Output, printable


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.negative
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 币", "plain é 币"),
        ("\x1b[2J\x1b[32mVerdict: solvent", "\\x1b[2J\\x1b[32mVerdict: solvent"),
        ("a\nb\rc\td", "a\\nb\\rc\\td"),
        ("\u202eright to left", "\\u202eright to left"),
        ("\ud800", "\\ud800"),
        ("zero\u200bwidth\U000e0001", "zero\\u200bwidth\\U000e0001"),
    ],
)
def test_control_characters_are_shown_and_not_obeyed(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.negative
def test_nothing_printed_carries_control_characters_or_markup(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = "\x1b[31m[bold]x[/bold]\n"
    output = Output(as_json=False)
    output.line(bad)
    output.table(("a", "b"), [(bad, "1")], right=("b",))
    output.note(bad)
    output.fail(bad, {})
    captured = capsys.readouterr()
    for text in (captured.out, captured.err):
        assert "\x1b" not in text
        assert "[bold]x[/bold]" in text


def test_a_table_is_not_wrapped_when_piped(capsys: pytest.CaptureFixture[str]) -> None:
    long = "1" * 300
    Output(as_json=False).table(("name", "number"), [("a", long), ("bb", "2")], right=("number",))
    lines = capsys.readouterr().out.splitlines()
    assert any(long in line for line in lines)
    assert any(line.endswith(" 2") and line.startswith("bb") for line in lines)


def test_a_stream_without_unicode_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    Output(as_json=False).table(("a",), [("b",)])
    stream.seek(0)
    assert stream.read().isascii()


def test_colour_is_for_terminals_and_can_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def printed(stream: io.StringIO) -> str:
        monkeypatch.setattr(sys, "stdout", stream)
        Output(as_json=False).line("Verdict", mood="good")
        return stream.getvalue()

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert printed(io.StringIO()) == "Verdict\n"
    assert printed(Terminal()) == "\x1b[32mVerdict\x1b[0m\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert printed(Terminal()) == "Verdict\n"


def test_json_silences_everything_else(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(as_json=True)
    output.line("x")
    output.table(("a",), [("b",)])
    output.note("x")
    with output.progress() as report:
        report("phase", 1.0)
    output.json({"a": "é\x1b"})
    assert capsys.readouterr() == ('{\n  "a": "\\u00e9\\u001b"\n}\n', "")


def run_phases(report: Callable[[str, float], None]) -> None:
    for phase in ("witness", "commit", "witness"):
        for fraction in (0.0, 0.5, 1.0):
            report(phase, fraction)


def test_progress_off_a_terminal_is_one_line_per_phase(capsys: pytest.CaptureFixture[str]) -> None:
    with Output(as_json=False).progress() as report:
        run_phases(report)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [line.split()[0] for line in captured.err.splitlines()] == ["witness", "commit"]


def test_progress_on_a_terminal_is_a_bar_per_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    with Output(as_json=False).progress() as report:
        run_phases(report)
    assert "witness" in stream.getvalue()
    assert "100%" in stream.getvalue()
