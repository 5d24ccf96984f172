// What the proof of a shard is about: docs/protocol.md, step 3 of section 5, sections 9 to 11; verifier/solvency.py.
import { P } from "./constants.js";
import { Refused } from "./canonical.js";
import { extAdd, extBatchInverse, extMul, extOne, extPow, extScale, extSub, extZero, lift, reduce } from "./field.js";
import { balancedDigits, checkLegs } from "./tables.js";

const TAG_LEG = 3;
const TAG_TOTAL = 5;
const OUTPUT_WORDS = 8;
const TOTAL_BYTES = 7;
const LENS_POSITIONS = 16;

// Rows with public selectors at the start of a shard's trace, in their order: masks, carries, root, losses.
function specialRows({ shards, outputs, circuit }) {
  const masks = shards > 1 ? outputs.length : 0;
  const firstCarry = 2 * masks;
  const root = firstCarry + outputs.length;
  return { masks, firstCarry, root, firstLoss: root + 1, liability: outputs.length - circuit.lenses - 1 };
}

const ones = (count) => Array(count).fill(1);
const from = (start, values) => [...Array(start).fill(0), ...values];

// First rows of the public columns that no challenge enters.
function publicColumns(statement) {
  const { masks, firstCarry, root, firstLoss, liability } = specialRows(statement);
  const { lenses, recordRows } = statement.circuit;
  const numbers = statement.outputs.map((_, output) => output);
  const chain = masks ? [...ones(masks - 1), 0] : [];
  const columns = {
    is_mask_out: ones(masks),
    is_mask_in: from(masks, ones(masks)),
    mask_goes_on: [...chain, ...chain],
    ends_mask_out: masks ? from(masks - 1, [1]) : [],
    ends_mask_in: masks ? from(2 * masks - 1, [1]) : [],
    is_carry: from(firstCarry, ones(numbers.length)),
    is_root: from(root, [1]),
    output: [...(masks ? [...numbers, ...numbers] : []), ...numbers, liability, ...numbers.slice(liability + 1)],
  };
  if (!recordRows) return columns;
  return {
    ...columns,
    starts_record: [1, ...Array(recordRows - 1).fill(0)],
    ends_record: from(recordRows - 1, [1]),
    in_totals_record: ones(recordRows),
    next_in_totals_record: ones(recordRows - 1),
    is_loss: from(firstLoss, ones(lenses)),
  };
}

// First rows of the public columns that depend on challenges. `rows`: of the leg table; `scalars`: by name.
function challengeColumns(statement, rows, { r, beta }) {
  const columns = byCoordinate("leg_row", legFingerprints(rows, beta));
  const { lenses, recordRows } = statement.circuit;
  if (!recordRows) return columns;
  const window = LENS_POSITIONS / recordRows;
  const weights = ones(recordRows).map((_, row) => extPow(r, window * (recordRows - 1 - ((row + 1) % recordRows))));
  const before = Array(specialRows(statement).firstLoss - 1).fill(extZero);
  const losses = ones(lenses).map((_, lens) => extPow(r, LENS_POSITIONS * lens));
  return {
    ...columns,
    ...byCoordinate("next_weight", weights),
    ...byCoordinate("next_loss_weight", [...before, ...losses]),
  };
}

// A column of extension elements is five columns of words.
function byCoordinate(name, elements) {
  return Object.fromEntries(extOne.map((_, k) => [`${name}${k}`, elements.map((element) => element[k])]));
}

// A row of the leg table as it goes over the bus. All numbers are below 2^16, all but six of them below 2^8.
function legRow({ index, total, cap, price, lenses }) {
  return Int32Array.from([index, total, ...limbs(cap, 4), ...[price, ...lenses].flatMap(balancedDigits)]);
}

// tag + sum of beta^(k+1) e_k for each row e. At most 160 numbers in a row: no sum of products with words reaches 2^51.
function legFingerprints(rows, beta) {
  const powers = powersOf(beta, rows[0].length);
  return rows.map((row) => {
    const sums = [TAG_LEG, 0, 0, 0, 0];
    row.forEach((number, k) => {
      for (let i = 0; i < sums.length; i++) sums[i] += number * powers[k][i];
    });
    return sums.map(reduce);
  });
}

function powersOf(beta, count) {
  const powers = [beta];
  while (powers.length < count) powers.push(extMul(powers.at(-1), beta));
  return powers;
}

// Numbers of 16 bits, lowest first.
function limbs(value, count) {
  return Array.from({ length: count }, (_, i) => Number((value >> BigInt(16 * i)) & 0xffffn));
}

// Seven bytes and all that is above.
function totalDigits(value) {
  const bytes = Array.from({ length: TOTAL_BYTES }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
  return [...bytes, Number((value >> BigInt(8 * TOTAL_BYTES)) % BigInt(P))];
}

// sum of c_k x^k for words c_k.
function polynomial(words, x) {
  return words.reduceRight((sum, word) => extAdd(extMul(sum, x), lift(word)), extZero);
}

// What all fractions sum up to: sum over outputs o of P_o / (alpha - tag - beta o). `inBytes`: how many outputs, the
// totals of a publication of one shard, are written in bytes.
function terminal(outputs, inBytes, r, alpha, beta) {
  const aboveTag = extSub(alpha, lift(TAG_TOTAL));
  const inverses = extBatchInverse(outputs.map((_, output) => extSub(aboveTag, extScale(beta, output))));
  if (inverses === null) {
    throw new Refused("out-of-domain-point", "the terminal does not exist at these challenges", "terminal");
  }
  const square = extMul(r, r);
  return outputs.reduce((sum, amount, output) => {
    const value = output < inBytes ? polynomial(totalDigits(amount), r) : polynomial(limbs(amount, OUTPUT_WORDS), square);
    return extAdd(sum, extMul(value, inverses[output]));
  }, extZero);
}

// What `verifyStark` has to check, as a function of the shard. `statement`, shard: as parsed; `system`: that of the
// statement's circuit.
export function relationsOf(statement, system) {
  checkLegs(statement.legs);
  const rows = statement.legs.map(legRow);
  const publics = publicColumns(statement);
  const inBytes = statement.shards === 1 ? specialRows(statement).liability : 0;
  const digest = (words, beta) => extMul(beta, polynomial(words, beta));
  return (shard) => ({
    system,
    log2Rows: statement.log2Rows,
    binding: shard.digest,
    publics,
    terminal: (r, alpha, beta) => terminal(shard.outputs, inBytes, r, alpha, beta),
    derived: (scalars) => challengeColumns(statement, rows, scalars),
    scalars: (r, alpha, beta) => ({
      root: digest([...shard.root, statement.levels + 1], beta),
      mask_out: digest(shard.maskOut, beta),
      mask_in: digest(shard.maskIn, beta),
    }),
  });
}
