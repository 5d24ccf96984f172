// What the page computes, as plain data: the tests run this under node and, in one page run, in a browser.
// `code`: the page's modules by name. `ask`: what to compute; files in base64.
export function judge(code, ask) {
  const { fromBase64, toHex } = code.bytes;
  const bytes = (text) => fromBase64(text) ?? new Uint8Array();
  const plain = (value) => JSON.parse(JSON.stringify(value, (_, v) => (typeof v === "bigint" ? v.toString() : v)));
  const tried = (run) => {
    try {
      return { ok: true, value: plain(run()) };
    } catch (error) {
      if (!(error instanceof code.canonical.Refused)) throw error;
      return { ok: false, reason: error.reason, field: error.field, message: error.message };
    }
  };
  const out = { selfTest: code.poseidon.selfTest() };
  const statement = ask.statement ? code.statement.parseStatement(bytes(ask.statement)) : null;
  if (ask.statements) out.statements = ask.statements.map((text) => tried(() => code.statement.parseStatement(bytes(text))));
  if (ask.hashes) {
    out.hashes = ask.hashes.map((text) => [toHex(code.sha2.sha256(bytes(text))), toHex(code.sha2.sha512(bytes(text)))]);
  }
  if (ask.compress) out.compress = ask.compress.map(([h, block]) => code.poseidon.compress(h, block));
  if (ask.bundles) {
    // Under node the processor's time: tests may share the machine.
    const clock = () => (globalThis.process ? process.cpuUsage().user / 1000 : performance.now());
    const started = clock();
    out.bundles = ask.bundles.map((text) => plain(code.inclusion.checkBundle(bytes(text), statement, ask.known)));
    out.milliseconds = clock() - started;
  }
  if (ask.reserves) out.reserves = ask.reserves.map((text) => tried(() => code.verdict.parseReserves(bytes(text), statement.instruments)));
  if (ask.verdicts) {
    out.verdicts = ask.verdicts.map(({ statement: text, reserves, fund }) => {
      const of = code.statement.parseStatement(bytes(text));
      const held = reserves && code.verdict.parseReserves(bytes(reserves), of.instruments);
      return code.verdict.checkSolvency(of, held, fund && code.verdict.checkFund(bytes(fund), of));
    });
  }
  if (ask.signatures) {
    out.signatures = ask.signatures.map(([key, message, signature]) => code.ed25519.isValid(bytes(key), bytes(message), bytes(signature)));
  }
  if (ask.receipts) {
    out.receipts = ask.receipts.map((text) => {
      const { files = {}, bundle = new Uint8Array(), ...rest } = code.receipt.splitReceipt(bytes(text));
      return { ...rest, parts: [bundle, ...Object.values(files)].map(toHex) };
    });
  }
  if (ask.logs) {
    out.logs = ask.logs.map(({ proof, manifest, policy, statement: text }) => {
      const of = code.statement.parseStatement(bytes(text));
      return plain(code.log.checkLogged(bytes(proof), bytes(manifest), of, policy));
    });
  }
  if (ask.calls) {
    const argument = (one) => (typeof one?.bytes === "string" ? bytes(one.bytes) : one);
    const readable = (value) => (value instanceof Uint8Array ? toHex(value) : plain(value));
    out.calls = ask.calls.map(([module, name, ...rest]) => readable(code[module][name](...rest.map(argument))));
  }
  if (ask.profiles) out.profiles = code.params.PROFILES.map(({ name, digest }) => [name, toHex(digest)]);
  if (ask.transcripts) {
    out.transcripts = ask.transcripts.map((steps) => {
      const transcript = new code.transcript.Transcript();
      const drawn = steps.map(([kind, label, one, two]) => transcript[kind](label, kind === "absorb" ? bytes(one) : one, two));
      return { drawn: drawn.filter((value) => value), state: toHex(transcript.state) };
    });
  }
  if (ask.proofs) out.proofs = judgeProofs(code, ask.proofs);
  return out;
}

// Per case (names of a relation and of parameters, proof in base64): null, the reason of the refusal, or what else was
// thrown, as "fault: ..". `drawn`: challenges by label, in place of those of the transcript.
export function judgeProofs(code, { relations, params, cases, drawn = {} }) {
  const { Transcript } = code.transcript;
  const { drawOne } = Transcript.prototype;
  const byName = (some, make) => Object.fromEntries(Object.entries(some).map(([name, one]) => [name, make(one)]));
  const relationOf = byName(relations, (one) => code.toys.toyRelation(code, one));
  const paramsOf = byName(params, (one) => code.params.proofParams(...one));
  Transcript.prototype.drawOne = function unlucky(label) {
    return drawn[label] ?? drawOne.call(this, label);
  };
  const outcomes = cases.map(([relation, name, proof]) => {
    try {
      code.stark.verifyStark(relationOf[relation], paramsOf[name], code.bytes.fromBase64(proof) ?? new Uint8Array());
      return null;
    } catch (error) {
      return error instanceof code.canonical.Refused ? error.reason : `fault: ${error}`;
    }
  });
  Transcript.prototype.drawOne = drawOne;
  return outcomes;
}
