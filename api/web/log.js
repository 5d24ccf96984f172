// Is this publication in the exchange's transparency log? verifier/manifest.py and verifier/log, without the tiles.
import { equalBytes, fromBase64, joinBytes, littleEndian, toHex, utf8 } from "./bytes.js";
import { dumps, readDocument, refuse } from "./canonical.js";
import { Steps } from "./inclusion.js";
import { cosignedAt, isKeyName, isMet, parsePolicy, verifiedBy } from "./policy.js";
import { sha256 } from "./sha2.js";
import { EXCHANGE_CHARACTERS_MAX, SEQUENCE_MAX } from "./statement.js";

export const MANIFEST_FORMAT = "solvent/manifest/v1";
export const LOG_PROOF_HEADER = "c2sp.org/tlog-proof@v1";
export const LOG_STEPS = ["9 files", "10 log signature", "11 witnesses", "12 log inclusion"];
export const MANIFEST_BYTES_MAX = 2 ** 26;
const NOTE_BYTES_MAX = 2 ** 18;
export const PROOF_BYTES_MAX = 2 * NOTE_BYTES_MAX;
const FILES_MAX = 2 ** 18;
const FILE_BYTES_END = 2 ** 40;
const PROOF_DIGESTS_MAX = 63;
const SIGNATURES_MAX = 64;
const SIGNATURE_LINE = /^— ([^ ]+) ([A-Za-z0-9+/]+={0,2})$/;
const LOG_NUMBER = /^(0|[1-9][0-9]{0,18})$/;
const HEAD_KEYS = ["exchange", "sequence", "statement", "previous"];
const ROLES = [
  [/^statement\.json$/, "statement"],
  [/^shards\/[0-9]{6}\.json$/, "shard"],
  [/^shards\/[0-9]{6}\.proof$/, "shard-proof"],
  [/^reserves\.csv$/, "reserves"],
  [/^reserves-evidence\.json$/, "reserves-evidence"],
  [/^prices\.json$/, "prices"],
  [/^fund\.json$/, "fund"],
  [/^risk\.json$/, "risk"],
  [/^quorum\.json$/, "quorum"],
];

// Check a publication against its log. `policyText`: null where the reader names no keys; signatures then stay open.
export function checkLogged(proofBytes, manifestBytes, statement, policyText) {
  return Steps.outcome((steps) => {
    const entry = steps.run("9 files", () => listedFile(manifestBytes, statement));
    const proof = steps.run("10 log signature", () => openProof(proofBytes, policyText));
    steps.run("11 witnesses", () => witnessed(proof));
    steps.run("12 log inclusion", () => included(proof, sha256([0], utf8(entry))));
    return null;
  });
}

// Step 9: the manifest belongs to the statement and lists its very bytes. The value is the log's entry.
function listedFile(bytes, statement) {
  const { files, entry } = readManifest(bytes, statement);
  const stated = files.find(({ role }) => role === "statement");
  if (toHex(stated.digest) !== statement.digest) {
    refuse("statement.json", `SHA-256 ${toHex(stated.digest)}`, statement.digest, "manifest");
  }
  return { detail: `the statement is one of the ${files.length} files of the manifest`, value: entry };
}

// A manifest that belongs to the statement: {files: [{name, role, size, digest}], entry}. No file is looked at.
export function readManifest(bytes, statement) {
  const top = readDocument(bytes, MANIFEST_BYTES_MAX, "manifest", MANIFEST_FORMAT, [...HEAD_KEYS, "files", "evidence"]);
  const files = top.records("files", ["name", "role", "bytes", "sha256"], FILES_MAX, "manifest").map((item) => {
    const name = item.text("name", 64);
    const role = ROLES.find(([pattern]) => pattern.test(name))?.[1];
    if (!role) refuse(item.where("name"), "a file that belongs into a publication", name);
    item.choice("role", [role], "manifest");
    return { name, role, size: item.integer("bytes", 0, FILE_BYTES_END - 1), digest: item.raw("sha256", 32) };
  });
  files.slice(1).forEach(({ name }, i) => {
    if (files[i].name >= name) refuse(`manifest.files[${i + 1}].name`, `a name after ${files[i].name}`, name, "manifest");
  });
  if (!files.some(({ role }) => role === "statement")) refuse(top.where("files"), "a statement among them", "none", "manifest");
  top.text("exchange", EXCHANGE_CHARACTERS_MAX);
  top.integer("sequence", 0, SEQUENCE_MAX);
  for (const key of ["statement", "previous"]) top.raw(key, 32);
  const root = evidenceRoot(files);
  if (toHex(root) !== toHex(top.raw("evidence", 32))) {
    refuse(top.where("evidence"), toHex(root), top.get("evidence"), "manifest");
  }
  for (const key of HEAD_KEYS) {
    const expected = key === "statement" ? statement.digest : statement[key];
    if (top.get(key) !== expected) refuse(top.where(key), `${expected}, as in the statement`, top.get(key), "manifest");
  }
  const entry = new Map(HEAD_KEYS.map((key) => [key, top.get(key)]));
  entry.set("format", "solvent/log-entry/v1").set("manifest", toHex(sha256(bytes))).set("evidence", toHex(root));
  return { files, entry: dumps(entry) };
}

// Root over the manifest's files: pairs from the left, an odd one moves up as it is; then their number.
function evidenceRoot(files) {
  const number = (n) => littleEndian(n, 8);
  let level = files.map(({ name, role, size, digest }, i) => {
    const [named, roled] = [utf8(name), utf8(role)];
    const numbers = [files.length, i, size, named.length, roled.length].map(number);
    return sha256(utf8("solvent/evidence-leaf/v1\0"), ...numbers, named, roled, digest);
  });
  while (level.length > 1) {
    const next = [];
    for (let i = 0; i < level.length; i += 2) next.push(i + 1 < level.length ? sha256(level[i], level[i + 1]) : level[i]);
    level = next;
  }
  return sha256(utf8("solvent/evidence-root/v1\0"), number(files.length), level[0]);
}

// Step 10: the file c2sp.org/tlog-proof, and the log's signature under its checkpoint.
function openProof(bytes, policyText) {
  const name = "log.tlog-proof";
  if (bytes.length > PROOF_BYTES_MAX) refuse(name, `at most ${PROOF_BYTES_MAX} bytes`, bytes.length, "file-too-large");
  const end = bytes.findIndex((byte, i) => byte === 10 && bytes[i + 1] === 10);
  if (end < 0 || bytes.subarray(0, end).some((byte) => byte > 127)) refuse(name, "ASCII lines, an empty line and a checkpoint", "something else");
  const head = decoded(bytes.subarray(0, end), name);
  const lines = head.split("\n");
  if (lines.shift() !== LOG_PROOF_HEADER) refuse(name, `the first line ${LOG_PROOF_HEADER}`, head, "unknown-version");
  if (lines[0]?.startsWith("extra ")) {
    if (!fromBase64(lines[0].slice(6))) refuse(`${name}, extra`, "base64 as RFC 4648 writes it", lines[0]);
    lines.shift();
  }
  if (!lines[0]?.startsWith("index ")) refuse(name, "a line with the index", lines[0] ?? "none");
  const index = numberOf(lines.shift().slice(6), `${name}, index`);
  if (lines.length > PROOF_DIGESTS_MAX) refuse(name, `at most ${PROOF_DIGESTS_MAX} digests`, lines.length);
  const path = lines.map((line, i) => digestOf(line, `${name}, digest ${i}`));
  const note = parseNote(bytes.subarray(end + 2), "log proof, checkpoint");
  const checkpoint = parseCheckpoint(note.text, "log proof, checkpoint");
  const value = { index, path, note, checkpoint, policy: policyText === null ? null : parsePolicy(policyText) };
  const { origin, size, root } = checkpoint;
  const what = `${origin}: ${size} ${size === 1n ? "entry" : "entries"}, root ${toHex(root)}`;
  if (!value.policy) return { ok: false, detail: `not checked, as you name no log key. ${what}`, value };
  const keys = value.policy.logs.filter((key) => key.name === origin);
  if (!keys.length) refuse("log proof, checkpoint, origin", "the origin of a log that you name", origin, "log-origin");
  if (!verifiedBy(keys, note, "log-signature").length) {
    refuse("log proof, checkpoint", "a signature by the log that you name", "none of its", "log-signature");
  }
  return { detail: `signed by ${what}`, value };
}

// Step 11: a quorum of the witnesses that the reader names cosigned the checkpoint.
function witnessed({ policy, note, checkpoint }) {
  if (!policy) return { ok: false, detail: "not checked, as you name no witnesses" };
  const keys = policy.witnesses.map(({ key }) => key);
  const times = new Map();
  for (const { key, signature } of verifiedBy(keys, note, "cosignature")) {
    times.set(policy.witnesses.find((witness) => witness.key === key).name, cosignedAt(signature));
  }
  const names = [...times.keys()].sort().join(", ");
  if (!isMet(policy, times)) {
    refuse(`log proof, checkpoint of size ${checkpoint.size}`, `cosignatures of ${policy.quorum}`, names || "no witness", "witness-quorum");
  }
  return { ok: names !== "", detail: names ? `cosigned by ${names}` : "you ask for none" };
}

// Step 12: RFC 6962 inclusion. The path meets siblings on both sides while leaf and last leaf are in different subtrees.
function included({ index, path, checkpoint }, leaf) {
  const fail = (expected, got) => refuse("inclusion proof", expected, got, "log-inclusion");
  const { size, root } = checkpoint;
  if (index >= size) fail(`an index below the size ${size}`, index);
  const bits = (n) => (n ? n.toString(2) : "");
  const both = bits(index ^ (size - 1n)).length;
  const count = both + [...bits(index >> BigInt(both))].filter((bit) => bit === "1").length;
  if (path.length !== count) fail(`${count} digests`, path.length);
  let digest = leaf;
  path.forEach((sibling, level) => {
    const isLeft = level < both && !((index >> BigInt(level)) & 1n);
    digest = isLeft ? sha256([1], digest, sibling) : sha256([1], sibling, digest);
  });
  if (!equalBytes(digest, root)) fail(`a path to the root ${toHex(root)}`, toHex(digest));
  return { detail: `this publication is entry ${index} of ${size}` };
}

function decoded(bytes, name) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return refuse(name, "UTF-8", "other bytes");
  }
}

// A signed note (c2sp.org/signed-note): {text, signatures: [{name, id, value}]}.
function parseNote(bytes, name) {
  if (bytes.length > NOTE_BYTES_MAX) refuse(name, `at most ${NOTE_BYTES_MAX} bytes`, bytes.length, "file-too-large");
  const whole = decoded(bytes, name);
  if (/[\x00-\x09\x0b-\x1f]/.test(whole)) refuse(name, "no control character but the newline", "one");
  const end = whole.lastIndexOf("\n\n");
  if (end <= 0) refuse(name, "a text, an empty line and signatures", whole);
  if (!whole.endsWith("\n")) refuse(name, "signature lines that end in a newline", whole.slice(end + 2));
  const lines = whole.slice(end + 2, -1).split("\n");
  if (lines.length > SIGNATURES_MAX) refuse(name, `at most ${SIGNATURES_MAX} signatures`, lines.length);
  const signatures = lines.map((line) => {
    const match = SIGNATURE_LINE.exec(line);
    if (!match || !isKeyName(match[1])) refuse(name, "signature lines of a dash, a name and base64", line);
    const value = fromBase64(match[2]);
    if (!value) refuse(name, "base64 as RFC 4648 writes it", match[2], "non-canonical");
    if (value.length <= 4) refuse(name, "a key id of four bytes and a signature", match[2]);
    return { name: match[1], id: toHex(value.slice(0, 4)), value: value.slice(4) };
  });
  return { text: `${whole.slice(0, end)}\n`, signatures };
}

function parseCheckpoint(text, name) {
  const lines = text.split("\n").slice(0, -1);
  if (lines.length < 3 || lines.includes("")) refuse(name, "lines of origin, size and root, none of them empty", text);
  const checkpoint = { origin: lines[0], size: numberOf(lines[1], `${name}, size`), root: digestOf(lines[2], `${name}, root`) };
  if (checkpoint.size === 0n && !equalBytes(checkpoint.root, sha256(joinBytes()))) {
    refuse(`${name}, root`, "the root of nothing", toHex(checkpoint.root), "log-consistency");
  }
  return checkpoint;
}

function numberOf(text, where) {
  if (!LOG_NUMBER.test(text) || BigInt(text) >= 2n ** 63n) refuse(where, "a decimal number below 2^63 without leading zeros", text);
  return BigInt(text);
}

function digestOf(text, where) {
  const digest = fromBase64(text);
  if (digest?.length !== 32) refuse(where, "32 bytes as RFC 4648 writes them in base64", text);
  return digest;
}
