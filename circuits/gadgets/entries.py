"""Entries: each looks up its leg, stays below its cap, and comes after every smaller leg of its account."""

from __future__ import annotations

from collections.abc import Sequence

from circuits.builder import AirBuilder, Expr
from circuits.buses import TAG_LEG
from circuits.gadgets.chains import DIGIT_COLUMNS
from verifier.air import ALWAYS, KEEP_LAST, TRANSITION

CAP_COLUMNS = tuple(f"cap{i}" for i in range(4))
LEG_PUBLICS = tuple((f"leg_row{k}", KEEP_LAST) for k in range(5))
"""Fingerprints of the rows of the leg table."""


def require_entries(air: AirBuilder) -> None:
    """block = (leg, four 16-bit limbs, 0, 0, 0); the amount's bytes are y; cap - amount is in u0..u3."""
    entry = air.row("is_entry")
    limbs = [air.row(f"b{i + 1}") for i in range(4)]
    for i, limb in enumerate(limbs):
        bytes_ = air.row(f"y{2 * i}") + 256 * air.row(f"y{2 * i + 1}")
        air.require(ALWAYS, f"amount limb is two bytes[{i}]", entry * (limb - bytes_))
    air.require_all(ALWAYS, "entry block ends in zeros", (entry * air.row(f"b{i}") for i in (5, 6, 7)))

    carry = Expr(air, 0, {})
    inverse = pow(2**16, -1, 2**31 - 2**24 + 1)
    for i, limb in enumerate(limbs[:3]):
        carry = inverse * (limb + air.row(f"u{i}") + carry - air.row(f"cap{i}"))
        air.require(ALWAYS, f"amount plus slack is the cap, carry[{i}]", entry * carry * (carry - 1))
    last = limbs[3] + air.row("u3") + carry - air.row("cap3")
    air.require(ALWAYS, "amount plus slack is the cap", entry * last)

    # 16 * count below 2^16 bounds the entries of an account by 4,095: the carry bounds in `values` rely on it.
    air.require(ALWAYS, "at most 4095 entries", entry * (air.row("u5") - 16 * air.row("count")))
    gap = air.next("b0") - air.row("b0") - 1 - air.next("u4")
    air.require(TRANSITION, "legs strictly increase", entry * air.next("is_entry") * gap)


def look_up_legs(air: AirBuilder, lens_digits: Sequence[str] = ()) -> None:
    """(leg, total, cap, digits, digits per lens) of an entry is a row of the public table.

    The table enters as the fingerprint of each row, one public extension element that both sides compute once beta is
    known. Multiplicities are private.
    """
    names = ("b0", "total_id", *CAP_COLUMNS, *DIGIT_COLUMNS, *lens_digits)
    air.fraction("entry leg", air.row("is_entry"), air.fingerprint(TAG_LEG, [air.row(name) for name in names]))
    table = air.scalar("alpha") - air.extension_public("leg_row")
    air.fraction("leg table", -1 * air.row("mu_leg"), table)
