// The whole check of a publication, from its files to a verdict: verifier/report.py, then its manifest. The order is
// the same, and so are the reasons. Not checked, and said: signatures under prices, and addresses behind reserves.
import { pinnedCircuit } from "./air.js";
import { equalBytes, toHex } from "./bytes.js";
import { Refused, refuse } from "./canonical.js";
import { Steps } from "./inclusion.js";
import { readManifest } from "./log.js";
import { acceptedParams } from "./params.js";
import { proofBytesMax } from "./proof.js";
import { sha256 } from "./sha2.js";
import { checkShards, parseShard, shardFile } from "./shards.js";
import { relationsOf } from "./solvency.js";
import { verifyStark } from "./stark.js";
import { parseStatement } from "./statement.js";
import { checkFund, checkSolvency, parseReserves, spokenVerdict, verdictOf } from "./verdict.js";

export const PUBLICATION_STEPS = ["1 statement", "2 parameters", "3 claims", "4 shards", "5 proofs", "6 verdict", "7 files"];
const PRICES_BYTES_MAX = 2 ** 24;
const NO_EVIDENCE = "0".repeat(64);
const OWN_FILES = ["manifest.json", "log.tlog-proof"];

// Check a publication: an outcome as that of a bundle; its report is {statement, verdict, spoken, checks,
// proofBytes, open}.
// `read`: the bytes of a file by name, null where there is none, now or later. `keyOf`: the same for the key file of a
// circuit. `params`: in place of a production profile, for tests. `names`: all files there are, where that is known.
// `progress`: called with how many proofs are verified and how many there are; waited for.
export function verifyPublication({ read, keyOf, params = null, names = null, progress = () => null }) {
  return Steps.outcomeLater(async (steps) => {
    const files = new Files(read);
    const statement = await steps.later("1 statement", async () => {
      const value = parseStatement(await files.need("statement.json"));
      return { detail: `${value.exchange}, sequence ${value.sequence}, digest ${value.digest}`, value };
    });
    const accepted = steps.run("2 parameters", () => {
      const value = acceptedParams(statement, params);
      return { detail: `profile ${value.name}: ${value.queries} queries, circuit ${statement.circuit.name}`, value };
    });
    const { reserves, fund, open } = await steps.later("3 claims", () => readClaims(files, statement));
    const shards = await steps.later("4 shards", () => readShards(files, statement));
    const proofBytes = await steps.later("5 proofs", () => checkProofs(files, statement, shards, accepted, { keyOf, progress }));
    const judgement = steps.run("6 verdict", () => judged(statement, reserves, fund));
    await steps.later("7 files", () => listedFiles(files, statement, names));
    return { statement, ...judgement, proofBytes, open };
  });
}

// Files of a publication, and length and digest of those that were read.
class Files {
  constructor(read) {
    this.read = read;
    this.seen = new Map();
  }

  async find(name) {
    const bytes = await this.read(name);
    if (!bytes) return null;
    this.seen.set(name, { size: bytes.length, digest: sha256(bytes) });
    return bytes;
  }

  async need(name) {
    return (await this.find(name)) ?? missing(name);
  }
}

function missing(name) {
  throw new Refused("file-missing", `${name}: no such file`, name);
}

// What the exchange says beside the proof: reserves, prices, the fund's account. `open`: what is not checked of it.
async function readClaims(files, statement) {
  const reserves = await files.find("reserves.csv");
  const open = [];
  if (await files.find("reserves-evidence.json")) {
    if (!reserves) refuse("reserves-evidence.json", "reserves.csv beside it", "none", "reserves");
    open.push("the addresses behind the reserves");
  }
  const held = reserves && parseReserves(reserves, statement.instruments);
  if (await pricesOf(files, statement)) open.push("the signatures under the prices");
  const opened = await files.find("fund.json");
  const fund = opened && checkFund(opened, statement);
  if (fund?.error) throw new Refused(fund.reason, `fund.json: ${fund.error}`, fund.field);
  const given = [[held, "reserves"], [fund, "the insurance fund's account"]].flatMap(([one, words]) => (one ? [words] : []));
  const detail = `${given.join(" and ") || "no reserves"} read${open.length ? `; not checked here: ${open.join(" and ")}` : ""}`;
  return { detail, ok: !open.length, value: { reserves: held, fund, open } };
}

// Whether there are prices: exactly where the statement names them, and those that it names.
async function pricesOf(files, { oracle_evidence: named }) {
  const bytes = named === NO_EVIDENCE ? await files.find("prices.json") : await files.need("prices.json");
  if (bytes?.length > PRICES_BYTES_MAX) refuse("prices.json", `at most ${PRICES_BYTES_MAX} bytes`, bytes.length, "file-too-large");
  const digest = bytes && toHex(sha256(bytes));
  if (bytes && digest !== named) refuse("prices", `the file that the statement names, SHA-256 ${named}`, digest, "price-evidence");
  return bytes !== null;
}

async function readShards(files, statement) {
  const value = [];
  for (let index = 0; index < statement.shards; index++) {
    value.push(parseShard(await files.need(shardFile(index, "json")), statement, index));
  }
  checkShards(statement, value);
  const what = value.length === 1 ? "the shard's figures are" : `the figures of ${value.length} shards add up to`;
  return { detail: `${what} the statement's, under the root ${statement.root}`, value };
}

async function checkProofs(files, statement, shards, params, { keyOf, progress }) {
  const { name } = statement.circuit;
  const system = pinnedCircuit(name, (await keyOf(name)) ?? missing(`key file of ${name}`));
  const relationOf = relationsOf(statement, system);
  const limit = proofBytesMax(system, params, statement.log2Rows);
  let value = 0;
  await progress(0, shards.length);
  for (const shard of shards) {
    const proof = await files.need(shardFile(shard.index, "proof"));
    if (proof.length > limit) refuse(shardFile(shard.index, "proof"), `at most ${limit} bytes`, proof.length, "file-too-large");
    verifyStark(relationOf(shard), params, proof);
    value += proof.length;
    await progress(shard.index + 1, shards.length);
  }
  return { detail: `${shards.length === 1 ? "the proof is" : `${shards.length} proofs are`} good, ${value} bytes`, value };
}

function judged(statement, reserves, fund) {
  const checks = checkSolvency(statement, reserves, fund);
  const verdict = verdictOf(checks, reserves !== null);
  const failed = checks.filter(({ ok, decides }) => decides && !ok).map(({ name }) => name);
  const spoken = spokenVerdict(verdict, statement);
  return { detail: [spoken, ...failed].join("; "), value: { verdict, spoken, checks } };
}

// The manifest lists exactly these files.
async function listedFiles(files, statement, names) {
  const manifest = await files.find("manifest.json");
  if (!manifest) return { detail: "not checked, as there is no manifest.json", ok: false };
  const listed = readManifest(manifest, statement).files;
  const more = names?.find((name) => !OWN_FILES.includes(name) && !listed.some((file) => file.name === name));
  if (more) refuse(more, "only files that the manifest lists", "one more", "manifest");
  for (const { name, size, digest } of listed) {
    if (!files.seen.has(name)) await files.need(name);
    const got = files.seen.get(name);
    if (got.size !== size) refuse(name, `${size} bytes`, got.size, "manifest");
    if (!equalBytes(got.digest, digest)) refuse(name, `SHA-256 ${toHex(digest)}`, toHex(got.digest), "manifest");
  }
  return { detail: `all ${listed.length} files are those of the manifest` };
}
