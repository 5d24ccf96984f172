"""Numbers that are an interface: what others read, write and derive by docs/formats.md and docs/protocol.md.

A change of one changes which files are accepted, or what a proof says, and has to be made here, too, on purpose.
"""

from __future__ import annotations

import importlib

import pytest

from verifier.errors import Reason

MIB = 2**20
SIZES = {
    "inclusion.BUNDLE_BYTES_MAX": MIB,
    "log.note.NOTE_BYTES_MAX": MIB // 4,
    "log.policy.POLICY_BYTES_MAX": MIB // 16,
    "log.proof.PROOF_BYTES_MAX": MIB // 2,
    "log.tiles.ENTRY_BYTES_MAX": 65_535,
    "log.tiles.ENTRIES_BYTES_MAX": 256 * 65_537,
    "manifest.ENTRY_BYTES_MAX": 65_536,
    "manifest.FILE_BYTES_END": 2**40,
    "manifest.FILE_PROOF_BYTES_MAX": 2**14,
    "manifest.MANIFEST_BYTES_MAX": 64 * MIB,
    "opening.OPENING_BYTES_MAX": MIB // 16,
    "prices.PRICES_BYTES_MAX": 16 * MIB,
    "quotes.SIGNED_QUOTES_BYTES_MAX": 2 * MIB,
    "quotes.SOURCES_BYTES_MAX": MIB // 16,
    "receipt.RECEIPT_BYTES_MAX": 74 * MIB,
    "reserves.RESERVES_BYTES_MAX": MIB,
    "reserves_evidence.EVIDENCE_BYTES_MAX": 32 * MIB,
    "shards.SHARD_BYTES_MAX": 2 * MIB,
    "statement.STATEMENT_BYTES_MAX": 8 * MIB,
}
COUNTS = {
    "account_id.NONCE_BYTES": 32,
    "canonical.DECIMAL_DIGITS_MAX": 60,
    "canonical.NESTING_MAX": 64,
    "inclusion.USER_ID_CHARACTERS_MAX": 256,
    "instruments.BUCKETS_MAX": 8,
    "instruments.DECIMALS_MAX": 30,
    "instruments.INSTRUMENTS_MAX": 2048,
    "instruments.LEGS_MAX": 65_535,
    "instruments.SCENARIO_CHARACTERS_MAX": 64,
    "instruments.SYMBOL_CHARACTERS_MAX": 32,
    "instruments.TIERS_MAX": 12,
    "log.note.SIGNATURES_MAX": 64,
    "log.note.VKEY_CHARACTERS_MAX": 1024,
    "log.policy.NAMES_MAX": 64,
    "log.tree.PROOF_DIGESTS_MAX": 63,
    "manifest.FILES_MAX": 2**18,
    "quotes.SOURCE_CHARACTERS_MAX": 64,
    "reserves.WHOLE_DIGITS_MAX": 40,
    "reserves_evidence.DECIMALS": 30,
    "reserves_evidence.REASON_CHARACTERS_MAX": 400,
    "reserves_evidence.WHOLE_DIGITS_MAX": 40,
    "shards.TOP_STEPS_MAX": 16,
    "statement.EXCHANGE_CHARACTERS_MAX": 128,
    "statement.LEVELS_MAX": 7,
    "statement.SHARDS_MAX": 65_536,
    "tree.ENTRIES_MAX": 4095,
}
RANGES = {
    "canonical.SAFE_INTEGER_END": 9_007_199_254_740_992,
    "instruments.BOUND_END": 2**64,
    "instruments.PRICE_END": 18_014_398_509_481_984,
    "instruments.RATIO_ONE": 10_000,
    "legs.AMOUNT_CAP": 9_223_372_036_854_775_807,
    "log.tree.SIZE_END": 9_223_372_036_854_775_808,
    "prices.AGE_MAX_SECONDS": 3600,
    "prices.DEVIATION_MAX": 1000,
    "prices.FUTURE_MAX_SECONDS": 60,
    "prices.ONE": 10**30,
    "reserves_evidence.HEIGHT_MAX": 2**48,
    "solvency.OUTPUT_END": 2**128,
    "statement.SHORTFALL_END": 2**176,
}
PROOF = {
    "air.MAX_DEGREE": 3,
    "field.EXTENSION_DEGREE": 5,
    "field.GENERATOR": 3,
    "field.P": 2_130_706_433,
    "field.TWO_ADICITY": 24,
    "field.TWO_ADIC_ROOT": 1_791_270_792,
    "hashing.DIGEST_BYTES": 32,
    "hashing.SALT_BYTES": 16,
    "legs.DIGITS": 7,
    "params.FINAL_COEFFICIENTS_MAX": 64,
    "params.FOLD_ARITY_LOG2": 3,
    "params.HIDDEN_ROWS": 512,
    "params.QUOTIENT_CHUNKS": 3,
    "poseidon.DIGEST_WORDS": 8,
    "poseidon.WIDTH": 16,
    "proof.FOLD_ARITY": 8,
    "proof.MAGIC": b"SOLVPRF1",
    "protocol.PROTOCOL": b"solvent/1",
    "solvency.CAP_LIMBS": 4,
    "solvency.LENS_POSITIONS": 16,
    "solvency.OUTPUT_WORDS": 8,
    "solvency.TOTAL_BYTES": 7,
    "tree.ARITY": 8,
    "tree.BLINDING_WORDS": 6,
    "tree.VALUE_LIMBS": 7,
}
NAMES = {
    "account_id.ACCOUNT_ID_DOMAIN": b"solvent/account-id/v1",
    "fund.FUND_USER_ID": "insurance-fund",
    "inclusion.FORMAT": "solvent/bundle/v1",
    "log.proof.HEADER": "c2sp.org/tlog-proof@v1",
    "log.tiles.CHECKPOINT_FILE": "checkpoint",
    "manifest.LEAF_DOMAIN": b"solvent/evidence-leaf/v1\0",
    "manifest.ROOT_DOMAIN": b"solvent/evidence-root/v1\0",
    "opening.FORMAT": "solvent/opening/v1",
    "prices.FORMAT": "solvent/prices/v1",
    "quotes.QUOTES_FORMAT": "solvent/quotes/v1",
    "quotes.SIGNED_QUOTES_FORMAT": "solvent/signed-quotes/v1",
    "quotes.SIGNING_DOMAIN": b"solvent/quotes-signature/v1\0",
    "receipt.FORMAT": "solvent/receipt/v1",
    "reserves.HEADER": "asset,amount",
    "reserves_evidence.FILE": "reserves-evidence.json",
    "reserves_evidence.FORMAT": "solvent/reserves-evidence/v1",
    "shards.FORMAT": "solvent/shard/v1",
    "statement.CAPACITY_POLICY": "capacity/v1",
    "statement.FORMAT": "solvent/statement/v1",
    "statement.HEADER_FORMAT": "solvent/header/v1",
    "statement.PROTOCOL": "solvent/1",
}


@pytest.mark.parametrize(
    "table", [SIZES, COUNTS, RANGES, PROOF, NAMES], ids=["sizes", "counts", "ranges", "proof", "names"]
)
def test_the_numbers_of_the_documents(table: dict[str, object]) -> None:
    found = {}
    for name in table:
        module, _, constant = name.rpartition(".")
        found[name] = getattr(importlib.import_module(f"verifier.{module}"), constant)
    assert found == table


def test_reasons_are_published_under_their_names() -> None:
    assert [reason.value for reason in Reason] == [reason.name.lower().replace("_", "-") for reason in Reason]
    assert len(Reason) == 45
