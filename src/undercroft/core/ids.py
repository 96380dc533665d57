"""Identifiers that say what they stand for, so nothing is looked up before it is inserted.

What a platform names gets a UUIDv5 computed from that name (`named`), what we create a UUIDv7 (`new`), a message a
UUIDv8 (`message`) that sorts by the time it was sent. The bytes are frozen and held by tests/core/vectors/ids.json.

A *packed* tuple is, for each element, its length in bytes as an unsigned 32-bit big-endian number, then its bytes, text
as UTF-8. Two different tuples never pack to the same bytes, which no separator can promise for verbatim text.
"""

import os
import re
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from threading import Lock
from time import time_ns
from typing import Any, Final
from uuid import UUID, SafeUUID

from undercroft.core.clock import from_micros, micros
from undercroft.errors import InvalidInput

try:  # between two messages to a server, when no cache is warm, OpenSSL's takes a tenth of a point read
    from _sha1 import sha1  # type: ignore[import-not-found]  # typeshed does not know it
except ImportError:  # CPython can be built without its own
    from hashlib import sha1

NAMESPACE: Final = UUID("d32ffd2a-4152-5cf1-a944-635813fe53ac")
"""uuid5(NAMESPACE_URL, "https://undercroft.dev/ids/1")."""

_NAMESPACE = NAMESPACE.bytes
_TENANT = re.compile("([a-z][a-z0-9_-]*):([^\0\ud800-\udfff]+)")
_LOW_80 = (1 << 80) - 1
_VARIANT = 0b10 << 62
_FREE = ~(0xF << 76 | 0b11 << 62)  # all bits but version and variant
_VERSION_5 = 5 << 76 | _VARIANT
_VERSION_7 = 7 << 76 | _VARIANT
_VERSION_8 = 8 << 76 | _VARIANT


def of_int(
    value: int, *, new: Any = object.__new__, put: Any = object.__setattr__, unknown: SafeUUID = SafeUUID.unknown
) -> UUID:
    """Return the UUID of a 128-bit integer that is known to be one, in a third of the time that `UUID` takes to ask."""
    made: UUID = new(UUID)
    put(made, "int", value)
    put(made, "is_safe", unknown)
    return made


def named(kind: str, platform: str, *native: str) -> UUID:
    """Return the UUIDv5 (RFC 9562, 5.5) of what a platform names: SHA-1 of NAMESPACE and the packed tuple.

    `native` are the platform's own ids, verbatim text. The same name gives the same id in every process and release.

    Raises:
        InvalidInput: an element is no text, or holds NUL or a lone surrogate.
    """
    elements = (kind, platform, *native)
    try:
        name = _begun(*elements[:-1]).copy()
    except TypeError:  # an element that has no hash is no text either
        _packed(*elements)
        raise
    name.update(_packed(elements[-1]))
    return of_int(int.from_bytes(name.digest()[:16]) & _FREE | _VERSION_5)


def message(channel: UUID, native_id: str, sent_at: datetime) -> UUID:
    """Return the UUIDv8 (RFC 9562, 5.8) of a message: 48 bits of Unix milliseconds, the rest from its name.

    Bytes 6 to 15 are the first ten of SHA-256 of the packed (16 bytes of `channel`, `native_id`), then overwritten by
    the bits of version and variant. Within one millisecond the order is arbitrary, so sort by time first.

    Raises:
        InvalidInput: `native_id` is no text or holds NUL or a lone surrogate; `sent_at` is naive or before 1970.
    """
    digest = sha256(b"\0\0\0\x10" + channel.bytes + _packed(native_id)).digest()
    return of_int(_milliseconds(sent_at) << 80 | int.from_bytes(digest[:10]) & _FREE | _VERSION_8)


def new(at: datetime | None = None) -> UUID:
    """Return a UUIDv7 (RFC 9562, 5.7 and 6.2 method 1): milliseconds, a counter of 42 bits, 32 random bits.

    Without `at` each id of this process is greater than the one before, whatever threads and the clock do. With `at` it
    carries that moment, and is greater than the one before if that carried the same millisecond.

    Raises:
        InvalidInput: `at` is naive or before 1970.
    """
    random = int.from_bytes(os.urandom(10))
    seed = random >> 39  # 41 bits: the upper half of the counter's range is left to count in
    if at is None:
        tick = _present.rise(time_ns() // 1_000_000 << 42 | seed)
    else:
        tick = _dated.rise(_milliseconds(at) << 42 | seed, follow_back=True)
    high, low = tick >> 30, tick & 0x3FFF_FFFF
    return of_int((high >> 12) << 80 | (high & 0xFFF) << 64 | low << 32 | random & 0xFFFF_FFFF | _VERSION_7)


def floor(moment: datetime) -> UUID:
    """Return the lowest UUID of a moment's millisecond, the bound of a partition; version and variant bits are zero.

    Raises:
        InvalidInput: the moment is naive or before 1970.
    """
    return UUID(int=_milliseconds(moment) << 80)


def time_bounds(start: datetime, end: datetime) -> tuple[UUID, UUID]:
    """Return (low, high) such that every time-ordered id of a moment in [start, end) is in [low, high).

    An id knows milliseconds only: where a bound is finer the range is wider by less than one, so compare moments too.

    Raises:
        InvalidInput: a moment is naive or before 1970.
    """
    last = -(-micros(end) // 1000)  # rounded up: what stands before `end` in its millisecond is inside
    return floor(start), UUID(int=_checked(last) << 80)


def at(time_ordered: UUID) -> datetime:
    """Return the moment, to the millisecond, in an id made by `new`, `message` or `floor`.

    Raises:
        InvalidInput: the id is of another kind, or its moment is past the year 9999.
    """
    if time_ordered.version not in (7, 8) and time_ordered.int & _LOW_80:
        raise InvalidInput("The id carries no time", field="id", hint="pass the id of a message or of a record we made")
    return from_micros((time_ordered.int >> 80) * 1000)


def parse_tenant_name(name: str) -> tuple[str, str]:
    """Split "slack:T123" at its first colon into the platform ([a-z][a-z0-9_-]*) and its native id, verbatim.

    Raises:
        InvalidInput: there is no colon, or either part is not of its form.
    """
    try:
        found = _TENANT.fullmatch(name)
    except TypeError:
        found = None
    if found is None:
        raise InvalidInput(
            "A tenant is named by its platform, a colon and the platform's own id",
            field="tenant",
            hint='write it like "slack:T123" or "discord:81384788765712384"',
        )
    return found[1], found[2]


class _Rising:
    """A sequence of ticks, each 48 bits of milliseconds and 42 bits of counter, shared by threads."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin anew, as a forked child must: nobody in it would ever release a lock that another thread held."""
        self._lock = Lock()
        self._latest = 0

    def rise(self, tick: int, *, follow_back: bool = False) -> int:
        """Return `tick`, or the successor of the latest if that is not less; `follow_back` lets the clock go back."""
        with self._lock:
            if tick <= self._latest and not (follow_back and tick >> 42 < self._latest >> 42):
                tick = self._latest + 1
            self._latest = tick
            return tick


_present, _dated = _Rising(), _Rising()
for _sequence in (_present, _dated):
    os.register_at_fork(after_in_child=_sequence.restart)


@lru_cache(512)
def _begun(*elements: str) -> Any:
    """Hash what the names of a tenant's users, or channels, have in common: no more than its last element differs."""
    return sha1(_NAMESPACE + _packed(*elements), usedforsecurity=False)


def _packed(*elements: str) -> bytes:
    try:
        if "\0" not in "".join(elements):
            return b"".join([len(encoded := element.encode()).to_bytes(4) + encoded for element in elements])
        cause = None
    except (TypeError, UnicodeEncodeError) as error:
        cause = error
    raise InvalidInput(
        "A platform's id is text without NUL or lone surrogates",
        field="id",
        hint="pass it verbatim as text; a number may have lost digits",
    ) from cause


def _milliseconds(moment: datetime) -> int:
    return _checked(micros(moment) // 1000)


def _checked(milliseconds: int) -> int:
    if not 0 <= milliseconds < 1 << 48:
        raise InvalidInput("An id holds moments from 1970 to the year 10889", field="time")
    return milliseconds
