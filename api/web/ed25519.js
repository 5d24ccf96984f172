// Ed25519 (RFC 8032), verified strictly: accepts exactly what verifier/ed25519.py accepts.
import { bigBytes, bigFrom, equalBytes, toHex } from "./bytes.js";
import { sha512 } from "./sha2.js";

const Q = 2n ** 255n - 19n;
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
const mod = (x) => ((x % Q) + Q) % Q;

function power(base, exponent) {
  let out = 1n;
  for (base = mod(base); exponent; exponent >>= 1n) {
    if (exponent & 1n) out = (out * base) % Q;
    base = (base * base) % Q;
  }
  return out;
}

const D = mod(-121665n * power(121666n, Q - 2n));
const ROOT_OF_MINUS_ONE = power(2n, (Q - 1n) / 4n);
const NEUTRAL = [0n, 1n, 1n, 0n];
const BASE = decodePoint(bigBytes(mod(4n * power(5n, Q - 2n)), 32));

// The point of a canonical encoding as (X, Y, Z, T); null for anything else.
function decodePoint(bytes) {
  const number = bigFrom(bytes);
  const y = number & (2n ** 255n - 1n);
  const sign = number >> 255n;
  if (bytes.length !== 32 || y >= Q) return null;
  const above = mod(y * y - 1n);
  const below = mod(D * y * y + 1n);
  let x = (above * power(below, 3n) * power(above * power(below, 7n), (Q - 5n) / 8n)) % Q;
  if (mod(below * x * x - above)) x = (x * ROOT_OF_MINUS_ONE) % Q;
  if (mod(below * x * x - above) || (x === 0n && sign)) return null;
  if ((x & 1n) !== sign) x = Q - x;
  return [x, y, 1n, (x * y) % Q];
}

function addPoints([x1, y1, z1, t1], [x2, y2, z2, t2]) {
  const a = mod((y1 - x1) * (y2 - x2));
  const b = mod((y1 + x1) * (y2 + x2));
  const c = mod(2n * D * t1 * t2);
  const d = mod(2n * z1 * z2);
  const [e, f, g, h] = [b - a, d - c, d + c, b + a];
  return [mod(e * f), mod(g * h), mod(f * g), mod(e * h)];
}

// [s] B + [k] A in one run of doublings.
function sumOfMultiples(s, k, point) {
  const addends = [null, BASE, point, addPoints(BASE, point)];
  let total = NEUTRAL;
  for (let i = 253n; i >= 0n; i--) {
    total = addPoints(total, total);
    const pick = Number(((s >> i) & 1n) | (((k >> i) & 1n) << 1n));
    if (pick) total = addPoints(total, addends[pick]);
  }
  return total;
}

const isNeutral = ([x, y, z]) => x === 0n && y === z;

function encodePoint([x, y, z]) {
  const inverse = power(z, Q - 2n);
  return bigBytes(mod(y * inverse) | ((mod(x * inverse) & 1n) << 255n), 32);
}

const KEY_POINTS = new Map(); // a policy has few keys, and each is looked at often

// The point of a public key: of prime order, in its one encoding; null for anything else.
function keyPoint(key) {
  const name = toHex(key);
  if (!KEY_POINTS.has(name)) {
    const point = decodePoint(key);
    const isGood = point && !isNeutral(point) && isNeutral(sumOfMultiples(0n, ORDER, point));
    KEY_POINTS.set(name, isGood ? point : null);
  }
  return KEY_POINTS.get(name);
}

export function isValid(key, message, signature) {
  const point = keyPoint(key);
  const s = bigFrom(signature.slice(32));
  if (signature.length !== 64 || !point || s >= ORDER) return false;
  const encoded = signature.slice(0, 32);
  const k = bigFrom(sha512(encoded, key, message)) % ORDER;
  const [x, y, z, t] = point;
  const r = sumOfMultiples(s, k, [mod(-x), y, z, mod(-t)]);
  return !isNeutral(r) && equalBytes(encodePoint(r), encoded);
}

// Whether these 32 bytes are a public key that isValid takes.
export function isKey(key) {
  return keyPoint(key) !== null;
}
