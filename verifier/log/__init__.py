"""The transparency log as its readers see it: RFC 6962 trees, C2SP checkpoints, cosignatures, proofs, policies."""
