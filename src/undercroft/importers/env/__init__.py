"""Configuration files, `.env`, JSON and YAML, into a tenant's config: all of them or none, and twice is once."""

from undercroft.importers.env.backup import back_up, suffix
from undercroft.importers.env.files import Format, Setting, read_file, read_files
from undercroft.importers.env.names import looks_secret
from undercroft.importers.env.plan import Change, Plan, apply, draw, rehearse

__all__ = [
    "Change",
    "Format",
    "Plan",
    "Setting",
    "apply",
    "back_up",
    "draw",
    "looks_secret",
    "read_file",
    "read_files",
    "rehearse",
    "suffix",
]
