"""Compiled inner loops of the prover: arrays of Montgomery words in, arrays out, each with a plain twin."""
