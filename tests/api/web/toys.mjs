// The relations of tests/verifier/toy_circuits.py for the page's own verifier, from what code.py says of them.

const bumped = ([first, ...others]) => [first + 1, ...others];

// `of`: what `described` in proofs.py writes.
export function toyRelation(code, of) {
  const { extAdd, extInverse, extMul, extPow, extScale, extSub, extZero, lift } = code.field;
  const bytes = code.bytes.fromBase64;

  // Sum over slots of total / (alpha - 2 - beta slot).
  function ledgerTerminal(r, alpha, beta) {
    const term = ([slot, total]) => {
      const denominator = extSub(extSub(alpha, lift(2)), extMul(beta, lift(slot)));
      return extScale(extInverse(of.dividesByZero ? extZero : denominator), total);
    };
    return of.totals.map(term).reduce(extAdd, extZero);
  }

  // r^(place of the next row), by coordinate.
  function blockPlaces({ r }) {
    const elements = [2, 1, 0, 3].map((place) => extPow(of.places === "another r" ? bumped(r) : r, place));
    if (of.places === "shifted") elements.push(elements.shift());
    return Object.fromEntries([0, 1, 2, 3, 4].map((k) => [`place${k}`, elements.map((element) => element[k])]));
  }

  function blockLosses(r) {
    const losses = of.losses.reduce((sum, digit) => extAdd(extMul(sum, r), lift(digit)), extZero);
    return { losses: of.bumpsLosses ? bumped(losses) : losses };
  }

  return {
    system: code.air.parseCircuit(bytes(of.system)),
    log2Rows: of.log2Rows,
    publics: of.publics,
    binding: bytes(of.binding),
    terminal: of.totals ? ledgerTerminal : () => of.terminal,
    derived: of.places ? blockPlaces : () => ({}),
    scalars: of.losses ? blockLosses : () => ({}),
  };
}
