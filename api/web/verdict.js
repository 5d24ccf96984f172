// Public arithmetic on the published totals: verifier/verdict.py, verifier/reserves.py and verifier/fund.py.
// It takes the totals as proved; whether they are is what publication.js finds out.
import { refuse, units } from "./canonical.js";
import { checkBundle } from "./inclusion.js";
import { netTotal } from "./statement.js";
import { COST_BASIS, PERPETUAL, SHORT, SPOT, edge, withHaircut } from "./tables.js";

export const FUND_USER_ID = "insurance-fund";
export const RESERVES_HEADER = "asset,amount";
const SOLVENT = "solvent";
export const INSOLVENT = "insolvent";
const NO_RESERVES = "liabilities proved, no reserves given";
const RESERVES_BYTES_MAX = 2 ** 20;
const WHOLE_DIGITS_MAX = 40;
const AMOUNT = /^(0|[1-9][0-9]*)(?:\.([0-9]+))?$/;

// Atoms per instrument from the file of `asset,amount` lines.
export function parseReserves(bytes, instruments) {
  const fail = (where, expected, got) => refuse(where, expected, got, "reserves");
  if (bytes.length > RESERVES_BYTES_MAX) refuse("reserves", `at most ${RESERVES_BYTES_MAX} bytes`, bytes.length, "file-too-large");
  if (bytes.some((byte) => byte > 127 || byte === 13)) fail("reserves", "plain ASCII with LF line ends", "another byte");
  const lines = new TextDecoder().decode(bytes).replace(/\n$/, "").split("\n");
  if (lines[0] !== RESERVES_HEADER) fail("reserves line 1", RESERVES_HEADER, lines[0]);
  const index = new Map(instruments.flatMap(({ symbol, kind }, i) => (kind === SPOT ? [[symbol, i]] : [])));
  const atoms = instruments.map(() => null);
  lines.slice(1).forEach((line, i) => {
    const where = `reserves line ${i + 2}`;
    const comma = line.lastIndexOf(",");
    if (comma < 0) fail(where, RESERVES_HEADER, line);
    const row = index.get(line.slice(0, comma));
    if (row === undefined) fail(`${where}, asset`, "a spot asset of the statement", line.slice(0, comma));
    if (atoms[row] !== null) fail(`${where}, asset`, "each asset once", line.slice(0, comma));
    const match = AMOUNT.exec(line.slice(comma + 1));
    const { decimals } = instruments[row];
    const fraction = match?.[2] ?? "";
    if (!match || match[1].length > WHOLE_DIGITS_MAX || fraction.length > decimals) {
      fail(`${where}, amount`, `a decimal number with at most ${decimals} decimals`, line.slice(comma + 1));
    }
    atoms[row] = BigInt(match[1] + fraction.padEnd(decimals, "0"));
  });
  return atoms.map((amount) => amount ?? 0n);
}

// What the opened account of the insurance fund can pay, in value units: {today, stressed} or {error, reason, field}.
export function checkFund(bytes, statement) {
  const { ok, message, reason, field, report } = checkBundle(bytes, statement, { userId: FUND_USER_ID });
  if (!ok) return { error: message, reason, field };
  const row = new Map(statement.instruments.map(({ symbol }, i) => [symbol, i]));
  const worth = (values) => {
    const signed = ({ symbol, side, atoms }) => (side === SHORT ? -1n : 1n) * values[row.get(symbol)] * atoms;
    const equity = report.balances.reduce((sum, balance) => sum + signed(balance), 0n);
    return equity > 0n ? equity : 0n;
  };
  const today = worth(statement.instruments.map(({ price }) => price));
  return { today, stressed: statement.scenarios.map(({ values }) => worth(values)) };
}

const table = (statement) => statement.instruments.map((instrument, i) => ({ ...instrument, i, ...statement.totals[i], curves: instrument.buckets }));

function netCostBasis(statement) {
  const rows = table(statement).filter(({ kind }) => kind === COST_BASIS);
  return rows.reduce((sum, row) => sum + row.price * netTotal(row), 0n);
}

// Per instrument what accounts are owed net of what they owe, in atoms; to the quote currency belongs the cost basis.
export function claimsOf(statement) {
  const basis = netCostBasis(statement);
  return table(statement).map((row) => {
    const isQuote = row.kind === SPOT && row.symbol.toLowerCase() === statement.quote.toLowerCase();
    return netTotal(row) + (isQuote && row.price ? ceilDiv(basis, row.price) : 0n);
  });
}

function ceilDiv(a, b) {
  return a > 0n ? (a + b - 1n) / b : -(-a / b);
}

// All checks: {name, left, right, relation, ok, unit, decides}. `reserves`, `fund`: null where there are none.
export function checkSolvency(statement, reserves, fund) {
  const claims = claimsOf(statement);
  const { quote, valueDecimals } = statement;
  const checks = [];
  const add = (name, left, relation, right, { unit = quote, decimals = valueDecimals, decides = true } = {}) => {
    const ok = { ">=": left >= right, "<=": left <= right, "=": left === right, ">": left > right }[relation];
    checks.push({ name, left: units(left, decimals), right: units(right, decimals), relation, ok, unit, decides });
  };
  for (const row of table(statement)) {
    const of = { unit: row.symbol, decimals: row.decimals };
    if (row.kind === SPOT && reserves) {
      add(`${row.symbol}: reserves cover balances net of debts`, reserves[row.i], ">=", claims[row.i], of);
    } else if (row.kind === PERPETUAL) {
      add(`${row.symbol}: long positions equal short positions`, row.long, "=", row.short, of);
    }
    if (row.price === 0n && row.short > 0n) add(`${row.symbol}: what is owed in it has a price`, 0n, ">", 0n);
  }
  if (reserves) {
    const paid = paidBy(fund, statement);
    const name = `value of the reserves covers the total liability${paid ? " less the insurance fund's part" : ""}`;
    add(name, reservesValue(statement, reserves), ">=", statement.liability - paid);
  }
  if (statement.instruments.some(({ buckets }) => buckets.some(({ tiers }) => tiers.length))) {
    const [collateral, debts] = collateralAndDebts(statement);
    add("collateral of all accounts together, after haircuts, covers all debts", collateral, ">=", debts);
  }
  const isStrict = statement.policy === "strict";
  const today = fund?.today ?? 0n;
  if (isStrict) add("no account is under water", statement.shortfall, "=", 0n);
  else add("debts above what their debtors hold are within the insurance fund", statement.shortfall, "<=", today);
  if (statement.marginDeficit !== null) {
    if (isStrict) add("no account lacks margin", statement.marginDeficit, "=", 0n);
    else add("margins that accounts lack are within the insurance fund", statement.marginDeficit, "<=", today);
  }
  statement.losses.forEach(({ shortfall, marginDeficit }, i) => {
    const stress = `stress ${statement.scenarios[i].name}:`;
    const value = fund?.stressed[i] ?? 0n;
    add(`${stress} losses within the insurance fund`, shortfall, "<=", value, { decides: false });
    add(`${stress} margin deficits within the insurance fund`, marginDeficit, "<=", value, { decides: false });
  });
  return checks;
}

// The verdict that follows from the checks. `given`: whether there are reserves.
export function verdictOf(checks, given) {
  if (checks.some(({ decides, ok }) => decides && !ok)) return INSOLVENT;
  return given ? SOLVENT : NO_RESERVES;
}

// As it is said: the word alone would say too much.
export function spokenVerdict(verdict, statement) {
  if (verdict === INSOLVENT) return verdict;
  const isNamed = !/^0+$/.test(statement.oracle_evidence);
  const prices = isNamed ? "prices whose signatures are not checked here" : "the exchange's own prices";
  const count = statement.scenarios.length;
  const stress = count ? `, margins and ${count} stress ${count === 1 ? "scenario" : "scenarios"}` : " and margins";
  const proved = statement.marginDeficit === null ? "equity only" : `equity${stress}`;
  return `${verdict}${verdict === SOLVENT ? ` at ${prices}` : ""} (proved: ${proved})`;
}

// What the insurance fund pays of what accounts under water owe, in value units.
export function paidBy(fund, { shortfall }) {
  return min(shortfall, fund?.today ?? 0n);
}

export function reservesValue(statement, reserves) {
  return statement.instruments.reduce((sum, { price }, i) => sum + price * reserves[i], 0n);
}

// What all collateral counts after haircuts, each curve applied to the sum over all accounts; and all debts.
function collateralAndDebts(statement) {
  let collateral = 0n;
  const basis = netCostBasis(statement);
  let debts = basis < 0n ? -basis : 0n;
  for (const { kind, price, short, curves, buckets } of table(statement)) {
    if (kind !== SPOT) continue;
    debts += price * short;
    curves.forEach(({ tiers }, b) => {
      let below = 0n;
      for (const tier of tiers) {
        const above = edge(tier, price, statement.valueDecimals);
        const reached = above === null ? buckets[b] : min(buckets[b], above);
        collateral += (reached - below) * withHaircut(price, tier.ratio);
        below = reached;
      }
    });
  }
  return [collateral, debts];
}

// `part / whole` in percent, rounded down to hundredths; null where it is not defined.
export function percent(part, whole) {
  if (whole <= 0n) return null;
  const hundredths = (part * 10000n) / whole;
  return `${hundredths / 100n}.${String(hundredths % 100n).padStart(2, "0")} %`;
}

function min(a, b) {
  return a < b ? a : b;
}
