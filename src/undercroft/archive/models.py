"""The tables of the message archive.

What belongs to a message carries its id and lies in the same ranges of it, without a foreign key: PostgreSQL partitions
these tables by that id, Citus knows no key into a partitioned table, and an import would pay for each check. A channel
or author may be missing from an export, so messages name them without a key too.
"""

from datetime import datetime
from typing import Any, cast
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, foreign, mapped_column, relationship

from undercroft.core.schema import Base, TsVector
from undercroft.users.models import User

_BY_MESSAGE = {"sqlite_strict": True, "sqlite_with_rowid": False, "postgresql_partition_by": "RANGE (message_id)"}


class Channel(Base):
    """A conversation: a channel, a direct message, a thread that is a channel of its own."""

    __tablename__ = "channels"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id"], ["undercroft.tenants.tenant_id"], ondelete="RESTRICT"),
        sa.Index(None, "tenant_id", "native_id"),
        {"sqlite_strict": True},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    native_id: Mapped[str]
    name: Mapped[str]
    kind: Mapped[str]
    topic: Mapped[str] = mapped_column(default_factory=str, server_default=sa.text("''"), repr=False)
    purpose: Mapped[str] = mapped_column(default_factory=str, server_default=sa.text("''"), repr=False)
    creator_id: Mapped[UUID | None] = mapped_column(default=None)
    is_archived: Mapped[bool] = mapped_column(default_factory=bool, server_default=sa.false())
    created_at: Mapped[datetime | None] = mapped_column(default=None)
    extra: Mapped[dict[str, Any]] = mapped_column(default_factory=dict, server_default=sa.text("'{}'"), repr=False)

    members: Mapped[list[User]] = relationship(
        secondary=lambda: ChannelMember.__table__,
        primaryjoin=lambda: sa.and_(
            Channel.tenant_id == foreign(ChannelMember.tenant_id), Channel.id == foreign(ChannelMember.channel_id)
        ),
        secondaryjoin=lambda: sa.and_(
            User.tenant_id == foreign(ChannelMember.tenant_id), User.id == foreign(ChannelMember.user_id)
        ),
        viewonly=True,
        init=False,
        repr=False,
    )


class ChannelMember(Base):
    """A user in a channel; the user may be one whom the platform's list does not name."""

    __tablename__ = "channel_members"
    __table_args__ = (
        sa.ForeignKeyConstraint(
            ["tenant_id", "channel_id"], ["undercroft.channels.tenant_id", "undercroft.channels.id"], ondelete="CASCADE"
        ),
        sa.Index(None, "tenant_id", "user_id", "channel_id"),
        {"sqlite_strict": True, "sqlite_with_rowid": False},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    channel_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)


class Message(Base):
    """A message as it stands now; what it said before is in its versions.

    `text` is verbatim, `plain` what a reader sees (None where they are equal), `search_words` what a search must find
    beside it. `thread_id` is the root's id, which may be absent; a root names itself.
    """

    __tablename__ = "messages"
    __table_args__ = (
        sa.Index(None, "tenant_id", "channel_id", "id"),
        sa.Index(None, "tenant_id", "author_id", "id"),
        sa.Index(
            None,
            "tenant_id",
            "thread_id",
            "id",
            postgresql_where=sa.text("thread_id IS NOT NULL"),
            sqlite_where=sa.text("thread_id IS NOT NULL"),
        ),
        {"sqlite_strict": True, "postgresql_partition_by": "RANGE (id)"},
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    channel_id: Mapped[UUID]
    native_id: Mapped[str]
    author_id: Mapped[UUID | None] = mapped_column(default=None)
    author_name: Mapped[str] = mapped_column(default_factory=str, server_default=sa.text("''"))
    kind: Mapped[str] = mapped_column(default_factory=lambda: "message", server_default="message")
    text: Mapped[str] = mapped_column(repr=False)
    plain: Mapped[str | None] = mapped_column(default=None, repr=False)
    search_words: Mapped[str] = mapped_column(default_factory=str, server_default=sa.text("''"), repr=False)
    thread_id: Mapped[UUID | None] = mapped_column(default=None)
    reply_to_id: Mapped[UUID | None] = mapped_column(default=None)
    is_broadcast: Mapped[bool] = mapped_column(default_factory=bool, server_default=sa.false())
    sent_at: Mapped[datetime]
    edited_at: Mapped[datetime | None] = mapped_column(default=None)
    edited_by: Mapped[UUID | None] = mapped_column(default=None)
    deleted_at: Mapped[datetime | None] = mapped_column(default=None)
    has_file: Mapped[bool] = mapped_column(default_factory=bool, server_default=sa.false())
    has_link: Mapped[bool] = mapped_column(default_factory=bool, server_default=sa.false())
    has_reaction: Mapped[bool] = mapped_column(default_factory=bool, server_default=sa.false())
    search_version: Mapped[int] = mapped_column(default_factory=int, server_default=sa.text("0"))
    extra: Mapped[dict[str, Any]] = mapped_column(default_factory=dict, server_default=sa.text("'{}'"), repr=False)

    channel: Mapped[Channel | None] = relationship(
        primaryjoin=lambda: sa.and_(
            Channel.tenant_id == foreign(Message.tenant_id), Channel.id == foreign(Message.channel_id)
        ),
        viewonly=True,
        init=False,
        repr=False,
    )
    author: Mapped[User | None] = relationship(
        primaryjoin=lambda: sa.and_(
            User.tenant_id == foreign(Message.tenant_id), User.id == foreign(Message.author_id)
        ),
        viewonly=True,
        init=False,
        repr=False,
    )
    versions: Mapped[list["MessageVersion"]] = relationship(
        primaryjoin=lambda: _of_message(MessageVersion),
        order_by=lambda: MessageVersion.version,
        viewonly=True,
        init=False,
        repr=False,
    )
    attachments: Mapped[list["Attachment"]] = relationship(
        primaryjoin=lambda: _of_message(Attachment),
        order_by=lambda: Attachment.position,
        viewonly=True,
        init=False,
        repr=False,
    )
    reactions: Mapped[list["Reaction"]] = relationship(
        primaryjoin=lambda: _of_message(Reaction), viewonly=True, init=False, repr=False
    )
    mentions: Mapped[list["Mention"]] = relationship(
        primaryjoin=lambda: _of_message(Mention), viewonly=True, init=False, repr=False
    )


# PostgreSQL's search vector, not mapped: SQLite has an FTS5 table instead, and nobody reads a vector.
cast(sa.Table, Message.__table__).append_column(sa.Column("search", TsVector, info={"engines": {"postgresql"}}))


class MessageVersion(Base):
    """What a message said at one time, counted from 1; the newest is the message itself."""

    __tablename__ = "message_versions"
    __table_args__ = {**_BY_MESSAGE, "sqlite_with_rowid": True}  # noqa: RUF012 - SQLAlchemy reads it off the class

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    message_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(repr=False)
    edited_at: Mapped[datetime | None] = mapped_column(default=None)
    edited_by: Mapped[UUID | None] = mapped_column(default=None)
    seen_at: Mapped[datetime]


class Attachment(Base):
    """A file or an embed of a message, counted from 0; `size` is in bytes."""

    __tablename__ = "attachments"
    __table_args__ = {**_BY_MESSAGE, "sqlite_with_rowid": True}  # noqa: RUF012 - SQLAlchemy reads it off the class

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    message_id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    native_id: Mapped[str]
    kind: Mapped[str]
    name: Mapped[str] = mapped_column(default_factory=str, server_default=sa.text("''"), repr=False)
    title: Mapped[str] = mapped_column(default_factory=str, server_default=sa.text("''"), repr=False)
    mimetype: Mapped[str | None] = mapped_column(default=None)
    size: Mapped[int | None] = mapped_column(default=None)
    url: Mapped[str | None] = mapped_column(default=None, repr=False)
    extra: Mapped[dict[str, Any]] = mapped_column(default_factory=dict, server_default=sa.text("'{}'"), repr=False)


class Reaction(Base):
    """How often an emoji was chosen under a message; platforms cut the list of who chose it, so it may be shorter."""

    __tablename__ = "reactions"
    __table_args__ = _BY_MESSAGE

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    message_id: Mapped[UUID] = mapped_column(primary_key=True)
    emoji: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int]


class ReactionUser(Base):
    """Who chose an emoji under a message, and when it was seen to be taken back."""

    __tablename__ = "reaction_users"
    __table_args__ = _BY_MESSAGE

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    message_id: Mapped[UUID] = mapped_column(primary_key=True)
    emoji: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    removed_at: Mapped[datetime | None] = mapped_column(default=None)


class Mention(Base):
    """Somebody or something that a message calls by id; `target_id` is ours, None where there is none."""

    __tablename__ = "mentions"
    __table_args__ = _BY_MESSAGE

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    message_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    native_id: Mapped[str] = mapped_column(primary_key=True)
    target_id: Mapped[UUID | None] = mapped_column(default=None)


class Quarantine(Base):
    """A record of an import that was not understood: where it stands, why, and how it begins."""

    __tablename__ = "quarantine"
    __table_args__ = {"sqlite_strict": True}  # noqa: RUF012 - SQLAlchemy reads it off the class

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    source: Mapped[str]
    path: Mapped[str]
    position: Mapped[int]
    reason: Mapped[str]
    record: Mapped[str] = mapped_column(repr=False)
    created_at: Mapped[datetime]


def _of_message(part: type[MessageVersion | Attachment | Reaction | Mention]) -> sa.ColumnElement[bool]:
    return sa.and_(Message.tenant_id == foreign(part.tenant_id), Message.id == foreign(part.message_id))
