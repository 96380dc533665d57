"""What the archive answers with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, Protocol
from uuid import UUID

from undercroft.archive.records import AttachmentRecord, MentionRecord, ReactionRecord

Has = Literal["file", "link", "reaction"]
Order = Literal["newest", "rank"]


@dataclass(frozen=True, slots=True)
class Saved:
    """What became of the records of one call; a record that came twice in it counts as unchanged the second time."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0

    @property
    def total(self) -> int:
        """How many records there were."""
        return self.added + self.updated + self.unchanged


@dataclass(frozen=True, slots=True)
class Channel:
    """A conversation of one tenant; `is_stub` tells that only a message or a directory named it.

    `creator` and `members` are native user ids.
    """

    id: UUID
    native_id: str
    name: str
    kind: str
    topic: str
    purpose: str
    creator: str | None
    is_archived: bool
    is_stub: bool
    created_at: datetime | None
    members: tuple[str, ...]
    extra: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it stands now, with everything that belongs to it.

    `channel`, `author`, `edited_by`, `thread` and `reply_to` are native ids; the last two are None where that message
    is not in the archive, and `thread_id` and `reply_to_id` still tell which it would be. A root names itself. Of a
    deleted message only its place is left: `deleted_at` is set, the text empty.
    """

    id: UUID
    channel: str
    channel_name: str
    native_id: str
    author: str | None
    author_name: str
    kind: str
    text: str
    plain: str | None
    thread: str | None
    thread_id: UUID | None
    reply_to: str | None
    reply_to_id: UUID | None
    is_broadcast: bool
    sent_at: datetime
    edited_at: datetime | None
    edited_by: str | None
    deleted_at: datetime | None
    attachments: tuple[AttachmentRecord, ...]
    reactions: tuple[ReactionRecord, ...]
    mentions: tuple[MentionRecord, ...]
    extra: Mapping[str, Any]

    @property
    def shown_text(self) -> str:
        """The text as a reader sees it."""
        return self.text if self.plain is None else self.plain


@dataclass(frozen=True, slots=True)
class Version:
    """What a message said before; `version` counts from 1, the oldest, `edited_at` of which is None if it is known."""

    version: int
    text: str
    edited_at: datetime | None
    edited_by: str | None
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Hit:
    """A message that a search found.

    In the snippet what was asked for stands between [ and ]. `rank` is comparable within one answer only, and 0 where
    the order is by time. `channel`, `author` and `native_id` are native ids.
    """

    id: UUID
    channel: str
    channel_name: str
    native_id: str
    author: str | None
    author_name: str
    kind: str
    text: str
    thread_id: UUID | None
    sent_at: datetime
    snippet: str
    rank: float


@dataclass(frozen=True, slots=True)
class LastMessage:
    """Where a channel's archive ends: what comes after it is still to be fetched."""

    channel: str
    channel_name: str
    id: UUID
    native_id: str
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class DailyCount:
    """One day (UTC): how many messages, by how many authors; a day without messages is left out."""

    day: date
    messages: int
    authors: int


@dataclass(frozen=True, slots=True)
class HourlyCount:
    """One hour (UTC) of one channel; `hour` is its beginning, `channel` a native id."""

    channel: str
    channel_name: str
    hour: datetime
    messages: int


@dataclass(frozen=True, slots=True)
class Activity:
    """What one author wrote; `replies` are those in threads, `author` is a native id."""

    author: str
    author_name: str
    is_bot: bool
    messages: int
    replies: int
    channels: int
    first_at: datetime
    last_at: datetime


class Refused(Protocol):
    """A record that an importer could not read."""

    @property
    def path(self) -> str:
        """The file inside the source."""

    @property
    def position(self) -> int:
        """The byte of that file where the record begins."""

    @property
    def reason(self) -> str:
        """What was wrong with it, for a person to read."""

    @property
    def record_text(self) -> str:
        """How the record begins."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A record that an import could not read, kept for a person to look at."""

    id: UUID
    source: str
    path: str
    position: int
    reason: str
    record_text: str
    created_at: datetime
