"""Several shards: their documents, how they add up, and where a user's shard stands."""

from __future__ import annotations

import hashlib
import pickle
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from tests.verifier.small_tree import Builder, Publication, edited, publication, words
from verifier.errors import BadStatement, NotIncluded, Reason, VerificationError
from verifier.inclusion import check_bundle
from verifier.opening import check_opening
from verifier.shards import Place, Shard, Sum, check_shards, parent, parse_shard, seal, top_paths, top_sides, top_sum
from verifier.solvency import OUTPUT_END
from verifier.statement import SHARDS_MAX

COUNT = 6


@cache
def several(own: int = 3) -> Publication:
    return Builder(random.Random(20261126), shards=COUNT, own=own).build(publication().accounts)


def leaves(count: int) -> list[Sum]:
    return [Sum(hashlib.sha256(bytes([i])).digest(), 3**i % OUTPUT_END) for i in range(count)]


def refused(run: Callable[[], object]) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        run()
    return caught.value


def test_shards_add_up_to_the_statement() -> None:
    small = several()
    check_shards(small.statement, small.shards)
    assert small.statement.outputs != small.shard.outputs
    assert [parse_shard(s.to_bytes(), small.statement, i) for i, s in enumerate(small.shards)] == list(small.shards)


@pytest.mark.parametrize("count", range(1, 20))
def test_the_top_tree_has_the_shape_of_rfc_6962(count: int) -> None:
    """Written out the other way round: each leaf's path leads to the root, on the sides that its number says."""
    nodes = leaves(count)
    root = top_sum(nodes)
    assert root.value == sum(leaf.value for leaf in nodes) % OUTPUT_END
    for index, leaf in enumerate(nodes):
        path = top_paths(nodes)[index]
        assert tuple(side for side, _ in path) == top_sides(index, count)
        node = leaf
        for side, sibling in path:
            node = parent(node, sibling) if side == "right" else parent(sibling, node)
        assert node == root


def test_a_tree_of_three_is_written_out() -> None:
    a, b, c = leaves(3)

    def packed(node: Sum) -> bytes:
        return node.digest + node.value.to_bytes(16, "little")

    left = Sum(hashlib.sha256(b"\1" + packed(a) + packed(b)).digest(), a.value + b.value)
    root = Sum(hashlib.sha256(b"\1" + packed(left) + packed(c)).digest(), left.value + c.value)
    assert top_sum([a, b, c]) == root
    assert seal(root, 3) == hashlib.sha256(b"\2" + (3).to_bytes(4, "little") + packed(root)).digest()


def test_a_leaf_is_written_out() -> None:
    shard = several().shard
    leaf = shard.place(0)
    root = b"".join(word.to_bytes(4, "little") for word in shard.root)
    document = hashlib.sha256(shard.to_bytes()).digest()
    preimage = b"\0" + (3).to_bytes(4, "little") + root + shard.outputs[0].to_bytes(16, "little") + document
    assert leaf.sum.digest == hashlib.sha256(preimage).digest()


CHANGES: dict[str, tuple[Callable[[list[Shard]], Sequence[Shard]], Reason]] = {
    "dropped": (lambda s: s[:-1], Reason.SHARDS),
    "one more": (lambda s: [*s, s[0]], Reason.SHARDS),
    "another's masks": (lambda s: [*s[:-1], replace(s[-1], mask_out=s[0].mask_out)], Reason.SHARDS),
    "masks of nobody": (lambda s: [replace(s[0], mask_in=(1,) * 8), *s[1:]], Reason.SHARDS),
    "reordered": (lambda s: [s[1], s[0], *s[2:]], Reason.SHARDS),
    "duplicated": (lambda s: [s[0], s[0], *s[2:]], Reason.SHARDS),
    "a total too high": (lambda s: [with_output(s[0], 0, 1), *s[1:]], Reason.ARITHMETIC),
    "a liability moved": (lambda s: [with_output(s[0], -1, 1), with_output(s[1], -1, -1), *s[2:]], Reason.SHARDS),
    "a total moved": (lambda s: [with_output(s[0], 0, 1), with_output(s[1], 0, -1), *s[2:]], Reason.SHARDS),
    "another tree": (lambda s: [replace(s[0], root=(1,) * 8), *s[1:]], Reason.SHARDS),
    "renumbered": (lambda s: [replace(s[0], index=1), *s[1:]], Reason.SHARDS),
}


def with_output(shard: Shard, number: int, more: int) -> Shard:
    outputs = list(shard.outputs)
    outputs[number] = (outputs[number] + more) % OUTPUT_END
    return replace(shard, outputs=tuple(outputs))


@pytest.mark.negative
@pytest.mark.parametrize("change", CHANGES)
def test_shards_that_do_not_add_up(change: str) -> None:
    edit, reason = CHANGES[change]
    small = several()
    error = refused(lambda: check_shards(small.statement, edit(list(small.shards))))
    assert error.reason is reason
    assert isinstance(error, BadStatement)


@pytest.mark.negative
def test_one_shard_has_nothing_to_mask() -> None:
    """Its totals then rest on no collision of the tree hash: the circuit adds no mask, and the document shows none."""
    small = publication()
    check_shards(small.statement, small.shards)
    masked = replace(small.shard, mask_in=(1,) * 8, mask_out=(1,) * 8)
    statement = replace(small.statement, root=seal(masked.place(small.statement.liability_output).sum, 1))
    with pytest.raises(BadStatement, match="nothing to mask") as caught:
        check_shards(statement, [masked])
    assert caught.value.reason is Reason.SHARDS


@pytest.mark.negative
def test_a_root_over_fewer_shards_than_the_statement_says() -> None:
    """Masks cancel, sums fit, and the root is sealed with the number of the statement."""
    small = several()
    leaves = [shard.place(small.statement.liability_output).sum for shard in small.shards]
    statement = replace(small.statement, shards=COUNT + 1, root=seal(top_sum(leaves), COUNT + 1))
    with pytest.raises(BadStatement, match=f"{COUNT + 1} shards") as caught:
        check_shards(statement, small.shards)
    assert caught.value.reason is Reason.SHARDS


@pytest.mark.negative
def test_a_shard_in_the_place_of_another() -> None:
    """A root over shards 3 and 2 in each other's places: the path leads there, on the sides of the other number."""
    leaves = [shard.place(0) for shard in several().shards]
    leaves[2], leaves[3] = leaves[3], leaves[2]
    nodes = [leaf.sum for leaf in leaves]
    place = Place(leaves[2], top_paths(nodes)[2])
    assert place.leaf.index == 3
    with pytest.raises(NotIncluded, match="sides of shard 3") as caught:
        place.check("bundle", seal(top_sum(nodes), COUNT), COUNT)
    assert caught.value.reason is Reason.PATH


DOCUMENTS: dict[str, tuple[Callable[[Any], object], Reason]] = {
    "another statement's": (lambda d: d.update(header="00" * 32), Reason.STATEMENT_MISMATCH),
    "another shard's": (lambda d: d.update(shard=2), Reason.STATEMENT_MISMATCH),
    "an output missing": (lambda d: d.update(outputs=d["outputs"][:-32]), Reason.MALFORMED),
    "an output too many": (lambda d: d.update(outputs=d["outputs"] + "00" * 16), Reason.MALFORMED),
    "a word above p": (lambda d: d.update(root="ffffff7f" + d["root"][8:]), Reason.NON_CANONICAL),
    "a mask word above p": (lambda d: d.update(mask_in="ffffff7f" + d["mask_in"][8:]), Reason.NON_CANONICAL),
    "a mask digest too short": (lambda d: d.update(mask_out=d["mask_out"][8:]), Reason.MALFORMED),
    "a key too many": (lambda d: d.update(more=1), Reason.MALFORMED),
    "another format": (lambda d: d.update(format="solvent/shard/v2"), Reason.UNKNOWN_VERSION),
}


@pytest.mark.negative
@pytest.mark.parametrize("change", DOCUMENTS)
def test_documents_that_are_refused(change: str) -> None:
    edit, reason = DOCUMENTS[change]
    small = several()
    data = edited(small.shard.to_bytes(), edit)
    assert refused(lambda: parse_shard(data, small.statement, 3)).reason is reason


def test_every_account_of_a_shard_is_included() -> None:
    small = several()
    for index in range(len(small.accounts)):
        report = check_bundle(small.bundle(index), small.statement)
        assert report.steps[-1].detail == f"shard 3 of {COUNT} stands under {small.statement.root.hex()}"
    assert check_opening(small.opening(2, 0), small.statement).shard == 3


PLACES: dict[str, tuple[Callable[[Any], object], Reason]] = {
    "another shard": (lambda p: p.update(index=2), Reason.PATH),
    "a shard beyond": (lambda p: p.update(index=COUNT), Reason.PATH),
    "another root": (lambda p: p.update(root="01000000" + p["root"][8:]), Reason.PATH),
    "another sum": (lambda p: p.update(sum="01" + p["sum"][2:]), Reason.PATH),
    "another document": (lambda p: p.update(document="00" * 32), Reason.PATH),
    "a sibling's sum": (lambda p: p["top"][1].update(sum="00" * 16), Reason.PATH),
    "a sibling's digest": (lambda p: p["top"][2].update(digest="00" * 32), Reason.PATH),
    "the other side": (lambda p: p["top"][0].update(side="right"), Reason.PATH),
    "no side": (lambda p: p["top"][0].update(side="up"), Reason.PATH),
    "a step less": (lambda p: p["top"].pop(), Reason.PATH_LENGTH),
    "a step more": (lambda p: p["top"].append(p["top"][0]), Reason.PATH_LENGTH),
    "far too many steps": (lambda p: p["top"].extend(p["top"] * 9), Reason.PATH_LENGTH),
}


@pytest.mark.negative
@pytest.mark.parametrize("change", PLACES)
def test_places_that_are_refused(change: str) -> None:
    edit, reason = PLACES[change]
    small = several()
    data = edited(small.bundle(7), lambda d: edit(d["shard"]))
    error = refused(lambda: check_bundle(data, small.statement))
    assert error.reason is reason
    assert isinstance(error, NotIncluded)
    opening = edited(small.opening(1, 0), lambda d: edit(d["shard"]))
    assert refused(lambda: check_opening(opening, small.statement)).reason in (reason, Reason.OPENING)


@pytest.mark.negative
@pytest.mark.parametrize("index", [-1, SHARDS_MAX])
def test_numbers_that_no_shard_has(index: int) -> None:
    data = edited(several().bundle(7), lambda d: d["shard"].update(index=index))
    assert refused(lambda: check_bundle(data, several().statement)).reason is Reason.MALFORMED


@pytest.mark.negative
def test_a_bundle_under_a_shard_that_is_not_there() -> None:
    """A path within a tree is not enough: the tree has to be one of the statement's shards."""
    small, source = several(), random.Random(1)
    shards = list(small.shards)
    shards[2] = replace(shards[2], root=words(source, 8))
    place = Place.all(shards, small.statement.liability_output)[3]
    assert refused(lambda: check_bundle(small.bundle(1, place=place), small.statement)).reason is Reason.PATH


def test_errors_travel_between_processes() -> None:
    small = several()
    error = refused(lambda: parse_shard(b"{}\n", small.statement, 0))
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.reason, again.where) == (type(error), str(error), error.reason, error.where)


def test_a_place_comes_back_from_its_data(small: Publication) -> None:
    place = small.place
    last = replace(place, leaf=replace(place.leaf, index=SHARDS_MAX - 1))
    assert Place.from_data(place.data()) == place and Place.from_data(last.data()) == last
