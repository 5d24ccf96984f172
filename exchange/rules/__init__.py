"""The venue's rules as pure integer functions: no state, clock, randomness or float, and rounding against the user.

Sizes are base atoms, signed, long above zero. A price is quote atoms per `unit` base atoms, where `unit` is a power of
ten that belongs to the market. Cash, values, margins and fees are quote atoms. Rates are parts per million.
"""
