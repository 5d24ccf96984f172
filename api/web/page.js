// The page: where files come from, and what is shown of them. Fetches nothing but published files, sends nothing.
import { equalBytes, fromBase64 } from "./bytes.js";
import { Refused } from "./canonical.js";
import { assess, board } from "./dashboard.js";
import { box, el, grouped, step, stepsOf, tableOf } from "./dom.js";
import { BUNDLE_FORMAT, STEP_NAMES, checkBundle } from "./inclusion.js";
import { LOG_PROOF_HEADER, LOG_STEPS, MANIFEST_FORMAT, checkLogged } from "./log.js";
import { acceptedParams } from "./params.js";
import { selfTest } from "./poseidon.js";
import { isReceipt, splitReceipt } from "./receipt.js";
import { SHARD_FORMAT, shardFile } from "./shards.js";
import { STATEMENT_FORMAT, parseStatement } from "./statement.js";
import { FUND_USER_ID, RESERVES_HEADER } from "./verdict.js";
import { checkWhole, isRefused, wholeResult } from "./whole.js";

const SITE = "../";
const HISTORY = 12; // publications in the plots
const NAMED_FILES = ["prices.json", "reserves-evidence.json", "risk.json", "quorum.json"]; // by name alone
const BOARD_FILES = ["statement.json", "reserves.csv", "fund.json"];
const TITLES = {
  "1 file": "The file is complete and in its one spelling",
  "2 statement": "It belongs to the published statement",
  "3 account id": "Your account's id is made from your user id and your nonce",
  "4 entries": "The balances fit the published table of instruments",
  "5 leaf": "Id and balances give one hash: your leaf",
  "6 path": "The way to the root has the right length",
  "7 shard": "Your leaf and the way up give the root of a shard",
  "8 root": "That shard stands under the published root",
  "9 files": "The statement is in the publication's list of files",
  "10 log signature": "The transparency log signed its state",
  "11 witnesses": "Witnesses signed the same state",
  "12 log inclusion": "The publication is in the log",
};
const at = (id) => document.getElementById(id);
const NO_SEQUENCE = -1; // of files without a statement that can be read
// `bundle`: the file, and for a receipt what came with the bundle in it. `keys`: packed, in the saved file.
const state = { publications: new Map(), shown: null, bundle: null, fetched: false, keys: {}, taking: Promise.resolve() };

// A publication: its sequence number, its files by name, in bytes, whether the server has the others, and the whole
// check of it, once that was made.
function fresh(sequence, files, isServed = false) {
  return { sequence, files, isServed, parsed: null, error: null, whole: null };
}

function publication(sequence) {
  if (!state.publications.has(sequence)) state.publications.set(sequence, fresh(sequence, {}, true));
  return state.publications.get(sequence);
}

function bySequence() {
  return [...state.publications.values()].sort((a, b) => a.sequence - b.sequence);
}

function statementOf(entry) {
  if (!entry || entry.parsed || entry.error || !entry.files["statement.json"]) return entry?.parsed ?? null;
  try {
    const statement = parseStatement(entry.files["statement.json"]);
    acceptedParams(statement, null);
    entry.parsed = statement;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    entry.error = error.message;
  }
  return entry.parsed;
}

// From the server

async function fetched(path) {
  try {
    const response = await fetch(SITE + path, { credentials: "omit" });
    return response.ok ? new Uint8Array(await response.arrayBuffer()) : null;
  } catch {
    return null;
  }
}

async function fill(entry, names) {
  const missing = names.filter((name) => !(name in entry.files));
  const found = await Promise.all(missing.map((name) => fetched(`publications/${entry.sequence}/${name}`)));
  missing.forEach((name, i) => (entry.files[name] = found[i]));
}

async function loadServed() {
  const list = await fetched("publications.json");
  if (!list) return;
  const { publications } = JSON.parse(new TextDecoder().decode(list));
  state.fetched = true;
  at("mine").hidden = false;
  for (const { sequence } of publications) publication(sequence);
  const all = bySequence();
  if (!all.length) return;
  state.shown = all.at(-1).sequence;
  await fill(all.at(-1), BOARD_FILES);
  render();
  for (const entry of all.slice(-HISTORY)) await fill(entry, BOARD_FILES);
  render();
}

function loadEmbedded() {
  const data = at("embedded") && JSON.parse(at("embedded").textContent);
  if (!data) return;
  if (data.policy) at("policy").value = data.policy;
  state.keys = data.keys;
  for (const files of data.publications) {
    const bytes = Object.fromEntries(Object.entries(files).map(([name, text]) => [name, fromBase64(text)]));
    adopt(bytes);
  }
}

// Files of one publication; the statement says which.
function adopt(files, isServed = false) {
  const entry = fresh(NO_SEQUENCE, files, isServed);
  entry.sequence = statementOf(entry)?.sequence ?? NO_SEQUENCE;
  state.publications.set(entry.sequence, entry);
  state.shown = entry.sequence;
}

// From the user

function kindOf(name, bytes) {
  const proof = /([0-9]{6})[^/]*\.proof$/.exec(name);
  if (proof) return shardFile(Number(proof[1]), "proof");
  if (isReceipt(bytes)) return "bundle";
  const text = new TextDecoder().decode(bytes);
  if (text.startsWith(RESERVES_HEADER)) return "reserves.csv";
  if (text.startsWith(LOG_PROOF_HEADER)) return "log.tlog-proof";
  if (/^\s*(log|witness|quorum) /m.test(text) && !text.startsWith("{")) return "policy";
  if (text.includes(`"${STATEMENT_FORMAT}"`)) return "statement.json";
  if (text.includes(`"${MANIFEST_FORMAT}"`)) return "manifest.json";
  const shard = text.includes(`"${SHARD_FORMAT}"`) && /"shard":([0-9]{1,5})\b/.exec(text);
  if (shard) return shardFile(Number(shard[1]), "json");
  if (NAMED_FILES.includes(name)) return name;
  const isFund = name === "fund.json" && text.includes(BUNDLE_FORMAT) && text.includes(`"${FUND_USER_ID}"`);
  return isFund ? "fund.json" : "bundle";
}

// One handful of files after the other, in the order in which they came.
function take(list) {
  const files = [...list]; // the list is the input's, and changes with it
  const run = () => takeFiles(files);
  state.taking = state.taking.then(run, run);
}

async function takeFiles(list) {
  const taken = {};
  for (const file of list) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const kind = kindOf(file.name, bytes);
    if (kind === "bundle") hold(file.name, bytes);
    else if (kind === "policy") at("policy").value = new TextDecoder().decode(bytes);
    else taken[kind] = bytes;
  }
  if (Object.keys(taken).length) {
    const { files, isServed } = belongingTo(taken["statement.json"]);
    adopt({ ...files, ...taken }, isServed);
  }
  await render();
  if (state.bundle) at("result").focus();
}

// The publication to which files are added: what is shown, unless these bring another statement.
function belongingTo(statement) {
  const shown = state.publications.get(state.shown) ?? fresh(NO_SEQUENCE, {});
  const known = shown.files["statement.json"];
  if (!statement || (known && equalBytes(statement, known))) return shown;
  const waiting = state.publications.get(NO_SEQUENCE) ?? fresh(NO_SEQUENCE, {});
  state.publications.delete(NO_SEQUENCE);
  return waiting;
}

// A bundle, or a receipt; offline, a receipt's publication is shown where none of that number is.
function hold(name, bytes) {
  const parts = isReceipt(bytes) ? splitReceipt(bytes) : { ok: true, bundle: bytes, files: null };
  state.bundle = { name, bytes: parts.bundle, files: parts.files, problem: parts.ok ? null : parts.message };
  if (parts.files && !state.fetched && !state.publications.has(claimedSequence(parts.bundle))) adopt(parts.files);
}

// With the user's token, from the same server: the only thing this page ever sends, and to nobody else.
async function fetchMine() {
  const headers = { Authorization: `Bearer ${at("token").value.trim()}` };
  const answer = await fetch(`${SITE}receipt`, { headers, credentials: "omit", cache: "no-store" }).catch(() => null);
  if (!answer?.ok) {
    at("result").replaceChildren(box("bad", "No receipt for this token", el("p", {}, await reasonOf(answer))));
    return;
  }
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const name = /filename="([\w.-]+)"/.exec(answer.headers.get("Content-Disposition"))?.[1] ?? "receipt.json";
  hold(name, bytes);
  await render();
  const href = URL.createObjectURL(new Blob([bytes], { type: "application/json" }));
  at("result").append(el("p", {}, el("a", { id: "save", href, download: name }, "Save the receipt"), ", and keep it: it is your evidence."));
  at("result").focus();
}

async function reasonOf(answer) {
  try {
    return (await answer.json()).detail;
  } catch {
    return "the server does not answer as it should";
  }
}

// The bundle's own claim, only to find the publication to compare it with.
function claimedSequence(bytes) {
  try {
    return JSON.parse(new TextDecoder().decode(bytes)).sequence;
  } catch {
    return null;
  }
}

// What is shown

async function render() {
  renderBoard();
  await renderResult();
}

function renderBoard() {
  const all = bySequence();
  const options = all.map(({ sequence }) => el("option", { value: sequence }, `#${sequence}`));
  at("sequence").replaceChildren(...options.reverse());
  at("sequence").value = String(state.shown);
  at("choose").hidden = all.length < 2;
  const entry = state.publications.get(state.shown);
  const statement = statementOf(entry);
  renderWhole(entry);
  if (!entry) return;
  if (!statement) {
    const problem = entry.error ?? "the file statement.json is not there";
    at("board").replaceChildren(box("bad", "This statement cannot be used", el("p", {}, problem)));
    return;
  }
  at("whose").textContent = `${statement.exchange}, publication ${statement.sequence}, ${statement.time.replace("T", " ").replace("Z", " UTC")}`;
  const history = all.filter((one) => statementOf(one)).map((one) => assess(one.parsed, one.files));
  const proof = entry.whole?.outcome.ok ? "good" : isRefused(entry.whole) ? "bad" : "open";
  at("board").replaceChildren(...board(assess(statement, entry.files), history, proof));
}

// The whole proof of the publication that is shown

function renderWhole(entry) {
  at("whole").hidden = !entry?.files["statement.json"];
  at("whole-help").textContent = entry?.isServed
    ? "Fetches all files of this publication and verifies every proof on your device."
    : "Drop all files of the publication above first: everything in shards/, and what lies beside it.";
  at("proof").replaceChildren(...(entry?.whole ? wholeResult(entry.whole) : []));
}

async function proveShown() {
  at("prove").disabled = true;
  at("proof").replaceChildren();
  await state.taking.catch(() => null);
  const entry = state.publications.get(state.shown);
  try {
    entry.whole = await checkWhole({ ...(await wholeFiles(entry)), keyOf, bar: at("progress") });
  } finally {
    at("prove").disabled = false;
  }
  await render();
  at("proof").focus();
}

// Where the whole check finds files. What the server's list does not name is not asked for.
async function wholeFiles({ sequence, files, isServed }) {
  if (!isServed) return { read: (name) => files[name] ?? null, names: Object.keys(files).filter((name) => files[name]) };
  const manifest = await fetched(`publications/${sequence}/manifest.json`);
  const listed = manifest && new Set(namesIn(manifest));
  const read = async (name) => {
    if (name === "manifest.json") return manifest;
    return files[name] ?? (listed && !listed.has(name) ? null : fetched(`publications/${sequence}/${name}`));
  };
  return { read };
}

function namesIn(manifest) {
  try {
    return JSON.parse(new TextDecoder().decode(manifest)).files.map(({ name }) => name);
  } catch {
    return [];
  }
}

// A circuit's key file; this page knows the digest.
async function keyOf(circuit) {
  if (state.fetched) return fetched(`page/${circuit}.json`);
  const packed = fromBase64(state.keys[circuit] ?? "");
  if (!packed || !globalThis.DecompressionStream) return null;
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function renderResult() {
  if (!state.bundle) return;
  if (!selfTest()) {
    at("result").replaceChildren(box("bad", "This browser computes wrongly: nothing was checked"));
    return;
  }
  const { name, bytes, files, problem } = state.bundle;
  if (problem) {
    at("result").replaceChildren(box("bad", "This receipt is rejected", el("p", {}, problem)));
    return;
  }
  const claimed = claimedSequence(bytes);
  const published = state.publications.get(claimed) ?? state.publications.get(state.shown);
  if (published && state.fetched) await fill(published, ["statement.json", "manifest.json", "log.tlog-proof"]);
  const entry = files ? fresh(NO_SEQUENCE, files) : published;
  const statement = statementOf(entry);
  const own = { userId: at("user-id").value || null, nonce: at("nonce").value.trim().toLowerCase() || null };
  const started = performance.now();
  const bundle = checkBundle(bytes, statement, own);
  const { "manifest.json": manifest, "log.tlog-proof": proof } = entry?.files ?? {};
  const log = statement && manifest && proof ? checkLogged(proof, manifest, statement, at("policy").value.trim() || null) : null;
  const seconds = (performance.now() - started) / 1000;
  const whole = wholeOf(statement);
  const refused = isRefused(whole) ? `The check of the whole publication refuses it: ${whole.outcome.message}` : null;
  const refusal = entry?.error ?? differing(files && statement, state.publications.get(claimed)) ?? refused;
  at("result").replaceChildren(...result(bundle, log, statement, refusal, whole, seconds), commandBox(name, own));
}

// The whole check of the publication with this very statement, if it was made.
function wholeOf(statement) {
  return bySequence().find((one) => one.whole && statement && statementOf(one)?.digest === statement.digest)?.whole ?? null;
}

function proofStep(whole) {
  const title = "The proof behind the statement";
  if (whole?.outcome.ok) return step("0 proof", title, "ok", "every proof of the publication was verified in this page");
  if (isRefused(whole)) return step("0 proof", title, "failed", whole.outcome.message);
  return step("0 proof", title, "not checked", "“Check the whole proof here”, below, does, and so does the command");
}

// A receipt whose statement is not the one that everybody else is shown.
function differing(statement, published) {
  if (!statement) return null;
  if (state.fetched && !published) return `Publication ${statement.sequence} of your receipt is none of those published here. Keep the file: it is evidence.`;
  const other = statementOf(published);
  if (!other || other.digest === statement.digest) return null;
  return `Your receipt is for ${statement.digest}, and publication ${other.sequence} is ${other.digest}. Keep both: two statements of one number are evidence.`;
}

function result(bundle, log, statement, refusal, whole, seconds) {
  const { report } = bundle;
  return [
    headline(bundle, log, statement, refusal),
    ...(bundle.ok ? balances(report) : []),
    el("h3", {}, `What was checked, in ${seconds.toFixed(2)} s`),
    el("ol", { class: "steps", id: "steps" },
      proofStep(whole),
      ...stepsOf(bundle, statement ? STEP_NAMES : STEP_NAMES.slice(0, 7), TITLES),
      ...(log ? stepsOf(log, LOG_STEPS, TITLES) : []),
    ),
  ];
}

function headline(bundle, log, statement, refusal) {
  for (const one of [bundle, log]) {
    if (one && !one.ok) {
      const what = one === bundle ? "This bundle is rejected" : "The publication is not in the log as it should be";
      const words = `What failed: “${TITLES[one.failed]}”. Below it says what was expected. Keep the file: it is evidence.`;
      return box("bad", `${what}: step ${one.failed}`, el("p", {}, words));
    }
  }
  if (refusal) return box("bad", "The statement is refused", el("p", {}, refusal));
  if (!statement) {
    const more = "It shows nothing about a publication. Drop the publication's statement.json, too.";
    return box("note", "The bundle agrees with itself", el("p", {}, more));
  }
  const { userId, exchange, sequence } = bundle.report;
  const words = `${userId} at ${exchange}, with the balances below. Are they what you had at ${statement.time}?`;
  return box("good", `Your account is counted in publication ${sequence}`, el("p", {}, words));
}

function balances({ balances: rows, worth, nonce }) {
  const withBuckets = rows.some(({ bucket }) => bucket !== null);
  const columns = ["asset", "your account", "amount", ...(withBuckets ? ["bucket"] : [])];
  const cells = rows.map((b) => [b.symbol, b.words, grouped(b.amount), b.bucket ?? ""].slice(0, columns.length));
  const health = worth?.health === null ? "" : `, and ${grouped(worth?.health ?? "0")} ${worth?.quote} after haircuts and margins`;
  return [
    rows.length ? tableOf("Your balances, as they were counted", columns, cells, ["amount"]) : el("p", {}, "This account holds and owes nothing."),
    worth ? el("p", {}, `In all worth ${grouped(worth.equity)} ${worth.quote} at the statement's prices${health}.`) : null,
    el("p", { class: "small" }, "Your nonce in it: ", el("span", { class: "exact" }, nonce)),
  ].filter((node) => node);
}

function commandBox(name, { userId, nonce }) {
  const word = (text) => (/^[\w.@%+=:,/-]+$/.test(text) && !text.startsWith("-") ? text : `'${text.replaceAll("'", "'\\''")}'`);
  const words = ["solvent", "inclusion", word(name.startsWith("-") ? `./${name}` : name), "--against", "DIR"];
  if (userId) words.push("--user-id", word(userId));
  if (nonce) words.push("--nonce", word(nonce));
  if (at("policy").value.trim()) words.push("--log-policy", "POLICY");
  const code = el("code", { id: "command" }, words.join(" "));
  const copy = el("button", { type: "button" }, "Copy");
  copy.addEventListener("click", async () => {
    await navigator.clipboard?.writeText(code.textContent);
    copy.textContent = "Copied";
  });
  const help = "The same with the proof verified, DIR being the downloaded publication:";
  return el("div", {}, el("h3", {}, "The same as a command"), el("p", {}, help), el("div", { class: "command" }, code, copy));
}

function wire() {
  at("file").addEventListener("change", (event) => take(event.target.files));
  const drop = at("drop");
  for (const name of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      if (name === "drop") take(event.dataTransfer.files);
    });
  }
  at("fetch").addEventListener("click", fetchMine);
  at("prove").addEventListener("click", proveShown);
  for (const id of ["user-id", "nonce", "policy"]) at(id).addEventListener("input", renderResult);
  at("sequence").addEventListener("change", async (event) => {
    state.shown = Number(event.target.value);
    const entry = state.publications.get(state.shown);
    if (state.fetched) await fill(entry, BOARD_FILES);
    render();
  });
}

wire();
loadEmbedded();
if (at("embedded") === null && location.protocol.startsWith("http")) await loadServed();
await render();
document.body.dataset.ready = "yes";
