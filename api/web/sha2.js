// SHA-256 and SHA-512 (FIPS 180-4). Own code: pages opened from a file have no WebCrypto in some browsers.
import { joinBytes } from "./bytes.js";

// The first `bits` bits behind the point of roots of primes: all constants are such numbers.
function rootBits(prime, degree, bits) {
  const target = BigInt(prime) << BigInt(degree * bits);
  let low = 0n;
  let high = 1n << BigInt(bits + 8);
  while (high - low > 1n) {
    const middle = (low + high) >> 1n;
    if (middle ** BigInt(degree) <= target) low = middle;
    else high = middle;
  }
  return low & ((1n << BigInt(bits)) - 1n);
}

function firstPrimes(count) {
  const out = [];
  for (let n = 2; out.length < count; n++) if (out.every((p) => n % p)) out.push(n);
  return out;
}

const PRIMES = firstPrimes(80);
const K256 = Int32Array.from(PRIMES.slice(0, 64), (p) => Number(BigInt.asIntN(32, rootBits(p, 3, 32))));
export const H256 = Int32Array.from(PRIMES.slice(0, 8), (p) => Number(BigInt.asIntN(32, rootBits(p, 2, 32))));
let tables512 = null; // made when first needed: only signatures use SHA-512

// The message, a one bit, zeros, and its length in bits in the last bytes of a block.
function padded(message, block) {
  const length = message.length + 1 + block / 8;
  const out = new Uint8Array(Math.ceil(length / block) * block);
  out.set(message);
  out[message.length] = 0x80;
  const view = new DataView(out.buffer);
  view.setUint32(out.length - 8, Math.floor(message.length / 2 ** 29));
  view.setUint32(out.length - 4, (message.length * 8) >>> 0);
  return view;
}

const turn = (x, n) => (x >>> n) | (x << (32 - n));

export function sha256(...parts) {
  const view = padded(joinBytes(...parts), 64);
  const h = Int32Array.from(H256);
  const w = new Int32Array(64);
  for (let at = 0; at < view.byteLength; at += 64) {
    for (let i = 0; i < 16; i++) w[i] = view.getInt32(at + 4 * i);
    for (let i = 16; i < 64; i++) {
      const s0 = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ (w[i - 15] >>> 3);
      const s1 = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ (w[i - 2] >>> 10);
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    let [a, b, c, d, e, f, g, last] = h;
    for (let i = 0; i < 64; i++) {
      const one = last + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + K256[i] + w[i];
      const two = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      [last, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
    }
    [a, b, c, d, e, f, g, last].forEach((word, i) => (h[i] += word));
  }
  const out = new DataView(new ArrayBuffer(32));
  h.forEach((word, i) => out.setInt32(4 * i, word));
  return new Uint8Array(out.buffer);
}

export function sha512(...parts) {
  tables512 ??= {
    k: PRIMES.map((p) => rootBits(p, 3, 64)),
    h: PRIMES.slice(0, 8).map((p) => rootBits(p, 2, 64)),
  };
  const cut = (x) => BigInt.asUintN(64, x);
  const turned = (x, n) => (x >> BigInt(n)) | cut(x << BigInt(64 - n));
  const view = padded(joinBytes(...parts), 128);
  const h = [...tables512.h];
  for (let at = 0; at < view.byteLength; at += 128) {
    const w = Array.from({ length: 16 }, (_, i) => view.getBigUint64(at + 8 * i));
    for (let i = 16; i < 80; i++) {
      const s0 = turned(w[i - 15], 1) ^ turned(w[i - 15], 8) ^ (w[i - 15] >> 7n);
      const s1 = turned(w[i - 2], 19) ^ turned(w[i - 2], 61) ^ (w[i - 2] >> 6n);
      w.push(cut(w[i - 16] + s0 + w[i - 7] + s1));
    }
    let [a, b, c, d, e, f, g, last] = h;
    for (let i = 0; i < 80; i++) {
      const mixed = turned(e, 14) ^ turned(e, 18) ^ turned(e, 41);
      const one = last + mixed + ((e & f) ^ (cut(~e) & g)) + tables512.k[i] + w[i];
      const two = (turned(a, 28) ^ turned(a, 34) ^ turned(a, 39)) + ((a & b) ^ (a & c) ^ (b & c));
      [last, g, f, e, d, c, b, a] = [g, f, e, cut(d + one), c, b, a, cut(one + two)];
    }
    [a, b, c, d, e, f, g, last].forEach((word, i) => (h[i] = cut(h[i] + word)));
  }
  const out = new DataView(new ArrayBuffer(64));
  h.forEach((word, i) => out.setBigUint64(8 * i, word));
  return new Uint8Array(out.buffer);
}
