"""`solvent bench --plots`: pictures of benchmark results, the same bytes for the same results."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from api.cli.bench_result import ACCOUNTS, ENTRIES, Point, read_result
from api.cli.output import ACCEPTED, Output
from prover.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GREY: Final = "#757b83"
PROVE: Final = "#2f7fd0"
VERIFY: Final = "#c2620a"
"""Mid tones on a transparent ground: each stands out from white and from a dark page alike (a test computes it)."""
SIZE_INCHES: Final = (7.2, 4.2)
STYLE: Final[dict[Any, Any]] = {
    "svg.hashsalt": "solvent",  # element ids by content, not by chance
    "svg.fonttype": "none",  # text stays text: small, and searchable
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GREY,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), GREY),
}
Result = dict[str, Any]


def run_plots(folder: Path | None, results: Sequence[Path], output: Output) -> int:
    """`solvent bench --plots`; see there. A folder that does not exist is made, older plots are replaced.

    Raises:
        InputError: a result is none or its proofs were not verified, or there is nothing to draw.
    """
    if folder is None or not results:
        missing = "--plots" if folder is None else "RESULT"
        raise InputError(field=missing, expected="solvent bench --plots DIR RESULT.json...")
    by_kind: dict[str, Result] = {}
    for path in results:
        result = read_result(path)
        if by_kind.setdefault(result["kind"], result) is not result:
            raise InputError(file=path, got=f"a second result of kind {result['kind']}", expected="one of each kind")
    try:
        drawn = {name: _svg(by_kind[kind], draw) for name, (kind, draw) in PLOTS.items() if kind in by_kind}
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        got = f"something that cannot be drawn ({type(error).__name__}: {error})"
        raise InputError(file=results[0], got=got, expected="results as docs/benchmarks.md describes them") from None
    if not drawn:
        expected = "a result of --sweep accounts or --sweep entries"
        raise InputError(file=results[0], got=f"kind {next(iter(by_kind))}", expected=expected)
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in drawn.items():
        (folder / name).write_bytes(data)
    output.json({"verdict": "drawn", "plots": [str(folder / name) for name in drawn]})
    for name in drawn:
        output.line(str(folder / name))
    return ACCEPTED


def caption(result: Result) -> str:
    """Machine, versions and parameters in two lines."""
    machine, versions, parameters = result["machine"], result["versions"], result["parameters"]
    vectors = "AVX-512" if "avx512f" in machine["flags"] else "AVX2" if "avx2" in machine["flags"] else "no AVX2"
    commit = "" if versions["commit"] is None else f" ({versions['commit'][:10]}{'+' if versions['modified'] else ''})"
    lines = (
        f"{machine['cpu']}, {machine['cores']} cores, {vectors}, {machine['memory_bytes'] / 2**30:.0f} GiB, "
        f"{'.'.join(machine['system'].split('.')[:2])}",
        f"solvent {versions['solvent']}{commit}, {versions['python']}, Numba {versions['numba']}, "
        f"profile {parameters['profile']}, median of {parameters['runs']}, {result['measured'][:10]}",
    )
    return "\n".join(lines).replace("$", r"\$")  # which would begin a formula


def shown(value: float) -> str:
    """Three digits that count, and never an exponent."""
    decimals = max(0, 2 - math.floor(math.log10(value))) if value > 0 else 0
    return f"{round(value, decimals):.{min(decimals, 3)}f}"


def draw_accounts(axes: Axes, points: Sequence[Point]) -> None:
    """Seconds to prove and to verify against the number of accounts."""
    accounts = [point["accounts"] for point in points]
    for name, colour in (("prove", PROVE), ("verify", VERIFY)):
        seconds = [point[f"{name}_seconds"] for point in points]
        axes.plot(accounts, seconds, "o-", color=colour, label=name)
        for x, y in zip(accounts, seconds, strict=True):
            _label(axes, f"{shown(y)} s", x, y, colour)
    axes.set(xscale="log", yscale="log", xlabel="accounts", ylabel="time (seconds)")
    axes.margins(x=0.1, y=0.15)
    axes.set_title(f"Proving and verifying, {points[0]['entries_per_account']} entries per account")
    axes.legend(loc="upper left")


def draw_entries(axes: Axes, points: Sequence[Point]) -> None:
    """Microseconds an account against its entries."""
    entries = [point["entries_per_account"] for point in points]
    cost = [1e6 * point["prove_seconds"] / point["accounts"] for point in points]
    axes.plot(entries, cost, "o-", color=PROVE)
    for x, y in zip(entries, cost, strict=True):
        _label(axes, f"{shown(y)} µs", x, y, PROVE)
    axes.set(xscale="log", yscale="log", xlabel="entries per account", ylabel="proving time per account (µs)")
    axes.set_xticks(entries, [str(each) for each in entries])
    axes.minorticks_off()
    axes.margins(x=0.1, y=0.15)
    axes.set_title("Proving, by entries per account")


def draw_phases(axes: Axes, points: Sequence[Point]) -> None:
    """Where the time of the largest point goes."""
    largest = max(points, key=lambda point: point["accounts"])
    phases = {name: taken for name, taken in largest["phase_seconds"].items() if name not in ("compile", "shards")}
    cost = [1e6 * taken / largest["accounts"] for taken in phases.values()]
    bars = axes.barh(list(phases), cost, color=PROVE)
    axes.bar_label(bars, [shown(each) for each in cost], padding=4, color=GREY)
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.margins(x=0.1)
    axes.set(xlabel="time per account (µs), all processes added", ylabel="phase")
    axes.set_title(f"Phases of proving {largest['accounts']:,} accounts")


PLOTS: Final[dict[str, tuple[str, Callable[[Axes, Sequence[Point]], None]]]] = {
    "accounts.svg": (ACCOUNTS, draw_accounts),
    "entries.svg": (ENTRIES, draw_entries),
    "phases.svg": (ACCOUNTS, draw_phases),
}
"""File names, the kind of result that each is drawn from, and how."""


def _label(axes: Axes, text: str, x: float, y: float, colour: str) -> None:
    """Above and left of a point: lines rise to the right."""
    axes.annotate(text, (x, y), (2, 7), textcoords="offset points", ha="right", color=colour)


def _svg(result: Result, draw: Callable[[Axes, Sequence[Point]], None]) -> bytes:
    import io

    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(SIZE_INCHES, layout="constrained")
        draw(figure.add_subplot(), result["points"])
        figure.supxlabel(caption(result), fontsize=7, color=GREY)
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return stream.getvalue()
