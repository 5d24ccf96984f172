"""Making oracle evidence: keys, signed quotes, and the price file that goes into a publication. See docs/prices.md."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from prover.errors import InputError
from verifier.errors import VerificationError
from verifier.prices import ONE, Evidence, Priced, Rules, check_evidence, is_one, parse_evidence
from verifier.quotes import (
    PRICE_DECIMALS,
    SignedQuotes,
    Source,
    make_document,
    parse_signed_quotes,
    signing_bytes,
)
from verifier.statement import units

KEY_FILE_BYTES_MAX = 2**12
DEFAULT_RULES = Rules(age_max=300, deviation_max=100, sources_min=3)
SIMULATED = "simulated-source"


def load_evidence(path: Path, table: Priced, trusted: Mapping[str, Source] | None = None) -> bytes:
    """Read prices.json and check it for a snapshot that is to be proved with it.

    Args:
        table: the snapshot's `meta`, or a statement.
        trusted: as `verifier.prices.check_prices`.

    Returns:
        The file, whose SHA-256 becomes the statement's `oracle_evidence`.

    Raises:
        InputError: no such file, or a price of `table` does not follow from it.
    """
    try:
        data = path.read_bytes()
        check_evidence(data, table, trusted)
    except OSError as error:
        raise InputError(file=path, got=error.strerror or "no file", expected="a price file") from None
    except VerificationError as error:
        raise InputError(file=path, got=str(error), expected="evidence from which the prices follow") from None
    return data


def new_key() -> bytes:
    """A fresh private key as an unencrypted PKCS #8 PEM file."""
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def load_key(path: Path) -> Ed25519PrivateKey:
    """Read such a file. Raises InputError."""
    key: object = None
    try:
        with path.open("rb") as file:
            key = load_pem_private_key(file.read(KEY_FILE_BYTES_MAX), None)
    except OSError as error:
        raise InputError(file=path, got=error.strerror or "no file", expected="a private key") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        pass  # what is wrong with it is not said: the file is secret
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(file=path, got="something else", expected="an unencrypted Ed25519 private key in PEM form")
    return key


def public_key(key: Ed25519PrivateKey) -> bytes:
    """32 bytes."""
    return key.public_key().public_bytes_raw()


def sign_quotes(
    key: Ed25519PrivateKey, source: str, quote: str, time: str, prices: Sequence[tuple[str, str]]
) -> SignedQuotes:
    """Sign one source's quotes.

    Args:
        prices: (symbol, price in whole units of `quote`), in any order.

    Raises:
        VerificationError: the verifier would not read them.
    """
    rows = sorted(prices, key=lambda row: row[0].lower())
    document = make_document(source, quote, time, rows)
    signed = SignedQuotes(source, quote, time, {}, document, public_key(key), key.sign(signing_bytes(document)))
    return parse_signed_quotes(signed.to_bytes())


def assemble(quotes: Sequence[SignedQuotes], weights: Mapping[str, int], rules: Rules) -> bytes:
    """prices.json of several sources' quotes.

    Args:
        weights: by source; 1 for the others.

    Raises:
        VerificationError: the verifier would not read it.
    """
    ordered = sorted(quotes, key=lambda signed: signed.source)
    evidence = Evidence(rules, tuple(ordered), tuple(weights.get(signed.source, 1) for signed in ordered))
    data = evidence.to_bytes()
    parse_evidence(data)
    return data


def sources_text(sources: Mapping[str, Source]) -> str:
    """The file that `verifier.quotes.read_sources` reads."""
    return "".join(f"{name} {source.key.hex()} {source.weight}\n" for name, source in sorted(sources.items()))


def simulate_evidence(table: Priced, sources: int = 5) -> tuple[bytes, dict[str, Source]]:
    """A SIMULATION, for demonstrations and tests: evidence by made-up sources whose keys anybody can compute.

    Args:
        table: whose prices the quotes agree with: the middle source says exactly them, the others a little more or
            less.
        sources: how many, an odd number from 3.

    Returns:
        prices.json, and the sources by name.
    """
    quotes = []
    for i in range(sources):
        name = f"{SIMULATED}-{i + 1:02d}"
        key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
        rows = []
        for instrument in table.instruments:
            if not is_one(instrument.symbol, instrument.kind, table.quote):
                exact = instrument.price * ONE * 10**instrument.decimals // 10**table.value_decimals
                price = max(1, exact + exact // 10_000 * (i - sources // 2))  # a price of few digits: all the same
                rows.append((instrument.symbol, units(price, PRICE_DECIMALS)))
        quotes.append(sign_quotes(key, name, table.quote, table.time, rows))
    data = assemble(quotes, {}, DEFAULT_RULES)
    return data, parse_evidence(data).sources
