"""A small made-up workspace as Slack would export it: a bookshop, twelve accounts, two hundred messages."""

from importlib.resources import files
from pathlib import Path


def sample_export() -> Path:
    """Return the directory of the export, for `undercroft.importers.slack.open_export`."""
    return Path(str(files(__name__))) / "workspace"
