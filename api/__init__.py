"""The outside: command line, importers and reserves files."""
