// One account in the tree of a published statement: docs/protocol.md section 7, same step numbers, and section 11.
import { equalBytes, fromHex, hexWords, joinBytes, littleEndian, readWords, toHex, utf8 } from "./bytes.js";
import { Refused, readDocument, refuse, units } from "./canonical.js";
import { P } from "./constants.js";
import { accountLeaf, climb } from "./poseidon.js";
import { sha256 } from "./sha2.js";
import { parentSum, seal, shardSum, topSides } from "./shards.js";
import { EXCHANGE_CHARACTERS_MAX, LEVELS_MAX, SEQUENCE_MAX, SHARDS_MAX } from "./statement.js";
import { AMOUNT_CAP, COST_BASIS, DECIMALS_MAX, KINDS, LEGS_MAX, LONG, PERPETUAL, SHORT, SIDES, SPOT, SYMBOL_CHARACTERS_MAX } from "./tables.js";

export const BUNDLE_FORMAT = "solvent/bundle/v1";
export const BUNDLE_BYTES_MAX = 2 ** 20;
const ENTRIES_MAX = 4095;
const USER_ID_CHARACTERS_MAX = 256;
const TOP_STEPS_MAX = 16;
const BUNDLE_KEYS = ["exchange", "sequence", "statement", "root", "shard", "user_id", "nonce", "blinding", "entries", "path"];
const ENTRY_KEYS = ["leg", "symbol", "kind", "bucket", "side", "decimals", "amount"];
const WORDS = {
  [`${SPOT} ${LONG}`]: "holds",
  [`${SPOT} ${SHORT}`]: "owes",
  [`${PERPETUAL} ${LONG}`]: "is long",
  [`${PERPETUAL} ${SHORT}`]: "is short",
  [`${COST_BASIS} ${LONG}`]: "was credited for open positions",
  [`${COST_BASIS} ${SHORT}`]: "was charged for open positions",
};
export const STEP_NAMES = ["1 file", "2 statement", "3 account id", "4 entries", "5 leaf", "6 path", "7 shard", "8 root"];

// Steps so far; what is refused inside `run` belongs to the step that was begun.
export class Steps {
  constructor() {
    this.done = [];
    this.name = null;
  }

  run(name, check) {
    this.name = name;
    return this.finish(check());
  }

  // The same for a check that waits for files.
  async later(name, check) {
    this.name = name;
    return this.finish(await check());
  }

  finish({ detail, ok = true, value }) {
    this.done.push({ name: this.name, ok, detail });
    return value;
  }

  // All of a check: {ok, steps: [{name, ok, detail}], reason, field, message, failed, report}.
  static outcome(check) {
    const steps = new Steps();
    try {
      return steps.passed(check(steps));
    } catch (error) {
      return steps.refused(error);
    }
  }

  static async outcomeLater(check) {
    const steps = new Steps();
    try {
      return steps.passed(await check(steps));
    } catch (error) {
      return steps.refused(error);
    }
  }

  passed(report) {
    return { ok: true, steps: this.done, reason: null, field: null, message: null, failed: null, report };
  }

  refused(error) {
    if (!(error instanceof Refused)) throw error;
    const { reason, field, message } = error;
    return { ok: false, steps: this.done, reason, field, message, failed: this.name, report: null };
  }
}

// Check one account. `statement`: as parseStatement returned it, or null. `userId`, `nonce` (hex): the user's own, or null.
export function checkBundle(bytes, statement, { userId = null, nonce = null } = {}) {
  return Steps.outcome((steps) => checked(steps, bytes, statement, userId, nonce));
}

function checked(steps, bytes, statement, userId, nonce) {
  const top = steps.run("1 file", () => {
    const value = readDocument(bytes, BUNDLE_BYTES_MAX, "bundle", BUNDLE_FORMAT, BUNDLE_KEYS);
    value.text("exchange", EXCHANGE_CHARACTERS_MAX);
    value.integer("sequence", 0, SEQUENCE_MAX);
    value.raw("statement", 32);
    value.raw("root", 32);
    return { detail: `${bytes.length} bytes in the one spelling of format ${BUNDLE_FORMAT}`, value };
  });
  steps.run("2 statement", () => compared(top, statement));
  const { identity, holder, used } = steps.run("3 account id", () => identified(top, userId, nonce));
  const entries = steps.run("4 entries", () => {
    const value = readEntries(top);
    checkEntries(top, value, statement);
    const count = `${value.length} ${value.length === 1 ? "entry" : "entries"}`;
    const names = statement ? "names as in the instrument table" : "names are the bundle's own";
    return { detail: `${count}, each leg once, amounts in range, ${names}`, value };
  });
  const leaf = steps.run("5 leaf", () => {
    const value = accountLeaf(identity, entries, top.words("blinding", 6));
    return { detail: `hash of your id and balances: ${hexWords(value)}`, value };
  });
  const path = steps.run("6 path", () => {
    const value = readPath(top);
    const levels = statement ? statement.levels : Math.max(value.length, 1);
    if (value.length !== levels) refuse(top.where("path"), `${levels} steps`, value.length, "path-length");
    return { detail: `${levels} levels${statement ? ", as the statement says" : ""}`, value };
  });
  const place = steps.run("7 shard", () => {
    const value = readPlace(top.record("shard", ["index", "root", "sum", "document", "top"]));
    const computed = climb(leaf, path);
    if (hexWords(computed) !== hexWords(value.root)) {
      refuse(top.where("path"), `the root ${hexWords(value.root)}`, hexWords(computed), "path");
    }
    return { detail: `the path ends in the root of shard ${value.index}`, value };
  });
  if (statement) steps.run("8 root", () => checkPlace(place, statement));
  return {
    compared: statement !== null,
    exchange: top.get("exchange"),
    sequence: top.get("sequence"),
    userId: holder,
    nonce: toHex(used),
    balances: balancesOf(entries),
    worth: statement ? worthOf(entries, statement) : null,
  };
}

function compared(top, statement) {
  if (!statement) return { ok: false, detail: "not compared with any statement" };
  for (const key of ["statement", "exchange", "sequence", "root"]) {
    const expected = key === "statement" ? statement.digest : statement[key];
    if (top.get(key) !== expected) {
      refuse(top.where(key), `the published statement's ${expected}`, top.get(key), "wrong-statement");
    }
  }
  return { detail: `${statement.exchange}, sequence ${statement.sequence}, digest ${statement.digest}` };
}

function identified(top, userId, nonce) {
  const holder = top.text("user_id", USER_ID_CHARACTERS_MAX);
  const used = top.raw("nonce", 32);
  if (userId !== null && holder !== userId) refuse(top.where("user_id"), `your own id ${userId}`, holder, "account-id");
  if (nonce !== null && toHex(used) !== nonce) {
    refuse(top.where("nonce"), `your own nonce ${nonce}`, toHex(used), "account-id");
  }
  const known = userId !== null && nonce !== null ? "as expected" : "both must be your own";
  const identity = accountId(top.get("exchange"), holder, used);
  return { detail: `made from exchange, user id ${holder} and nonce, ${known}`, value: { identity, holder, used } };
}

// Eight words that name one user in one exchange's tree: verifier/account_id.py.
export function accountId(exchange, userId, nonce) {
  const framed = (name) => joinBytes(littleEndian(utf8(name).length, 4), utf8(name));
  const digest = sha256(utf8("solvent/account-id/v1"), framed(exchange), framed(userId), nonce);
  return readWords(digest).map((word) => (word % 2 ** 31) % P);
}

function readEntries(top) {
  return top.records("entries", ENTRY_KEYS, ENTRIES_MAX, "entries").map((item) => ({
    leg: item.integer("leg", 0, LEGS_MAX - 1, "entries"),
    symbol: item.symbol("symbol", SYMBOL_CHARACTERS_MAX),
    kind: item.choice("kind", KINDS, "entries"),
    bucket: item.isNull("bucket") ? null : item.symbol("bucket", SYMBOL_CHARACTERS_MAX),
    side: item.choice("side", SIDES, "entries"),
    decimals: item.integer("decimals", 0, DECIMALS_MAX, "entries"),
    amount: item.decimal("amount", 1n, AMOUNT_CAP + 1n, "entries"),
  }));
}

function checkEntries(top, entries, statement) {
  let last = -1;
  entries.forEach((entry, i) => {
    const where = `${top.where("entries")}[${i}]`;
    if (entry.leg <= last) refuse(`${where}.leg`, `more than ${last}, the leg before`, entry.leg, "entries");
    last = entry.leg;
    if (!statement) return;
    const leg = statement.legs[entry.leg];
    if (!leg) refuse(`${where}.leg`, `one of the table's ${statement.legs.length} legs`, entry.leg, "entries");
    if (entry.amount > leg.cap) refuse(`${where}.amount`, `at most the cap ${leg.cap}`, entry.amount, "entries");
    const { symbol, kind, buckets, decimals } = statement.instruments[leg.instrument];
    const bucket = leg.bucket === null ? null : buckets[leg.bucket].name;
    for (const [key, expected] of Object.entries({ symbol, kind, bucket, side: leg.side, decimals })) {
      if (entry[key] !== expected) {
        refuse(`${where}.${key}`, `${expected}, that of leg ${entry.leg}`, entry[key], "entries");
      }
    }
  });
}

function readPath(top) {
  return top.records("path", ["position", "siblings", "value"], LEVELS_MAX, "path-length").map((item) => {
    const words = item.words("siblings", 7 * 8);
    const siblings = Array.from({ length: 7 }, (_, i) => words.slice(8 * i, 8 * i + 8));
    return { position: item.integer("position", 0, 7, "path"), siblings, value: item.words("value", 8) };
  });
}

function readPlace(fields) {
  return {
    index: fields.integer("index", 0, SHARDS_MAX - 1),
    root: fields.words("root", 8),
    sum: fields.raw("sum", 16),
    document: fields.raw("document", 32),
    top: fields.records("top", ["side", "digest", "sum"], TOP_STEPS_MAX, "path-length").map((item) => {
      const sum = item.raw("sum", 16);
      return { side: item.choice("side", ["left", "right"], "path"), digest: item.raw("digest", 32), sum };
    }),
  };
}

// Step 8: the shard stands in the Merkle-sum tree over all shards, under the statement's root.
function checkPlace(place, statement) {
  const where = "bundle.shard";
  const { shards, root } = statement;
  if (place.index >= shards) refuse(`${where}.index`, `below ${shards}`, place.index, "path");
  const sides = topSides(place.index, shards);
  if (place.top.length !== sides.length) refuse(`${where}.top`, `${sides.length} steps`, place.top.length, "path-length");
  if (place.top.some(({ side }, i) => side !== sides[i])) {
    refuse(`${where}.top`, `siblings on the sides of shard ${place.index}`, "others", "path");
  }
  let node = shardSum(place.index, place.root, place.sum, place.document);
  for (const { side, digest, sum } of place.top) {
    const sibling = { digest, sum };
    node = side === "right" ? parentSum(node, sibling) : parentSum(sibling, node);
  }
  const computed = seal(node, shards);
  if (!equalBytes(computed, fromHex(root))) refuse(where, `the root ${root}`, toHex(computed), "path");
  const which = shards === 1 ? "the only shard" : `shard ${place.index} of ${shards}`;
  return { detail: `${which} stands under the published root ${root}` };
}

// The legs of one side of an instrument, or of one bucket of it, summed: [{symbol, words, amount, bucket}].
function balancesOf(entries) {
  const sums = new Map();
  for (const { symbol, side, decimals, kind, bucket, amount } of entries) {
    const key = JSON.stringify([symbol, side, decimals, kind, bucket]);
    sums.set(key, (sums.get(key) ?? 0n) + amount);
  }
  return [...sums].map(([key, atoms]) => {
    const [symbol, side, decimals, kind, bucket] = JSON.parse(key);
    return { symbol, side, kind, bucket, decimals, atoms, words: WORDS[`${kind} ${side}`], amount: units(atoms, decimals) };
  });
}

function worthOf(entries, { legs, marginDeficit, valueDecimals, quote }) {
  const sum = (key) => entries.reduce((total, { leg, amount }) => total + legs[leg][key] * amount, 0n);
  const health = marginDeficit === null ? null : units(sum("health"), valueDecimals);
  return { equity: units(sum("price"), valueDecimals), health, quote };
}
