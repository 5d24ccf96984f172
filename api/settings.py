"""What `solvent serve` was asked to serve, on its way to the workers, which are processes of their own."""

from __future__ import annotations

import json
import os
from collections.abc import MutableMapping
from dataclasses import asdict, dataclass
from typing import Final

VARIABLE: Final = "SOLVENT_SERVE"


@dataclass(frozen=True)
class Settings:
    """Where things are.

    Args:
        store: of the publisher, a folder or a database URL.
        bundles: folders that `solvent bundles` wrote, at most one per publication.
        tokens: database of the users' tokens; None: no bundles are served.
        is_logging: whether each request is one line on standard error.
        limit: file of `api.limits.RateLimit`; None: everybody may ask as often as they like.
        bundle_rate: bundles per second and address.
    """

    store: str
    bundles: tuple[str, ...] = ()
    tokens: str | None = None
    is_logging: bool = True
    limit: str | None = None
    bundle_rate: float = 0.0

    def put(self, environment: MutableMapping[str, str] = os.environ) -> None:
        """For the workers that are started next."""
        environment[VARIABLE] = json.dumps(asdict(self))

    @classmethod
    def get(cls, environment: MutableMapping[str, str] = os.environ) -> Settings:
        """In a worker."""
        values = json.loads(environment[VARIABLE])
        return cls(**values | {"bundles": tuple(values["bundles"])})
