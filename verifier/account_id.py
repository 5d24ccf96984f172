"""The eight words that name one user in one exchange's tree.

    words = SHA-256(b"solvent/account-id/v1" | u32le length | exchange | u32le length | user id | nonce)

Both names are UTF-8, so the lengths count bytes. The nonce is 32 bytes chosen by the user's own client: two
users could share a leaf only through a collision, and nobody can test a guessed name without the nonce. The
digest is read as eight little-endian words; each loses its top bit and is reduced, because a leaf holds field
elements.
"""

from __future__ import annotations

import hashlib

from verifier.errors import NotIncluded, Reason
from verifier.field import P

ACCOUNT_ID_DOMAIN = b"solvent/account-id/v1"
NONCE_BYTES = 32


def account_id(exchange: str, user_id: str, nonce: bytes) -> tuple[int, ...]:
    """Eight words in [0, p) for one user.

    Raises:
        NotIncluded: `nonce` is not 32 bytes, or a name cannot be written in UTF-8 (a lone surrogate).
    """
    if len(nonce) != NONCE_BYTES:
        raise NotIncluded(Reason.ACCOUNT_ID, f"the nonce has {len(nonce)} bytes, expected {NONCE_BYTES}")
    digest = hashlib.sha256(ACCOUNT_ID_DOMAIN + _framed(exchange) + _framed(user_id) + nonce).digest()
    words = (int.from_bytes(digest[i : i + 4], "little") for i in range(0, 32, 4))
    # 2^31 = p + 2^24 - 1: the smallest 2^24 - 1 words come up twice as often, which costs a tenth of a bit.
    return tuple((word & 0x7FFFFFFF) % P for word in words)


def _framed(name: str) -> bytes:
    """Length first, so that no two pairs of names give the same bytes."""
    try:
        raw = name.encode("utf-8")
    except UnicodeEncodeError:
        raise NotIncluded(Reason.ACCOUNT_ID, "a name holds a character that UTF-8 cannot encode") from None
    return len(raw).to_bytes(4, "little") + raw
