"""Test vectors for every implementation of the verifier; README.md says how to run them."""
