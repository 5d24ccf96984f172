// Circuits as data: a key file's nodes, evaluated at one point. A node refers to earlier nodes only.
import { toHex } from "./bytes.js";
import { Refused } from "./canonical.js";
import { CIRCUITS } from "./constants.js";
import { extAdd, extDot, extMul, lift } from "./field.js";
import { sha256 } from "./sha2.js";

// A circuit from a key file that the caller trusts: one of the page's own, or known by its digest.
export function parseCircuit(bytes) {
  const raw = JSON.parse(new TextDecoder().decode(bytes));
  const isNext = (node) => node[0] === "column" && node[2] === 1;
  const nextRow = new Set(raw.nodes.filter(isNext).map((node) => node[1]));
  return {
    name: raw.name,
    digest: sha256(bytes),
    columns: raw.columns,
    extensionColumns: raw.extension_columns,
    publics: raw.publics.map(([name, pad]) => ({ name, pad })),
    scalars: raw.scalars,
    nodes: raw.nodes,
    constraints: raw.constraints.map(([label, domain, node]) => ({ label, domain, node })),
    // Columns that are opened at the next row too.
    nextRowColumns: [...nextRow].sort((one, other) => one - other),
  };
}

// A circuit from untrusted bytes: that of the name, by the digest that this page knows.
export function pinnedCircuit(name, bytes) {
  if (!Object.hasOwn(CIRCUITS, name) || toHex(sha256(bytes)) !== CIRCUITS[name].digest) {
    throw new Refused("unknown-circuit", "the key file is not the one of a circuit that this page knows");
  }
  return parseCircuit(bytes);
}

// Values that a proof opens out of the domain: all columns, those read at the next row, the chunks.
export function openedValues(system, chunks) {
  return system.columns.length + system.extensionColumns.length + system.nextRowColumns.length + chunks;
}

// The value of every node. `here`, `publics`, `scalars`: in the circuit's order; `following`: by index of column.
export function evaluateNodes(system, here, following, publics, scalars) {
  const values = [];
  for (const node of system.nodes) {
    const [kind, one, other] = node;
    if (kind === "linear") values.push(linear(one, other, values));
    else if (kind === "product") values.push(extMul(values[one], values[other]));
    else if (kind === "column") values.push(other === 0 ? here[one] : following.get(one));
    else if (kind === "public") values.push(publics[one]);
    else values.push(scalars[one]);
  }
  return values;
}

// constant + sum of coefficient * node.
function linear(constant, terms, values) {
  const sum = extDot(terms.map(([coefficient]) => coefficient), terms.map(([, child]) => values[child]));
  return extAdd(sum, lift(constant));
}
