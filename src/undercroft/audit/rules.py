"""The bytes of an audit event: frozen, since their hash must be the same in every release."""

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from undercroft.core.canonical import canonical

FORMAT = 1
_DOMAIN = b"undercroft/audit-event/1\0"


def event_bytes(tenant_id: UUID, id_: UUID, occurred_at: datetime, fields: Mapping[str, Any]) -> bytes:
    """Return an event as canonical JSON (RFC 8785).

    The object has ``format``, ``tenant``, ``id`` (lower-case UUIDs), ``occurred_at`` (UTC, six decimals, ``Z``) and the
    fields given, those without a value left out.

    Raises:
        InvalidInput: ``data`` holds what JSON cannot keep exactly.
    """
    told = {name: value for name, value in fields.items() if value is not None}
    moment = occurred_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return canonical({"format": FORMAT, "tenant": str(tenant_id), "id": str(id_), "occurred_at": moment, **told})


def event_hash(event: bytes) -> bytes:
    """Return the SHA-256 of an event's bytes behind a prefix that no other hash of ours has."""
    return sha256(_DOMAIN + event).digest()
