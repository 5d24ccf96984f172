// Whom a reader believes about a log: c2sp.org/tlog-policy, as verifier/log/policy.py reads it.
import { bigFrom, fromBase64, joinBytes, toHex, utf8 } from "./bytes.js";
import { refuse } from "./canonical.js";
import { isKey, isValid } from "./ed25519.js";
import { sha256 } from "./sha2.js";

export const NOTE_SIGNATURE = 1;
export const COSIGNATURE = 4;
const NAMES_MAX = 64;
const POLICY_BYTES_MAX = 2 ** 16;
const VKEY = /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})$/;
const THRESHOLD = /^[1-9][0-9]{0,3}$/;
const fail = (where, expected, got) => refuse(where, expected, got, "log-policy");

export function isKeyName(text) {
  return text !== "" && !/[+\p{White_Space}\x00-\x1f]/u.test(text);
}

// A verifier key `name+id+base64` of one signature type: {name, kind, key, id, vkey}.
export function parseVkey(text, kind, where) {
  const expected = `name+id+base64 of signature type ${kind} and an Ed25519 key`;
  const match = [...text].length <= 1024 ? VKEY.exec(text) : null;
  const material = match && fromBase64(match[3]);
  if (!material || !isKeyName(match[1])) fail(where, expected, text);
  const [name, key] = [match[1], material.slice(1)];
  if (material[0] !== kind || key.length !== 32 || !isKey(key)) fail(where, expected, text);
  const id = toHex(sha256(utf8(`${name}\n`), material).slice(0, 4));
  if (id !== match[2]) fail(where, `the id ${id} of this key`, text);
  return { name, kind, key, id, vkey: text };
}

// {logs: [key], witnesses: [{name, key}], groups: Map of name to {k, members}, quorum}.
export function parsePolicy(text) {
  const size = utf8(text).length;
  if (size > POLICY_BYTES_MAX) refuse("policy", `at most ${POLICY_BYTES_MAX} bytes`, size, "file-too-large");
  if (/[\x00-\x08\x0b-\x1f\x7f]/.test(text)) fail("policy", "no control characters but tab and newline", "others");
  const policy = { logs: [], witnesses: [], groups: new Map(), quorum: null };
  const [members, owners] = [new Set(), new Set()];
  const isKnown = (name) => policy.groups.has(name) || policy.witnesses.some((witness) => witness.name === name);
  const requireNew = (name, where) => {
    if (name === "none" || isKnown(name)) fail(where, "a name of its own", name);
  };
  const own = (key, where) => {
    if (owners.has(toHex(key.key))) fail(where, "a public key of its own", key.vkey);
    owners.add(toHex(key.key));
    return key;
  };
  const readers = {
    log([vkey, , ...more], where) {
      if (vkey === undefined || more.length) fail(where, "log, a key, and a URL if any", more.length);
      policy.logs.push(own(parseVkey(vkey, NOTE_SIGNATURE, where), where));
    },
    witness([name, vkey, , ...more], where) {
      if (vkey === undefined || more.length) fail(where, "witness, a name, a key, and a URL if any", more.length);
      requireNew(name, where);
      policy.witnesses.push({ name, key: own(parseVkey(vkey, COSIGNATURE, where), where) });
    },
    group([name, threshold, ...names], where) {
      if (!names.length) fail(where, "group, a name, all, any or a number, and members", names.length);
      requireNew(name, where);
      for (const member of names) {
        if (!isKnown(member)) fail(where, "a witness or group of a line above", member);
        if (members.has(member)) fail(where, "each name in one group, once", member);
        members.add(member);
      }
      const isWord = threshold === "all" || threshold === "any";
      if (!isWord && !THRESHOLD.test(threshold)) fail(where, "all, any or a number", threshold);
      const k = threshold === "all" ? names.length : threshold === "any" ? 1 : Number(threshold);
      if (k > names.length) fail(where, `at most ${names.length}, the number of members`, k);
      policy.groups.set(name, { k, members: names });
    },
    quorum(names, where) {
      if (names.length !== 1 || policy.quorum !== null) fail(where, "one quorum, a name", names.join(" "));
      if (names[0] !== "none" && !isKnown(names[0])) fail(where, "a witness or group of a line above", names[0]);
      policy.quorum = names[0];
    },
  };
  text.split("\n").forEach((line, i) => {
    const [kind, ...words] = line.split(/[ \t]+/).filter((word) => word);
    if (kind === undefined || kind.startsWith("#")) return;
    const where = `policy line ${i + 1}`;
    if (!Object.hasOwn(readers, kind)) fail(where, "log, witness, group or quorum", kind);
    readers[kind](words, where);
    const many = Math.max(policy.logs.length, policy.witnesses.length, policy.groups.size);
    if (many > NAMES_MAX) fail(where, `at most ${NAMES_MAX} of a kind`, many);
  });
  if (policy.quorum === null) fail("policy", "a quorum line", "none");
  return policy;
}

// Whether these witnesses, by their names in the policy, are a quorum.
export function isMet(policy, cosigned) {
  const counts = (name) => {
    const group = policy.groups.get(name);
    return group ? group.members.filter(counts).length >= group.k : cosigned.has(name);
  };
  return policy.quorum === "none" || counts(policy.quorum);
}

// Seconds since 1970 of a cosignature (a BigInt); null where it has not the shape of one.
export function cosignedAt({ value }) {
  if (value.length !== 72) return null;
  const time = bigFrom(value.slice(0, 8).reverse());
  return time > 0n && time < 2n ** 63n ? time : null;
}

// The signatures of a note by these keys, all of which are good; by unknown keys: ignored.
export function verifiedBy(keys, note, reason) {
  const good = [];
  for (const signature of note.signatures) {
    for (const key of keys) {
      if (key.name !== signature.name || key.id !== signature.id) continue;
      if (!signs(key, note.text, signature)) {
        refuse(signature.name, `a signature of this note by ${key.vkey}`, "another", reason);
      }
      good.push({ key, signature });
    }
  }
  return good;
}

function signs(key, text, signature) {
  if (key.kind === NOTE_SIGNATURE) return signature.value.length === 64 && isValid(key.key, utf8(text), signature.value);
  const time = cosignedAt(signature);
  const message = joinBytes(utf8(`cosignature/v1\ntime ${time}\n`), utf8(text));
  return time !== null && isValid(key.key, message, signature.value.slice(8));
}
