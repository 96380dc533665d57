"""The channels of a tenant and who is in them."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Table, bindparam, select, update
from sqlalchemy.orm import aliased

from undercroft.archive.models import Channel as Row, ChannelMember, Message
from undercroft.archive.ops.users import add_stub_users
from undercroft.archive.records import ChannelRecord
from undercroft.archive.results import Channel, LastMessage, Saved
from undercroft.archive.rows import DbRow, Names, channel_row
from undercroft.archive.rules import is_stub, merge_channel
from undercroft.core.schema import any_of
from undercroft.core.tx import Tx
from undercroft.users.models import User

_TABLE: Table = Row.__table__  # type: ignore[assignment]  # declared wider than it is
_MEMBERS_TABLE: Table = ChannelMember.__table__  # type: ignore[assignment]
_MINE = Row.tenant_id == bindparam("tenant_id")
_FIELDS = ("name", "kind", "topic", "purpose", "is_archived", "created_at", "extra")
_Creator = aliased(User)
_WITH_CREATOR = (
    select(Row.id, Row.native_id, _Creator.native_id, *(getattr(Row, name) for name in _FIELDS))
    .outerjoin(_Creator, (_Creator.tenant_id == Row.tenant_id) & (_Creator.id == Row.creator_id))
    .where(_MINE)
)
_KNOWN = _WITH_CREATOR.where(any_of(Row.id, "ids")).order_by(Row.id).with_for_update(of=Row)
_LIST = _WITH_CREATOR.order_by(Row.name, Row.native_id)
_MEMBERS = (
    select(ChannelMember.channel_id, User.native_id)
    .join(User, (User.tenant_id == ChannelMember.tenant_id) & (User.id == ChannelMember.user_id))
    .where(ChannelMember.tenant_id == bindparam("tenant_id"))
    .order_by(ChannelMember.channel_id, User.native_id)
)
_CHANGE = (
    update(Row)
    .where(_MINE, Row.id == bindparam("channel"))
    .values(creator_id=bindparam("creator_id"), **{name: bindparam(name) for name in _FIELDS})
)
_Newest = aliased(Message)
_NEWEST = (
    select(
        Row.native_id,
        Row.name,
        select(_Newest.id)
        .where(_Newest.tenant_id == Row.tenant_id, _Newest.channel_id == Row.id)
        .order_by(_Newest.id.desc())
        .limit(1)
        .correlate(Row)
        .scalar_subquery()
        .label("message_id"),
    )
    .where(_MINE)
    .offset(0)  # keeps PostgreSQL from joining all messages of the tenant in place of looking these up
    .subquery()
)
_LAST = (
    select(_NEWEST.c.native_id, _NEWEST.c.name, Message.id, Message.native_id, Message.sent_at)
    .join(Message, (Message.tenant_id == bindparam("tenant_id")) & (Message.id == _NEWEST.c.message_id))
    .order_by(_NEWEST.c.native_id)
)


def save_channels(tx: Tx, records: Sequence[ChannelRecord]) -> Saved:
    """Store channels: unknown ones are added, of known ones what the record says is changed; a blank says nothing.

    Members are added and never removed: a list without somebody may be an older one; they are not counted in the
    result. A record from a list replaces a stub. Users who are named but unknown become stubs.

    Raises:
        InvalidInput: an empty id, or text that cannot be stored.
    """
    if not records:
        return Saved()
    names = Names(tx.tenant_id, tx.platform, tx.named)
    given: dict[UUID, list[ChannelRecord]] = {}
    for record in records:
        given.setdefault(names.channel(record.native_id), []).append(record)
    known = {id_: _record(fields) for id_, *fields in tx.rows(_KNOWN, {"ids": list(given)})}
    added: list[DbRow] = []
    changed: list[DbRow] = []
    members: list[DbRow] = []
    for id_ in sorted(given):
        old = known.get(id_)
        new = old
        for record in given[id_]:
            new = merge_channel(new, record)
        assert new is not None  # noqa: S101 - every list has a record
        members += [
            {"tenant_id": tx.tenant_id, "channel_id": id_, "user_id": names.user(member)} for member in new.members
        ]
        row = channel_row(names, new)
        if old is None:
            added.append(row)
        elif channel_row(names, old) != row:
            changed.append({"channel": id_, "creator_id": row["creator_id"], **{name: row[name] for name in _FIELDS}})
    stored = tx.insert_many(_TABLE, added)
    tx.run_many(_CHANGE, changed)
    add_stub_users(tx, names.users, {})
    tx.insert_many(_MEMBERS_TABLE, members)
    return Saved(stored, len(changed), len(records) - stored - len(changed))


def add_stub_channels(tx: Tx, channels: Mapping[str, UUID]) -> int:
    """Make a stub of every channel that is not known, native id to id."""
    names = Names(tx.tenant_id, tx.platform, tx.named)
    return tx.insert_many(
        _TABLE,
        [
            channel_row(names, ChannelRecord(native_id=native_id, name=native_id, kind="public", extra={"stub": True}))
            for native_id, _ in sorted(channels.items(), key=lambda channel: channel[1])
        ],
    )


def channels(tx: Tx) -> list[Channel]:
    """List all channels with their members, by name."""
    members: dict[UUID, list[str]] = {}
    for channel, user in tx.rows(_MEMBERS):
        members.setdefault(channel, []).append(user)
    found: list[Channel] = []
    for id_, *fields in tx.rows(_LIST):
        record = _record(fields)
        found.append(
            Channel(
                id=id_,
                native_id=record.native_id,
                name=record.name,
                kind=record.kind,
                topic=record.topic,
                purpose=record.purpose,
                creator=record.creator,
                is_archived=record.is_archived,
                is_stub=is_stub(record),
                created_at=record.created_at,
                members=tuple(members.get(id_, ())),
                extra=record.extra,
            )
        )
    return found


def last_messages(tx: Tx) -> list[LastMessage]:
    """Return the newest message of every channel that has one, deleted or not, in one statement."""
    return [LastMessage(*row) for row in tx.rows(_LAST)]


def _record(fields: Sequence[Any]) -> ChannelRecord:
    native_id, creator, *values = fields
    return ChannelRecord(native_id=native_id, creator=creator, **dict(zip(_FIELDS, values, strict=True)))
