"""A directory, read without following a link anywhere."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from undercroft.errors import SourceRefused
from undercroft.importers.source.base import Limits, Source
from undercroft.importers.source.names import safe_name

_OPEN = os.O_RDONLY
for _flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):  # each where the system has it
    _OPEN |= getattr(os, _flag, 0)


class DirectorySource(Source):
    """The regular files under a directory; the directory itself may be reached through a link."""

    def __init__(self, path: Path, limits: Limits) -> None:
        super().__init__(path.name, limits)
        self._root = path.resolve()
        self.entries = dict(sorted(self._walk().items()))

    def _walk(self) -> dict[str, int]:
        files: dict[str, int] = {}
        pending = [(self._root, "")]
        seen = 0
        while pending:
            directory, prefix = pending.pop()
            with os.scandir(directory) as entries:
                for entry in entries:
                    seen += 1
                    if seen > self.limits.entries:
                        raise SourceRefused(
                            f"{self.name} holds too many files (over {self.limits.entries:,})",
                            hint="name the directory of the export itself",
                        )
                    try:
                        name = safe_name(prefix + entry.name)
                    except ValueError as error:
                        raise SourceRefused(f"{prefix}{entry.name[:200]} {error}") from None
                    if entry.is_symlink():
                        raise SourceRefused(
                            f"{name} is a link", hint="replace it with what it points to, or remove it", file=name
                        )
                    if entry.is_dir(follow_symlinks=False):
                        pending.append((Path(entry.path), name + "/"))
                    elif entry.is_file(follow_symlinks=False):
                        files[name] = entry.stat(follow_symlinks=False).st_size
                    else:
                        raise SourceRefused(f"{name} is a device or a pipe, not a file", file=name)
        return files

    def _stream(self, file: str) -> BinaryIO:
        # Looked at again once open: between the walk and now the name may have become a link or a pipe.
        descriptor = os.open(self._root / file, _OPEN)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(f"{file} is no longer a file")
        return os.fdopen(descriptor, "rb")

    def close(self) -> None:
        """Do nothing: files are opened one at a time."""
