"""Why a command was refused, in the order in which the reasons are looked for: the first that applies wins."""

from __future__ import annotations

from enum import IntEnum


class Reject(IntEnum):
    """One reason per refused command. The numbers are part of the interface: never reused, never reordered."""

    # 1xx: the command alone
    AMOUNT_NOT_POSITIVE = 101
    AMOUNT_TOO_LARGE = 102
    USER_ID_INVALID = 103
    PRICE_OUT_OF_RANGE = 111
    LOTS_OUT_OF_RANGE = 112
    FLAGS_CONTRADICT = 113
    PRICES_INCOMPLETE = 121
    FUNDING_RATE_TOO_LARGE = 122
    TRIGGER_UNKNOWN = 123
    QUOTES_OUT_OF_RANGE = 124
    HEADER_OUT_OF_RANGE = 131
    # 2xx: what it names
    ACCOUNT_UNKNOWN = 201
    ACCOUNT_RESERVED = 202
    ASSET_UNKNOWN = 203
    MARKET_UNKNOWN = 204
    MARKET_KIND = 205
    USER_ID_TAKEN = 206
    QUOTES_REQUIRED = 207
    SOURCE_UNKNOWN = 208
    ORDER_UNKNOWN = 211
    ORDER_NOT_OWN = 212
    ACCOUNT_ISOLATED = 213
    ISOLATED_EXISTS = 214
    ISOLATED_NOT_OWN = 215
    MARKET_ISOLATED = 216
    # 3xx: the venue's state
    TIME_GOES_BACK = 301
    PRICE_MISSING = 302
    MODE_FORBIDS = 303
    PRICE_STALE = 304
    NOT_LIQUIDATABLE = 305
    NOTHING_TO_LIQUIDATE = 306
    PRICE_UNRELIABLE = 307
    BLOCK_CAP_REACHED = 308
    NO_AUCTION_DUE = 309
    NO_SETTLEMENT_DUE = 310
    # 4xx: the rules of an order
    ORDER_TOO_LARGE = 401
    PRICE_OUTSIDE_BAND = 402
    REDUCE_ONLY_WOULD_INCREASE = 403
    POST_ONLY_WOULD_TAKE = 404
    FILL_OR_KILL_UNFILLED = 405
    ORDERS_TOO_MANY = 406
    WOULD_CROSS_OWN = 407
    # 5xx: money and limits
    BALANCE_TOO_LOW = 501
    MARGIN_TOO_LOW = 502
    POSITION_TOO_LARGE = 503
    SUPPLY_TOO_LARGE = 504
    # 6xx: before the ledger
    OVERLOADED = 601
