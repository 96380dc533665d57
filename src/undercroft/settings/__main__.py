"""Prints .env.example, or docs/reference/settings.md with `--markdown`."""

import sys

from undercroft.settings.reference import env_example, markdown

sys.stdout.write(markdown() if "--markdown" in sys.argv[1:] else env_example())
