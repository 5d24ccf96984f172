"""The venue's ledger: commands in, events out, and a state that every replica computes to the same byte."""
