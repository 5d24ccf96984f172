// KoalaBear words as plain numbers, and elements of F_p[X] / (X^5 + X^2 - 1) as lists of five, X^0 first:
// docs/protocol.md. Every result is canonical, from 0 to P - 1.
import { Refused } from "./canonical.js";
import { P } from "./constants.js";

const INVERSE_P = 1 / P;
const HALF_WORD = 65536;
const TWO_ADIC_ROOT = 1791270792; // of order 2^24
export const TWO_ADICITY = 24;
export const GENERATOR = 3;
export const EXTENSION_DEGREE = 5;
export const extZero = [0, 0, 0, 0, 0];
export const extOne = [1, 0, 0, 0, 0];

// x modulo p for an integer -2^52 < x < 2^52. The quotient is below 2^22, so its rounding is off by one at most.
export function reduce(x) {
  const rest = x - Math.floor(x * INVERSE_P) * P;
  return rest < 0 ? rest + P : rest >= P ? rest - P : rest;
}

// a b modulo p for words below 2^31, with b in two parts of 16 bits: no product reaches 2^48.
export function multiply(a, b) {
  const high = Math.floor(b / HALF_WORD);
  return reduce(reduce(a * high) * HALF_WORD + a * (b - high * HALF_WORD));
}

export function wordPow(base, exponent) {
  let out = 1;
  for (; exponent > 0; exponent = Math.floor(exponent / 2)) {
    if (exponent % 2) out = multiply(out, base);
    base = multiply(base, base);
  }
  return out;
}

// 1 / word; 0 for 0.
export function wordInverse(word) {
  return wordPow(word, P - 2);
}

// The root of unity of order 2^log2Order that both sides use.
export function rootOfUnity(log2Order) {
  return wordPow(TWO_ADIC_ROOT, 2 ** (TWO_ADICITY - log2Order));
}

export function lift(word) {
  return [reduce(word), 0, 0, 0, 0];
}

export function extEqual(a, b) {
  return a.every((word, i) => word === b[i]);
}

export function extAdd(a, b) {
  return a.map((word, i) => reduce(word + b[i]));
}

export function extSub(a, b) {
  return a.map((word, i) => reduce(word - b[i]));
}

// An element times a word.
export function extScale(a, k) {
  return a.map((word) => multiply(word, k));
}

// The five coefficients below X^5 of a product whose nine are given: X^5 = 1 - X^2, X^6 = X - X^3, X^7 = X^2 - X^4,
// X^8 = X^3 + X^2 - 1.
function folded(c0, c1, c2, c3, c4, c5, c6, c7, c8) {
  return [c0 + c5 - c8, c1 + c6, c2 - c5 + c7 + c8, c3 - c6 + c8, c4 - c7];
}

// Products of the words of `a` with numbers below 2^16: every sum stays within 8 * 2^47.
function partialProduct(a, b0, b1, b2, b3, b4) {
  const [a0, a1, a2, a3, a4] = a;
  return folded(
    a0 * b0,
    a0 * b1 + a1 * b0,
    a0 * b2 + a1 * b1 + a2 * b0,
    a0 * b3 + a1 * b2 + a2 * b1 + a3 * b0,
    a0 * b4 + a1 * b3 + a2 * b2 + a3 * b1 + a4 * b0,
    a1 * b4 + a2 * b3 + a3 * b2 + a4 * b1,
    a2 * b4 + a3 * b3 + a4 * b2,
    a3 * b4 + a4 * b3,
    a4 * b4,
  );
}

export function extMul(a, b) {
  const high = partialProduct(a, b[0] >>> 16, b[1] >>> 16, b[2] >>> 16, b[3] >>> 16, b[4] >>> 16);
  const low = partialProduct(a, b[0] & 65535, b[1] & 65535, b[2] & 65535, b[3] & 65535, b[4] & 65535);
  return low.map((sum, i) => reduce(reduce(high[i]) * HALF_WORD + sum));
}

// Sum of words[i] * elements[i]; there may be more elements. 32 products below 2^47 are added before one is reduced.
export function extDot(words, elements) {
  const out = [0, 0, 0, 0, 0];
  for (let k = 0; k < EXTENSION_DEGREE; k++) {
    let [high, low] = [0, 0];
    for (let i = 0; i < words.length; i++) {
      const factor = elements[i][k];
      high += factor * (words[i] >>> 16);
      low += factor * (words[i] & 65535);
      if (i % 32 === 31) [high, low] = [reduce(high), reduce(low)];
    }
    out[k] = reduce(reduce(high) * HALF_WORD + reduce(low));
  }
  return out;
}

// a ** exponent for a whole exponent from 0 to 2^53.
export function extPow(a, exponent) {
  let out = extOne;
  for (; exponent > 0; exponent = Math.floor(exponent / 2)) {
    if (exponent % 2) out = extMul(out, a);
    a = extMul(a, a);
  }
  return out;
}

// 1 / a: a ** (1 + p + .. + p^4) is the norm, a word. Challenges that make somebody divide by zero are refused.
export function extInverse(a) {
  const once = extPow(a, P);
  const twice = extMul(once, extPow(once, P));
  const cofactor = extMul(twice, extPow(extPow(twice, P), P));
  const norm = extMul(a, cofactor)[0];
  if (norm === 0) throw new Refused("out-of-domain-point", "the challenges divide by zero");
  return extScale(cofactor, wordInverse(norm));
}

// Inverses of many elements with one inversion.
export function extBatchInverse(values) {
  const before = [];
  let product = extOne;
  for (const value of values) {
    before.push(product);
    product = extMul(product, value);
  }
  let running = extInverse(product);
  const out = new Array(values.length);
  for (let i = values.length - 1; i >= 0; i--) {
    out[i] = extMul(running, before[i]);
    running = extMul(running, values[i]);
  }
  return out;
}
