// Openings of many leaves of one Merkle tree at once: docs/protocol.md section 2.
import { nodeDigest } from "./blake2s.js";

// The root of the tree of 2^depth leaves with `digests` at `indices` (distinct, ascending, at least one); null unless
// `siblings` are exactly the digests that cannot be computed, from the leaves up and ascending in a level.
export function multiproofRoot(depth, indices, digests, siblings) {
  let used = 0;
  let level = indices.map((index, i) => ({ index, digest: digests[i] }));
  for (let height = 0; height < depth; height++) {
    const parents = [];
    for (let i = 0; i < level.length; i++) {
      const { index, digest } = level[i];
      const isRight = index % 2 === 1;
      const hasNeighbour = !isRight && i + 1 < level.length && level[i + 1].index === index + 1;
      if (!hasNeighbour && used === siblings.length) return null;
      const other = hasNeighbour ? level[++i].digest : siblings[used++];
      parents.push({
        index: (index - (isRight ? 1 : 0)) / 2,
        digest: isRight ? nodeDigest(other, digest) : nodeDigest(digest, other),
      });
    }
    level = parents;
  }
  return used === siblings.length ? level[0].digest : null;
}
