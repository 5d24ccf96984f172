// The verifier of one STARK: the numbered steps of docs/protocol.md section 5. Written from that document alone; it
// shares no code with verifier/, so that a fault of one shows as a difference between the two.
import { evaluateNodes } from "./air.js";
import { littleEndian, utf8 } from "./bytes.js";
import { Refused } from "./canonical.js";
import { extAdd, extBatchInverse, extDot, extEqual, extInverse, extMul, extOne, extPow, extScale, extSub, extZero, lift, multiply, reduce, rootOfUnity, wordInverse, wordPow } from "./field.js";
import { checkLayers, layerDomain, opens, pointAt } from "./fri.js";
import { HIDDEN_ROWS, QUOTIENT_CHUNKS, checkRows, chunkCoefficients, log2Points } from "./params.js";
import { parseProof } from "./proof.js";
import { Transcript } from "./transcript.js";

const PROTOCOL = "solvent/1";
const UNIT_X = [0, 1, 0, 0, 0];

// Accepts a proof by returning; refuses by `Refused`, whatever `data` holds.
//
// `relation`: what the proof is about, all of it made from the accepted statement: the circuit `system`; `log2Rows`;
// `publics`: by name, words of the public columns for the rows from 0 on; `derived(scalars by name)`: those that depend
// on challenges; `terminal(r, alpha, beta)`: the sum of all fractions; `scalars(r, alpha, beta)`: further scalars by
// name; `binding`: digest of the statement. `params` is the caller's choice: nothing in the proof can change it.
export function verifyStark(relation, params, data) {
  const { system, log2Rows } = relation;
  const bits = params.grinding;
  checkRows(params, log2Rows);
  const proof = parseProof(data, system, params, log2Rows);
  const transcript = bound(relation, params); // step 1
  transcript.absorb("base root", proof.baseRoot); // step 2
  transcript.grind("lookup grind", proof.lookupNonce, bits.lookup);
  const [r, alpha, beta] = ["r", "alpha", "beta"].map((label) => transcript.drawOne(label));
  refuseBaseField("r", r);
  const scalars = scalarsOf(relation, r, alpha, beta); // step 3
  transcript.absorb("lookup root", proof.lookupRoot); // step 4
  transcript.grind("constraint grind", proof.constraintNonce, bits.constraint);
  const weights = transcript.draw("constraint weights", system.constraints.length);
  transcript.absorb("quotient root", proof.quotientRoot); // step 5
  transcript.grind("zeta grind", proof.zetaNonce, bits.zeta);
  const zeta = transcript.drawOne("zeta");
  refuseBaseField("zeta", zeta);
  transcript.absorb("openings", proof.openings.bytes); // step 6
  const openings = proof.openings.elements;
  checkIdentity(relation, params, scalars, weights, zeta, openings); // step 7
  transcript.grind("batching grind", proof.batchingNonce, bits.batching); // step 8
  const claims = claimsAt(system, log2Rows, zeta, openings, transcript.draw("batching weights", openings.length));
  const folds = proof.folds.map(({ root, nonce }, layer) => {
    transcript.absorb(`fri root ${layer}`, root); // step 9
    transcript.grind(`fri grind ${layer}`, nonce, bits.fold);
    return { root, betas: transcript.draw(`fri folds ${layer}`, 3) };
  });
  transcript.absorb("fri final", proof.final.bytes); // step 10
  transcript.grind("query grind", proof.queryNonce, bits.query); // step 11
  const positions = transcript.drawPositions("queries", params.queries, log2Points(params, log2Rows));
  checkOpenings(log2Points(params, log2Rows), positions, proof); // step 12
  const values = batched(claims, layerDomain(params, log2Rows, 0), positions, proof.trees);
  checkLayers(params, log2Rows, values, folds, proof.layers, proof.final.elements); // step 13; the parser has done 14
}

// Step 1.
function bound(relation, params) {
  const transcript = new Transcript();
  transcript.absorb("protocol", utf8(PROTOCOL));
  transcript.absorb("circuit", relation.system.digest);
  transcript.absorb("parameters", params.digest);
  transcript.absorb("rows", littleEndian(relation.log2Rows, 4));
  transcript.absorb("statement", relation.binding);
  return transcript;
}

function refuseBaseField(name, [, ...others]) {
  if (others.every((word) => word === 0)) throw new Refused("out-of-domain-point", `${name} lies in the base field`);
}

// Step 3: the scalars of the circuit by name.
function scalarsOf(relation, r, alpha, beta) {
  const known = { r, alpha, beta, x: UNIT_X, ...relation.scalars(r, alpha, beta) };
  const names = relation.system.scalars;
  if (names.includes("terminal")) known.terminal = relation.terminal(r, alpha, beta);
  return Object.fromEntries(names.map((name) => [name, known[name]]));
}

// Step 7: the constraints, divided by where they must vanish, are the committed quotient at zeta.
function checkIdentity(relation, params, scalars, weights, zeta, openings) {
  const { system, log2Rows } = relation;
  const { here, following, chunks } = splitOpenings(system, openings);
  const nextRow = new Map(system.nextRowColumns.map((column, i) => [column, following[i]]));
  const publics = publicsAt(relation, scalars, zeta);
  const values = evaluateNodes(system, here, nextRow, publics, system.scalars.map((name) => scalars[name]));
  const multipliers = domainMultipliers(log2Rows, zeta);
  const sums = Object.fromEntries(Object.keys(multipliers).map((domain) => [domain, extZero]));
  system.constraints.forEach(({ domain, node }, i) => {
    sums[domain] = extAdd(sums[domain], extMul(weights[i], values[node]));
  });
  const terms = Object.entries(multipliers).map(([domain, multiplier]) => extMul(multiplier, sums[domain]));
  const step = extPow(zeta, chunkCoefficients(params, log2Rows));
  const quotient = chunks.reduceRight((sum, chunk) => extAdd(extMul(sum, step), chunk), extZero);
  if (!extEqual(terms.reduce(extAdd), quotient)) {
    throw new Refused("constraints", "the constraints do not give the committed quotient at zeta");
  }
}

// Openings, or their weights: all columns at zeta, next-row columns at w zeta, chunks at zeta.
function splitOpenings(system, openings) {
  const columns = system.columns.length + system.extensionColumns.length;
  const end = openings.length - QUOTIENT_CHUNKS;
  return { here: openings.slice(0, columns), following: openings.slice(columns, end), chunks: openings.slice(end) };
}

// What turns the value of each kind of constraint into its quotient, at a point outside the base field.
function domainMultipliers(log2Rows, point) {
  const root = rootOfUnity(log2Rows);
  const lastActive = wordPow(root, 2 ** log2Rows - HIDDEN_ROWS - 1);
  let hidden = extOne; // prod over the hidden rows of x - w^i
  let power = lastActive;
  for (let i = 0; i < HIDDEN_ROWS; i++) {
    power = multiply(power, root);
    hidden = extMul(hidden, extSub(point, lift(power)));
  }
  const fromLast = extSub(point, lift(lastActive));
  const always = extMul(hidden, extInverse(extSub(extPow(point, 2 ** log2Rows), extOne)));
  return {
    always,
    transition: extMul(always, fromLast),
    first: extInverse(extSub(point, extOne)),
    last: extInverse(fromLast),
  };
}

// The public columns at a point.
function publicsAt(relation, scalars, point) {
  const { system, log2Rows } = relation;
  const columns = { ...relation.publics, ...relation.derived(scalars) };
  const lengths = system.publics.filter(({ pad }) => pad !== "repeat").map(({ name }) => columns[name].length);
  const longest = lengths.reduce((most, length) => Math.max(most, length), 0);
  if (longest > 2 ** log2Rows - HIDDEN_ROWS) throw new Refused("capacity", `a public column has ${longest} rows`);
  const basis = lagrangeBasis(log2Rows, longest, point);
  const repeated = new Map(); // basis by period
  return system.publics.map(({ name, pad }) => {
    const words = columns[name];
    if (pad === "repeat") {
      if (!repeated.has(words.length)) {
        const period = Math.log2(words.length);
        repeated.set(words.length, lagrangeBasis(period, words.length, extPow(point, 2 ** (log2Rows - period))));
      }
      return extDot(words, repeated.get(words.length));
    }
    const below = pad === "last" && words.length ? words[words.length - 1] : 0;
    const differences = below === 0 ? words : words.map((word) => reduce(word - below));
    return extAdd(lift(below), extDot(differences, basis));
  });
}

// L_0 .. L_(count - 1) of the subgroup of that order: L_i(x) = w^i (x^N - 1) / (N (x - w^i)).
function lagrangeBasis(log2Order, count, point) {
  const root = rootOfUnity(log2Order);
  const powers = [];
  for (let power = 1; powers.length < count; power = multiply(power, root)) powers.push(power);
  const inverses = extBatchInverse(powers.map((power) => extSub(point, lift(power))));
  const order = 2 ** log2Order;
  const common = extScale(extSub(extPow(point, order), extOne), wordInverse(order));
  return inverses.map((inverse, i) => extScale(extMul(common, inverse), powers[i]));
}

// Step 8: G(x) = R(x) + sum over the points zeta and w zeta of (sum of weight * f(x) - constant) / (x - point). The
// weights are spread over the words of an opened position: word j of an element counts weight * X^j.
function claimsAt(system, log2Rows, zeta, openings, weights) {
  const base = system.columns.length;
  const spread = (all) => all.flatMap((weight, i) => (i < base ? [weight] : timesPowersOfX(weight)));
  const sumOf = (some, values) => some.reduce((sum, weight, i) => extAdd(sum, extMul(weight, values[i])), extZero);
  const weight = splitOpenings(system, weights);
  const value = splitOpenings(system, openings);
  const atNext = weight.here.map(() => extZero);
  system.nextRowColumns.forEach((column, i) => (atNext[column] = weight.following[i]));
  const atZeta = [...weight.here, ...weight.chunks];
  return [
    { point: zeta, weights: spread(atZeta), constant: sumOf(atZeta, [...value.here, ...value.chunks]) },
    {
      point: extScale(zeta, rootOfUnity(log2Rows)),
      weights: spread(atNext),
      constant: sumOf(weight.following, value.following),
    },
  ];
}

function timesPowersOfX(element) {
  const out = [element];
  while (out.length < element.length) out.push(extMul(out[out.length - 1], UNIT_X));
  return out;
}

// G at every position, from the opened rows of the three trees.
function batched(claims, domain, positions, trees) {
  const points = positions.map((position) => lift(pointAt(domain, position)));
  const inverses = claims.map(({ point }) => extBatchInverse(points.map((x) => extSub(x, point))));
  const [base, lookup, quotient] = trees.map((tree) => tree.rows);
  return new Map(
    positions.map((position, i) => {
      const chunkWords = quotient[i].length - UNIT_X.length;
      const row = [...base[i], ...lookup[i], ...quotient[i].slice(0, chunkWords)];
      const terms = claims.map(({ weights, constant }, k) => {
        return extMul(extSub(extDot(row.slice(0, weights.length), weights), constant), inverses[k][i]);
      });
      return [position, terms.reduce(extAdd, quotient[i].slice(chunkWords))];
    }),
  );
}

// Step 12: the opened rows are those committed to before zeta was known.
function checkOpenings(depth, positions, proof) {
  const count = proof.trees[0].messages.length;
  if (count !== positions.length) throw new Refused("malformed", `the proof opens ${count} positions, expected ${positions.length}`);
  const roots = [proof.baseRoot, proof.lookupRoot, proof.quotientRoot];
  proof.trees.forEach((tree, i) => {
    if (!opens(depth, positions, tree, roots[i])) {
      throw new Refused("commitment", `the ${tree.name} tree's leaves do not hash to its root`);
    }
  });
}
