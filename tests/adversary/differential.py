"""Two verifiers, one answer: what the page's JavaScript says of changed files, against what the verifier says.

`python -m tests.adversary.differential --cases 50000 --seed 1`. Each disagreement is a fault in one of the two; it is
printed with what has to be done to a vector (tests/vectors) to see it again.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from tests.adversary.mutate import JsonSeed, change_bytes
from tests.adversary.score import HEADING, Score
from tests.api.web.code import NODE
from tests.vectors.book import Vector, path_of, read, splice
from tests.vectors.node import Node
from tests.vectors.run import Inputs, Outcome, outcome
from verifier.canonical import dumps, loads
from verifier.errors import VerificationError

NAME = "differential"
CASES = {"short": 300, "nightly": 50_000}
BATCH = 50
FEW = {"publication": 5, "proof": 5, "toy-proof": 25}
"""Cases of a batch, for kinds that take long."""
SHOWN_MAX = 20
REFUSED_SHARE = 0.2
"""How many changes start from a file that is refused already: with two faults, both have to name the same one."""
REARRANGED_SHARE, RESTATED_SHARE = 0.3, 0.8
"""How many changes of a publication are of its files as a whole, and how many of a verdict are other figures."""
OTHER_WORDS = ("receipt", "reserves", "log", "log-policy", "publication", "proof", "toy-proof", "verdict")
"""Kinds in which the page gives the same reason, and fields names of its own."""
CHOSEN = ("user_id", "nonce", "index", "params", "relation", "circuit", "fund_value")
"""Inputs that are the caller's own."""
TEXTS = ("policy", "log_proof", "reserves", "reserves.csv")
BINARY = ("proof", "key", "message", "signature")
ODD_LINES = ("", "#", " ", "\t", "log", "quorum none", "index 0", "extra AA==", "— a AAAAAAA=", "9" * 20, "btc,1", "—")
ODD_PIECES = (*" \t\r\0\x7f\x85\xa0\u2028\u3000\ufeff—+=0-,.\n\ud7ffé", "\n\n", "9" * 45, "A", "none", "any", "all")
ODD_CHARACTERS = (
    "\U0001fae9",
    "\u0378",
    "\xad",
    "\u0130",
    "\u03a3",
    "\ua7cb",
    "\U000e0001",
    "\ue000",
    "\x7f",
    "\u3000",
)
"""Of new and of no Unicode, invisible, or with a case of their own."""


@cache
def vectors(kind: str) -> tuple[Sequence[Vector], Sequence[Vector]]:
    """Those that are accepted, and the others. The page knows circuits over one tree hash only."""
    known = [v for v in read(path_of(kind)) if not any(b"poseidon2" in data for data in v.inputs.values())]
    return [v for v in known if v.reason is None], [v for v in known if v.reason is not None]


@cache
def _seed(data: bytes) -> JsonSeed | None:
    """A document with something to change in it; None for any other file."""
    try:
        value = loads(data, len(data))
    except VerificationError:
        return None
    return JsonSeed.of(data) if isinstance(value, dict) and value else None


def changed(name: str, data: bytes, source: random.Random) -> tuple[str, bytes]:
    """What was done to an input, and the input then."""
    data = data or b"\n"
    if name in TEXTS:
        return changed_text(data, source)
    seed = None if name in BINARY or name.endswith(".proof") else _seed(data)
    if seed is None:
        return change_bytes(data, source)
    if source.random() < 0.05:
        return "a character", _with_character(data, source)
    return seed.change(source)


def _with_character(data: bytes, source: random.Random) -> bytes:
    """One more character in some string: of a name, mostly."""
    quotes = [i for i, byte in enumerate(data) if byte == ord('"')]
    at = source.choice(quotes)
    return data[: at + 1] + json.dumps(source.choice(ODD_CHARACTERS))[1:-1].encode() + data[at + 1 :]


def changed_text(data: bytes, source: random.Random) -> tuple[str, bytes]:
    """Other lines, words and characters of a text; at times bytes that are no text."""
    try:
        lines = data.decode().split("\n")
    except UnicodeDecodeError:
        lines = []
    if not lines or source.random() < 0.15:
        return change_bytes(data, source)
    at = source.randrange(len(lines))
    match source.randrange(6):
        case 0:
            lines.insert(at, source.choice((*ODD_LINES, *lines)))
        case 1:
            del lines[at]
        case 2:
            other = source.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        case 3:
            words = lines[at].split(" ")
            place = source.randrange(len(words))
            others: tuple[list[str], ...] = ([], ["0"], ["1"], ["2"], ["64"], words, [words[-1]], [words[place] + "x"])
            words[place : place + 1] = source.choice(others)
            lines[at] = " ".join(words)
        case _:
            line, place = lines[at], source.randrange(len(lines[at]) + 1)
            lines[at] = line[:place] + source.choice(ODD_PIECES) + line[place + source.randrange(2) :]
    return "text", "\n".join(lines).encode()


def restated(data: bytes, source: random.Random) -> bytes:
    """Another statement that obeys its arithmetic: other totals, prices and losses."""
    document = json.loads(data)
    outputs, net = document["outputs"], 0
    sizes = (0, 0, 1, 10**4, 10**9, 2**40, 2**63, 2**80)

    def amount() -> int:
        return source.randrange(source.choice(sizes) + 1)

    for instrument, totals in zip(document["instruments"], outputs["totals"], strict=True):
        if instrument["kind"] != "cost-basis" and source.random() < 0.5:
            instrument["price"] = str(amount() % 2**54)
        buckets = [amount() for _ in totals["buckets"]]
        long, short = sum(buckets) if buckets else amount(), source.choice((0, amount()))
        short = long if instrument["kind"] == "perpetual" and source.random() < 0.7 else short
        totals |= {"buckets": list(map(str, buckets)), "long": str(long), "short": str(short)}
        net += int(instrument["price"]) * (long - short)
    liability = max(0, net) + source.choice((0, amount()))
    outputs |= {"total_liability": str(liability), "total_shortfall": str(liability - net)}
    if outputs["total_margin_deficit"] is not None:
        outputs["total_margin_deficit"] = str(source.choice((0, amount())))
    outputs["losses"] = [{key: str(amount()) for key in loss} for loss in outputs["losses"]]
    document["policy"] = source.choice(("strict", "disclosed"))
    return dumps(document)


def rearranged(inputs: Inputs, source: random.Random) -> tuple[str, dict[str, bytes]]:
    """A file less, one in another's place, or one more."""
    files = dict(inputs)
    names = sorted(name for name in files if name not in CHOSEN)
    one, other = source.choice(names), source.choice(names)
    match source.randrange(3):
        case 0:
            del files[one]
            return f"without {one}", files
        case 1:
            files[one], files[other] = files[other], files[one]
            return f"{one} and {other} exchanged", files
        case _:
            extra = source.choice(
                ("risk.json", "quorum.json", "shards/000001.json", "notes.txt", ".hidden", "log.tlog-proof")
            )
            return f"{extra} added", {**files, extra: files[one]}


def cases(kind: str, source: random.Random) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Endless changes of one kind's vectors: what was done, and the inputs."""
    accepted, refused = vectors(kind)
    while True:
        vector = source.choice(refused if refused and source.random() < REFUSED_SHARE else accepted)
        if kind == "publication" and source.random() < REARRANGED_SHARE:
            what, inputs = rearranged(vector.inputs, source)
            yield f"vector {vector.name!r}, {what}", inputs
            continue
        if kind == "verdict" and source.random() < RESTATED_SHARE:
            data = restated(vector.inputs["statement"], source)
            yield f"vector {vector.name!r}, restated: {data!r}", {**vector.inputs, "statement": data}
            continue
        names = [name for name in vector.inputs if name not in CHOSEN and len(vector.inputs[name]) < 2**18]
        if kind != "statement":
            names = [name for name in names if name != "statement"] + (["statement"] if source.random() < 0.1 else [])
        if not (names := [name for name in names if name in vector.inputs]):
            continue
        name = source.choice(names)
        what, data = changed(name, vector.inputs[name], source)
        at, cut, put = splice(vector.inputs[name], data)
        done = f"at {at} cut {cut} put {put[:200]!r}{'...' if len(put) > 200 else ''}"
        yield f"vector {vector.name!r}, {name}, {what}: {done}", {**vector.inputs, name: data}


def agree(kind: str, python: Outcome | str, javascript: Mapping[str, Any]) -> bool:
    """Whether the two say the same; `python` is text where another exception came out."""
    if isinstance(python, str) or "foreign" in javascript:
        return False
    read = json.loads(json.dumps(python.value))
    if (python.reason, read) != (javascript["reason"], javascript["value"]):
        return False
    return kind in OTHER_WORDS or python.field == javascript["field"]


def warn(line: str) -> None:
    """On standard error, beside a table of results."""
    print(line, file=sys.stderr)


def ours(kind: str, inputs: Inputs) -> Outcome | str:
    """The verifier's outcome; text where anything else than a refusal comes out."""
    try:
        return outcome(kind, inputs)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def compare(count: int, seed: int, kinds: Sequence[str] = (), say: Callable[[str], object] = warn) -> Score:
    """Compare `count` changed cases, in turn of every kind that both know.

    Returns:
        accepted: disagreements; foreign: exceptions that are no refusals, of either side.
    """
    started, notes = time.monotonic(), Counter[str]()
    tried = found = foreign = 0
    with Node() as node:
        streams = {kind: cases(kind, random.Random(f"{seed} {kind}")) for kind in kinds or node.kinds}
        while tried < count:
            for kind, stream in streams.items():
                batch = [next(stream) for _ in range(min(FEW.get(kind, BATCH), count - tried))]
                tried += len(batch)
                notes[f"{kind} tried"] += len(batch)
                answers = node.outcomes(kind, [inputs for _, inputs in batch])
                for (change, inputs), javascript in zip(batch, answers, strict=True):
                    python = ours(kind, inputs)
                    notes[str(python if isinstance(python, str) else python.reason or "both accept")] += 1
                    foreign += isinstance(python, str) + ("foreign" in javascript)
                    if not agree(kind, python, javascript):
                        found += 1
                        if found <= SHOWN_MAX:
                            say(f"seed {seed}, {kind}, {change}\n  python {python}\n  node   {javascript}")
    return Score(NAME, tried, found, foreign, time.monotonic() - started, seed, notes)


def run(size: str, seed: int) -> list[Score]:
    """The part of `python -m tests.adversary`; nothing where node is not installed."""
    return [compare(CASES[size], seed)] if NODE else []


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.adversary.differential", description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES["nightly"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", action="append", default=[], help="only this one; may be given again")
    options = parser.parse_args()
    score = compare(options.cases, options.seed, options.kind)
    print(json.dumps(score.notes, indent=1), HEADING, score.line(), sep="\n")
    return int(not score.clean)


if __name__ == "__main__":
    sys.exit(main())
