"""Paths and formats of the read side, as the server, its static export and a downloading client know them."""

from __future__ import annotations

from typing import Final

LATEST, PUBLICATIONS = "latest.json", "publications.json"
PAGE: Final = "page/"
BUNDLE, BUNDLES, RECEIPT, RECEIPTS = "bundle", "bundles", "receipt", "receipts"
LATEST_FORMAT, PUBLICATIONS_FORMAT = "solvent/latest/v1", "solvent/publications/v1"
TEXT, BINARY, JSON, CSV = "text/plain; charset=utf-8", "application/octet-stream", "application/json", "text/csv"
TILE_PATTERN: Final = r"(entries|0|[1-9][0-9]?)/(x[0-9]{3}/)*[0-9]{3}(\.p/[1-9][0-9]{0,2})?"
NAME_PATTERN: Final = r"[a-z0-9][a-z0-9.-]*(/[a-z0-9][a-z0-9.-]*)?"
SEQUENCE_END: Final = 2**53
