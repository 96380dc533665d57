"""Messages read back, one or many, with everything that belongs to them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, or_, select
from sqlalchemy.orm import aliased

from undercroft.archive.models import (
    Attachment,
    Channel,
    Mention,
    Message as Row,
    MessageVersion,
    Reaction,
    ReactionUser,
)
from undercroft.archive.records import AttachmentRecord, MentionRecord, ReactionRecord
from undercroft.archive.results import Message, Version
from undercroft.archive.rows import Names
from undercroft.archive.rules import whole_milliseconds
from undercroft.core import ids
from undercroft.core.clock import require_aware
from undercroft.core.operation import Page
from undercroft.core.pages import Filtered
from undercroft.core.schema import any_of
from undercroft.core.tx import Tx
from undercroft.errors import NotFound
from undercroft.users.models import User

PAGE = 500

_Editor = aliased(User)
_MINE = Row.tenant_id == bindparam("tenant_id")
shown_author = func.coalesce(
    *(func.nullif(name, "") for name in (Row.author_name, User.display_name, User.real_name, User.name)),
    User.native_id,
    "",
)
"""The name a message was posted under, else the best name of its author."""
_COLUMNS: tuple[Any, ...] = (
    Row.id,
    Row.sent_at,
    Channel.native_id.label("channel"),
    Channel.name.label("channel_name"),
    Row.native_id,
    User.native_id.label("author"),
    shown_author.label("author_name"),
    Row.kind,
    Row.text,
    Row.plain,
    Row.thread_id,
    Row.reply_to_id,
    Row.is_broadcast,
    Row.edited_at,
    _Editor.native_id.label("edited_by"),
    Row.deleted_at,
    Row.extra,
    Row.has_reaction,
)
_MESSAGES = (
    select(*_COLUMNS)
    .join(Channel, (Channel.tenant_id == Row.tenant_id) & (Channel.id == Row.channel_id))
    .outerjoin(User, (User.tenant_id == Row.tenant_id) & (User.id == Row.author_id))
    .outerjoin(_Editor, (_Editor.tenant_id == Row.tenant_id) & (_Editor.id == Row.edited_by))
    .where(_MINE)
)
_GET = _MESSAGES.where(Row.id == bindparam("id"))
_STREAM = Filtered(
    _MESSAGES.where(Row.channel_id == bindparam("channel")).order_by(Row.id).limit(bindparam("limit")),
    thread=or_(Row.thread_id == bindparam("thread"), Row.id == bindparam("thread")),
    timeline=or_(Row.thread_id.is_(None), Row.thread_id == Row.id, Row.is_broadcast),
    since=Row.id >= bindparam("since"),
    until=Row.id < bindparam("until"),
    after=Row.id > bindparam("after"),
)
_NATIVE_IDS = select(Row.id, Row.native_id).where(_MINE, any_of(Row.id, "ids"))


def _of_messages(part: Any, *columns: Any) -> Any:
    return select(part.message_id, *columns).where(
        part.tenant_id == bindparam("tenant_id"), any_of(part.message_id, "ids")
    )


_ATTACHMENT_FIELDS = ("native_id", "kind", "name", "title", "mimetype", "size", "url", "extra")
_ATTACHMENTS = _of_messages(Attachment, *(getattr(Attachment, name) for name in _ATTACHMENT_FIELDS)).order_by(
    Attachment.message_id, Attachment.position
)
_MENTIONS = _of_messages(Mention, Mention.kind, Mention.native_id).order_by(
    Mention.message_id, Mention.kind, Mention.native_id
)
_REACTIONS = _of_messages(Reaction, Reaction.emoji, Reaction.count).order_by(Reaction.message_id, Reaction.emoji)
_REACTION_USERS = (
    _of_messages(ReactionUser, ReactionUser.emoji, User.native_id)
    .join(User, (User.tenant_id == ReactionUser.tenant_id) & (User.id == ReactionUser.user_id))
    .where(ReactionUser.removed_at.is_(None))
    .order_by(ReactionUser.message_id, ReactionUser.emoji, User.native_id)
)
_HISTORY = (
    select(
        MessageVersion.version, MessageVersion.text, MessageVersion.edited_at, User.native_id, MessageVersion.seen_at
    )
    .outerjoin(User, (User.tenant_id == MessageVersion.tenant_id) & (User.id == MessageVersion.edited_by))
    .where(MessageVersion.tenant_id == bindparam("tenant_id"), MessageVersion.message_id == bindparam("id"))
    .order_by(MessageVersion.version)
)


def get(tx: Tx, channel: str, native_id: str, *, sent_at: datetime | None = None) -> Message:
    """Look up a message by the platform's own ids; ``sent_at`` is needed where those carry no time.

    Raises:
        NotFound: the archive has no such message.
    """
    row = tx.row(_GET, {"id": _names(tx).asked(channel, native_id, sent_at)})
    if row is None:
        raise NotFound("The archive has no such message.", channel=channel, native_id=native_id)
    return _whole(tx, [row])[0]


def messages(
    tx: Tx,
    after: UUID | None,
    channel: str,
    *,
    thread: str | None = None,
    replies: bool = True,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Page[Message]:
    """Yield a channel's messages in the order of time, deleted ones with their place only.

    ``thread`` is the native id of a root: only it and its replies. ``replies=False`` leaves out what is shown in
    threads only. ``since`` is included, ``until`` is not.
    """
    names = _names(tx)
    statement, used = _STREAM.given(
        channel=names.channel(channel),
        thread=None if thread is None else names.asked(channel, thread, None),
        timeline=None if replies else True,
        since=None if since is None else ids.floor(require_aware(since, "since")),
        until=None if until is None else ids.time_bounds(until, until)[1],
        after=after,
        limit=PAGE,
    )
    rows, last = whole_milliseconds(tx.rows(statement, used), PAGE)
    return Page(_whole(tx, rows), last)


def thread(tx: Tx, channel: str, root: str, *, sent_at: datetime | None = None) -> list[Message]:
    """Return a thread in the order of time: the root, where the archive has it, and its replies.

    ``sent_at`` is when the root was sent, needed where the platform's ids carry no time.
    """
    names = _names(tx)
    found: list[Message] = []
    after: UUID | None = None
    while True:
        statement, used = _STREAM.given(
            channel=names.channel(channel), thread=names.asked(channel, root, sent_at), after=after, limit=PAGE
        )
        rows, after = whole_milliseconds(tx.rows(statement, used), PAGE)
        found += _whole(tx, rows)
        if after is None:
            return found


def history(tx: Tx, channel: str, native_id: str, *, sent_at: datetime | None = None) -> list[Version]:
    """Return what a message said before it was edited, oldest first; nothing of a deleted one."""
    return [Version(*row) for row in tx.rows(_HISTORY, {"id": _names(tx).asked(channel, native_id, sent_at)})]


def _names(tx: Tx) -> Names:
    return Names(tx.tenant_id, tx.platform, tx.named)


def _whole(tx: Tx, rows: Sequence[tuple[Any, ...]]) -> list[Message]:
    """Make messages of their rows: a fixed number of statements for all their parts."""
    if not rows:
        return []
    found = [dict(zip(_FIELDS, row, strict=True)) for row in rows]
    these = {"ids": [row["id"] for row in found]}
    attachments = _grouped(tx.rows(_ATTACHMENTS, these))
    mentions = _grouped(tx.rows(_MENTIONS, these))
    reactions = _reactions(tx, [row["id"] for row in found if row["has_reaction"]])
    native = {row["id"]: row["native_id"] for row in found}
    missing = {row[key] for row in found for key in ("thread_id", "reply_to_id")} - {None} - set(native)
    if missing:
        native.update(tx.rows(_NATIVE_IDS, {"ids": sorted(missing)}))
    return [
        Message(
            **{key: value for key, value in row.items() if key != "has_reaction"},
            thread=native.get(row["thread_id"]),
            reply_to=native.get(row["reply_to_id"]),
            attachments=tuple(
                AttachmentRecord(**dict(zip(_ATTACHMENT_FIELDS, values, strict=True)))
                for values in attachments.get(row["id"], ())
            ),
            reactions=tuple(reactions.get(row["id"], ())),
            mentions=tuple(
                MentionRecord(kind=kind, native_id=native_id) for kind, native_id in mentions.get(row["id"], ())
            ),
        )
        for row in found
    ]


_FIELDS = tuple(column.name for column in _MESSAGES.selected_columns)


def _reactions(tx: Tx, having: list[UUID]) -> dict[UUID, list[ReactionRecord]]:
    if not having:
        return {}
    users: dict[tuple[UUID, str], list[str]] = {}
    for id_, emoji, user in tx.rows(_REACTION_USERS, {"ids": having}):
        users.setdefault((id_, emoji), []).append(user)
    found: dict[UUID, list[ReactionRecord]] = {}
    for id_, emoji, count in tx.rows(_REACTIONS, {"ids": having}):
        if count:
            one = ReactionRecord(emoji=emoji, count=count, users=tuple(users.get((id_, emoji), ())))
            found.setdefault(id_, []).append(one)
    return found


def _grouped(rows: Iterable[tuple[Any, ...]]) -> dict[UUID, list[tuple[Any, ...]]]:
    found: dict[UUID, list[tuple[Any, ...]]] = {}
    for id_, *values in rows:
        found.setdefault(id_, []).append(tuple(values))
    return found
