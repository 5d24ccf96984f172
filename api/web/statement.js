// The published statement: verifier/statement.py. The proof behind it is checked elsewhere: publication.js.
import { toHex, utf8 } from "./bytes.js";
import { dumps, readDocument, refuse } from "./canonical.js";
import { CIRCUITS } from "./constants.js";
import { sha256 } from "./sha2.js";
import { BUCKETS_MAX, DECIMALS_MAX, INSTRUMENTS_MAX, SYMBOL_CHARACTERS_MAX, deriveLegs, readInstruments, readScenarios } from "./tables.js";

export const STATEMENT_FORMAT = "solvent/statement/v1";
const HEADER_FORMAT = "solvent/header/v1";
export const EXCHANGE_CHARACTERS_MAX = 128;
export const SEQUENCE_MAX = 2 ** 53 - 1;
export const SHARDS_MAX = 2 ** 16;
export const STATEMENT_BYTES_MAX = 8 * 2 ** 20;
const LOG2_ROWS_MIN = 17;
const LOG2_ROWS_MAX = 21;
const VALUE_END = 2n ** 112n;
const SHORTFALL_END = 2n ** 176n;
const TIME = /^\d{4}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ$/;
const DIGESTS = ["circuit_digest", "parameters_digest", "ledger_state", "previous", "oracle_evidence"];
const NAMES = ["protocol", "circuit", "tree_hash", "profile", "exchange", "sequence", "time", "value", "policy"];
const STATEMENT_KEYS = [...DIGESTS, ...NAMES, "instruments", "scenarios", "capacity", "outputs"];
const OUTPUT_KEYS = ["root", "totals", "total_liability", "total_shortfall", "total_margin_deficit", "losses"];
const POLICIES = ["strict", "disclosed"];

// Levels of the account tree: the least L with 8^L >= 2^log2_rows / 3.
export function levelsFor(log2Rows) {
  let levels = 0;
  while (3 * 8 ** levels < 2 ** log2Rows) levels += 1;
  return levels;
}

export const LEVELS_MAX = levelsFor(LOG2_ROWS_MAX);

// Read and check a statement. Amounts are BigInts, digests hex.
export function parseStatement(bytes) {
  const top = readDocument(bytes, STATEMENT_BYTES_MAX, "statement", STATEMENT_FORMAT, STATEMENT_KEYS);
  top.choice("protocol", ["solvent/1"], "unknown-version");
  const name = top.choice("circuit", Object.keys(CIRCUITS), "unknown-circuit");
  const circuit = { name, ...CIRCUITS[name] };
  top.choice("tree_hash", ["poseidon1-koalabear-16"], "unknown-circuit");
  top.choice("circuit_digest", [circuit.digest], "unknown-circuit");
  const value = top.record("value", ["quote", "decimals"]);
  const valueDecimals = value.integer("decimals", 0, DECIMALS_MAX);
  const instruments = readInstruments(top, circuit, valueDecimals);
  const scenarios = readScenarios(top, circuit, instruments);
  const { log2Rows, levels, shards } = readCapacity(top);
  const outputs = top.record("outputs", OUTPUT_KEYS);
  const hex = (key) => toHex(top.raw(key, 32));
  const statement = {
    ...{ circuit, valueDecimals, instruments, scenarios, log2Rows, levels, shards },
    digest: toHex(sha256(bytes)),
    header: headerDigest(top.value),
    circuit_digest: circuit.digest,
    profile: top.symbol("profile", SYMBOL_CHARACTERS_MAX),
    parameters_digest: hex("parameters_digest"),
    exchange: top.text("exchange", EXCHANGE_CHARACTERS_MAX),
    sequence: top.integer("sequence", 0, SEQUENCE_MAX),
    time: readTime(top),
    ledger_state: hex("ledger_state"),
    previous: hex("previous"),
    oracle_evidence: hex("oracle_evidence"),
    quote: value.symbol("quote", SYMBOL_CHARACTERS_MAX),
    policy: top.choice("policy", POLICIES),
    root: toHex(outputs.raw("root", 32)),
    totals: readTotals(outputs, instruments, log2Rows + Math.ceil(Math.log2(shards))),
    liability: outputs.decimal("total_liability", 0n, VALUE_END, "output-range"),
    shortfall: outputs.decimal("total_shortfall", 0n, SHORTFALL_END, "output-range"),
    marginDeficit: readMarginDeficit(outputs, circuit.lenses > 0),
    losses: readLosses(outputs, scenarios.length),
    legs: deriveLegs(circuit, valueDecimals, instruments, scenarios),
  };
  const net = instruments.reduce((sum, { price }, i) => sum + price * netTotal(statement.totals[i]), 0n);
  if (statement.shortfall !== statement.liability - net) {
    const expected = `total_liability - sum of price * (long - short) = ${statement.liability - net}`;
    refuse(outputs.where("total_shortfall"), expected, statement.shortfall, "arithmetic");
  }
  return { ...statement, outputs: outputsOf(statement) };
}

// SHA-256 of all but the outputs: what is known before any shard is proved.
function headerDigest(value) {
  const header = new Map(value).set("format", HEADER_FORMAT);
  header.delete("outputs");
  return toHex(sha256(utf8(dumps(header))));
}

// What the shards' outputs add up to: totals, liability, losses per lens; unused lenses lose nothing.
function outputsOf({ circuit, totals, liability, marginDeficit, losses }) {
  const amounts = totals.flatMap(({ buckets, long, short }) => [...(buckets.length ? buckets : [long]), short]);
  const lost = losses.flatMap(({ shortfall, marginDeficit: lacking }) => [shortfall, lacking]);
  const lenses = [...(marginDeficit === null ? [] : [marginDeficit]), ...lost];
  return [...amounts, liability, ...lenses, ...Array(circuit.lenses - lenses.length).fill(0n)];
}

export function netTotal(totals) {
  return totals.long - totals.short;
}

function readTime(top) {
  const text = top.text("time", 20);
  const date = new Date(text);
  const isDate = TIME.test(text) && !Number.isNaN(date.getTime()) && date.toISOString().slice(0, 19) === text.slice(0, 19);
  if (!isDate || text.startsWith("0000")) refuse(top.where("time"), "a UTC time like 2026-11-22T00:00:00Z", text);
  return text;
}

function readCapacity(top) {
  const capacity = top.record("capacity", ["policy", "log2_rows", "levels", "shards"]);
  capacity.choice("policy", ["capacity/v1"], "capacity");
  const log2Rows = capacity.integer("log2_rows", LOG2_ROWS_MIN, LOG2_ROWS_MAX, "capacity");
  const levels = levelsFor(log2Rows);
  capacity.integer("levels", levels, levels, "capacity");
  return { log2Rows, levels, shards: capacity.integer("shards", 1, SHARDS_MAX, "capacity") };
}

// `log2Rows`: of all shards together, rounded up.
function readTotals(outputs, instruments, log2Rows) {
  const items = outputs.records("totals", ["long", "short", "buckets"], INSTRUMENTS_MAX);
  if (items.length !== instruments.length) {
    refuse(outputs.where("totals"), `${instruments.length} items, one per instrument`, items.length);
  }
  const end = 1n << BigInt(64 + log2Rows);
  return items.map((item, i) => {
    const buckets = item.decimals("buckets", instruments[i].buckets.length, 0n, end, "output-range");
    const sum = buckets.reduce((a, b) => a + b, 0n);
    const long = item.decimal("long", 0n, buckets.length ? BigInt(BUCKETS_MAX) * end : end, "output-range");
    if (buckets.length && long !== sum) refuse(item.where("long"), `${sum}, the sum of the buckets`, long, "arithmetic");
    return { long, short: item.decimal("short", 0n, end, "output-range"), buckets };
  });
}

function readMarginDeficit(outputs, margins) {
  if (outputs.isNull("total_margin_deficit") === margins) {
    const expected = margins ? "an amount" : "null, as this circuit proves no margins";
    refuse(outputs.where("total_margin_deficit"), expected, margins ? "null" : "an amount");
  }
  return margins ? outputs.decimal("total_margin_deficit", 0n, VALUE_END, "output-range") : null;
}

function readLosses(outputs, count) {
  const items = outputs.records("losses", ["shortfall", "margin_deficit"], count + 1);
  if (items.length !== count) refuse(outputs.where("losses"), `${count} items, one per scenario`, "another number of items");
  return items.map((item) => ({
    shortfall: item.decimal("shortfall", 0n, VALUE_END, "output-range"),
    marginDeficit: item.decimal("margin_deficit", 0n, VALUE_END, "output-range"),
  }));
}
