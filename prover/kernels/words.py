"""Operations on plain 32-bit words, scalars or sixteen lanes at once, as hashing needs them (see `lanes`)."""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.core.errors import TypingError

from prover.kernels.lanes import LANES, _check_words, _constant, _operation, _word_function


@_operation
def word_add(typing_context: Any, left: Any, right: Any) -> Any:
    """left + right mod 2**32."""
    return _word_function((left, right), lambda builder, a, b: builder.add(a, b))


@_operation
def word_xor(typing_context: Any, left: Any, right: Any) -> Any:
    """left XOR right."""
    return _word_function((left, right), lambda builder, a, b: builder.xor(a, b))


@_operation
def word_rotate(typing_context: Any, word: Any, bits: Any) -> Any:
    """Rotate right by a literal number of bits, 1..31."""
    if not isinstance(bits, types.IntegerLiteral):
        raise TypingError("the rotation must be a literal")
    count = int(bits.literal_value)
    is_lanes = _check_words(word)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = values[0].type
        right = builder.lshr(values[0], _constant(kind, count))
        return builder.or_(right, builder.shl(values[0], _constant(kind, 32 - count)))

    return (LANES if is_lanes else types.uint32)(word, bits), generate
