// BLAKE2s-256 (RFC 7693) with a person and no key: docs/protocol.md section 2.
import { H256 } from "./sha2.js";
import { utf8 } from "./bytes.js";

const BLOCK_BYTES = 64;
export const DIGEST_BYTES = 32;
const ROUNDS = [
  [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
  [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
  [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
  [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
  [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
  [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
  [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
  [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
  [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
  [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];
// Per step of a round the four words that are mixed: columns, then diagonals.
const LANES = [
  [0, 4, 8, 12],
  [1, 5, 9, 13],
  [2, 6, 10, 14],
  [3, 7, 11, 15],
  [0, 5, 10, 15],
  [1, 6, 11, 12],
  [2, 7, 8, 13],
  [3, 4, 9, 14],
];
const vector = new Int32Array(16);
const blockWords = new Int32Array(16);

function mix(a, b, c, d, x, y) {
  let [one, two, three, four] = [vector[a], vector[b], vector[c], vector[d]];
  one = (one + two + x) | 0;
  four ^= one;
  four = (four >>> 16) | (four << 16);
  three = (three + four) | 0;
  two ^= three;
  two = (two >>> 12) | (two << 20);
  one = (one + two + y) | 0;
  four ^= one;
  four = (four >>> 8) | (four << 24);
  three = (three + four) | 0;
  two ^= three;
  two = (two >>> 7) | (two << 25);
  vector[a] = one;
  vector[b] = two;
  vector[c] = three;
  vector[d] = four;
}

// Takes the 64 bytes of `view` from `at` on into `h`; `count`: bytes of the message so far, these included.
function takeBlock(h, view, at, count, isLast) {
  for (let i = 0; i < 16; i++) blockWords[i] = view.getInt32(at + 4 * i, true);
  vector.set(h);
  vector.set(H256, 8);
  vector[12] ^= count;
  vector[13] ^= Math.floor(count / 2 ** 32);
  if (isLast) vector[14] = ~vector[14];
  for (const order of ROUNDS) {
    for (let i = 0; i < 8; i++) {
      const [a, b, c, d] = LANES[i];
      mix(a, b, c, d, blockWords[order[2 * i]], blockWords[order[2 * i + 1]]);
    }
  }
  for (let i = 0; i < 8; i++) h[i] ^= vector[i] ^ vector[i + 8];
}

// The chaining value before the first block: a digest of 32 bytes, no key, no tree, a person of 8 characters.
function startOf(person) {
  const h = Int32Array.from(H256);
  const view = new DataView(utf8(person).buffer);
  h[0] ^= 0x01010020;
  h[6] ^= view.getInt32(0, true);
  h[7] ^= view.getInt32(4, true);
  return h;
}

function blake2s(start, message) {
  const h = Int32Array.from(start);
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  let at = 0;
  for (; at + BLOCK_BYTES < message.length; at += BLOCK_BYTES) takeBlock(h, view, at, at + BLOCK_BYTES, false);
  const rest = new Uint8Array(BLOCK_BYTES);
  rest.set(message.subarray(at));
  takeBlock(h, new DataView(rest.buffer), 0, message.length, true);
  const out = new Uint8Array(DIGEST_BYTES);
  const written = new DataView(out.buffer);
  h.forEach((word, i) => written.setInt32(4 * i, word, true));
  return out;
}

const LEAF_START = startOf("SolvLeaf");
const NODE_START = startOf("SolvNode");
const TRANSCRIPT_START = startOf("SolvTrns");

// A leaf: salt (16 bytes), then words.
export function leafDigest(message) {
  return blake2s(LEAF_START, message);
}

export function nodeDigest(left, right) {
  const both = new Uint8Array(2 * DIGEST_BYTES);
  both.set(left);
  both.set(right, DIGEST_BYTES);
  return blake2s(NODE_START, both);
}

export function transcriptDigest(message) {
  return blake2s(TRANSCRIPT_START, message);
}
