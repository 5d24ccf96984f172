// What the page's JavaScript says of a case, as run.py does for the verifier. Reads batches from standard input, one
// line of JSON each: {kind, cases: [{name: base64}]}; answers one line each: a list of {reason, field, value}.
import { readFileSync, readdirSync } from "node:fs";
import { createInterface } from "node:readline";

const [folder, keys] = process.argv.slice(2); // of the page's modules, and of the circuits' key files
const code = {};
for (const file of readdirSync(folder)) {
  const [name, ending] = file.split(".");
  if (ending === "js" && name !== "page") code[name] = await import(`file://${folder}/${file}`);
}
code.toys = await import("../api/web/toys.mjs");
const { toHex } = code.bytes;
const { Refused } = code.canonical;

function text(bytes) {
  return bytes === undefined ? null : new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
}

// A policy as it is typed into the page; nobody can type what is not UTF-8.
function policyText(bytes) {
  try {
    return text(bytes);
  } catch {
    throw new Refused(bytes.length > 2 ** 16 ? "file-too-large" : "log-policy", "expected UTF-8", null);
  }
}

let last = [null, null]; // most cases of a batch share a statement
function stated(bytes) {
  if (bytes === undefined) return null;
  const key = toHex(bytes);
  if (last[0] !== key) last = [key, code.statement.parseStatement(bytes)];
  return last[1];
}

// The outcome of a check that says itself how it went.
function passed(result) {
  if (!result.ok) throw new Refused(result.reason, result.message, result.field);
  return result;
}

function shown({ balances, worth }) {
  return [balances.map(({ symbol, side, kind, bucket, decimals, atoms }) => [symbol, side, kind, bucket, decimals, atoms]), worth];
}

const keyFiles = new Map();
function keyOf(name) {
  if (!keyFiles.has(name)) keyFiles.set(name, new Uint8Array(readFileSync(`${keys}/${name}.json`)));
  return keyFiles.get(name);
}

const systems = new Map();
function systemOf(name) {
  if (!systems.has(name)) systems.set(name, code.air.pinnedCircuit(name, keyOf(name)));
  return systems.get(name);
}

function paramsOf(bytes) {
  const of = JSON.parse(text(bytes));
  const names = ["lookup", "constraint", "zeta", "batching", "fold", "query"];
  const bits = Object.fromEntries(names.map((name) => [name, of[`${name}_grinding_bits`]]));
  return code.params.proofParams(of.name, of.log2_blowup, of.queries, bits);
}

// As toys.mjs takes a relation: the key file and what toys.py describes.
function toyOf(key, bytes) {
  const of = JSON.parse(text(bytes));
  const base64 = (data) => Buffer.from(data).toString("base64");
  const optional = { ...(of.totals && { totals: of.totals }), ...(of.losses && { losses: of.losses }), ...(of.places && { places: "right" }) };
  const binding = base64(Buffer.from(of.binding, "hex"));
  return code.toys.toyRelation(code, { system: base64(key), log2Rows: of.log2_rows, publics: of.publics, binding, ...optional });
}

function shardOf({ shard, index }, statement) {
  return code.shards.parseShard(shard, statement, Number(text(index)));
}

const KINDS = {
  document: ({ document }) => void code.canonical.loads(document, 2 ** 20, "document"),
  statement: ({ statement }) => {
    const { digest, legs } = code.statement.parseStatement(statement);
    return [[digest], ...legs.map(({ cap, price, total, health }) => [cap, price, String(total), health])];
  },
  bundle: ({ bundle, statement, user_id, nonce }) => {
    const own = { userId: text(user_id), nonce: nonce === undefined ? null : toHex(nonce) };
    return shown(passed(code.inclusion.checkBundle(bundle, stated(statement), own)).report);
  },
  receipt: ({ receipt, policy }) => {
    if (!code.receipt.isReceipt(receipt)) return shown(passed(code.inclusion.checkBundle(receipt, null)).report);
    const parts = passed(code.receipt.splitReceipt(receipt));
    const statement = code.statement.parseStatement(parts.files["statement.json"]);
    code.params.acceptedParams(statement, null);
    const whom = policyText(policy);
    if (whom !== null) code.policy.parsePolicy(whom);
    passed(code.log.checkLogged(parts.files["log.tlog-proof"], parts.files["manifest.json"], statement, whom));
    return shown(passed(code.inclusion.checkBundle(parts.bundle, statement)).report);
  },
  reserves: ({ reserves, statement }) => code.verdict.parseReserves(reserves, stated(statement).instruments),
  fund: ({ fund, statement }) => {
    const of = stated(statement);
    passed(code.inclusion.checkBundle(fund, of, { userId: code.verdict.FUND_USER_ID }));
    const { today, stressed } = code.verdict.checkFund(fund, of);
    return [today, stressed];
  },
  verdict: ({ statement, reserves, fund_value }) => {
    const of = stated(statement);
    const held = reserves ? code.verdict.parseReserves(reserves, of.instruments) : null;
    const value = fund_value && JSON.parse(text(fund_value));
    const fund = value ? { today: BigInt(value.today), stressed: value.stressed.map(BigInt) } : null;
    const checks = code.verdict.checkSolvency(of, held, fund);
    const keys = ["name", "left", "relation", "right", "ok", "unit", "decides"];
    return [code.verdict.verdictOf(checks, held !== null), ...checks.map((check) => keys.map((key) => check[key]))];
  },
  log: ({ log_proof, manifest, policy, statement }) => {
    const whom = policyText(policy);
    if (whom !== null) code.policy.parsePolicy(whom);
    passed(code.log.checkLogged(log_proof, manifest, stated(statement), whom));
  },
  "log-policy": ({ policy }) => {
    const { logs, witnesses, groups, quorum } = code.policy.parsePolicy(policyText(policy));
    const grouped = [...groups].map(([name, { k, members }]) => [name, k, members]);
    return [logs.map(({ vkey }) => vkey), witnesses.map(({ name, key }) => [name, key.vkey]), grouped, quorum];
  },
  ed25519: ({ key, message, signature }) => {
    if (!code.ed25519.isValid(key, message, signature)) throw new Refused("signature", "another signature", "signature");
  },
  shard: (inputs) => {
    const { digest, outputs } = shardOf(inputs, stated(inputs.statement));
    return [toHex(digest), ...outputs];
  },
  shards: ({ statement, ...documents }) => {
    const of = stated(statement);
    const shards = Object.keys(documents).sort().map((name, index) => code.shards.parseShard(documents[name], of, index));
    code.shards.checkShards(of, shards);
  },
  proof: ({ proof, params, ...inputs }) => {
    const of = stated(inputs.statement);
    const shard = shardOf(inputs, of);
    code.stark.verifyStark(code.solvency.relationsOf(of, systemOf(of.circuit.name))(shard), paramsOf(params), proof);
  },
  "toy-proof": ({ circuit, relation, params, proof }) => code.stark.verifyStark(toyOf(circuit, relation), paramsOf(params), proof),
  publication: async ({ params, ...files }) => {
    const names = Object.keys(files);
    const read = (name) => files[name] ?? null;
    const given = params === undefined ? null : paramsOf(params);
    return passed(await code.publication.verifyPublication({ read, keyOf, params: given, names })).report.verdict;
  },
  manifest: ({ manifest, statement }) => void code.log.readManifest(manifest, stated(statement)),
};

async function outcome(kind, inputs) {
  const bytes = Object.fromEntries(Object.entries(inputs).map(([name, given]) => [name, new Uint8Array(Buffer.from(given, "base64"))]));
  try {
    return { reason: null, field: null, value: (await KINDS[kind](bytes)) ?? null };
  } catch (error) {
    if (!(error instanceof Refused)) return { foreign: String(error?.stack ?? error) };
    return { reason: error.reason, field: error.field ?? null, value: null };
  }
}

process.stdout.write(`${JSON.stringify(Object.keys(KINDS))}\n`);
for await (const line of createInterface({ input: process.stdin })) {
  const { kind, cases } = JSON.parse(line);
  const answers = [];
  for (const inputs of cases) answers.push(await outcome(kind, inputs));
  process.stdout.write(`${JSON.stringify(answers, (_, value) => (typeof value === "bigint" ? value.toString() : value))}\n`);
}
