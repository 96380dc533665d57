"""Prints docs/reference/errors.md."""

import sys

from undercroft.errors.reference import markdown

sys.stdout.write(markdown())
