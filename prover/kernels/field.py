"""KoalaBear words and degree-5 extension elements inside kernels, and the kernels on whole arrays of them.

Every array is uint32 in Montgomery form, x * 2**32 mod p reduced to [0, p); an extension array has shape (5, n),
coefficient of X^0 first. Plain integers and `Ext` tuples at the Python level are canonical.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from prover.kernels.lanes import MU, WIDTH, add, load, mul, neg, store, sub, wide_add, wide_mul, wide_reduce, wide_trim
from prover.kernels.registry import compiled, inlined, kernel
from prover.kernels.threads import run_ranges
from verifier.field import EXTENSION_DEGREE, GENERATOR, TWO_ADIC_ROOT, Ext, P, ext_inverse, ext_pow, root_of_unity

__all__ = [
    "GENERATOR", "MU", "ONE", "R2", "TWO_ADIC_ROOT", "P", "R", "U32Array", "add", "empty_words", "ext_add", "ext_array",
    "ext_batch_inverse", "ext_invert", "ext_mul", "ext_mul_base", "ext_of_array", "ext_square", "ext_sub", "from_mont",
    "int_of_mont", "inverse", "load_ext", "mont_of_int", "mul", "multiply_rows", "neg", "powers", "root_of_unity",
    "running_sum", "store_ext", "sub", "to_mont",
]  # fmt: skip

U32Array = npt.NDArray[np.uint32]

R = (1 << 32) % P
"""The Montgomery form of 1, as a Python integer."""
R2 = pow(2, 64, P)
"""A Montgomery product with R2 takes a canonical word to Montgomery form."""
ONE = np.uint32(R)
_R2 = np.uint32(R2)
_R_INVERSE = pow(R, -1, P)
_CANONICAL_ONE = np.uint32(1)

_INVERSE_BLOCK_VECTORS = 64
_INVERSE_BLOCK = WIDTH * _INVERSE_BLOCK_VECTORS
"""Elements per batch inversion: inputs and prefix products, 40 KB, stay in the first cache levels."""


def empty_words(*shape: int) -> U32Array:
    """An uninitialised uint32 array that starts on a cache line, so that no vector straddles two (10 to 25 % faster).

    Kernels accept any C-contiguous array; allocate the large ones with this.
    """
    count = math.prod(shape)
    buffer = np.empty(count + WIDTH, dtype=np.uint32)
    start = -(buffer.ctypes.data // buffer.itemsize) % WIDTH
    return buffer[start : start + count].reshape(shape)


def mont_of_int(value: int) -> int:
    """Montgomery form of an integer, which is first reduced mod p."""
    return value % P * R % P


def int_of_mont(word: int | np.uint32) -> int:
    """Canonical integer of a Montgomery word."""
    return int(word) * _R_INVERSE % P


def ext_array(elements: list[Ext]) -> U32Array:
    """Canonical extension elements as a Montgomery array (5, n)."""
    words = [[mont_of_int(element[k]) for element in elements] for k in range(EXTENSION_DEGREE)]
    return np.array(words, dtype=np.uint32).reshape(EXTENSION_DEGREE, len(elements))


def ext_of_array(array: U32Array, index: int) -> Ext:
    """Canonical extension element number `index` of a Montgomery array (5, n)."""
    a, b, c, d, e = (int_of_mont(word) for word in array[:, index])
    return (a, b, c, d, e)


# -- inside kernels: elements are 5-tuples of uint32, or of Lanes, or mixed -----------------------------------------


@inlined
def ext_add(a: Any, b: Any) -> Any:
    """a + b for 5-tuples of words in [0, p)."""
    return add(a[0], b[0]), add(a[1], b[1]), add(a[2], b[2]), add(a[3], b[3]), add(a[4], b[4])


@inlined
def ext_sub(a: Any, b: Any) -> Any:
    """a - b for 5-tuples of words in [0, p)."""
    return sub(a[0], b[0]), sub(a[1], b[1]), sub(a[2], b[2]), sub(a[3], b[3]), sub(a[4], b[4])


@inlined
def ext_mul_base(a: Any, word: Any) -> Any:
    """a times a base field word."""
    return mul(a[0], word), mul(a[1], word), mul(a[2], word), mul(a[3], word), mul(a[4], word)


@inlined
def _dot5(a: Any, b0: Any, b1: Any, b2: Any, b3: Any, b4: Any) -> Any:
    """Sum of five products in [0, p).

    Four products stay below 4 p**2 < 2**64 and < 2**33 * p; trimmed below 2**32 * p, the fifth keeps the sum below
    2**33 * p, and the second trim brings it into the range of the reduction.
    """
    four = wide_add(wide_add(wide_mul(a[0], b0), wide_mul(a[1], b1)), wide_add(wide_mul(a[2], b2), wide_mul(a[3], b3)))
    return wide_reduce(wide_trim(wide_add(wide_trim(four), wide_mul(a[4], b4))))


@inlined
def ext_mul(a: Any, b: Any) -> Any:
    """a * b modulo X^5 + X^2 - 1, for 5-tuples of words in [0, p).

    Row k holds the coefficients of X^k in b, X b, X^2 b, X^3 b, X^4 b, where X^5 = 1 - X^2; so each coefficient of the
    product is one dot product with one reduction.
    """
    b0, b1, b2, b3, b4 = b
    b14 = sub(b1, b4)
    b03 = sub(b0, b3)
    b42 = sub(b4, b2)
    return (
        _dot5(a, b0, b4, b3, b2, b14),
        _dot5(a, b1, b0, b4, b3, b2),
        _dot5(a, b2, b14, b03, b42, sub(b3, b14)),
        _dot5(a, b3, b2, b14, b03, b42),
        _dot5(a, b4, b3, b2, b14, b03),
    )


@inlined
def ext_square(a: Any) -> Any:
    """a * a."""
    return ext_mul(a, a)


@inlined
def inverse(word: Any) -> Any:
    """1 / word by Fermat: word ** (p - 2); 0 gives 0."""
    result = word
    for bit in range(29, -1, -1):  # p - 2 has 31 bits, the highest one is the starting value
        result = mul(result, result)
        if ((P - 2) >> bit) & 1:
            result = mul(result, word)
    return result


def _frobenius_matrix(times: int) -> tuple[tuple[np.uint32, ...], ...]:
    """Rows k: coefficient of X^k in the images of 1, X, .., X^4 under x -> x ** (p ** times); Montgomery words."""
    images = [ext_pow((0, 1, 0, 0, 0), j * P**times % (P**EXTENSION_DEGREE - 1)) for j in range(EXTENSION_DEGREE)]
    return tuple(tuple(np.uint32(mont_of_int(image[k])) for image in images) for k in range(EXTENSION_DEGREE))


_FROBENIUS = _frobenius_matrix(1)
_FROBENIUS_SQUARED = _frobenius_matrix(2)


@inlined
def _apply(matrix: Any, a: Any) -> Any:
    m0, m1, m2, m3, m4 = matrix
    return (
        _dot5(a, m0[0], m0[1], m0[2], m0[3], m0[4]),
        _dot5(a, m1[0], m1[1], m1[2], m1[3], m1[4]),
        _dot5(a, m2[0], m2[1], m2[2], m2[3], m2[4]),
        _dot5(a, m3[0], m3[1], m3[2], m3[3], m3[4]),
        _dot5(a, m4[0], m4[1], m4[2], m4[3], m4[4]),
    )


@inlined
def ext_invert(a: Any) -> Any:
    """1 / a; zero gives zero. With t = a ** (p + p^2 + p^3 + p^4), a * t is the norm, a base field word."""
    pair = ext_mul(_apply(_FROBENIUS, a), _apply(_FROBENIUS_SQUARED, a))
    rest = ext_mul(pair, _apply(_FROBENIUS_SQUARED, pair))
    norm = ext_mul(a, rest)[0]
    return ext_mul_base(rest, inverse(norm))


# -- kernels on arrays ----------------------------------------------------------------------------------------------


@compiled
def _scale(source: U32Array, target: U32Array, factor: np.uint32, start: int, stop: int) -> None:
    vector_stop = stop - (stop - start) % WIDTH
    for i in range(start, vector_stop, WIDTH):
        store(target, i, mul(load(source, i), factor))
    for i in range(vector_stop, stop):
        target[i] = mul(source[i], factor)


def _scale_threaded(source: U32Array, target: U32Array, factor: np.uint32) -> None:
    run_ranges(lambda start, stop: _scale(source, target, factor, start, stop), source.size, 1 << 16)


def _flat(array: U32Array) -> U32Array:
    if array.dtype != np.uint32 or not array.flags.c_contiguous:
        raise ValueError(f"expected a C-contiguous uint32 array, got {array.dtype} with strides {array.strides}")
    return array.reshape(-1)


def _to_mont_twin(array: U32Array) -> None:
    array[...] = np.array([mont_of_int(int(x)) for x in array.flat], dtype=np.uint32).reshape(array.shape)


@kernel(twin=_to_mont_twin)
def to_mont(array: U32Array) -> None:
    """Canonical words to Montgomery form, in place. Any shape, uint32, C-contiguous; words >= p are reduced.

    Products with R2 < p stay below 2**32 * p for any 32-bit word, so the results are in [0, p).
    """
    _scale_threaded(_flat(array), _flat(array), _R2)


def _from_mont_twin(array: U32Array) -> U32Array:
    return np.array([int_of_mont(int(x)) for x in array.flat], dtype=np.uint32).reshape(array.shape)


@kernel(twin=_from_mont_twin)
def from_mont(array: U32Array) -> U32Array:
    """Canonical words in [0, p) of a Montgomery array of any shape; the argument is not changed."""
    source = np.ascontiguousarray(array)
    result = empty_words(*source.shape)
    _scale_threaded(_flat(source), _flat(result), _CANONICAL_ONE)
    return result


@compiled
def _multiply(row: U32Array, factors: U32Array, start: int, stop: int) -> None:
    vector_stop = stop - (stop - start) % WIDTH
    for i in range(start, vector_stop, WIDTH):
        store(row, i, mul(load(row, i), load(factors, i)))
    for i in range(vector_stop, stop):
        row[i] = mul(row[i], factors[i])


def _multiply_rows_twin(matrix: U32Array, factors: U32Array) -> None:
    for row in matrix:
        row[:] = [mont_of_int(int_of_mont(a) * int_of_mont(b)) for a, b in zip(row, factors, strict=True)]


@kernel(twin=_multiply_rows_twin)
def multiply_rows(matrix: U32Array, factors: U32Array) -> None:
    """Multiply each row of `matrix` (w, n) by `factors` (n,), word by word, in place; Montgomery words in [0, p)."""
    for row in matrix:
        run_ranges(partial(_multiply, row, factors), row.size, 1 << 16)


def _powers_twin(base: int, count: int, start: int = 1) -> U32Array:
    return np.array([mont_of_int(start * pow(base, i, P)) for i in range(count)], dtype=np.uint32)


@kernel(twin=_powers_twin)
def powers(base: int, count: int, start: int = 1) -> U32Array:
    """start * base**i for i = 0..count-1 as a Montgomery array (count,); `base` and `start` are canonical integers."""
    result = empty_words(count)
    known = min(count, WIDTH)
    result[:known] = _powers_twin(base, known, start)
    while known < count:
        added = min(known, count - known)
        factor = np.uint32(mont_of_int(pow(base, known, P)))
        _scale_threaded(result[:added], result[known : known + added], factor)
        known += added
    return result


@inlined
def load_ext(array: U32Array, at: int, stride: int) -> Any:
    """Sixteen extension elements: coordinate k from flat position at + k * stride."""
    return (
        load(array, at),
        load(array, at + stride),
        load(array, at + 2 * stride),
        load(array, at + 3 * stride),
        load(array, at + 4 * stride),
    )


@inlined
def store_ext(array: U32Array, at: int, stride: int, value: Any) -> None:
    """Write sixteen extension elements: coordinate k to flat position at + k * stride."""
    store(array, at, value[0])
    store(array, at + stride, value[1])
    store(array, at + 2 * stride, value[2])
    store(array, at + 3 * stride, value[3])
    store(array, at + 4 * stride, value[4])


@compiled
def _batch_inverse_blocks(source: U32Array, target: U32Array, count: int, start: int, stop: int) -> bool:
    """Montgomery's trick on blocks of elements start..stop, sixteen interleaved chains; False if one is zero."""
    prefix = np.empty(EXTENSION_DEGREE * _INVERSE_BLOCK, np.uint32)
    nonzero = np.empty(WIDTH, np.uint32)
    for block in range(start, stop, _INVERSE_BLOCK):
        product = load_ext(source, block, count)
        for k in range(WIDTH, _INVERSE_BLOCK, WIDTH):
            store_ext(prefix, k, _INVERSE_BLOCK, product)
            product = ext_mul(product, load_ext(source, block + k, count))
        rest = ext_invert(product)
        store(nonzero, 0, ext_mul(product, rest)[0])
        for lane in range(WIDTH):
            if nonzero[lane] == 0:
                return False
        for k in range(_INVERSE_BLOCK - WIDTH, 0, -WIDTH):
            element = load_ext(source, block + k, count)
            store_ext(target, block + k, count, ext_mul(rest, load_ext(prefix, k, _INVERSE_BLOCK)))
            rest = ext_mul(rest, element)
        store_ext(target, block, count, rest)
    return True


def _ext_batch_inverse_twin(denominators: U32Array, out: U32Array | None = None) -> U32Array:
    inverses = [ext_inverse(ext_of_array(denominators, i)) for i in range(denominators.shape[1])]
    result = np.empty_like(denominators) if out is None else out
    result[...] = ext_array(inverses)
    return result


@kernel(twin=_ext_batch_inverse_twin)
def ext_batch_inverse(denominators: U32Array, out: U32Array | None = None) -> U32Array:
    """Inverses of the extension elements (5, n), any n >= 0. `out` may be `denominators` itself.

    Raises:
        ZeroDivisionError: an element is zero; `out` is then partly written.
    """
    count = denominators.shape[1]
    result = empty_words(*denominators.shape) if out is None else out
    source, target = _flat(denominators), _flat(result)
    whole = count - count % _INVERSE_BLOCK

    def invert(start: int, stop: int) -> None:
        if not _batch_inverse_blocks(source, target, count, start, stop):
            raise ZeroDivisionError("inverse of zero in the extension field")

    tail = np.zeros((EXTENSION_DEGREE, _INVERSE_BLOCK), dtype=np.uint32)
    tail[0] = ONE
    tail[:, : count - whole] = denominators[:, whole:]
    run_ranges(invert, whole, _INVERSE_BLOCK)
    if whole < count:
        if not _batch_inverse_blocks(_flat(tail), _flat(tail), _INVERSE_BLOCK, 0, _INVERSE_BLOCK):
            raise ZeroDivisionError("inverse of zero in the extension field")
        result[:, whole:] = tail[:, : count - whole]
    return result


@compiled
def _running_sum(values: U32Array, sums: U32Array) -> None:
    total = np.uint32(0)
    for i in range(values.shape[0]):
        word = values[i]
        sums[i] = total
        total = add(total, word)


def _running_sum_twin(values: U32Array) -> U32Array:
    sums = np.zeros_like(values)
    for i in range(1, values.shape[1]):
        sums[:, i] = [(int(a) + int(b)) % P for a, b in zip(sums[:, i - 1], values[:, i - 1], strict=True)]
    return sums


@kernel(twin=_running_sum_twin)
def running_sum(values: U32Array) -> U32Array:
    """Exclusive prefix sums mod p along each row of (5, n): result[:, i] = sum of values[:, :i]; words in [0, p)."""
    sums = empty_words(*values.shape)

    def accumulate(start: int, stop: int) -> None:
        for row in range(start, stop):
            _running_sum(values[row], sums[row])

    run_ranges(accumulate, len(values))
    return sums
