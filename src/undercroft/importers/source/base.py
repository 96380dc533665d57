"""What every source keeps to: its limits, its refusals, and a reader that counts what really comes out."""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Protocol
from zipfile import BadZipFile

from undercroft.errors import SourceRefused

UNLIMITED_HINT = "if you trust it, unpack it with a tool of your own and import the directory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a source may cost before it is refused; sizes in bytes.

    Real Slack exports unpack to 5-20 times their size; deflate cannot exceed 1,032.
    """

    entries: int = 500_000
    ratio: int = 200
    """Unpacked size over packed size, of the whole archive."""
    grace: int = 16 << 20
    """What any archive may unpack to whatever its ratio: a few kilobytes of repeated text compress very well."""
    record: int = 4 << 20
    """One message; a longer one is quarantined."""
    depth: int = 100
    """Brackets within brackets; Slack's deepest blocks stay below 20."""

    def unpacked(self, packed: int) -> int:
        """Return how much may come out of so many packed bytes."""
        return max(self.grace, self.ratio * packed)


class Readable(Protocol):
    """Any stream of bytes."""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, none at the end."""


class Reader:
    """A stream whose failures are ours, and which stops a bomb by counting the bytes that really come out.

    ``expected`` is the exact size an archive declares, ``at_most`` a bound where nothing is declared.
    """

    def __init__(self, stream: Readable, file: str, *, expected: int | None = None, at_most: int | None = None) -> None:
        self._stream = stream
        self._expected = expected
        self._at_most = at_most if expected is None else expected
        self.file = file
        self.count = 0
        """Bytes read so far."""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, none at the end; raises SourceRefused where they cannot be had."""
        try:
            chunk = self._stream.read(size)
        except (BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
            raise SourceRefused(f"{self.file} is damaged or cut off", file=self.file) from error
        self.count += len(chunk)
        if self._at_most is not None and self.count > self._at_most:
            raise SourceRefused(f"{self.file} unpacks to more than it may", hint=UNLIMITED_HINT, file=self.file)
        if not chunk and size and self._expected not in (None, self.count):
            raise SourceRefused(f"{self.file} is cut off", file=self.file)
        return chunk


class Source(ABC):
    """Files by name, and nothing else: no directories, no links, no name that leads elsewhere."""

    def __init__(self, name: str, limits: Limits) -> None:
        self.name = name
        self.limits = limits

    entries: Mapping[str, int]
    """Size in bytes, unpacked, by name; names are relative and use `/`."""

    @abstractmethod
    def _stream(self, file: str) -> BinaryIO:
        """Open one of the entries."""

    @abstractmethod
    def close(self) -> None:
        """Release the file."""

    @contextmanager
    def open(self, file: str) -> Iterator[Reader]:
        """Open one of `entries` for reading; raises SourceRefused where that fails, now or at any later byte."""
        try:
            stream = self._stream(file)
        except (BadZipFile, NotImplementedError, RuntimeError, OSError, ValueError) as error:
            raise SourceRefused(f"{file} cannot be read", file=file) from error
        with stream:
            yield Reader(stream, file, expected=self._declared(file))

    def _declared(self, file: str) -> int | None:  # noqa: ARG002
        """Return the exact size that must come out, where the source declares one."""
        return None
