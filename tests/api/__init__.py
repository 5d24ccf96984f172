"""Tests of importers and commands."""
