"""RFC 6962: the published vectors, and every proof of small trees against a tree built by the RFC's words."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifier.errors import BadLog, Reason, VerificationError
from verifier.log.tiles import Tile, Tiles, newest_tiles, pack_entries, tiles_of, unpack_entries
from verifier.log.tree import EMPTY_ROOT, check_consistency, check_inclusion, leaf_hash, node_hash

VECTORS = json.loads((Path(__file__).parent / "rfc6962_vectors.json").read_text())
# The tree of the certificate-transparency project's own tests: entries, and the root after each of them.
CT_ENTRIES = [
    bytes.fromhex(entry)
    for entry in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
CT_ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)

NO_DIGESTS = ("consistency/additional/sizes-are-equal-one-and-proof-is-empty",)
"""A vector that is good elsewhere, but whose roots are no digests of 32 bytes: ours is stricter."""


def root_of(entries: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, word by word."""
    if not entries:
        return EMPTY_ROOT
    if len(entries) == 1:
        return leaf_hash(entries[0])
    k = 1
    while 2 * k < len(entries):
        k *= 2
    return node_hash(root_of(entries[:k]), root_of(entries[k:]))


def audit_path(m: int, entries: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 6962, section 2.1.1."""
    if len(entries) == 1:
        return []
    k = 1
    while 2 * k < len(entries):
        k *= 2
    if m < k:
        return [*audit_path(m, entries[:k]), root_of(entries[k:])]
    return [*audit_path(m - k, entries[k:]), root_of(entries[:k])]


def subproof(m: int, entries: Sequence[bytes], whole: bool = True) -> list[bytes]:
    """SUBPROOF of RFC 6962, section 2.1.2."""
    if m == len(entries):
        return [] if whole else [root_of(entries)]
    k = 1
    while 2 * k < len(entries):
        k *= 2
    if m <= k:
        return [*subproof(m, entries[:k], whole), root_of(entries[k:])]
    return [*subproof(m - k, entries[k:], False), root_of(entries[:k])]


def entries_of(count: int) -> list[bytes]:
    return [b"entry %d" % i for i in range(count)]


def files_of(entries: Sequence[bytes]) -> dict[str, bytes]:
    """Every tile of every size up to this one, made from the entries alone."""
    files = {}
    for size in range(1, len(entries) + 1):
        for tile in newest_tiles(size):
            first = tile.index * 256
            if tile.level is None:
                files[tile.path] = pack_entries(entries[first : first + tile.width])
            else:
                span = 256**tile.level
                roots = [root_of(entries[i * span : (i + 1) * span]) for i in range(first, first + tile.width)]
                files[tile.path] = b"".join(roots)
    return files


def decoded(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def proof_of(vector: dict[str, Any]) -> list[bytes]:
    return [decoded(digest) for digest in vector["proof"] or []]


@pytest.mark.parametrize("vector", VECTORS["inclusion"], ids=lambda vector: vector["name"])
def test_published_inclusion_proofs(vector: dict[str, Any]) -> None:
    leaf, root, proof = decoded(vector["leafHash"]), decoded(vector["root"]), proof_of(vector)
    if not vector["wantErr"]:
        check_inclusion(leaf, vector["leafIdx"], vector["treeSize"], proof, root)
        return
    with pytest.raises(BadLog) as caught:
        check_inclusion(leaf, vector["leafIdx"], vector["treeSize"], proof, root)
    assert caught.value.reason is Reason.LOG_INCLUSION


@pytest.mark.parametrize("vector", VECTORS["consistency"], ids=lambda vector: vector["name"])
def test_published_consistency_proofs(vector: dict[str, Any]) -> None:
    old, new = decoded(vector["root1"]), decoded(vector["root2"])
    if not vector["wantErr"] and vector["name"] not in NO_DIGESTS:
        check_consistency(vector["size1"], old, vector["size2"], new, proof_of(vector))
        return
    with pytest.raises(BadLog) as caught:
        check_consistency(vector["size1"], old, vector["size2"], new, proof_of(vector))
    assert caught.value.reason is Reason.LOG_CONSISTENCY


def test_published_hashes() -> None:
    assert EMPTY_ROOT.hex() == CT_ROOTS[0]
    assert leaf_hash(b"L123456").hex() == "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"
    assert node_hash(b"N123", b"N456").hex() == "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"
    files = files_of(CT_ENTRIES)
    for size, root in enumerate(CT_ROOTS):
        assert Tiles(files.__getitem__, size).root().hex() == root
        assert root_of(CT_ENTRIES[:size]).hex() == root


def test_every_proof_of_small_trees() -> None:
    entries = entries_of(17)
    files = files_of(entries)
    for size in range(1, len(entries) + 1):
        tiles, root = Tiles(files.__getitem__, size), root_of(entries[:size])
        assert tiles.root() == root
        assert tiles.consistency(0) == []
        for index in range(size):
            proof = tiles.inclusion(index)
            assert proof == audit_path(index, entries[:size])
            check_inclusion(leaf_hash(entries[index]), index, size, proof, root)
            for other in range(size):
                if other != index:
                    with pytest.raises(BadLog):
                        check_inclusion(leaf_hash(entries[index]), other, size, proof, root)
        for old in range(1, size + 1):
            proof = tiles.consistency(old)
            assert proof == subproof(old, entries[:size])
            check_consistency(old, root_of(entries[:old]), size, root, proof)
            for wrong in range(1, size + 1):
                if wrong != old:
                    with pytest.raises(BadLog):
                        check_consistency(wrong, root_of(entries[:old]), size, root, proof)


@pytest.mark.negative
def test_both_roots_are_compared() -> None:
    entries = entries_of(17)
    files = files_of(entries)
    for size in range(1, len(entries) + 1):
        tiles = Tiles(files.__getitem__, size)
        for old in range(1, size + 1):
            for roots in ((bytes(32), tiles.root()), (root_of(entries[:old]), bytes(32))):
                with pytest.raises(BadLog) as caught:
                    check_consistency(old, roots[0], size, roots[1], tiles.consistency(old))
                assert caught.value.reason is Reason.LOG_CONSISTENCY


@given(st.data())
def test_proofs_across_tiles(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, len(LARGE)))
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    tiles = Tiles(LARGE_FILES.__getitem__, size)
    root = tiles.root()
    assert root == root_of(LARGE[:size])
    assert tiles.inclusion(index) == audit_path(index, LARGE[:size])
    check_inclusion(leaf_hash(LARGE[index]), index, size, tiles.inclusion(index), root)
    check_consistency(old, root_of(LARGE[:old]), size, root, tiles.consistency(old))
    assert tiles.entries(index // 256)[index % 256] == LARGE[index]


@given(st.data())
def test_a_changed_proof_is_refused(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 40))
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size - 1))
    tiles = Tiles(LARGE_FILES.__getitem__, size)
    checks: list[tuple[list[bytes], Callable[[list[bytes]], None]]] = [
        (tiles.inclusion(index), lambda p: check_inclusion(leaf_hash(LARGE[index]), index, size, p, tiles.root())),
        (tiles.consistency(old), lambda p: check_consistency(old, root_of(LARGE[:old]), size, tiles.root(), p)),
    ]
    for proof, check in checks:
        check(proof)
        place = data.draw(st.integers(0, len(proof) - 1))
        flipped = bytes([proof[place][0] ^ 1 << data.draw(st.integers(0, 7))]) + proof[place][1:]
        changed = [[*proof[:place], flipped, *proof[place + 1 :]], proof[:place] + proof[place + 1 :]]
        changed += [[*proof, proof[place]], [*proof[:place], proof[place][:31], *proof[place + 1 :]]]
        for other in changed:
            with pytest.raises(BadLog):
                check(other)


@pytest.mark.parametrize(("index", "size"), [(-1, 4), (4, 4), (0, 0), (0, -1), (0, 2**63), (2**64, 2**63 - 1)])
def test_impossible_places_are_refused(index: int, size: int) -> None:
    with pytest.raises(BadLog) as caught:
        check_inclusion(EMPTY_ROOT, index, size, [], EMPTY_ROOT)
    assert caught.value.reason is Reason.LOG_INCLUSION


@pytest.mark.negative
def test_an_index_at_the_size_is_refused_even_where_the_path_leads_to_the_root() -> None:
    leaf, sibling = leaf_hash(b""), bytes(32)
    root = node_hash(sibling, node_hash(node_hash(leaf, sibling), sibling))
    with pytest.raises(BadLog, match="an index below the size 4"):
        check_inclusion(leaf, 4, 4, [sibling] * 3, root)


@pytest.mark.negative
@pytest.mark.parametrize("data", [b"", bytes(63), bytes(65), bytes(96)])
def test_a_tile_has_as_many_hashes_as_its_width(data: bytes) -> None:
    with pytest.raises(VerificationError, match="64 bytes") as caught:
        Tiles(lambda path: data, 2).root()
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize(
    ("old", "old_root", "new"),
    [(-1, EMPTY_ROOT, 4), (5, EMPTY_ROOT, 4), (0, leaf_hash(b""), 4), (1, EMPTY_ROOT, 2**63), (2, leaf_hash(b""), 2)],
)
def test_impossible_histories_are_refused(old: int, old_root: bytes, new: int) -> None:
    with pytest.raises(BadLog) as caught:
        check_consistency(old, old_root, new, EMPTY_ROOT, [])
    assert caught.value.reason is Reason.LOG_CONSISTENCY


def test_nothing_is_a_prefix_of_everything() -> None:
    check_consistency(0, EMPTY_ROOT, 7, bytes(32), [])
    check_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, [])


def test_tile_paths_are_those_of_the_specification() -> None:
    assert Tile(0, 1234067, 256).path == "tile/0/x001/x234/067"
    assert Tile(None, 0, 256).path == "tile/entries/000"
    assert Tile(3, 999, 7).path == "tile/3/999.p/7"
    assert Tile(1, 1000, 1).path == "tile/1/x001/000.p/1"


def test_a_tree_of_70000_has_the_tiles_of_the_specification() -> None:
    tiles = list(tiles_of(70_000))
    assert sum(tile.level == 0 and tile.width == 256 for tile in tiles) == 273
    assert Tile(0, 273, 112) in tiles
    assert [tile for tile in tiles if tile.level == 1] == [Tile(1, 0, 256), Tile(1, 1, 17)]
    assert [tile for tile in tiles if (tile.level or 0) > 1] == [Tile(2, 0, 1)]
    assert [tile for tile in tiles_of(256) if tile.level == 1] == [Tile(1, 0, 1)]


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537])
def test_every_tile_ends_some_tree(size: int) -> None:
    before, after = set(tiles_of(size - 1)), set(tiles_of(size))
    assert after - before == set(newest_tiles(size)) - before
    assert set(newest_tiles(size)) <= after
    assert not list(newest_tiles(0))
    assert [1 in {tile.level for tile in newest_tiles(size)} for size in (255, 256, 257, 300, 512)] == [
        False, True, False, False, True]  # fmt: skip


@pytest.mark.negative
@pytest.mark.parametrize(
    ("data", "count"),
    [(b"\x00", 1), (b"\x00\x00\x00", 2), (b"\x00\x02a", 1), (b"\x00\x01a", 2), (b"\x00\x01a\x00\x01b\x00\x01c", 2)],
)
def test_a_bundle_holds_whole_entries(data: bytes, count: int) -> None:
    assert unpack_entries(pack_entries([b"", b"ab"]), 2, "bundle") == [b"", b"ab"]
    with pytest.raises(Exception, match="bundle") as caught:
        unpack_entries(data, count, "bundle")
    assert getattr(caught.value, "reason", None) is Reason.MALFORMED


LARGE = entries_of(700)
LARGE_FILES = {
    tile.path: b"".join(
        root_of(LARGE[i * 256**tile.level : (i + 1) * 256**tile.level])
        for i in range(tile.index * 256, tile.index * 256 + tile.width)
    )
    if tile.level is not None
    else pack_entries(LARGE[tile.index * 256 : tile.index * 256 + tile.width])
    for size in range(1, 701)
    for tile in newest_tiles(size)
}


@pytest.mark.negative
def test_no_tree_has_fewer_leaves_than_none() -> None:
    with pytest.raises(VerificationError, match="an older size of at most 3"):
        check_consistency(-1, EMPTY_ROOT, 3, EMPTY_ROOT, [])
