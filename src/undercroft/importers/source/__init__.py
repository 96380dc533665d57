"""Where an import reads from: a zip archive or a directory that somebody else made."""

from pathlib import Path

from undercroft.errors import SourceRefused
from undercroft.importers.source.base import UNLIMITED_HINT, Limits, Reader, Source
from undercroft.importers.source.directory import DirectorySource
from undercroft.importers.source.zipped import ZipSource

__all__ = ["UNLIMITED_HINT", "DirectorySource", "Limits", "Reader", "Source", "ZipSource", "open_source"]


def open_source(path: str | Path, limits: Limits | None = None) -> Source:
    """Open a zip archive or a directory and look at every name in it, reading no content yet.

    Raises SourceRefused, naming the file and the reason.
    """
    path = Path(path)
    limits = limits or Limits()
    try:
        if path.is_dir():
            return DirectorySource(path, limits)
        if path.is_file():
            return ZipSource(path, limits)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise SourceRefused(f"{path.name} cannot be read", hint="check its rights and its disk") from error
    if path.exists():
        raise SourceRefused(f"{path.name} is neither a file nor a directory", hint="name a .zip file or a directory")
    raise SourceRefused(f"there is no {path}", hint="check the path")
