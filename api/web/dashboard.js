// The dashboard: what a publication claims, asset by asset, and how that changed from one to the next.
import { Refused, units } from "./canonical.js";
import { box, el, grouped, mark, tableOf } from "./dom.js";
import { barPlot, linePlot } from "./plots.js";
import { PERPETUAL, SPOT } from "./tables.js";
import { checkFund, checkSolvency, claimsOf, paidBy, parseReserves, percent, reservesValue } from "./verdict.js";

const asNumber = (amount, decimals) => Number(units(amount, decimals));

// All that follows from a publication's files: {statement, reserves, fund, checks, owed, value, problems}.
export function assess(statement, files) {
  const problems = [];
  let [reserves, fund] = [null, null];
  if (files["reserves.csv"]) {
    try {
      reserves = parseReserves(files["reserves.csv"], statement.instruments);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      problems.push(error.message);
    }
  }
  if (files["fund.json"]) {
    fund = checkFund(files["fund.json"], statement);
    if (fund.error) {
      problems.push(`fund.json: ${fund.error}`);
      fund = null;
    }
  }
  const checks = checkSolvency(statement, reserves, fund);
  const value = reserves && reservesValue(statement, reserves);
  return { statement, reserves, fund, checks, problems, value, owed: statement.liability - paidBy(fund, statement) };
}

function openInterest({ instruments, totals }) {
  return instruments.reduce((sum, { kind, price }, i) => sum + (kind === PERPETUAL ? price * totals[i].long : 0n), 0n);
}

// The nodes for one publication; `history`: assessments of all that are known, oldest first; `proof`: what is known here
// of the proof: "good", "bad" or "open".
export function board(current, history, proof) {
  const { statement, checks, reserves, problems } = current;
  const failed = checks.filter(({ ok, decides }) => decides && !ok);
  const command = el("p", {}, "Verify the proof yourself: ", el("code", {}, "solvent verify DIR"));
  return [
    ...problems.map((problem) => box("bad", "A file of this publication is wrong", el("p", {}, problem))),
    verdictBox(failed, reserves, proof),
    command,
    cards(current),
    assetTable(current),
    ...stress(current),
    ...trends(history, statement),
    tableOf(
      "All checks on the published totals",
      ["check", "result", "left", "", "right", "unit"],
      checks.map((c) => [c.name, mark(c.ok, c.decides), grouped(c.left, 8), c.relation, grouped(c.right, 8), c.unit]),
      ["left", "right"],
      "scroll wide",
    ),
  ];
}

function verdictBox(failed, reserves, proof) {
  if (proof === "bad") return box("bad", "The publication is rejected", el("p", {}, "Its figures are shown all the same; nothing speaks for them."));
  const known = proof === "good" ? "the proof of the totals was verified here" : "the proof of the totals is not verified here";
  const claim = `by the published totals and the exchange's own reserves and prices; ${known}`;
  if (failed.length) return box("bad", "Insolvent", el("p", {}, `${failed.map(({ name }) => name).join("; ")}: ${claim}.`));
  if (!reserves) return box("note", "No reserves are given", el("p", {}, "What is owed is published; whether it is covered is open."));
  const title = proof === "good" ? "Solvent: the proof verifies" : "Solvent, if the proof verifies";
  return box("good", title, el("p", {}, `Every check that decides passes ${claim}.`));
}

function cards({ statement, value, owed, fund }) {
  const { quote, valueDecimals, liability, shortfall, marginDeficit, shards, log2Rows } = statement;
  const money = (amount) => [grouped(units(amount, valueDecimals), 2), el("span", { class: "unit" }, ` ${quote}`)];
  const cells = [
    ["Owed to users", money(liability)],
    ["Reserves, as claimed", value === null ? "not given" : money(value)],
    ["Coverage", value === null ? "open" : (percent(value, owed) ?? "nothing owed")],
    ["Insurance fund", fund ? money(fund.today) : "not opened"],
    ["Accounts under water owe", money(shortfall)],
    ["Margin lacking", marginDeficit === null ? "not proved" : money(marginDeficit)],
    ["Open interest", statement.circuit.kinds.includes(PERPETUAL) ? money(openInterest(statement)) : "none proved"],
    ["Room for", `${grouped(String(shards * 2 ** log2Rows))} rows in ${shards} ${shards === 1 ? "shard" : "shards"}`],
  ];
  const card = ([name, figure]) => el("li", {}, el("span", { class: "name" }, name), el("span", { class: "figure" }, ...[figure].flat()));
  return el("ul", { class: "cards" }, ...cells.map(card));
}

function assetTable({ statement, reserves }) {
  const claims = claimsOf(statement);
  const rows = statement.instruments.flatMap(({ symbol, kind, decimals }, i) => {
    if (kind !== SPOT) return [];
    const { long, short } = statement.totals[i];
    const amount = (atoms) => grouped(units(atoms, decimals), 8);
    const coverage = !reserves ? "open" : (percent(reserves[i], claims[i]) ?? "nothing owed");
    const verdict = reserves ? mark(reserves[i] >= claims[i]) : "open";
    return [[symbol, verdict, coverage, reserves ? amount(reserves[i]) : "not given", amount(long), amount(short)]];
  });
  const columns = ["asset", "result", "coverage", "reserves", "users hold", "users owe"];
  return tableOf("Per asset: what users hold less what they owe, against reserves", columns, rows, columns.slice(2));
}

function stress({ statement, fund }) {
  if (!statement.losses.length) return [];
  const { quote, valueDecimals, scenarios } = statement;
  const rows = statement.losses.map(({ shortfall, marginDeficit }, i) => ({
    name: scenarios[i].name,
    first: asNumber(shortfall, valueDecimals),
    second: asNumber(marginDeficit, valueDecimals),
    fund: asNumber(fund?.stressed[i] ?? 0n, valueDecimals),
  }));
  const legend = [["one", "losses of accounts under water"], ["two", "margin lacking"], ["fund", "insurance fund then"]];
  return [el("h3", {}, "Proved losses in stress scenarios"), el("div", { class: "plots" }, barPlot("Per scenario", rows, legend, quote))];
}

function trends(history, { quote, valueDecimals }) {
  if (history.length < 2) return [];
  const labels = history.map(({ statement }) => `#${statement.sequence}`);
  const money = (of) => history.map((entry) => (of(entry) === null ? null : asNumber(of(entry), valueDecimals)));
  const ratio = ({ value, owed }) => (value === null || owed <= 0n ? null : Number((value * 1000000n) / owed) / 10000);
  const worst = ({ statement }) => statement.losses.reduce((most, { shortfall }) => (shortfall > most ? shortfall : most), 0n);
  const plots = [
    linePlot("Coverage", labels, [{ name: "reserves to what is owed", values: history.map(ratio) }], "%"),
    linePlot(`Owed and held, ${quote}`, labels, [
      { name: "owed to users", values: money(({ statement }) => statement.liability) },
      { name: "reserves, as claimed", values: money(({ value }) => value) },
    ], quote),
    linePlot(`Insurance fund and worst scenario, ${quote}`, labels, [
      { name: "insurance fund", values: money(({ fund }) => fund && fund.today) },
      { name: "worst loss", values: money(worst) },
    ], quote),
    linePlot(`Open interest, ${quote}`, labels, [{ name: "open interest", values: money(({ statement }) => openInterest(statement)) }], quote),
  ];
  return [el("h3", {}, "From publication to publication"), el("div", { class: "plots" }, ...plots.filter((plot) => plot))];
}
