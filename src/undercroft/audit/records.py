"""What the audit slice answers with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypedDict
from uuid import UUID

Status = Literal["success", "failure", "denied"]


class EventFields(TypedDict, total=False):
    """What may be said of an event beside its type."""

    category: str
    action: str
    by: str | None
    status: Status
    description: str
    resource_type: str | None
    resource_id: str | None
    ip: str | None
    user_agent: str | None
    data: Mapping[str, Any] | None


class NewEvent(NamedTuple):
    """Something that somebody did or tried, on its way into the trail."""

    id: UUID
    occurred_at: datetime
    event_type: str
    category: str
    action: str
    status: Status
    description: str
    actor: str | None
    resource_type: str | None
    resource_id: str | None
    ip: str | None
    user_agent: str | None
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """An event as it was written; never changed.

    ``event_hash`` is the SHA-256 that `rules.event_hash` computes over the event's canonical bytes.
    """

    id: UUID
    occurred_at: datetime
    event_type: str
    category: str
    action: str
    status: Status
    description: str
    actor: str | None
    resource_type: str | None
    resource_id: str | None
    ip: str | None
    user_agent: str | None
    data: Mapping[str, Any]
    event_hash: bytes


class Written(NamedTuple):
    """An event on its way into the trail, with its canonical bytes."""

    event: AuditEvent
    document: bytes


Kind = Literal["edited", "deleted", "inserted", "reordered", "broken", "truncated", "rewritten", "foreign"]


@dataclass(frozen=True, slots=True)
class Damage:
    """What is wrong with a trail, and the first sequence at which it is.

    edited: an event or its link was changed. deleted: an event or links are gone. inserted: something stands there that
    was not appended. reordered: links or events changed places. broken: a link does not continue the one before it.
    truncated: the end that a checkpoint saw is gone. rewritten: the chain is right in itself, and another one than the
    checkpoint saw. foreign: it is of another tenant, or signed with another key.

    ``until`` is the last sequence of the damage, where it is known; damage that only a checkpoint tells of lies
    somewhere between the two. An event that never had a place has no sequence, and is named by ``event_id``.
    """

    kind: Kind
    sequence: int | None
    until: int | None = None
    event_id: UUID | None = None

    def __str__(self) -> str:
        place = "" if self.sequence is None else f" at {self.sequence}"
        until = "" if self.until in (None, self.sequence) else f" to {self.until}"
        return f"{self.kind}{place}{until}" + ("" if self.event_id is None else f" (event {self.event_id})")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """The outcome of a verification.

    ``verified`` links were right, ``first`` is the sequence of the first of them, ``last`` of the last, and ``head``
    its hash. Up to ``anchor`` the trail is in an archive. ``checkpoints`` were compared. ``damage`` is the first found.
    """

    verified: int
    first: int
    last: int
    head: bytes
    anchor: int = 0
    checkpoints: int = 0
    damage: Damage | None = None

    @property
    def intact(self) -> bool:
        """Whether nothing was found to be wrong."""
        return self.damage is None


@dataclass(frozen=True, slots=True)
class AuditExport:
    """A file with a part of a trail, from one sequence to another; ``sha256`` is that of the file."""

    path: str
    first: int
    last: int
    events: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class AuditArchived:
    """What was moved out of the database: the file, the checkpoint beside it, and the sequences in it."""

    path: str
    checkpoint: str
    first: int
    last: int
    events: int
