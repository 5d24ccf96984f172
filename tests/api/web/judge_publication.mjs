// What the page computes of a whole publication, as plain data; files in base64.

const plain = (value) => JSON.parse(JSON.stringify(value, (_, v) => (typeof v === "bigint" ? v.toString() : v)));

export async function judge(code, ask) {
  const bytes = (text) => code.bytes.fromBase64(text) ?? new Uint8Array();
  const out = {};
  const params = ask.params && code.params.proofParams(...ask.params);
  if (ask.relations) {
    out.relations = ask.relations.map(({ statement, shard, index, challenges: [r, alpha, beta] }) => {
      const of = code.statement.parseStatement(bytes(statement));
      const relation = code.solvency.relationsOf(of, null)(code.shards.parseShard(bytes(shard), of, index));
      return {
        publics: { ...relation.publics, ...relation.derived({ r, alpha, beta }) },
        terminal: relation.terminal(r, alpha, beta),
        scalars: relation.scalars(r, alpha, beta),
        binding: code.bytes.toHex(relation.binding),
      };
    });
  }
  if (ask.publications) {
    out.publications = [];
    for (const { of, changed } of ask.publications) {
      const files = { ...ask.bases[of], ...changed };
      const names = Object.keys(files).filter((name) => files[name] !== null);
      const read = (name) => (typeof files[name] === "string" ? bytes(files[name]) : null);
      const keyOf = (name) => bytes(ask.keys[name]);
      const { report, ...rest } = await code.publication.verifyPublication({ read, keyOf, params, names });
      out.publications.push(plain({ ...rest, report: report && { ...report, statement: report.statement.digest } }));
    }
  }
  return out;
}
