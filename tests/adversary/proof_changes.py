"""Changes to proof files that know where roots, nonces, openings, layers, salts and multiproofs are."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple

from tests.adversary.mutate import Change, change_bytes
from verifier.encoding import pack_exts
from verifier.field import ext_zero
from verifier.hashing import DIGEST_BYTES, SALT_BYTES
from verifier.proof import MAGIC, TREES, Opening, Proof


class Section(NamedTuple):
    """A part of a proof file; several have the same name."""

    name: str
    start: int
    end: int


def sections(proof: Proof) -> list[Section]:
    """All parts in the order of the file, without gaps; circuits without extension columns have some of no bytes."""
    parts = [("magic", len(MAGIC)), ("base root", DIGEST_BYTES), ("lookup nonce", 8), ("lookup root", DIGEST_BYTES)]
    parts += [("constraint nonce", 8), ("quotient root", DIGEST_BYTES), ("zeta nonce", 8)]
    parts += [("openings", len(pack_exts(proof.openings))), ("batching nonce", 8)]
    parts += [("fri roots", DIGEST_BYTES), ("fri nonces", 8)] * len(proof.fri_roots)
    parts += [("fri final", len(pack_exts(proof.final))), ("query nonce", 8), ("positions", 4)]
    for name, tree in zip(TREES, proof.trees, strict=True):
        parts += _opening(f"{name} tree", tree)
    for layer in proof.layers:
        parts += [("layer leaves", 4), *_opening("layer", layer)]
    found, at = [], 0
    for name, size in parts:
        found.append(Section(name, at, at + size))
        at += size
    return found


def _opening(name: str, opening: Opening) -> list[tuple[str, int]]:
    parts: list[tuple[str, int]] = []
    for message in opening.messages:
        parts += [(f"{name} salts", SALT_BYTES), (f"{name} rows", len(message) - SALT_BYTES)]
    return [*parts, (f"{name} count", 4), *[(f"{name} digests", DIGEST_BYTES)] * len(opening.siblings)]


def change_section(data: bytes, parts: Sequence[Section], source: random.Random) -> Change:
    """One part changed; every kind of part is as likely as any other."""
    parts = [part for part in parts if part.end > part.start]
    name = source.choice(sorted({part.name for part in parts}))
    part = source.choice([part for part in parts if part.name == name])
    made = change_bytes(data[part.start : part.end], source, same_length=source.random() < 0.8)
    return Change(f"{name}: {made.name}", data[: part.start] + made.data + data[part.end :])


Kind = Callable[[Proof, Proof, random.Random], Proof]


def _with(proof: Proof, name: str, value: Any) -> Proof:
    changed: dict[str, Any] = {name: value}
    return replace(proof, **changed)


def _taken(proof: Proof, other: Proof, source: random.Random) -> Proof:
    """One to three fields of another honest proof."""
    names = source.sample([field.name for field in fields(proof)], source.choice((1, 2, 3)))
    return replace(proof, **{name: getattr(other, name) for name in names})


def _tail(proof: Proof, other: Proof, source: random.Random) -> Proof:
    """Everything from some step on is another proof's."""
    names = [field.name for field in fields(proof)]
    return replace(proof, **{name: getattr(other, name) for name in names[source.randrange(1, len(names)) :]})


def _roots(proof: Proof, _: Proof, source: random.Random) -> Proof:
    roots = [proof.base_root, proof.lookup_root, proof.quotient_root, *proof.fri_roots]
    one, other = source.sample(range(len(roots)), 2)
    roots[one], roots[other] = (roots[other], roots[one]) if source.random() < 0.5 else (roots[other], roots[other])
    base, lookup, quotient, *layers = roots
    return replace(proof, base_root=base, lookup_root=lookup, quotient_root=quotient, fri_roots=tuple(layers))


def _nonces(proof: Proof, _: Proof, source: random.Random) -> Proof:
    name = source.choice(("lookup_nonce", "constraint_nonce", "zeta_nonce", "batching_nonce", "query_nonce"))
    return replace(proof, **{name: getattr(proof, name) ^ source.choice((1, 2**8, 2**32, 2**63))})


def _elements(proof: Proof, _: Proof, source: random.Random) -> Proof:
    name = source.choice(("openings", "final"))
    values = list(getattr(proof, name))
    one, other = source.sample(range(len(values)), 2)
    what = source.choice(("exchange", "zero", "rotate", "drop", "add"))
    if what == "exchange":
        values[one], values[other] = values[other], values[one]
    elif what == "zero":
        values[one] = ext_zero
    elif what == "rotate":
        values[one] = (*values[one][1:], values[one][0])
    elif what == "drop":
        del values[one]
    else:
        values.append(ext_zero)
    return _with(proof, name, tuple(values))


def _tree_exchange(proof: Proof, _: Proof, source: random.Random) -> Proof:
    name = source.choice(("trees", "layers"))
    items = list(getattr(proof, name))
    one, other = source.sample(range(len(items)), 2) if len(items) > 1 else (0, 0)
    items[one], items[other] = items[other], items[one]
    return _with(proof, name, tuple(items))


def _one_opening(proof: Proof, other: Proof, source: random.Random) -> Proof:
    """Leaves or digests of one tree in another order, twice, left out, or those of another proof."""
    name = source.choice(("trees", "layers"))
    openings, donors = list(getattr(proof, name)), getattr(other, name)
    at, part = source.randrange(len(openings)), source.choice(("messages", "siblings"))
    items, donated = list(getattr(openings[at], part)), getattr(donors[at], part)
    openings[at] = replace(openings[at], **{part: tuple(_rearranged(items, donated, source))})
    return _with(proof, name, tuple(openings))


def _rearranged(items: list[Any], donated: Sequence[Any], source: random.Random) -> list[Any]:
    if not items:
        return list(donated)
    one, other = source.randrange(len(items)), source.randrange(len(items))
    what = source.choice(("exchange", "drop", "repeat", "copy", "take", "take all"))
    if what == "exchange":
        items[one], items[other] = items[other], items[one]
    elif what == "drop":
        del items[one]
    elif what == "repeat":
        items.insert(other, items[one])
    elif what == "copy":
        items[one] = items[other]
    elif what == "take" and donated:
        items[one] = donated[one % len(donated)]
    else:
        items = list(donated)
    return items


def _one_position_less(proof: Proof, _: Proof, source: random.Random) -> Proof:
    """The same leaf left out of all three trees, or in all of them twice."""
    at, twice = source.randrange(len(proof.trees[0].messages)), source.random() < 0.5
    trees = []
    for tree in proof.trees:
        kept = list(tree.messages)
        if twice:
            kept.insert(at, kept[at])
        else:
            del kept[at]
        trees.append(replace(tree, messages=tuple(kept)))
    return replace(proof, trees=tuple(trees))


KINDS: Sequence[tuple[str, Kind]] = (
    ("fields of another proof", _taken),
    ("the end of another proof", _tail),
    ("roots", _roots),
    ("nonces", _nonces),
    ("elements", _elements),
    ("trees exchanged", _tree_exchange),
    ("leaves or digests", _one_opening),
    ("positions", _one_position_less),
)


def change_proof(proof: Proof, other: Proof, source: random.Random) -> Change:
    """A file that is put together like a proof, from parts of two honest ones."""
    name, kind = source.choice(KINDS)
    return Change(name, kind(proof, other, source).to_bytes())
