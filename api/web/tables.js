// The tables of a statement and the leg table that follows: verifier/instruments.py and verifier/legs.py.
import { refuse } from "./canonical.js";

export const INSTRUMENTS_MAX = 2048;
export const SYMBOL_CHARACTERS_MAX = 32;
export const DECIMALS_MAX = 30;
export const LEGS_MAX = 2 ** 16 - 1;
export const AMOUNT_CAP = 2n ** 63n - 1n;
export const BUCKETS_MAX = 8;
export const SPOT = "spot";
export const PERPETUAL = "perpetual";
export const COST_BASIS = "cost-basis";
export const KINDS = [SPOT, PERPETUAL, COST_BASIS];
export const LONG = "long";
export const SHORT = "short";
export const SIDES = [LONG, SHORT];
const SCENARIO_CHARACTERS_MAX = 64;
const PRICE_END = 2n ** 54n;
const RATIO_ONE = 10000;
const TIERS_MAX = 12;
const BOUND_END = 2n ** 64n;
const DIGITS = 7;
const DIGITS_END = 256n ** BigInt(DIGITS);
const DIGITS_OFFSET = Array.from({ length: DIGITS }, (_, i) => 128n << BigInt(8 * i)).reduce((a, b) => a + b);
const TABLE = "instrument-table";
const INSTRUMENT_KEYS = ["symbol", "kind", "decimals", "price", "buckets", "margin"];

// `circuit`: {name, kinds, lenses, scenarios}.
export function readInstruments(top, circuit, valueDecimals) {
  const instruments = [];
  const seen = new Set();
  let rows = 0;
  for (const item of top.records("instruments", INSTRUMENT_KEYS, INSTRUMENTS_MAX, TABLE)) {
    const symbol = item.symbol("symbol", SYMBOL_CHARACTERS_MAX);
    requireNew(seen, symbol, item.where("symbol"), "each symbol");
    const kind = item.choice("kind", KINDS, TABLE);
    if (!circuit.kinds.includes(kind)) {
      refuse(item.where("kind"), `${circuit.kinds.join(" or ")}, all that ${circuit.name} proves`, kind, TABLE);
    }
    const price = item.decimal("price", 0n, PRICE_END, TABLE);
    const decimals = item.integer("decimals", 0, DECIMALS_MAX, TABLE);
    if (kind === COST_BASIS) checkSlope(item, price, valueDecimals - decimals);
    const buckets = readBuckets(item, circuit.lenses > 0 && kind === SPOT);
    const margin = readMargin(item, circuit.lenses > 0 && kind !== COST_BASIS);
    instruments.push({ symbol, kind, decimals, price, buckets, margin });
    // One row more than tiers on each side: what no tier covers.
    for (const { tiers } of buckets.length ? buckets : [{ tiers: margin }]) rows += tiers.length + 1;
    rows += margin.length + 1;
    if (rows > LEGS_MAX) refuse(item.path, `tables of at most ${LEGS_MAX} tiers`, "more", TABLE);
  }
  if (!instruments.length) refuse(top.where("instruments"), "at least one", "none", TABLE);
  return instruments;
}

function requireNew(seen, name, where, what) {
  // Of ASCII letters only: what else has a case depends on Unicode's version.
  const key = name.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
  if (seen.has(key)) refuse(where, `${what} once, in one spelling`, name, TABLE);
  seen.add(key);
}

// A cost basis is money: one unit of it is worth one unit of the quote currency.
function checkSlope(item, price, exponent) {
  if (exponent >= 0 && price === 10n ** BigInt(exponent)) return;
  const expected = exponent >= 0 ? `10^${exponent}, one unit of the quote currency per unit` : "fewer decimals";
  refuse(item.where("price"), expected, price, TABLE);
}

function readBuckets(item, some) {
  const records = item.records("buckets", ["name", "tiers"], BUCKETS_MAX, TABLE);
  if (some !== records.length > 0) {
    refuse(item.where("buckets"), some ? `1 to ${BUCKETS_MAX} buckets` : "no buckets here", records.length, TABLE);
  }
  const seen = new Set();
  return records.map((record) => {
    const name = record.symbol("name", SYMBOL_CHARACTERS_MAX);
    requireNew(seen, name, record.where("name"), "each name");
    return { name, tiers: readTiers(record, "tiers", -1) };
  });
}

function readMargin(item, allowed) {
  const tiers = readTiers(item, "margin", 1);
  if (tiers.length && !allowed) refuse(item.where("margin"), "no margin here", `${tiers.length} tiers`, TABLE);
  if (tiers.length && tiers.at(-1).to !== null) {
    refuse(item.where("margin"), "a last tier without bound", tiers.at(-1).to, TABLE);
  }
  return tiers;
}

// Tiers with increasing bounds; ratios do not increase (direction -1) or do not decrease (1).
function readTiers(item, key, direction) {
  const tiers = [];
  for (const record of item.records(key, ["to", "ratio"], TIERS_MAX, TABLE)) {
    const last = tiers.at(-1) ?? { to: 0n, ratio: direction > 0 ? -1 : RATIO_ONE + 1 };
    if (last.to === null) refuse(record.path, "nothing after a tier without bound", "a tier", TABLE);
    const to = record.isNull("to") ? null : record.decimal("to", last.to + 1n, BOUND_END, TABLE);
    const ratio = record.integer("ratio", 0, RATIO_ONE, TABLE);
    if (direction * (ratio - last.ratio) < 0) {
      refuse(record.where("ratio"), `at ${direction > 0 ? "least" : "most"} ${last.ratio}`, ratio, TABLE);
    }
    tiers.push({ to, ratio });
  }
  return tiers;
}

export function readScenarios(top, circuit, instruments) {
  const items = top.records("scenarios", ["name", "values"], circuit.scenarios + 1, TABLE);
  if (items.length > circuit.scenarios) {
    refuse(top.where("scenarios"), `at most ${circuit.scenarios}, all that ${circuit.name} proves`, "more", TABLE);
  }
  const seen = new Set();
  return items.map((item) => {
    const name = item.text("name", SCENARIO_CHARACTERS_MAX);
    if (name !== name.trim()) refuse(item.where("name"), "no blanks around it", name);
    requireNew(seen, name, item.where("name"), "each name");
    const values = item.decimals("values", instruments.length, 0n, PRICE_END, TABLE);
    instruments.forEach((instrument, i) => {
      if (instrument.kind === COST_BASIS && values[i] !== instrument.price) {
        refuse(`${item.where("values")}[${i}]`, `the cost basis' ${instrument.price}`, values[i], TABLE);
      }
    });
    return { name, values };
  });
}

// The most atoms whose value is within a tier's bound; null where any number is.
export function edge(tier, price, valueDecimals) {
  return tier.to === null || price === 0n ? null : (tier.to * 10n ** BigInt(valueDecimals)) / price;
}

function tierCaps(tiers, price, valueDecimals) {
  const caps = [];
  let below = 0n;
  for (const [number, tier] of tiers.entries()) {
    if (tier.to === null) {
      caps.push([number, AMOUNT_CAP]);
      continue;
    }
    const above = edge(tier, price, valueDecimals);
    if (above === null) continue; // the price is 0
    const reached = above < AMOUNT_CAP ? above : AMOUNT_CAP;
    if (reached > below) caps.push([number, reached - below]);
    below = reached;
  }
  if (!tiers.length || tiers.at(-1).to !== null) caps.push([null, AMOUNT_CAP]);
  return caps;
}

// Health per atom held as collateral: the share of the value that counts, rounded down.
export function withHaircut(value, ratio) {
  return (value * BigInt(ratio)) / BigInt(RATIO_ONE);
}

function withMargin(value, ratio) {
  const one = BigInt(RATIO_ONE);
  return (value * BigInt(ratio) + one - 1n) / one;
}

function health(instrument, side, ratio, value) {
  if (instrument.kind === SPOT && side === LONG) return withHaircut(value, ratio ?? 0);
  const margin = instrument.kind === COST_BASIS ? 0n : withMargin(value, ratio ?? 0);
  return (side === LONG ? value : -value) - margin;
}

function curves(instrument) {
  const { kind, buckets, margin } = instrument;
  const long = buckets.length
    ? buckets.map(({ tiers }, bucket) => [LONG, bucket, tiers])
    : [[LONG, null, kind === SPOT ? [] : margin]];
  return [...long, [SHORT, null, margin]];
}

// [{index, instrument, side, bucket, total, cap, price, health, lenses}], all values in value units per atom, signed.
// Lens 0 is health, then equity and health of each scenario; a lens without a scenario is 0.
export function deriveLegs(circuit, valueDecimals, instruments, scenarios) {
  const legs = [];
  let total = 0;
  instruments.forEach((instrument, j) => {
    for (const [side, bucket, tiers] of curves(instrument)) {
      for (const [tier, cap] of tierCaps(tiers, instrument.price, valueDecimals)) {
        const ratio = tier === null ? null : tiers[tier].ratio;
        const both = (value) => [side === LONG ? value : -value, health(instrument, side, ratio, value)];
        const [price, ...lenses] = [instrument.price, ...scenarios.map(({ values }) => values[j])].flatMap(both);
        while (lenses.length < circuit.lenses) lenses.push(0n);
        lenses.length = circuit.lenses;
        const leg = { index: legs.length, instrument: j, side, bucket, total, cap, price, lenses };
        legs.push({ ...leg, health: circuit.lenses ? lenses[0] : null });
        [price, ...lenses].forEach(offsetDigits);
      }
      total += 1;
    }
  });
  return legs;
}

// A coefficient whose digits count from 0. With prices below 2^54 and margins up to 100 % seven always suffice.
function offsetDigits(coefficient) {
  const value = coefficient + DIGITS_OFFSET;
  if (value < 0n || value >= DIGITS_END) refuse("instruments", "coefficients of seven digits", coefficient, TABLE);
  return value;
}

// Seven digits from -128 to 127, lowest first.
export function balancedDigits(coefficient) {
  let value = offsetDigits(coefficient);
  const digits = [];
  for (let i = 0; i < DIGITS; i++, value >>= 8n) digits.push(Number(value & 255n) - 128);
  return digits;
}

// Refuse a leg table on which the circuit's arguments do not hold, wherever it came from.
export function checkLegs(legs) {
  const equities = new Map();
  const before = new Map();
  const fail = ({ index }, expected, got) => refuse(`leg ${index}`, expected, got, TABLE);
  if (legs.length > LEGS_MAX) fail({ index: LEGS_MAX }, `a table of at most ${LEGS_MAX} legs`, legs.length);
  legs.forEach((leg, i) => {
    if (leg.index !== i) fail(leg, `number ${i}`, leg.index);
    if (leg.cap < 1n || leg.cap > AMOUNT_CAP) fail(leg, `a cap from 1 to ${AMOUNT_CAP}`, leg.cap);
    const values = [leg.price, ...leg.lenses.filter((_, lens) => lens % 2 === 1)];
    for (const value of values) {
      const size = leg.side === LONG ? value : -value;
      if (size < 0n || size >= PRICE_END) fail(leg, `values that suit side ${leg.side}`, value);
    }
    leg.lenses.filter((_, lens) => lens % 2 === 0).forEach((counted, scenario) => {
      if (counted > values[scenario] || (leg.side === LONG && counted < 0n)) fail(leg, "health within equity", counted);
    });
    const shared = values.join();
    if ((equities.get(leg.total) ?? shared) !== shared) fail(leg, "one equity for all legs of a total", shared);
    equities.set(leg.total, shared);
    const curve = [leg.instrument, leg.side, leg.bucket].join();
    const better = before.get(curve) ?? leg;
    if (leg.lenses.some((after, lens) => after > better.lenses[lens])) fail(leg, "no more per atom than in the tier before", "more");
    before.set(curve, leg);
  });
}
