"""Bearer tokens: which user's bundle a caller may fetch. Kept are digests, so a stolen database opens nothing.

A token is 32 random bytes in base64url. Because of that its plain SHA-256 tells nothing about it, and a look-up by that
digest in an index is no help to somebody who guesses: they do not know where in the index a guess leads.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterable
from typing import Final

import sqlalchemy as sa

from api.database import Database, database_url, tables
from prover.errors import InputError
from verifier.inclusion import USER_ID_CHARACTERS_MAX

TOKEN_BYTES: Final = 32
_TOKENS: Final = sa.Table(
    "tokens",
    sa.MetaData(),
    sa.Column("sha256", sa.LargeBinary, primary_key=True),
    sa.Column("user_id", sa.Text, nullable=False, index=True),
)
MIGRATIONS: Final = (tables(_TOKENS),)
_USER_OF: Final = sa.select(_TOKENS.c.user_id).where(_TOKENS.c.sha256 == sa.bindparam("sha256"))


class Tokens:
    """An open database of tokens."""

    def __init__(self, place: str, create: bool = False) -> None:
        """Opens the database at a file or URL. Raises InputError: there is none, or with `create` there is one."""
        self._database = Database(database_url(place), MIGRATIONS, create=create)
        self._user_of = self._database.lookup(_USER_OF)

    def close(self) -> None:
        """Ends the connections."""
        self._user_of.close()
        self._database.close()

    def issue(self, user_ids: Iterable[str]) -> list[str]:
        """A new token for each of these users; older ones stay good.

        Raises:
            InputError: what cannot be a user's id.
        """
        users = list(user_ids)
        for user in users:
            if not user.isprintable() or not 1 <= len(user) <= USER_ID_CHARACTERS_MAX:
                expected = f"a user's id of 1 to {USER_ID_CHARACTERS_MAX} printable characters"
                raise InputError(got=user, expected=expected)
        tokens = [base64.urlsafe_b64encode(secrets.token_bytes(TOKEN_BYTES)).rstrip(b"=").decode() for _ in users]
        rows = [{"sha256": _digest(token), "user_id": user} for token, user in zip(tokens, users, strict=True)]
        with self._database.transaction() as connection:
            if rows:
                connection.execute(_TOKENS.insert(), rows)
        return tokens

    def revoke(self, user_id: str) -> int:
        """Make all tokens of a user void; how many there were."""
        with self._database.transaction() as connection:
            return connection.execute(_TOKENS.delete().where(_TOKENS.c.user_id == user_id)).rowcount

    def user_of(self, token: str) -> str | None:
        """Whose token this is; None for anything that is none."""
        found: str | None = self._user_of(sha256=_digest(token))
        return found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
