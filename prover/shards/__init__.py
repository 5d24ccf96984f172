"""Shards: how a snapshot of any size becomes proofs of bounded size."""
