"""A zip archive, judged by its directory before a byte of its content is unpacked.

Nothing is ever extracted: `zipfile.extract*` of older Pythons follows what `zipfile.open` ignores.
"""

import os
import stat
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from undercroft.errors import SourceRefused
from undercroft.importers.source.base import UNLIMITED_HINT, Limits, Source
from undercroft.importers.source.names import safe_name

# APPNOTE.TXT 4.3.7, 4.3.14-16, 4.4.4
_LOCAL_HEADER = b"PK\x03\x04"
_LOCAL_HEADER_SIZE = 30
_END = struct.Struct("<4s4H2LH")
_END_MAGIC = b"PK\x05\x06"
_ZIP64_LOCATOR = struct.Struct("<4sLQL")
_ZIP64_END = struct.Struct("<4sQ2H2L4Q")
_COMMENT_MAX = 0xFFFF
_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_NAME_IS_UTF8 = 0x0800
# A central header is 46 bytes, a name and extra fields; Python keeps about 600 bytes for each.
_DIRECTORY_BYTES_PER_ENTRY = 256


class ZipSource(Source):
    """The regular files of a zip archive."""

    def __init__(self, path: Path, limits: Limits) -> None:
        super().__init__(path.name, limits)
        _check_directory_size(path, limits)
        try:
            self._zip = ZipFile(path)
        except (BadZipFile, NotImplementedError, OSError, ValueError, struct.error) as error:
            raise SourceRefused(
                _why_not_a_zip(path), hint="name the .zip file that Slack or Discord's exporter made"
            ) from error
        try:
            self._infos = _vetted(self._zip, path.stat().st_size, limits)
        except BaseException:
            self._zip.close()
            raise
        self.entries = {name: info.file_size for name, info in self._infos.items()}

    def _stream(self, file: str) -> BinaryIO:
        return cast(BinaryIO, self._zip.open(self._infos[file]))

    def _declared(self, file: str) -> int | None:
        return self._infos[file].file_size

    def close(self) -> None:
        """Release the file."""
        self._zip.close()


def _check_directory_size(path: Path, limits: Limits) -> None:
    """Refuse an endless central directory before `ZipFile` loads it into memory; what is odd is left to `ZipFile`."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        start = file.seek(max(0, size - _END.size - _COMMENT_MAX - _ZIP64_LOCATOR.size))
        tail = file.read()
        at = tail.rfind(_END_MAGIC)
        if at < 0 or len(tail) - at < _END.size:
            return
        _, _, _, _, entries, directory, _, _ = _END.unpack_from(tail, at)
        if at >= _ZIP64_LOCATOR.size and tail[at - _ZIP64_LOCATOR.size :].startswith(b"PK\x06\x07"):
            _, _, offset, _ = _ZIP64_LOCATOR.unpack_from(tail, at - _ZIP64_LOCATOR.size)
            if offset + _ZIP64_END.size <= start + at:
                file.seek(offset)
                end = _ZIP64_END.unpack(file.read(_ZIP64_END.size))
                if end[0] == b"PK\x06\x06":
                    entries, directory = end[7], end[8]
    if entries > limits.entries or directory > limits.entries * _DIRECTORY_BYTES_PER_ENTRY:
        raise SourceRefused(f"{path.name} has too many entries ({entries:,})", hint=UNLIMITED_HINT)


def _vetted(archive: ZipFile, size: int, limits: Limits) -> dict[str, ZipInfo]:
    """Return the regular files by safe name; raises SourceRefused at the first entry that is not what it should be."""
    infos = archive.infolist()
    if len(infos) > limits.entries:
        raise SourceRefused(f"the archive has too many entries ({len(infos):,})", hint=UNLIMITED_HINT)
    files: dict[str, ZipInfo] = {}
    for info in infos:
        shown = _name(info)
        try:
            name = safe_name(shown)
            _check_kind(info)
        except ValueError as error:
            raise SourceRefused(f"{shown[:200]} {error}", file=shown) from None
        if info.is_dir() or stat.S_ISDIR(info.external_attr >> 16):
            continue
        if name in files:
            raise SourceRefused(f"{name} is in the archive twice", file=name)
        files[name] = info
    _check_overlap(infos, archive.start_dir)
    unpacked = sum(info.file_size for info in infos)
    if unpacked > limits.unpacked(size):
        raise SourceRefused(f"{archive.filename} unpacks to {unpacked:,} bytes from {size:,}", hint=UNLIMITED_HINT)
    return files


def _name(info: ZipInfo) -> str:
    """Return the name as its maker meant it: many tools write UTF-8 without saying so, which reads as code page 437."""
    if info.flag_bits & _NAME_IS_UTF8:
        return info.orig_filename
    try:
        return info.orig_filename.encode("cp437").decode()
    except UnicodeError:
        return info.orig_filename


def _check_kind(info: ZipInfo) -> None:
    if info.flag_bits & _ENCRYPTED:
        raise ValueError("is encrypted")
    if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise ValueError("is compressed in an unusual way")
    # Refused whichever system made the entry: a flag that only some readers heed is what a trick is made of.
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ValueError("is a link or a device, not a file")


def _check_overlap(infos: Iterable[ZipInfo], directory_at: int) -> None:
    """Refuse entries that share bytes, the core of the bombs of Fifield (2019) and of CVE-2024-0450."""
    end, previous = 0, ""
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise SourceRefused(f"{info.filename} shares its bytes with {previous}", file=info.filename)
        # The local header's own name and extra field may be longer than this; shorter they cannot be.
        end = info.header_offset + _LOCAL_HEADER_SIZE + info.compress_size
        previous = info.filename
    if end > directory_at:
        raise SourceRefused(f"{previous} is cut off", file=previous)


def _why_not_a_zip(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(len(_LOCAL_HEADER))
    if not head:
        return f"{path.name} is empty"
    if head == _LOCAL_HEADER:
        return f"{path.name} is a damaged or cut-off zip archive"
    return f"{path.name} is not a zip archive"
