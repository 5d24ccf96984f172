// A receipt: bundle, statement, manifest and log proof in one file; verifier/receipt.py.
import { utf8 } from "./bytes.js";
import { Refused, readDocument } from "./canonical.js";
import { BUNDLE_BYTES_MAX } from "./inclusion.js";
import { MANIFEST_BYTES_MAX, PROOF_BYTES_MAX } from "./log.js";
import { STATEMENT_BYTES_MAX } from "./statement.js";

export const RECEIPT_FORMAT = "solvent/receipt/v1";
const RECEIPT_BYTES_MAX = BUNDLE_BYTES_MAX + STATEMENT_BYTES_MAX + MANIFEST_BYTES_MAX + 2 * PROOF_BYTES_MAX;
const RECEIPT_KEYS = ["bundle", "statement", "manifest", "log_proof"];
const RECEIPT_START = '{"bundle":';

// Whether a user's file is to be read as a receipt, and not as a bundle.
export function isReceipt(bytes) {
  return new TextDecoder().decode(bytes.subarray(0, RECEIPT_START.length)) === RECEIPT_START;
}

// The four documents in bytes, as if each had come alone: {ok, bundle, files: {name: bytes}}, or {ok: false, reason, message}.
export function splitReceipt(bytes) {
  try {
    const top = readDocument(bytes, RECEIPT_BYTES_MAX, "receipt", RECEIPT_FORMAT, RECEIPT_KEYS);
    const proof = utf8(top.string("log_proof", PROOF_BYTES_MAX));
    const files = { "statement.json": top.document("statement"), "manifest.json": top.document("manifest"), "log.tlog-proof": proof };
    return { ok: true, bundle: top.document("bundle"), files };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const { reason, field, message } = error;
    return { ok: false, reason, field, message };
  }
}
