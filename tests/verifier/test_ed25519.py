"""Ed25519: RFC 8032's vectors, a library as oracle, and everything in which libraries disagree is refused."""

from __future__ import annotations

import hashlib
import random
from itertools import pairwise, product

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from verifier.ed25519 import D, L, P, _windows, decode, encode, is_key, is_valid

# RFC 8032, section 7.1: secret key, public key, message, signature.
RFC_8032 = (
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
        "4a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd"
        "454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e030"
        "3dca179c138ac17ad9bef1177331a704",
    ),
)

# The twelve edge cases of K. Chalkias, F. Garillot, V. Nikolaenko, "Taming the many EdDSAs" (2020): message, A, R, S.
# Small and mixed orders of A and R, S beyond L, R and A not canonical. Each is accepted by some library.
EDGE_CASES = (
    (
        "8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "0000000000000000000000000000000000000000000000000000000000000000",
    ),
    (
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
    ),
    (
        "aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e",
    ),
    (
        "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "9046a64750444938de19f227bb80485e92b83fdb4b6506c160484c016cc1852f",
        "87909e14428a7a1d62e9f22f3d3ad7802db02eb2e688b6c52fcd6648a98bd009",
    ),
    (
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed512",
        "5ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09",
    ),
    (
        "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
        "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
        "21122a84e0b5fca4052f5b1235c80a537878b38f3142356b2c2384ebad4668b7",
        "e40bc836dac0f71076f9abe3a53f9c03c1ceeeddb658d0030494ace586687405",
    ),
    (
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        "e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e",
        "547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514",
    ),
    (
        "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
        "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
        "8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa1942",
        "7e71f98a473474f2f13f06f97c20d58cc3f54b8bd0d272f42b695dd7e89a8c22",
    ),
    (
        "9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "03be9678ac102edcd92b0210bb34d7428d12ffc5df5f37e359941266a4e35f0f",
    ),
    (
        "9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41",
        "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "ca8c5b64cd208982aa38d4936621a4775aa233aa0505711d8fdcfdaa943d4908",
    ),
    (
        "e96b7021eb39c1a163b6da4e3093dcd3f21387da4cc4572be588fafae23c155b",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dc",
        "a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
    ),
    (
        "39a591f5321bbe07fd5a23dc2f39d025d74526615746727ceefd6e82ae65c06f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dc",
        "a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
    ),
)

Affine = tuple[int, int]
NEUTRAL: Affine = (0, 1)


def plus(one: Affine, other: Affine) -> Affine:
    """The curve's addition law, with divisions: slow and plain."""
    (x1, y1), (x2, y2) = one, other
    t = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + t, -1, P) % P
    return x, (y1 * y2 + x1 * x2) * pow(1 - t, -1, P) % P


def times(k: int, point: Affine) -> Affine:
    out = NEUTRAL
    while k:
        if k & 1:
            out = plus(out, point)
        point, k = plus(point, point), k >> 1
    return out


def pack(point: Affine) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def unpack(data: bytes) -> Affine:
    point = decode(data)
    assert point is not None
    return point[0], point[1]


BASE = unpack((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
ORDER_8 = unpack(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"))
TORSION = [times(i, ORDER_8) for i in range(8)]


def challenge(r: Affine, a: Affine, message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(pack(r) + pack(a) + message).digest(), "little") % L


def test_the_test_has_the_eight_points_of_small_order() -> None:
    assert len(set(TORSION)) == 8
    assert times(8, ORDER_8) == NEUTRAL != times(4, ORDER_8)
    assert times(L, BASE) == NEUTRAL


@pytest.mark.parametrize(("secret", "key", "message", "signature"), RFC_8032)
def test_rfc_8032(secret: str, key: str, message: str, signature: str) -> None:
    raw = bytes.fromhex(signature)
    assert Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret)).sign(bytes.fromhex(message)) == raw
    assert is_key(bytes.fromhex(key))
    assert not is_key(bytes.fromhex(key) + b"\0")
    assert is_valid(bytes.fromhex(key), bytes.fromhex(message), raw)
    assert not is_valid(bytes.fromhex(key), bytes.fromhex(message) + b"x", raw)


@pytest.mark.negative
@pytest.mark.parametrize(("message", "key", "r", "s"), EDGE_CASES)
def test_published_edge_cases_are_all_refused(message: str, key: str, r: str, s: str) -> None:
    assert not is_valid(bytes.fromhex(key), bytes.fromhex(message), bytes.fromhex(r + s))


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
def test_what_the_library_signs_is_accepted(secret: bytes, message: bytes) -> None:
    private = Ed25519PrivateKey.from_private_bytes(secret)
    key, signature = private.public_key().public_bytes_raw(), private.sign(message)
    assert is_valid(key, message, signature)
    assert encode(decode(key) or (0, 0, 1, 0)) == key


@pytest.mark.negative
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=50), st.integers(0, 95), st.integers(1, 255))
def test_a_changed_byte_is_refused_here_and_by_the_library(secret: bytes, message: bytes, at: int, flip: int) -> None:
    private = Ed25519PrivateKey.from_private_bytes(secret)
    changed = bytearray(private.public_key().public_bytes_raw() + private.sign(message))
    changed[at] ^= flip
    key, signature = bytes(changed[:32]), bytes(changed[32:])
    assert not is_valid(key, message, signature)
    with pytest.raises((InvalidSignature, ValueError)):
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)


@pytest.mark.negative
@pytest.mark.parametrize("with_cofactor", [False, True])
def test_points_with_a_part_of_small_order(with_cofactor: bool) -> None:
    """A = aB + T, R = rB + U for all T, U of small order, where the equation holds: only T = U = 0 is accepted."""
    source = random.Random(8032)
    a, r = source.randrange(1, L), source.randrange(1, L)
    for t, u in product(TORSION, TORSION):
        key_point, r_point = plus(times(a, BASE), t), plus(times(r, BASE), u)
        for _ in range(400):
            message = source.randbytes(8)
            k = challenge(r_point, key_point, message)
            if with_cofactor or plus(times(k % 8, t), u) == NEUTRAL:
                break
        else:
            assert all(times(i, t) != plus(NEUTRAL, (-u[0] % P, u[1])) for i in range(8)), "there is such a message"
            continue
        s = (r + k * a) % L
        left, right = times(s, BASE), plus(r_point, times(k, key_point))
        assert times(8, left) == times(8, right)
        assert with_cofactor or left == right
        signature = pack(r_point) + s.to_bytes(32, "little")
        assert is_valid(pack(key_point), message, signature) == (t == u == NEUTRAL)


@pytest.mark.negative
def test_keys_of_small_order_and_the_signatures_that_anybody_makes_for_them() -> None:
    for t in TORSION:
        assert not is_key(pack(t))
        for u in TORSION:
            for i in range(64):
                message = i.to_bytes(1, "little")
                if plus(times(challenge(u, t, message), t), u) == NEUTRAL:
                    assert not is_valid(pack(t), message, pack(u) + bytes(32))


@pytest.mark.negative
def test_the_neutral_element_as_r() -> None:
    """An honest signer's r is never 0; R = 0 shows the secret key: a = S / k."""
    a, message = 12345, b"message"
    key = times(a, BASE)
    s = challenge(NEUTRAL, key, message) * a % L
    assert times(s, BASE) == times(challenge(NEUTRAL, key, message), key)
    assert not is_valid(pack(key), message, pack(NEUTRAL) + s.to_bytes(32, "little"))


@pytest.mark.negative
def test_s_has_one_spelling() -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes(32))
    key, signature = private.public_key().public_bytes_raw(), private.sign(b"")
    s = int.from_bytes(signature[32:], "little")
    for other in range(s + L, 2**256, L):
        assert not is_valid(key, b"", signature[:32] + other.to_bytes(32, "little"))
    assert not is_valid(key, b"", signature[:32] + L.to_bytes(32, "little"))


@pytest.mark.negative
def test_points_have_one_spelling() -> None:
    for y in range(P, 2**255):
        for sign in (0, 1 << 255):
            assert decode((y | sign).to_bytes(32, "little")) is None
    for y in (1, P - 1):  # x is 0, and so is -x
        assert decode(y.to_bytes(32, "little")) is not None
        assert decode((y | 1 << 255).to_bytes(32, "little")) is None
    assert decode((2).to_bytes(32, "little")) is None, "not on the curve"


@pytest.mark.negative
@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_other_lengths(length: int) -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes(32))
    key, signature = private.public_key().public_bytes_raw(), private.sign(b"")
    assert not is_valid(bytes(length), b"", signature)
    assert not is_valid(key, b"", signature[:length] if length < 64 else signature + b"\0")
    assert not is_key(bytes(length))


@given(st.binary(min_size=32, max_size=32))
def test_decoding_agrees_with_encoding(data: bytes) -> None:
    point = decode(data)
    if point is not None:
        x, y = point[:2]
        assert (y * y - x * x - 1 - D * x * x * y * y) % P == 0
        assert encode(point) == data


@given(number=st.integers(0, 2**253 - 1), width=st.integers(2, 9))
def test_signed_windows(number: int, width: int) -> None:
    """Every digit is in the table of odd multiples, or its negative is; between two of them there is room."""
    digits = _windows(number, width)
    assert sum(digit << i for i, digit in enumerate(digits)) == number
    places = [i for i, digit in enumerate(digits) if digit]
    assert all(digits[i] % 2 == 1 and abs(digits[i]) < 2 ** (width - 1) for i in places)
    assert all(after - before >= width for before, after in pairwise(places))
