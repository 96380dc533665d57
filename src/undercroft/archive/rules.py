"""What is decided about records without a database: their moments, which copy stands, and what copies add up to.

Every rule gives the same result in whatever order and batches the copies come, so an import may be repeated, cut off
and overlapped with another: what is newest stands, and what a copy leaves out takes nothing away.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from undercroft.archive.records import (
    AttachmentRecord,
    ChannelRecord,
    MentionRecord,
    MessageRecord,
    ReactionRecord,
    UserRecord,
)
from undercroft.core.clock import from_micros, from_slack_ts

_DISCORD_EPOCH = 1_420_070_400_000
"""Milliseconds of 2015-01-01, from which Discord counts: <https://docs.discord.com/developers/reference#snowflakes>."""
_NUMBER = re.compile(r"[0-9]{1,19}")
_SNOWFLAKE = re.compile(r"[0-9]{17,19}")
_SLACK_TS = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?")
_FULL_SLACK_TS = re.compile(r"[0-9]{9,10}\.[0-9]{6}")
_LINK = re.compile(r"https?://")


def native_moment(platform: str, native_id: str) -> datetime | None:
    """Return the moment that a message's own id carries, None where the platform's ids carry none.

    Slack's are a time, Discord's begin with one. The platform ``local`` is a bot with one tenant, which may be on
    either: there the two are told apart by their form.
    """
    read = _MOMENTS.get(platform)
    return None if read is None else read(native_id)


def _of_slack(native_id: str) -> datetime | None:
    return from_slack_ts(native_id) if _SLACK_TS.fullmatch(native_id) else None


def _of_discord(native_id: str) -> datetime | None:
    if not _NUMBER.fullmatch(native_id):
        return None
    return from_micros(((int(native_id) >> 22) + _DISCORD_EPOCH) * 1000)


def _by_form(native_id: str) -> datetime | None:
    if _FULL_SLACK_TS.fullmatch(native_id):
        return _of_slack(native_id)
    return _of_discord(native_id) if _SNOWFLAKE.fullmatch(native_id) else None


_MOMENTS: Mapping[str, Callable[[str], datetime | None]] = {
    "slack": _of_slack,
    "discord": _of_discord,
    "local": _by_form,
}


def has_link(text: str) -> bool:
    """Tell whether a text names a web address."""
    return _LINK.search(text) is not None


def version_time(copy: MessageRecord) -> datetime:
    """Return what tells one version of a message from another: when it became so."""
    return copy.edited_at or copy.sent_at


Settled: TypeAlias = tuple[MessageRecord, list[MessageRecord]]
"""The copy of a message that stands, and the older versions, oldest first."""


def settle(copies: Sequence[MessageRecord]) -> Settled:
    """Return the copy of a message that stands, holding the parts of all, and the older versions, oldest first.

    Of two copies of one version the first stands. A deletion leaves no older version and no part of any.
    """
    current = copies[0]
    if len(copies) == 1 and current.deleted_at is None and not current.reactions:
        return current, []  # as most do: the rest takes as long as writing the row
    for copy in copies[1:]:
        if copy.supersedes(current):
            current = copy
    if current.deleted_at is not None:
        return purged(current), []
    versions = {version_time(copy): copy for copy in reversed(copies)}
    del versions[version_time(current)]
    attachments, mentions = current.attachments, current.mentions
    reactions = join_reactions(current.reactions, ())
    for other in sorted((copy for copy in copies if copy is not current), key=version_time, reverse=True):
        attachments = join_attachments(attachments, other.attachments)
        reactions = join_reactions(reactions, other.reactions)
        mentions = join_mentions(mentions, other.mentions)
    current = replace(current, attachments=attachments, reactions=reactions, mentions=mentions)
    return current, [versions[time] for time in sorted(versions)]


def purged(tombstone: MessageRecord) -> MessageRecord:
    """Return a tombstone without whatever it still tells of the message."""
    return replace(tombstone, text="", plain=None, search_words="", attachments=(), reactions=(), mentions=(), links=())


def join_attachments(
    first: Iterable[AttachmentRecord], second: Iterable[AttachmentRecord]
) -> tuple[AttachmentRecord, ...]:
    """Return the attachments of both, each once, as the first has it."""
    joined: dict[tuple[str, str], AttachmentRecord] = {}
    for one in (*first, *second):
        joined.setdefault((one.kind, one.native_id), one)
    return tuple(joined.values())


def join_reactions(first: Iterable[ReactionRecord], second: Iterable[ReactionRecord]) -> tuple[ReactionRecord, ...]:
    """Return the reactions of both: all users, and the greatest count that either tells or they add up to."""
    joined: dict[str, ReactionRecord] = {}
    for one in (*first, *second):
        known = joined.get(one.emoji)
        users = tuple(dict.fromkeys((*(known.users if known else ()), *one.users)))
        count = max(known.count if known else 0, one.count, len(users))
        joined[one.emoji] = ReactionRecord(emoji=one.emoji, count=count, users=users)
    return tuple(joined.values())


def join_mentions(first: Iterable[MentionRecord], second: Iterable[MentionRecord]) -> tuple[MentionRecord, ...]:
    """Return the mentions of both, each once."""
    return tuple(dict.fromkeys((*first, *second)))


def merge_user(old: UserRecord | None, new: UserRecord) -> UserRecord:
    """Return what two records of a user come to: the later one, but a blank says nothing, and a stub only fills in."""
    if old is None:
        return new
    if new.is_stub and not old.is_stub:
        return old
    over, under = (old, new) if new.is_stub else (new, old)
    return UserRecord(
        native_id=old.native_id,
        name=over.name or under.name,
        display_name=over.display_name or under.display_name,
        real_name=over.real_name or under.real_name,
        email=over.email or under.email,
        is_bot=over.is_bot,
        is_deleted=over.is_deleted,
        is_stub=over.is_stub,
        timezone=over.timezone or under.timezone,
        profile={**under.profile, **over.profile},
    )


def is_stub(channel: ChannelRecord) -> bool:
    """Tell whether a record stands for a channel of which only the name or id is known."""
    return channel.extra.get("stub") is True


def merge_channel(old: ChannelRecord | None, new: ChannelRecord) -> ChannelRecord:
    """Return what two records of a channel come to: the later one, but a blank says nothing, and a stub only fills in.

    Members are those of both: who left is missing in a later record, and so is who was never exported.
    """
    if old is None:
        return new
    if is_stub(new):
        return replace(old, members=tuple(dict.fromkeys((*old.members, *new.members))))
    extra = {key: value for key, value in old.extra.items() if key != "stub"}
    return replace(
        new,
        name=new.name or old.name,
        topic=new.topic or old.topic,
        purpose=new.purpose or old.purpose,
        created_at=new.created_at or old.created_at,
        creator=new.creator or old.creator,
        members=tuple(dict.fromkeys((*old.members, *new.members))),
        extra={**extra, **new.extra},
    )


def whole_milliseconds(rows: Sequence[tuple[Any, ...]], size: int) -> tuple[list[tuple[Any, ...]], UUID | None]:
    """Sort a page's rows (id first, then the moment) by time, and return them with the id to go on after.

    Ids follow time to the millisecond only, so a full page gives up its last one, which the next page has whole. A
    millisecond that fills a page by itself is left in the order of ids.
    """
    if len(rows) < size:
        return sorted(rows, key=_by_time), None
    last = rows[-1][0].int >> 80
    kept = [row for row in rows if row[0].int >> 80 != last] or list(rows)
    return sorted(kept, key=_by_time), kept[-1][0]


def _by_time(row: tuple[Any, ...]) -> tuple[int, datetime, UUID]:
    return row[0].int >> 80, row[1], row[0]
