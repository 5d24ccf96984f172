// The proof file: docs/protocol.md section 4. Every length is compared with what is left before anything is built.
import { DIGEST_BYTES } from "./blake2s.js";
import { readWords } from "./bytes.js";
import { Refused } from "./canonical.js";
import { P } from "./constants.js";
import { EXTENSION_DEGREE } from "./field.js";
import { QUOTIENT_CHUNKS, finalCoefficients, friLayers, layerDepth, log2Points } from "./params.js";
import { openedValues } from "./air.js";

const PROOF_MAGIC = "SOLVPRF1";
const NONCE_BYTES = 8;
const SALT_BYTES = 16;
const FOLD_ARITY = 8;

// Consumes bytes from the front.
class ProofReader {
  constructor(data) {
    this.data = data;
    this.at = 0;
  }

  take(count, what) {
    const left = this.data.length - this.at;
    if (count > left) throw new Refused("malformed", `proof: ${what} needs ${count} bytes at byte ${this.at}, ${left} are left`);
    this.at += count;
    return this.data.subarray(this.at - count, this.at);
  }

  digest(what) {
    return this.take(DIGEST_BYTES, what);
  }

  nonce() {
    return this.take(NONCE_BYTES, "a nonce");
  }

  // A u32 within bounds known beforehand.
  count(least, most, what) {
    const [value] = readWords(this.take(4, what));
    if (value < least || value > most) throw new Refused("malformed", `proof: ${what} is ${value}, expected ${least} to ${most}`);
    return value;
  }

  exts(count, what) {
    const bytes = this.take(4 * EXTENSION_DEGREE * count, what);
    return { bytes, elements: byFive(canonicalWords(bytes, what)) };
  }

  // Leaves of one tree and the digests of their multiproof.
  opening(leaves, words, depth, what) {
    const size = SALT_BYTES + 4 * words;
    const messages = pieces(this.take(leaves * size, `the leaves of ${what}`), size);
    const rows = messages.map((message) => canonicalWords(message.subarray(SALT_BYTES), `a leaf of ${what}`));
    const count = this.count(0, leaves * depth, `the number of digests of ${what}`);
    return { messages, rows, siblings: pieces(this.take(count * DIGEST_BYTES, `the digests of ${what}`), DIGEST_BYTES) };
  }

  finish() {
    const left = this.data.length - this.at;
    if (left > 0) throw new Refused("trailing-bytes", `proof: ${left} bytes follow its end`);
  }
}

function canonicalWords(bytes, what) {
  const words = readWords(bytes);
  if (words.some((word) => word >= P)) throw new Refused("non-canonical", `proof: a word of ${what} is not below ${P}`);
  return words;
}

function pieces(bytes, size) {
  return Array.from({ length: bytes.length / size }, (_, i) => bytes.subarray(size * i, size * (i + 1)));
}

// Extension elements from words.
export function byFive(words) {
  const degree = EXTENSION_DEGREE;
  return Array.from({ length: words.length / degree }, (_, i) => words.slice(degree * i, degree * (i + 1)));
}

// Words in a leaf of each tree; the last holds the chunks and the mask.
function treeWords(system) {
  return [
    ["base", system.columns.length],
    ["lookup", EXTENSION_DEGREE * system.extensionColumns.length],
    ["quotient", EXTENSION_DEGREE * (QUOTIENT_CHUNKS + 1)],
  ];
}

// A proof for exactly this circuit, these parameters and this height.
export function parseProof(data, system, params, log2Rows) {
  const reader = new ProofReader(data);
  const magic = reader.take(PROOF_MAGIC.length, "its beginning");
  if (String.fromCharCode(...magic) !== PROOF_MAGIC) throw new Refused("unknown-version", `a proof starts with ${PROOF_MAGIC}`);
  // Properties are evaluated in the order of the file.
  const head = {
    baseRoot: reader.digest("the base root"),
    lookupNonce: reader.nonce(),
    lookupRoot: reader.digest("the lookup root"),
    constraintNonce: reader.nonce(),
    quotientRoot: reader.digest("the quotient root"),
    zetaNonce: reader.nonce(),
    openings: reader.exts(openedValues(system, QUOTIENT_CHUNKS), "the openings"),
    batchingNonce: reader.nonce(),
    folds: Array.from({ length: friLayers(log2Rows) }, () => ({ root: reader.digest("an FRI root"), nonce: reader.nonce() })),
    final: reader.exts(finalCoefficients(log2Rows), "the final polynomial"),
    queryNonce: reader.nonce(),
  };
  const positions = reader.count(1, params.queries, "the number of positions");
  const trees = treeWords(system).map(([name, words]) => {
    return { name, ...reader.opening(positions, words, log2Points(params, log2Rows), `the ${name} tree`) };
  });
  const layers = head.folds.map((_, layer) => {
    const what = `FRI layer ${layer}`;
    const leaves = reader.count(1, params.queries, `the number of leaves of ${what}`);
    return reader.opening(leaves, EXTENSION_DEGREE * FOLD_ARITY, layerDepth(params, log2Rows, layer), what);
  });
  reader.finish();
  return { ...head, trees, layers };
}

// No proof is longer.
export function proofBytesMax(system, params, log2Rows) {
  const layers = friLayers(log2Rows);
  const points = log2Points(params, log2Rows);
  const elements = openedValues(system, QUOTIENT_CHUNKS) + finalCoefficients(log2Rows);
  const trees = treeWords(system).map(([, words]) => [words, points]);
  for (let layer = 0; layer < layers; layer++) trees.push([EXTENSION_DEGREE * FOLD_ARITY, layerDepth(params, log2Rows, layer)]);
  const openings = trees.map(([words, depth]) => 8 + params.queries * (SALT_BYTES + 4 * words + DIGEST_BYTES * depth));
  const head = PROOF_MAGIC.length + (3 + layers) * DIGEST_BYTES + (5 + layers) * NONCE_BYTES + 4;
  return openings.reduce((sum, bytes) => sum + bytes, head + 4 * EXTENSION_DEGREE * elements);
}
