// Shards of a publication and the tree over them: docs/protocol.md section 11, checks A to D; verifier/shards.py.
import { bigBytes, bigFrom, equalBytes, fromHex, hexWords, joinBytes, littleEndian, packWords, toHex } from "./bytes.js";
import { readDocument, refuse } from "./canonical.js";
import { sha256 } from "./sha2.js";
import { SHARDS_MAX } from "./statement.js";

export const SHARD_FORMAT = "solvent/shard/v1";
export const OUTPUT_BITS = 128;
const SHARD_BYTES_MAX = 2 ** 21;
const OUTPUT_BYTES = OUTPUT_BITS / 8;
const OUTPUT_END = 1n << BigInt(OUTPUT_BITS);
const SHARD_KEYS = ["header", "shard", "root", "mask_in", "mask_out", "outputs"];

export function shardFile(index, ending) {
  return `shards/${String(index).padStart(6, "0")}.${ending}`;
}

// Check A. {index, digest, root, maskIn, maskOut, outputs}: the digest in bytes, words as numbers, outputs as BigInts.
export function parseShard(bytes, statement, index) {
  const top = readDocument(bytes, SHARD_BYTES_MAX, `shard ${index}`, SHARD_FORMAT, SHARD_KEYS);
  top.choice("header", [statement.header], "statement-mismatch");
  const number = top.integer("shard", 0, SHARDS_MAX - 1);
  if (number !== index) refuse(top.where("shard"), String(index), number, "statement-mismatch");
  const packed = top.raw("outputs", OUTPUT_BYTES * statement.outputs.length);
  return {
    index,
    digest: sha256(bytes),
    root: top.words("root", 8),
    maskIn: top.words("mask_in", 8),
    maskOut: top.words("mask_out", 8),
    outputs: statement.outputs.map((_, i) => bigFrom(packed.subarray(OUTPUT_BYTES * i, OUTPUT_BYTES * (i + 1)))),
  };
}

// Checks B, C and D over all shards, in order: masks cancel, sums are the outputs, the top tree has the root.
export function checkShards(statement, shards) {
  if (shards.length !== statement.shards) refuse("shards", `${statement.shards} shards`, shards.length, "shards");
  shards.forEach((one, i) => {
    const following = shards[(i + 1) % shards.length];
    if (hexWords(following.maskIn) !== hexWords(one.maskOut)) {
      refuse(`shard ${following.index}.mask_in`, `the masks of shard ${one.index}`, hexWords(following.maskIn), "shards");
    }
  });
  if (statement.shards === 1 && shards[0].maskOut.some((word) => word)) {
    refuse("shard 0.mask_out", "zeros, as there is nothing to mask", hexWords(shards[0].maskOut), "shards");
  }
  statement.outputs.forEach((expected, i) => {
    const got = shards.reduce((sum, { outputs }) => sum + outputs[i], 0n) % OUTPUT_END;
    if (got !== expected) refuse(`output ${i}`, `${expected}, as the statement says`, got, "arithmetic");
  });
  const liability = statement.outputs.length - statement.circuit.lenses - 1;
  const leaves = shards.map(({ index, root, outputs, digest }) => shardSum(index, root, bigBytes(outputs[liability], OUTPUT_BYTES), digest));
  const root = seal(topSum(leaves), statement.shards);
  if (!equalBytes(root, fromHex(statement.root))) refuse("statement.outputs.root", toHex(root), statement.root, "shards");
}

// A shard's leaf of the top tree: {digest, sum}, both in bytes.
export function shardSum(index, root, sum, document) {
  return { digest: sha256([0], littleEndian(index, 4), packWords(root), sum, document), sum };
}

export function parentSum(left, right) {
  const both = (bigFrom(left.sum) + bigFrom(right.sum)) % OUTPUT_END;
  return { digest: sha256([1], left.digest, left.sum, right.digest, right.sum), sum: bigBytes(both, OUTPUT_BYTES) };
}

// The statement's root.
export function seal(top, shards) {
  return sha256([2], littleEndian(shards, 4), joinBytes(top.digest, top.sum));
}

// How many of `count` >= 2 shards lie on the left (RFC 6962, section 2.1).
function leftOf(count) {
  let left = 1;
  while (2 * left < count) left *= 2;
  return left;
}

function topSum(leaves) {
  if (leaves.length === 1) return leaves[0];
  const left = leftOf(leaves.length);
  return parentSum(topSum(leaves.slice(0, left)), topSum(leaves.slice(left)));
}

// On which side each sibling of leaf `index` of `count` stands, from the leaf up.
export function topSides(index, count) {
  if (count === 1) return [];
  const left = leftOf(count);
  return index < left ? [...topSides(index, left), "right"] : [...topSides(index - left, count - left), "left"];
}
