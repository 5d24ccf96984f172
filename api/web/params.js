// Proof parameters: docs/protocol.md section 1. The page chooses the profile, never a proof.
import { toHex, utf8 } from "./bytes.js";
import { Refused, dumps, refuse } from "./canonical.js";
import { EXTENSION_DEGREE, TWO_ADICITY } from "./field.js";
import { sha256 } from "./sha2.js";

export const HIDDEN_ROWS = 512; // the last ones, random and unconstrained
export const QUOTIENT_CHUNKS = 3;
export const FOLD_LOG2 = 3; // one FRI layer is three binary folds
const FINAL_COEFFICIENTS_MAX = 64;

// `grinding`: bits of work before each challenge, by the challenge's name.
export function proofParams(name, log2Blowup, queries, grinding) {
  const { lookup, constraint, zeta, batching, fold, query } = grinding;
  const document = new Map(
    Object.entries({
      format: "solvent/parameters/v1",
      name,
      log2_blowup: log2Blowup,
      queries,
      lookup_grinding_bits: lookup,
      constraint_grinding_bits: constraint,
      zeta_grinding_bits: zeta,
      batching_grinding_bits: batching,
      fold_grinding_bits: fold,
      query_grinding_bits: query,
    }),
  );
  return { name, log2Blowup, queries, grinding, digest: sha256(utf8(dumps(document))) };
}

function uniform(name, log2Blowup, queries, early, query) {
  const grinding = { lookup: early, constraint: early, zeta: early, batching: early, fold: early, query };
  return proofParams(name, log2Blowup, queries, grinding);
}

export const PROFILES = [uniform("fast", 1, 203, 0, 16), uniform("compact", 2, 124, 0, 16), uniform("high", 2, 166, 16, 16)];

// The profile of that name; there is no other.
function acceptedProfile(name) {
  const found = PROFILES.find((params) => params.name === name);
  if (!found) throw new Refused("unacceptable-profile", `the profile is none of ${PROFILES.map((params) => params.name).join(", ")}`);
  return found;
}

// The profile that a statement names, or `params`, which it then has to name.
export function acceptedParams(statement, params) {
  const accepted = params ?? acceptedProfile(statement.profile);
  if (statement.profile !== accepted.name) refuse("statement.profile", accepted.name, statement.profile, "unacceptable-profile");
  const digest = toHex(accepted.digest);
  if (statement.parameters_digest !== digest) {
    refuse("statement.parameters_digest", `this page's ${digest}`, statement.parameters_digest, "unacceptable-parameters");
  }
  return accepted;
}

// Heights at which the quotient, its masks, the hidden rows and the domain do not fit are refused.
export function checkRows(params, log2Rows) {
  const mask = maskCoefficients(params);
  const refuseRows = (what) => {
    throw new Refused("unacceptable-parameters", `profile ${params.name}: ${what}`);
  };
  if (2 * mask > HIDDEN_ROWS) refuseRows(`${HIDDEN_ROWS} hidden rows cannot hide ${params.queries} queries`);
  // Q has up to 2N + HIDDEN_ROWS - 1 coefficients, which must fit in three chunks of N - mask.
  const fits = 2 ** log2Rows >= QUOTIENT_CHUNKS * mask + HIDDEN_ROWS - 1;
  if (!fits || log2Rows > TWO_ADICITY - params.log2Blowup) refuseRows(`no proofs of 2^${log2Rows} rows`);
}

// m of section 1.
function maskCoefficients(params) {
  return params.queries + EXTENSION_DEGREE;
}

// M: coefficients of the quotient itself in one chunk.
export function chunkCoefficients(params, log2Rows) {
  return 2 ** log2Rows - maskCoefficients(params);
}

// Size of the evaluation domain.
export function log2Points(params, log2Rows) {
  return log2Rows + params.log2Blowup;
}

export function friLayers(log2Rows) {
  let layers = 0;
  while (2 ** (log2Rows - FOLD_LOG2 * layers) > FINAL_COEFFICIENTS_MAX) layers++;
  return layers;
}

export function finalCoefficients(log2Rows) {
  return 2 ** (log2Rows - FOLD_LOG2 * friLayers(log2Rows));
}

// Depth of the Merkle tree of one FRI layer, a leaf of which holds eight points.
export function layerDepth(params, log2Rows, layer) {
  return log2Points(params, log2Rows) - FOLD_LOG2 * (layer + 1);
}
