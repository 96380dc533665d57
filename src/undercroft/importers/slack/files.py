"""An export's files, opened one at a time, with how far the reading has come."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from undercroft.importers.json_stream import JsonStream
from undercroft.importers.slack.layout import Layout, recognise
from undercroft.importers.source import Reader, Source


class ExportFiles:
    """What a source holds of an export."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.layout: Layout = recognise(source.entries, source.name)
        self.total_bytes = sum(source.entries[path] for path in self.layout.message_files())
        self._finished = 0
        self._reader: Reader | None = None

    @property
    def bytes_done(self) -> int:
        """How many of `total_bytes` the pass over the message files that runs, or ran last, has read."""
        return self._finished + (self._reader.count if self._reader else 0)

    @contextmanager
    def open(self, path: str) -> Iterator[JsonStream]:
        """Open one file, unpacking it if it is compressed, and at the end read what is left of it."""
        with self._opened(path) as (stream, _):
            yield stream

    def messages(self) -> Iterator[tuple[str, JsonStream]]:
        """Yield every file that holds messages, open, in order, and count the bytes read of them."""
        self._finished = 0
        for path in self.layout.message_files():
            with self._opened(path) as (stream, self._reader):
                yield path, stream
            self._finished, self._reader = self.bytes_done, None

    @contextmanager
    def _opened(self, path: str) -> Iterator[tuple[JsonStream, Reader]]:
        """Give the text, and the reader that counts the bytes as they stand in the source."""
        limits = self.source.limits
        with self.source.open(path) as packed:
            if not path.endswith(".gz"):
                stream = JsonStream(packed, limits)
                yield stream, packed
                stream.drain()
                return
            at_most = limits.unpacked(self.source.entries[path])
            with gzip.GzipFile(fileobj=cast(Any, packed)) as unpacked:  # it needs `read` alone
                stream = JsonStream(Reader(unpacked, path, at_most=at_most), limits)
                yield stream, packed
                stream.drain()
