"""From a snapshot to a zero-knowledge proof: witness, trace, commitments, quotient, FRI and their kernels."""
