// The tree hash poseidon1-koalabear-16 in doubles: docs/protocol.md section 6, verifier/poseidon.py.
import { GRAIN_STREAM, KNOWN_ANSWER, MDS_FIRST_ROW } from "./constants.js";
import { multiply, reduce } from "./field.js";

const WIDTH = 16;
const FULL_ROUNDS = 8;
const PARTIAL_ROUNDS = 20;
// The circulant matrix, row after row. A row sums to 371, so a product of matrix and words stays below 2^40.
const MATRIX = Float64Array.from({ length: WIDTH * WIDTH }, (_, k) => {
  const row = Math.floor(k / WIDTH);
  return MDS_FIRST_ROW[((k % WIDTH) - row + WIDTH) % WIDTH];
});

function cube(x) {
  return multiply(multiply(x, x), x);
}

// 16 canonical words in, 16 out.
export function permute(input) {
  let words = Float64Array.from(input);
  let next = new Float64Array(WIDTH);
  for (let round = 0; round < FULL_ROUNDS + PARTIAL_ROUNDS; round++) {
    for (let i = 0; i < WIDTH; i++) words[i] = reduce(words[i] + GRAIN_STREAM[WIDTH * round + i]);
    const partial = round >= FULL_ROUNDS / 2 && round < FULL_ROUNDS / 2 + PARTIAL_ROUNDS;
    const powers = partial ? 1 : WIDTH;
    for (let i = 0; i < powers; i++) words[i] = cube(words[i]);
    for (let i = 0; i < WIDTH; i++) {
      let sum = 0;
      for (let j = 0; j < WIDTH; j++) sum += MATRIX[WIDTH * i + j] * words[j];
      next[i] = reduce(sum);
    }
    [words, next] = [next, words];
  }
  return Array.from(words);
}

// Chaining value and block, 8 words each, to 8 words: first half of (permutation + input).
export function compress(h, block) {
  const after = permute([...h, ...block]);
  return h.map((word, i) => reduce(after[i] + word));
}

// Chaining value after blocks of eight words.
export function absorb(state, blocks) {
  for (const block of blocks) state = compress(state, block);
  return state;
}

// Whether this browser computes what it should: checked before anything is shown as good.
export function selfTest() {
  return permute(KNOWN_ANSWER[0]).every((word, i) => word === KNOWN_ANSWER[1][i]);
}

// Digest of one account: identity of 8 words, entries of {leg, amount}, 6 words of blinding.
export function accountLeaf(identity, entries, blinding) {
  const blocks = [identity];
  for (const { leg, amount } of entries) {
    const limbs = [0n, 16n, 32n, 48n].map((shift) => Number((amount >> shift) & 0xffffn));
    blocks.push([leg, ...limbs, 0, 0, 0]);
  }
  blocks.push([5, entries.length, ...blinding]);
  return absorb([1, 0, 0, 0, 0, 0, 0, 0], blocks);
}

// The root that follows from a leaf and its path.
export function climb(digest, path) {
  path.forEach((step, i) => {
    const children = [...step.siblings.slice(0, step.position), digest, ...step.siblings.slice(step.position)];
    digest = absorb([2, i + 1, 0, 0, 0, 0, 0, 0], [...children, step.value]);
  });
  return digest;
}
