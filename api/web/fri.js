// FRI: where the points of a layer stand, how eight values fold into one, and step 13 of docs/protocol.md section 5.
import { leafDigest } from "./blake2s.js";
import { equalBytes } from "./bytes.js";
import { Refused } from "./canonical.js";
import { P } from "./constants.js";
import { GENERATOR, extAdd, extEqual, extMul, extScale, extSub, extZero, lift, multiply, rootOfUnity, wordInverse, wordPow } from "./field.js";
import { multiproofRoot } from "./merkle.js";
import { FOLD_LOG2, friLayers, layerDepth } from "./params.js";
import { byFive } from "./proof.js";

const HALF = (P + 1) / 2;
const EIGHTH_ROOT_INVERSE = wordInverse(rootOfUnity(FOLD_LOG2));

// The domain of a layer, 0 being D itself: position c M + i stands at 3^(8^layer) w^(c + B i), w of order B M.
export function layerDomain(params, log2Rows, layer) {
  const log2Size = log2Rows - FOLD_LOG2 * layer;
  return {
    blowup: 2 ** params.log2Blowup,
    size: 2 ** log2Size,
    shift: wordPow(GENERATOR, 8 ** layer),
    root: rootOfUnity(log2Size + params.log2Blowup),
  };
}

export function pointAt(domain, position) {
  const i = position % domain.size;
  const coset = (position - i) / domain.size;
  return multiply(domain.shift, wordPow(domain.root, coset + domain.blowup * i));
}

// Which leaf holds a position, and which of its eight values it is.
function placeOf(domain, position) {
  const leavesOfCoset = domain.size / 8;
  const i = position % domain.size;
  const coset = (position - i) / domain.size;
  const offset = i % leavesOfCoset;
  return { leaf: coset * leavesOfCoset + offset, slot: (i - offset) / leavesOfCoset };
}

// The first of a leaf's eight points.
function firstPoint(domain, leaf) {
  const offset = leaf % (domain.size / 8);
  return pointAt(domain, 8 * (leaf - offset) + offset);
}

// f'(x^2) = (f(x) + f(-x)) / 2 + beta (f(x) - f(-x)) / (2 x), three times; `values`: f at x w^t, w of order 8.
function foldLeaf(values, x, betas) {
  let inverse = wordInverse(x);
  let root = EIGHTH_ROOT_INVERSE;
  for (const beta of betas) {
    const half = values.length / 2;
    let point = inverse; // 1 / (x w^t)
    const next = [];
    for (let t = 0; t < half; t++) {
      const odd = extScale(extSub(values[t], values[t + half]), point);
      next.push(extScale(extAdd(extAdd(values[t], values[t + half]), extMul(beta, odd)), HALF));
      point = multiply(point, root);
    }
    values = next;
    inverse = multiply(inverse, inverse);
    root = multiply(root, root);
  }
  return values[0];
}

// The final polynomial at a point of the base field.
function evaluateFinal(coefficients, point) {
  return coefficients.reduceRight((sum, coefficient) => extAdd(extScale(sum, point), coefficient), extZero);
}

// Step 13. `values`: G at each queried position, a Map; `folds`: root and challenges of each layer.
export function checkLayers(params, log2Rows, values, folds, layers, final) {
  folds.forEach(({ root, betas }, layer) => {
    const domain = layerDomain(params, log2Rows, layer);
    const wanted = [...values].map(([position, value]) => ({ ...placeOf(domain, position), position, value }));
    const leaves = [...new Set(wanted.map(({ leaf }) => leaf))].sort((one, other) => one - other);
    checkLayer(layerDepth(params, log2Rows, layer), leaves, root, layers[layer], layer);
    const rows = new Map(leaves.map((leaf, i) => [leaf, byFive(layers[layer].rows[i])]));
    for (const { leaf, slot, position, value } of wanted) {
      if (!extEqual(rows.get(leaf)[slot], value)) {
        throw new Refused("fri-fold", `layer ${layer} disagrees with what it was made from at position ${position}`);
      }
    }
    values = new Map([...rows].map(([leaf, row]) => [leaf, foldLeaf(row, firstPoint(domain, leaf), betas)]));
  });
  const last = layerDomain(params, log2Rows, friLayers(log2Rows));
  for (const [position, value] of values) {
    if (!extEqual(evaluateFinal(final, pointAt(last, position)), value)) {
      throw new Refused("fri-final", `the final polynomial disagrees at position ${position}`);
    }
  }
}

function checkLayer(depth, leaves, root, opening, layer) {
  if (leaves.length !== opening.messages.length) {
    throw new Refused("malformed", `FRI layer ${layer} opens ${opening.messages.length} leaves, expected ${leaves.length}`);
  }
  if (!opens(depth, leaves, opening, root)) {
    throw new Refused("fri-layer", `the leaves of FRI layer ${layer} do not hash to its root`);
  }
}

// Whether the leaves of an opening, at these indices, hash to the root.
export function opens(depth, indices, opening, root) {
  const found = multiproofRoot(depth, indices, opening.messages.map(leafDigest), opening.siblings);
  return found !== null && equalBytes(found, root);
}
