"""Sixteen field words at a time: vector operations that compiled kernels call like plain functions.

Numba cannot keep a block of sixteen words in a vector register when a loop body holds several dependent rounds, so
these operations emit the vector instructions themselves. `mul`, `add`, `sub`, `neg` and the `wide_*` family accept
either a scalar `uint32` or a `Lanes` value (sixteen `uint32`), and mix them by broadcasting the scalar: one text of
a formula serves both. They exist only inside compiled code. The vectors are generic: a machine with narrower
registers runs the same kernels in two or four steps.

Field words are Montgomery words in [0, p), p = 2**31 - 2**24 + 1. A `wide` value holds unreduced 64-bit sums.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.extending import intrinsic, models, register_model

P = 2130706433
"""The KoalaBear prime 2**31 - 2**24 + 1."""

P_INVERSE = pow(P, -1, 1 << 32)
"""1/p mod 2**32."""

MU = -pow(P, -1, 1 << 32) % (1 << 32)
"""-1/p mod 2**32: with m = t * MU mod 2**32, t + m * p is divisible by 2**32."""

WIDTH = 16
"""Words in one `Lanes` value: 512 bits."""

_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_WORDS = ir.VectorType(_I32, WIDTH)
_HALF = ir.VectorType(_I64, WIDTH // 2)
_SUMS = ir.LiteralStructType([_HALF, _HALF])


class LanesType(types.Type):
    """Sixteen uint32 words in one vector."""

    def __init__(self) -> None:
        super().__init__(name="Lanes16xUint32")


class WideLanesType(types.Type):
    """Sixteen uint64 sums: those of the even lanes, then those of the odd lanes."""

    def __init__(self) -> None:
        super().__init__(name="Lanes16xUint64")


LANES = LanesType()
WIDE_LANES = WideLanesType()


class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, frontend_type: Any) -> None:
        super().__init__(manager, frontend_type, _WORDS)  # type: ignore[no-untyped-call]


class _WideLanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, frontend_type: Any) -> None:
        super().__init__(manager, frontend_type, _SUMS)  # type: ignore[no-untyped-call]


register_model(LanesType)(_LanesModel)
register_model(WideLanesType)(_WideLanesModel)


def _operation(function: Callable[..., Any]) -> Callable[..., Any]:
    return cast(Callable[..., Any], intrinsic(function))


# -- building blocks of the emitted code ------------------------------------------------------------------------


def _constant(kind: ir.Type, value: int) -> ir.Constant:
    if isinstance(kind, ir.VectorType):
        return ir.Constant(kind, [value] * kind.count)
    return ir.Constant(kind, value)


def _splat(builder: ir.IRBuilder, scalar: Any) -> Any:
    seed = builder.insert_element(ir.Constant(_WORDS, ir.Undefined), scalar, ir.Constant(_I32, 0))
    return builder.shuffle_vector(seed, ir.Constant(_WORDS, ir.Undefined), _constant(_WORDS, 0))


def _minimum(builder: ir.IRBuilder, left: Any, right: Any) -> Any:
    return builder.select(builder.icmp_unsigned("<", left, right), left, right)


def _add_p_if_negative(builder: ir.IRBuilder, word: Any) -> Any:
    """A difference in (-p, p) taken mod 2**32: the smaller of r and r + p is the one in [0, p)."""
    return _minimum(builder, word, builder.add(word, _constant(word.type, P)))


def _subtract_p_once(builder: ir.IRBuilder, word: Any) -> Any:
    return _minimum(builder, word, builder.sub(word, _constant(word.type, P)))


def _even_odd(builder: ir.IRBuilder, words: Any) -> tuple[Any, Any]:
    pairs = builder.bitcast(words, _HALF)
    return builder.and_(pairs, _constant(_HALF, 0xFFFFFFFF)), builder.lshr(pairs, _constant(_HALF, 32))


def _montgomery_sum(builder: ir.IRBuilder, total: Any) -> Any:
    """t + (t * MU mod 2**32) * p: low half zero, high half in [0, 2 p), and no overflow, for t < 2**32 * p < 2**63."""
    low_mask = _constant(total.type, 0xFFFFFFFF)
    low = builder.and_(total, low_mask)
    factor = builder.and_(builder.mul(low, _constant(total.type, MU)), low_mask)
    return builder.add(total, builder.mul(factor, _constant(total.type, P)))


def _high_words(builder: ir.IRBuilder, even: Any, odd: Any) -> Any:
    mask = [index + 1 if index % 2 == 0 else index + WIDTH for index in range(WIDTH)]
    return builder.shuffle_vector(
        builder.bitcast(even, _WORDS), builder.bitcast(odd, _WORDS), ir.Constant(_WORDS, mask)
    )


def _reduce(builder: ir.IRBuilder, wide: Any, is_lanes: bool) -> Any:
    if is_lanes:
        halves = [_montgomery_sum(builder, builder.extract_value(wide, half)) for half in (0, 1)]
        return _subtract_p_once(builder, _high_words(builder, *halves))
    total = _montgomery_sum(builder, wide)
    return _subtract_p_once(builder, builder.trunc(builder.lshr(total, _constant(_I64, 32)), _I32))


def _halves(builder: ir.IRBuilder, value: Any) -> tuple[Any, Any]:
    """Words of the even and of the odd lanes, in 64-bit lanes; a scalar's are the same, which saves a shift."""
    if value.type != _I32:
        return _even_odd(builder, value)
    word = builder.and_(builder.bitcast(_splat(builder, value), _HALF), _constant(_HALF, 0xFFFFFFFF))
    return word, word


def _product(builder: ir.IRBuilder, left: Any, right: Any, is_lanes: bool) -> Any:
    """64-bit products of two operands, each a vector or a scalar."""
    if not is_lanes:
        return builder.mul(builder.zext(left, _I64), builder.zext(right, _I64))
    left_halves, right_halves = _halves(builder, left), _halves(builder, right)
    return _pack(builder, *(builder.mul(a, b) for a, b in zip(left_halves, right_halves, strict=True)))


def _pack(builder: ir.IRBuilder, even: Any, odd: Any) -> Any:
    return builder.insert_value(builder.insert_value(ir.Constant(_SUMS, ir.Undefined), even, 0), odd, 1)


def _each_half(builder: ir.IRBuilder, function: Callable[..., Any], *wides: Any) -> Any:
    """Apply a 64-bit function to scalar sums, or to both halves of vector sums."""
    if not isinstance(wides[0].type, ir.LiteralStructType):
        return function(*wides)
    halves = [function(*(builder.extract_value(wide, half) for wide in wides)) for half in (0, 1)]
    return _pack(builder, *halves)


def _check_words(*kinds: Any) -> bool:
    """True when any operand is `Lanes`; raises unless all are `Lanes` or uint32."""
    for kind in kinds:
        if kind not in (LANES, types.uint32):
            raise TypingError(f"field words must be uint32 or Lanes, not {kind}")
    return LANES in kinds


def _check_wide(kind: Any) -> bool:
    if kind not in (WIDE_LANES, types.uint64):
        raise TypingError(f"wide sums must be uint64 or wide Lanes, not {kind}")
    return bool(kind == WIDE_LANES)


def _operands(builder: ir.IRBuilder, signature: Any, values: Any, is_lanes: bool) -> list[Any]:
    return [
        _splat(builder, value) if is_lanes and kind == types.uint32 else value
        for kind, value in zip(signature.args, values, strict=True)
    ]


def _word_function(kinds: tuple[Any, ...], emit: Callable[..., Any]) -> tuple[Any, Any]:
    """Signature and code generator of a function of words that yields one word (or `Lanes`)."""
    is_lanes = _check_words(*kinds)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return emit(builder, *_operands(builder, signature, values, is_lanes))

    return (LANES if is_lanes else types.uint32)(*kinds), generate


# -- field arithmetic -------------------------------------------------------------------------------------------


@_operation
def mul(typing_context: Any, left: Any, right: Any) -> Any:
    """Montgomery product left * right / 2**32 mod p. One operand < p, the other < 2**32; result in [0, p).

    The 64-bit product is below 2**32 * p, so the reduced word lies in [0, 2 p): one correction is enough.
    """
    is_lanes = _check_words(left, right)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _reduce(builder, _product(builder, values[0], values[1], is_lanes), is_lanes)

    return (LANES if is_lanes else types.uint32)(left, right), generate


@_operation
def add(typing_context: Any, left: Any, right: Any) -> Any:
    """left + right mod p for words in [0, p): the sum stays below 2 p < 2**32."""
    return _word_function((left, right), lambda builder, a, b: _subtract_p_once(builder, builder.add(a, b)))


@_operation
def sub(typing_context: Any, left: Any, right: Any) -> Any:
    """left - right mod p for words in [0, p)."""
    return _word_function((left, right), lambda builder, a, b: _add_p_if_negative(builder, builder.sub(a, b)))


@_operation
def neg(typing_context: Any, word: Any) -> Any:
    """-word mod p for a word in [0, p); the negative of 0 is 0."""
    return _word_function((word,), lambda builder, a: _add_p_if_negative(builder, builder.sub(_constant(a.type, 0), a)))


@_operation
def lazy_sub(typing_context: Any, left: Any, right: Any) -> Any:
    """left - right + p in (0, 2 p) for words in [0, p): unreduced, good for nothing but one factor of `mul`."""

    def emit(builder: Any, a: Any, b: Any) -> Any:
        return builder.sub(builder.add(a, _constant(a.type, P)), b)

    return _word_function((left, right), emit)


@_operation
def canonical(typing_context: Any, word: Any) -> Any:
    """word / 2**32 mod p, in [0, p), of any 32-bit word: the same as `mul` with 1 at half the cost.

    With q = word / p mod 2**32 the low halves of word and q * p agree, so (word - q * p) / 2**32 is minus the high half
    of q * p, which is in [0, p).
    """
    is_lanes = _check_words(word)

    def emit(builder: Any, a: Any) -> Any:
        quotient = builder.mul(a, _constant(a.type, P_INVERSE))
        if is_lanes:
            high = _high_words(builder, *(builder.mul(q, _constant(_HALF, P)) for q in _even_odd(builder, quotient)))
        else:
            product = builder.mul(builder.zext(quotient, _I64), _constant(_I64, P))
            high = builder.trunc(builder.lshr(product, _constant(_I64, 32)), _I32)
        return _add_p_if_negative(builder, builder.sub(_constant(high.type, 0), high))

    return _word_function((word,), emit)


@_operation
def wide_mul(typing_context: Any, left: Any, right: Any) -> Any:
    """Full 64-bit products of words in [0, p): each at most (p-1)**2 < 2**62."""
    is_lanes = _check_words(left, right)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _product(builder, values[0], values[1], is_lanes)

    return (WIDE_LANES if is_lanes else types.uint64)(left, right), generate


@_operation
def wide_add(typing_context: Any, left: Any, right: Any) -> Any:
    """Sum without reduction. The caller keeps it below 2**64: four products fit, or a trimmed sum and two products."""
    if _check_wide(left) != _check_wide(right):
        raise TypingError("wide sums of different widths")

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _each_half(builder, builder.add, *values)

    return left(left, right), generate


@_operation
def wide_trim(typing_context: Any, total: Any) -> Any:
    """Subtract 2**32 * p when the sum reaches it. For sums below 2**33 * p the result is below 2**32 * p."""
    _check_wide(total)

    def trim(builder: Any, word: Any) -> Any:
        return _minimum(builder, word, builder.sub(word, _constant(word.type, P << 32)))

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _each_half(builder, lambda word: trim(builder, word), *values)

    return total(total), generate


@_operation
def wide_reduce(typing_context: Any, total: Any) -> Any:
    """Montgomery reduction total / 2**32 mod p of a sum below 2**32 * p (apply `wide_trim` first if it may be more)."""
    is_lanes = _check_wide(total)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _reduce(builder, values[0], is_lanes)

    return (LANES if is_lanes else types.uint32)(total), generate


# -- plain 32-bit words (for hashing) ---------------------------------------------------------------------------


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


# -- memory -----------------------------------------------------------------------------------------------------


def _check_array(array: Any) -> None:
    if not (isinstance(array, types.Array) and array.dtype == types.uint32 and array.layout == "C"):
        raise TypingError(f"need a C-contiguous uint32 array, not {array}")


def _vector_pointer(context: Any, builder: Any, signature: Any, array: Any, index: Any) -> Any:
    data = context.make_array(signature.args[0])(context, builder, array).data
    start = context.cast(builder, index, signature.args[1], types.intp)
    return builder.bitcast(cgutils.gep(builder, data, start), _WORDS.as_pointer())


@_operation
def load(typing_context: Any, array: Any, index: Any) -> Any:
    """Sixteen words of a C-contiguous uint32 array of any shape from flat position `index` (unchecked)."""
    _check_array(array)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        word = builder.load(_vector_pointer(context, builder, signature, *values))
        word.align = 4
        return word

    return LANES(array, index), generate


@_operation
def store(typing_context: Any, array: Any, index: Any, words: Any) -> Any:
    """Write sixteen words to a C-contiguous uint32 array of any shape at flat position `index` (unchecked)."""
    _check_array(array)
    _check_words(words)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        word = _splat(builder, values[2]) if signature.args[2] == types.uint32 else values[2]
        builder.store(word, _vector_pointer(context, builder, signature, values[0], values[1])).align = 4
        return context.get_dummy_value()

    return types.void(array, index, words), generate


@_operation
def prefetch(typing_context: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line at flat position `index`; a position outside of the array does no harm."""
    _check_array(array)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer = builder.bitcast(_vector_pointer(context, builder, signature, *values), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, _I32, _I32, _I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        read, all_levels, data = _constant(_I32, 0), _constant(_I32, 3), _constant(_I32, 1)
        builder.call(function, [pointer, read, all_levels, data])
        return context.get_dummy_value()

    return types.void(array, index), generate


@_operation
def broadcast(typing_context: Any, word: Any) -> Any:
    """A scalar uint32 in all sixteen lanes."""
    _check_words(word)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _splat(builder, values[0])

    return LANES(types.uint32), generate


@_operation
def transpose(typing_context: Any, rows: Any) -> Any:
    """Transpose a 16 x 16 block held as a tuple of sixteen `Lanes`: lane j of result i is lane i of argument j."""
    if not (isinstance(rows, types.UniTuple) and rows.count == WIDTH and rows.dtype == LANES):
        raise TypingError(f"need sixteen Lanes, not {rows}")

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        block = [builder.extract_value(values[0], row) for row in range(WIDTH)]
        for distance in (1, 2, 4, 8):  # swap the off-diagonal squares of side `distance`
            low = [lane if not lane & distance else lane - distance + WIDTH for lane in range(WIDTH)]
            high = [lane + distance if not lane & distance else lane + WIDTH for lane in range(WIDTH)]
            for row in range(WIDTH):
                if not row & distance:
                    pair = block[row], block[row + distance]
                    block[row] = builder.shuffle_vector(*pair, ir.Constant(_WORDS, low))
                    block[row + distance] = builder.shuffle_vector(*pair, ir.Constant(_WORDS, high))
        return context.make_tuple(builder, signature.return_type, block)

    return rows(rows), generate
