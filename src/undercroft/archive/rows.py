"""Records as the rows they become, pure: every id in them is computed from a name."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from undercroft.archive import rules
from undercroft.archive.records import AttachmentRecord, ChannelRecord, MentionRecord, MessageRecord, ReactionRecord
from undercroft.core import ids
from undercroft.core.searchtext import SEARCH_VERSION, tokens
from undercroft.errors import InvalidInput

DbRow = dict[str, Any]
KEPT = frozenset({"tenant_id", "id", "channel_id", "native_id", "sent_at"})
"""Columns of a message that never change."""
_NAMED = frozenset({"user", "channel"})


class Names:
    """The ids of what one tenant's platform names, each computed once for a batch.

    `users` and `channels` are what was asked for so far, native id to id.
    """

    def __init__(self, tenant_id: UUID, platform: str, named: Callable[..., UUID]) -> None:
        self.tenant_id = tenant_id
        self.users: dict[str, UUID] = {}
        self.channels: dict[str, UUID] = {}
        self._platform = platform
        self._named = named
        self._targets: dict[tuple[str, str], UUID] = {}
        self._sent: dict[tuple[str, str], datetime] = {}

    def user(self, native_id: str) -> UUID:
        """Return a user's id."""
        known = self.users.get(native_id)
        if known is None:
            known = self.users[native_id] = self._named("user", checked(native_id, "user"))
        return known

    def channel(self, native_id: str) -> UUID:
        """Return a channel's id."""
        known = self.channels.get(native_id)
        if known is None:
            known = self.channels[native_id] = self._named("channel", checked(native_id, "channel"))
        return known

    def target(self, mention: MentionRecord) -> UUID | None:
        """Return the id of what a mention calls; being called makes nobody known, so it is not kept as asked for."""
        if mention.kind not in _NAMED or not mention.native_id:
            return None
        key = mention.kind, mention.native_id
        known = self._targets.get(key)
        if known is None:
            known = self._targets[key] = self._named(*key)
        return known

    def message(self, record: MessageRecord) -> UUID:
        """Return the id of a record's message, and remember when that was sent."""
        sent_at = rules.native_moment(self._platform, record.native_id)
        if sent_at is None:
            sent_at = self._sent[record.channel, record.native_id] = record.sent_at
        return ids.message(self.channel(record.channel), checked(record.native_id, "native_id"), sent_at)

    def referred(self, channel: str, native_id: str | None, sent_at: datetime | None = None) -> UUID | None:
        """Return the id of a message that is only named.

        None where the platform's ids carry no time, and neither ``sent_at`` nor a record of this batch tells it.
        """
        if not native_id:
            return None
        moment = rules.native_moment(self._platform, native_id) or sent_at or self._sent.get((channel, native_id))
        return None if moment is None else ids.message(self.channel(channel), native_id, moment)

    def asked(self, channel: str, native_id: str, sent_at: datetime | None) -> UUID:
        """Return the id of a message that a caller names.

        Raises:
            InvalidInput: an empty id, or one that carries no time and ``sent_at`` does not tell it either.
        """
        found = self.referred(channel, checked(native_id, "native_id"), sent_at)
        if found is None:
            raise without_time()
        return found


def without_time() -> InvalidInput:
    """Return the error of a call that names a message whose time nobody told."""
    return InvalidInput(
        "This platform's message ids carry no time, and the message is found by it",
        field="sent_at",
        hint="pass sent_at=, the time the message was sent",
    )


def checked(native_id: str, field: str) -> str:
    """Return a native id; raises InvalidInput for an empty one."""
    if not native_id:
        raise InvalidInput("A native id is not empty", field=field)
    return native_id


def channel_row(names: Names, record: ChannelRecord) -> DbRow:
    """Return a row of `channels`."""
    return {
        "tenant_id": names.tenant_id,
        "id": names.channel(record.native_id),
        "native_id": record.native_id,
        "name": record.name,
        "kind": record.kind,
        "topic": record.topic,
        "purpose": record.purpose,
        "creator_id": names.user(record.creator) if record.creator else None,
        "is_archived": record.is_archived,
        "created_at": record.created_at,
        "extra": dict(record.extra),
    }


def message_row(names: Names, id_: UUID, record: MessageRecord) -> DbRow:
    """Return a row of `messages`, all columns but PostgreSQL's search vector."""
    return {
        "tenant_id": names.tenant_id,
        "id": id_,
        "channel_id": names.channel(record.channel),
        "native_id": record.native_id,
        "author_id": names.user(record.author) if record.author else None,
        "author_name": record.author_name,
        "kind": record.kind,
        "text": record.text,
        "plain": record.plain,
        "search_words": record.search_words,
        "thread_id": names.referred(record.channel, record.thread),
        "reply_to_id": names.referred(record.channel, record.reply_to),
        "is_broadcast": record.is_broadcast,
        "sent_at": record.sent_at,
        "edited_at": record.edited_at,
        "edited_by": names.user(record.edited_by) if record.edited_by else None,
        "deleted_at": record.deleted_at,
        "has_file": any(one.kind == "file" for one in record.attachments),
        "has_link": bool(record.links),
        "has_reaction": any(one.count > 0 for one in record.reactions),
        "search_version": SEARCH_VERSION,
        "extra": dict(record.extra),
    }


def words(row: DbRow) -> list[str]:
    """Return the tokens that a search finds a message by."""
    return tokens(searchable(row["text"], row["plain"], row["search_words"]))


def searchable(text: str, plain: str | None, search_words: str) -> str:
    """Return what is searched of a message: the text that a reader sees, then what stands beside it."""
    shown = text if plain is None else plain
    return f"{shown}\n{search_words}" if search_words else shown


def attachment_rows(
    names: Names, message_id: UUID, attachments: Iterable[AttachmentRecord], *, start: int = 0
) -> list[DbRow]:
    """Return rows of `attachments` at the positions from ``start``."""
    return [
        {
            "tenant_id": names.tenant_id,
            "message_id": message_id,
            "position": position,
            "native_id": one.native_id,
            "kind": one.kind,
            "name": one.name,
            "title": one.title,
            "mimetype": one.mimetype,
            "size": one.size,
            "url": one.url,
            "extra": dict(one.extra),
        }
        for position, one in enumerate(attachments, start)
    ]


def reaction_rows(names: Names, message_id: UUID, reactions: Iterable[ReactionRecord]) -> list[DbRow]:
    """Return rows of `reactions`."""
    return [
        {"tenant_id": names.tenant_id, "message_id": message_id, "emoji": one.emoji, "count": one.count}
        for one in reactions
    ]


def reaction_user_rows(names: Names, message_id: UUID, emoji: str, users: Iterable[str]) -> list[DbRow]:
    """Return rows of `reaction_users`."""
    return [
        {
            "tenant_id": names.tenant_id,
            "message_id": message_id,
            "emoji": emoji,
            "user_id": names.user(user),
            "removed_at": None,
        }
        for user in users
    ]


def mention_rows(names: Names, message_id: UUID, mentions: Iterable[MentionRecord]) -> list[DbRow]:
    """Return rows of `mentions`."""
    return [
        {
            "tenant_id": names.tenant_id,
            "message_id": message_id,
            "kind": one.kind,
            "native_id": one.native_id,
            "target_id": names.target(one),
        }
        for one in mentions
    ]


def version_rows(tenant_id: UUID, message_id: UUID, versions: Sequence[DbRow]) -> list[DbRow]:
    """Return rows of `message_versions`, numbered from 1 in the order given."""
    return [
        {"tenant_id": tenant_id, "message_id": message_id, "version": number, **version}
        for number, version in enumerate(versions, 1)
    ]
