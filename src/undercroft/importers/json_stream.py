"""JSON of any size, one value at a time, in bounded memory.

The caller walks into arrays and objects and takes what lies there as bytes; only brackets and strings are looked at, by
regular expressions, so a value is decoded once, by `json`, and a malformed one costs nothing but itself. Events, which
is what ijson gives, would not do: a message that cannot be decoded must still be shown to the user as it stands.
"""

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from undercroft.errors import SourceRefused
from undercroft.importers.source import Limits, Reader

_CHUNK = 1 << 16
_BOM = codecs.BOM_UTF8
_MARK = 4
_OTHER_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # UTF-32's begin with them, or with a NUL

_QUOTE, _COLON = b'":'
_OPENING, _CLOSING = b"[{", b"]}"
# Unrolled loops: each byte can be matched in one way only, so no input makes them try twice. `_STRING` stops at the
# closing quote, the chunk's end, or a backslash that is its last byte; `_FLAT` at a bracket, or at a string that does
# not end in this chunk. Stepping over brackets that hold no brackets as well was tried, and slower.
_IN_STRING = rb'[^"\\]*(?:\\.[^"\\]*)*'
_STRING = re.compile(_IN_STRING, re.DOTALL)
_FLAT = re.compile(rb'[^"\[\]{}]*(?:"' + _IN_STRING + rb'"[^"\[\]{}]*)*', re.DOTALL)
_SCALAR = re.compile(rb'[^\s,\[\]{}":]*')
_BETWEEN = re.compile(rb"[\s,]*")


def _past(pattern: re.Pattern[bytes], buffer: bytes, at: int) -> int:
    match = pattern.match(buffer, at)
    return match.end() if match else at


class Malformed(ValueError):
    """The text is not JSON here; `position` is the byte where the broken value begins, `text` how it begins."""

    def __init__(self, reason: str, position: int, text: bytes) -> None:
        super().__init__(reason)
        self.position = position
        self.text = text


@dataclass(frozen=True, slots=True)
class Value:
    """One value as it stands in the file; `text` is cut where it is longer than a record may be."""

    position: int
    text: bytes
    is_whole: bool

    def decode(self) -> Any:
        """Return the value; raises ValueError where it is not JSON, holds NaN or Infinity, or was cut."""
        if not self.is_whole:
            raise ValueError("is longer than a record may be")
        return json.loads(self.text.decode(), parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"holds {name}, which is not JSON")


class JsonStream:
    """A cursor over one JSON text, or over several that follow each other (JSON lines).

    Commas are taken for white space: an extra one loses nothing. Raises SourceRefused for what makes a whole file
    unsafe (not UTF-8, brackets nested deeper than the limit), Malformed for what makes it unreadable from here on.
    """

    def __init__(self, reader: Reader, limits: Limits) -> None:
        self._reader = reader
        self.limits = limits
        self._check = codecs.getincrementaldecoder("utf-8")()
        self._buffer = b""
        self._at = 0
        self._base = 0
        self.level = 0
        """How many containers the caller is inside."""
        self._in_string = False
        self._escaped = False

    @property
    def position(self) -> int:
        """The next byte's offset in the text."""
        return self._base + self._at

    def next_byte(self) -> int | None:
        """Return the next byte that means something, without consuming it; None at the end."""
        while True:
            self._at = _past(_BETWEEN, self._buffer, self._at)
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if not self._load():
                return None

    def array(self) -> Iterator[None]:
        """Walk into an array; at each step the caller consumes exactly one value."""
        yield from self._inside("[", "]")

    def object(self) -> Iterator[str]:
        """Walk into an object, key by key; at each step the caller consumes exactly one value."""
        for _ in self._inside("{", "}"):
            key = self.value()
            try:
                name = key.decode()
            except ValueError as error:
                raise Malformed("a key is not JSON", key.position, key.text) from error
            if not isinstance(name, str) or self.next_byte() != _COLON:
                raise Malformed("an object holds something without a key", key.position, key.text)
            self._at += 1
            yield name

    def value(self) -> Value:
        """Consume one value."""
        first = self.next_byte()
        begin = self.position
        if first is None or first in _CLOSING or first == _COLON:
            raise self._malformed("a value is missing")
        pieces: list[bytes] = []
        size, target = 0, self.level
        is_scalar = first not in _OPENING and first != _QUOTE
        done = False
        while not done:
            end, done = self._scalar_end() if is_scalar else self._end(target)
            if size <= self.limits.record:
                pieces.append(self._buffer[self._at : end])
            size += end - self._at
            self._at = end
            if not done and not self._load():
                if is_scalar:
                    break
                raise Malformed("the file ends in the middle of a record", begin, b"".join(pieces))
        return Value(begin, b"".join(pieces)[: self.limits.record], size <= self.limits.record)

    def skip_line(self, level: int) -> None:
        """Go on behind the next line break, back on ``level``: where each line is a text of its own."""
        self.level = level
        while (end := self._buffer.find(b"\n", self._at)) < 0:
            if not self._load():
                return
        self._at = end + 1

    def leave(self, level: int) -> bool:
        """Consume everything up to where `level` is ``level`` again; return False if the file ends before."""
        while self.level > level:
            self._at, _ = self._end(level)
            if self.level > level and not self._load():
                return False
        return True

    def drain(self) -> None:
        """Read on to the end without looking, so that an archive's checksum is checked."""
        while self._load():
            pass

    def _inside(self, opening: str, closing: str) -> Iterator[None]:
        if self.next_byte() != ord(opening):
            raise self._malformed(f"{opening} is missing")
        self._at += 1
        self._enter()
        while (byte := self.next_byte()) != ord(closing):
            if byte is None:
                raise self._malformed(f"the file ends before the {closing} that belongs here")
            yield
        self._at += 1
        self.level -= 1

    def _malformed(self, reason: str) -> Malformed:
        return Malformed(reason, self.position, self._buffer[self._at :])

    def _enter(self) -> None:
        self.level += 1
        if self.level > self.limits.depth:
            raise SourceRefused(
                f"{self._reader.file} nests more than {self.limits.depth} brackets (near byte {self.position:,})",
                file=self._reader.file,
            )

    def _scalar_end(self) -> tuple[int, bool]:
        end = _past(_SCALAR, self._buffer, self._at)
        return end, end < len(self._buffer)

    def _end(self, target: int) -> tuple[int, bool]:
        """Return where in this chunk the value ends that began at level ``target``, or the chunk's end and False."""
        at, size = self._at, len(self._buffer)
        while at < size:
            if self._in_string:
                at = self._string_end(at)
            else:
                if self.level > target:
                    at = _past(_FLAT, self._buffer, at)
                if at == size:
                    break
                byte = self._buffer[at]
                at += 1
                if byte == _QUOTE:
                    self._in_string = True
                elif byte in _OPENING:
                    self._enter()
                else:
                    self.level -= 1
            if self.level == target and not self._in_string:
                return at, True
        return size, False

    def _string_end(self, at: int) -> int:
        at = _past(_STRING, self._buffer, at + self._escaped)
        self._escaped = self._buffer[at : at + 1] == b"\\"
        if at >= len(self._buffer) or self._escaped:
            return len(self._buffer)
        self._in_string = False
        return at + 1

    def _load(self) -> bool:
        """Replace the buffer, consumed to its end, with the next chunk; return False at the end of the file."""
        first = not self._base and not self._buffer
        chunk = self._reader.read(_CHUNK)
        while first and 0 < len(chunk) < _MARK and (more := self._reader.read(_CHUNK)):
            chunk += more  # a stream may begin with a single byte, and the mark is told by four
        try:
            if first and (chunk.startswith(_OTHER_BOMS) or b"\0" in chunk[:_MARK]):
                raise SourceRefused(f"{self._reader.file} is UTF-16 or UTF-32, not UTF-8", file=self._reader.file)
            self._check.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            raise SourceRefused(
                f"{self._reader.file} is not UTF-8 (near byte {self._reader.count - len(chunk) + error.start:,})",
                file=self._reader.file,
            ) from error
        self._base += len(self._buffer)
        self._at = len(_BOM) if first and chunk.startswith(_BOM) else 0
        self._buffer = chunk
        return bool(chunk)
