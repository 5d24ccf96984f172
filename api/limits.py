"""How often one address may ask for bundles, counted over all workers of a service.

The generic cell rate algorithm (ITU-T I.371, appendix I): of each address one number is kept, the time at which it will
have used up what it asked for. The numbers stand in a file that all workers map; addresses share a slot by chance,
one in 2^16. Nobody learns addresses from it: a slot follows from a keyed hash, whose key goes with the service.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import secrets
import struct
import time
from pathlib import Path
from typing import Final

SLOTS: Final = 2**16
SLOT: Final = struct.Struct("<d")
KEY_BYTES: Final = 32
BURST_SECONDS: Final = 5
"""Somebody who was quiet may ask for so many seconds' worth at once."""


class RateLimit:
    """A limit that processes share by the path of its file.

    Args:
        path: of a file that `make` made.
        rate: requests per second and address in the long run, above 0.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self._interval = 1.0 / rate
        self._ahead = max(BURST_SECONDS, self._interval)
        self._stream = path.open("r+b")
        self._map = mmap.mmap(self._stream.fileno(), KEY_BYTES + SLOTS * SLOT.size)
        self._key = bytes(self._map[:KEY_BYTES])

    @staticmethod
    def make(path: Path) -> None:
        """A file in which nobody has asked for anything."""
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(KEY_BYTES) + bytes(SLOTS * SLOT.size))

    def wait_seconds(self, address: str, now: float | None = None) -> float:
        """Counts a request: 0 where it may be answered, else after how many seconds the address may ask again.

        Args:
            now: seconds of a clock that all processes share; None takes the system's monotonic one.
        """
        now = time.monotonic() if now is None else now
        hashed = hashlib.blake2b(address.encode("utf-8", "surrogatepass"), digest_size=2, key=self._key).digest()
        place = KEY_BYTES + int.from_bytes(hashed, "little") * SLOT.size
        fcntl.lockf(self._stream, fcntl.LOCK_EX, SLOT.size, place)
        try:
            (used,) = SLOT.unpack_from(self._map, place)
            # Nothing later than this was ever written at this time: where it stands there, the clock was set back.
            used = min(max(used, now), now + self._ahead + self._interval)
            SLOT.pack_into(self._map, place, used)
            used += self._interval
            if used - now > self._ahead + self._interval:
                return float(used - now - self._ahead - self._interval)
            SLOT.pack_into(self._map, place, used)
            return 0.0
        finally:
            fcntl.lockf(self._stream, fcntl.LOCK_UN, SLOT.size, place)

    def close(self) -> None:
        """Lets go of the file, which stays."""
        self._map.close()
        self._stream.close()
