"""What leaves a shard: one number per published total, for the liability and per lens, masked modulo 2^128.

Output o of a shard is P = T + k - k' (mod 2^128): T what this shard contributes, k and k' uniform masks that the shard
before and the shard after use too, so that over all shards masks cancel and the sum of P is the sum of T. A mask is
bound by `mask_out`, the digest of a hash chain over the masks k of all outputs, which the next shard reproduces as its
`mask_in`. A publication of one shard has no masks.

Rows with public selectors, one per output: *mask out* (block = the 8 words of k), *mask in* (k'), *carry*; then one
*root* row, which consumes the account tree and brings its sum, and one *loss* row per lens, which brings what the
records lost. In base 256, with L the sum of what all rows bring to an output:

    L(X) + k(X^2) - k'(X^2) + (X - 256) c(X) = P(X^2)   modulo X^16

so the carry out of the highest position is dropped. No coefficient wraps: |L_i| <= 255 N, masks and P are words of 16
bits, and |c_i| <= 4,227,071: 255 * 2^21 + 3 * 65,535 + 257 * 4,227,071 = 1,621,327,612 < p for N = 2^21 rows.
"""

from __future__ import annotations

from circuits.builder import AirBuilder, Expr, total
from circuits.buses import TAG_TOTAL
from circuits.gadgets.chains import DIGIT_COLUMNS, any_selector
from circuits.gadgets.permutation import BLOCK_COLUMNS, CHAIN_COLUMNS, digest
from circuits.gadgets.values import CARRY_HIGH, CARRY_OFFSET, VALUE_LIMBS, amount_polynomial
from verifier.air import ALWAYS, TRANSITION, ZERO
from verifier.solvency import OUTPUT_WORDS

OUTPUT_PUBLICS = tuple(
    (name, ZERO)
    for name in (
        "is_mask_out", "is_mask_in", "mask_goes_on", "ends_mask_out", "ends_mask_in", "is_carry", "is_root", "output",
    )
)  # fmt: skip
"""Selectors of the special rows; whether the next row goes on with a mask's chain; the output that a row counts to."""
LOSS_PUBLICS = (("is_loss", ZERO), *((f"next_loss_weight{k}", ZERO) for k in range(5)))
"""For circuits with lenses: `next_loss_weight` is r^(16 s) where the next row is the loss row of lens s."""
LOW_CARRIES = 8
SMALL_CARRY_OFFSET = 2**15
"""Carries 8 .. 15 lie on the mask rows, in byte pairs: two bytes - 2^15."""


def special_row(air: AirBuilder, lenses: int) -> Expr:
    """1 on every row with a public selector."""
    names = ["is_mask_out", "is_mask_in", "is_carry", "is_root", *(["is_loss"] if lenses else [])]
    return total(air.public(name) for name in names)


def require_outputs(air: AirBuilder, lenses: int) -> None:
    """Special rows carry no selector and their public output; masks are chains of 16-bit words; the root is public."""
    special = special_row(air, lenses)
    air.require(ALWAYS, "special rows carry no selector", special * any_selector(air))
    counted = special * air.row("total_id") - air.public("output")
    air.require(ALWAYS, "special rows count to their public output", counted)
    masked = air.public("is_mask_out") + air.public("is_mask_in")
    words = (masked * (air.row(b) - air.row(f"u{j}")) for j, b in enumerate(BLOCK_COLUMNS))
    air.require_all(ALWAYS, "a mask's words are below 2^16", words)
    links = zip(CHAIN_COLUMNS, digest(air), strict=True)
    chained = (air.public("mask_goes_on") * (air.next(h) - out) for h, out in links)
    air.require_all(TRANSITION, "masks are chained", chained)
    for side in ("out", "in"):
        closed = air.public(f"ends_mask_{side}") * (_digest_fingerprint(air, digest(air)) - air.scalar(f"mask_{side}"))
        air.require(ALWAYS, f"the chain of masks {side} ends in its public digest", closed)
    root = _digest_fingerprint(air, [*(air.row(b) for b in BLOCK_COLUMNS), air.row("level")])
    air.require(ALWAYS, "the root and its level are public", air.public("is_root") * (root - air.scalar("root")))


def _digest_fingerprint(air: AirBuilder, words: list[Expr]) -> Expr:
    """sum beta^(k+1) words[k]: equal to the verifier's own only if all words are, since beta comes after them."""
    return total(air.power("beta", k + 1) * word for k, word in enumerate(words))


def _words(air: AirBuilder, columns: tuple[str, ...]) -> Expr:
    """Words of 16 bits at every other position in base 256."""
    return air.polynomial([air.row(name) for name in columns], step=2)


def _small_carries(air: AirBuilder, start: int) -> Expr:
    """(r - 256) times the carries start .. start + 3; nothing comes out of position 15."""
    out = []
    for j in range(4):
        carry = air.row(f"y{2 * j}") + 256 * air.row(f"y{2 * j + 1}") - SMALL_CARRY_OFFSET
        last = start + j == 2 * OUTPUT_WORDS - 1
        weight = air.power("r", start + j) * (-256) if last else air.power("r", start + j) * (air.scalar("r") - 256)
        out.append(weight * carry)
    return total(out)


def sum_outputs(air: AirBuilder, lenses: int) -> None:
    """Every output's polynomial at r, by log-derivative: entries, root, losses, masks and carries add to theirs.

    The verifier supplies P(r). Never limb by limb: limb sums would leak carries (02a finding 14).
    """
    low = [air.row(f"u{i}") + CARRY_HIGH * air.row(f"y{i}") - CARRY_OFFSET for i in range(LOW_CARRIES)]
    mask = _words(air, BLOCK_COLUMNS)
    amounts = air.row("is_entry") * amount_polynomial(air, 0)
    amounts = amounts + air.public("is_carry") * ((air.scalar("r") - 256) * air.polynomial(low))
    amounts = amounts + air.public("is_root") * _words(air, DIGIT_COLUMNS)
    amounts = amounts + air.public("is_mask_out") * (_small_carries(air, LOW_CARRIES) + mask)
    amounts = amounts + air.public("is_mask_in") * (_small_carries(air, LOW_CARRIES + 4) - mask)
    if lenses:
        amounts = amounts + air.public("is_loss") * _words(air, LOSS_COLUMNS)
    air.fraction("totals", amounts, air.fingerprint(TAG_TOTAL, [air.row("total_id")]))


LOSS_COLUMNS = tuple(f"u{j}" for j in range(VALUE_LIMBS))
"""The seven limbs of a lens' loss, on its loss row."""
