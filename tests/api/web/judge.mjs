// What the page computes, as plain data: the tests run this under node and, in one page run, in a browser.
// `code`: the page's modules by name. `ask`: what to compute; files in base64. `kept`: what later asks need not repeat.
export function judge(code, ask, kept = { relations: {}, params: {} }) {
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
  if (ask.proofs) out.proofs = judgeProofs(code, ask.proofs, kept);
  return out;
}

// Per case (names of a relation and of parameters, proof in base64): null, the reason of the refusal, or what else was
// thrown, as "fault: ..". `kept`: relations and parameters by name, as code.stark takes them; the ask may add some.
export function judgeProofs(code, { relations = {}, params = {}, cases }, kept) {
  const bytes = (text) => code.bytes.fromBase64(text) ?? new Uint8Array();
  for (const [name, one] of Object.entries(relations)) {
    kept.relations[name] = one.files ? publishedRelation(code, one) : code.toys.toyRelation(code, one);
  }
  for (const [name, one] of Object.entries(params)) kept.params[name] = code.params.proofParams(...one);
  return cases.map(([relation, name, proof]) => {
    try {
      code.stark.verifyStark(kept.relations[relation], kept.params[name], bytes(proof));
      return null;
    } catch (error) {
      return error instanceof code.canonical.Refused ? error.reason : `fault: ${error}`;
    }
  });
}

// Of one shard of a publication: its files and the circuit's key file in base64.
function publishedRelation(code, { files, shard, key }) {
  const bytes = code.bytes.fromBase64;
  const statement = code.statement.parseStatement(bytes(files["statement.json"]));
  const document = code.shards.parseShard(bytes(files[code.shards.shardFile(shard, "json")]), statement, shard);
  return code.solvency.relationOf(statement, document, code.air.pinnedCircuit(statement.circuit.name, bytes(key)));
}
