"""The command `undercroft`: a program like any other on the library's public names."""

from undercroft.cli.app import main

__all__ = ["main"]
