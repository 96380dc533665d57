"""Undercroft measured against the bare drivers and its peers: `python -m benchmarks --help`."""
