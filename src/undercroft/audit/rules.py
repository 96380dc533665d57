"""The bytes of an audit event and of its place in the chain: frozen, for their hashes must not change.

docs/audit-format.md describes them for programs that are not ours.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson

from undercroft.core.canonical import canonical

FORMAT = 1
NO_HASH = bytes(32)
"""What the first link of a tenant has for the hash of the one before it."""
STATUSES = ("success", "failure", "denied")

_NOTHING = object()
_TEXT = {str}

EVENT_DOMAIN = b"undercroft/audit-event/1\0"
LINK_DOMAIN = b"undercroft/audit-link/1\0"


def event_bytes(tenant_id: UUID, id_: UUID, occurred_at: datetime, fields: Mapping[str, Any]) -> bytes:
    """Return an event as canonical JSON (RFC 8785).

    The object has ``format``, ``tenant``, ``id`` (lower-case UUIDs), ``occurred_at`` (UTC, six decimals, ``Z``) and the
    fields given, those without a value left out.

    Raises:
        InvalidInput: ``data`` holds what JSON cannot keep exactly.
    """
    told = {name: value for name, value in fields.items() if value is not None}
    data = told.pop("data", _NOTHING)
    plain = set(map(type, told.values())) <= _TEXT
    if plain and occurred_at.tzinfo is UTC and occurred_at.microsecond:  # else orjson writes no six decimals
        told["tenant"], told["id"], told["occurred_at"] = tenant_id, id_, occurred_at
        told["format"] = FORMAT
        if data is not _NOTHING:
            told["data"] = orjson.Fragment(canonical(data, "$.data"))
        with suppress(orjson.JSONEncodeError):  # a lone surrogate: canonical() says where
            written = orjson.dumps(told, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z)
            if rb"\u0000" not in written:
                return written
    told["format"] = FORMAT
    told["tenant"], told["id"], told["occurred_at"] = str(tenant_id), str(id_), moment(occurred_at)
    return canonical(told if data is _NOTHING else {**told, "data": data})


def event_hash(event: bytes) -> bytes:
    """Return the SHA-256 of an event's bytes behind a prefix that no other hash of ours has."""
    return sha256(EVENT_DOMAIN + event).digest()


def link_hash(tenant_id: bytes, sequence: int, event_id: bytes, event_hash: bytes, previous: bytes) -> bytes:
    """Return the hash of a link: SHA-256 of a prefix, both ids' 16 bytes, and the rest, all of fixed length.

    ``sequence`` counts a tenant's links from 1, as 8 bytes, big-endian; ``previous`` is the hash of the link before.
    """
    return sha256(LINK_DOMAIN + tenant_id + sequence.to_bytes(8) + event_id + event_hash + previous).digest()


def moment(at: datetime) -> str:
    """Return a moment as events and checkpoints write it."""
    return (at if at.tzinfo is UTC else at.astimezone(UTC)).isoformat(timespec="microseconds")[: -len("+00:00")] + "Z"


@dataclass(frozen=True, slots=True)
class Link:
    """The place of an event in its tenant's chain."""

    sequence: int
    event_id: UUID
    event_hash: bytes
    previous: bytes
    hash: bytes


def chained(tenant_id: UUID, end: tuple[int, bytes], events: Iterable[tuple[UUID, bytes]]) -> list[Link]:
    """Continue a chain that ends with (sequence, hash) by events, each its id and hash."""
    sequence, previous = end
    tenant, links = tenant_id.bytes, []
    for event_id, hash_ in events:
        sequence += 1
        linked = link_hash(tenant, sequence, event_id.bytes, hash_, previous)
        links.append(Link(sequence, event_id, hash_, previous, linked))
        previous = linked
    return links
