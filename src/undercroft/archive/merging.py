"""What a copy of a message changes in the message that is stored already, pure: the answer is rows to write."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from undercroft.archive import rows, rules
from undercroft.archive.records import MessageRecord
from undercroft.archive.rows import DbRow, Names

_PLACE = ("author_id", "thread_id", "reply_to_id")
"""What a newer copy keeps of the older one where it says nothing itself."""


@dataclass(slots=True)
class Stored:
    """A message as it is stored; where it was read without a lock, the little that decides whether it changes."""

    row: DbRow
    attachments: dict[tuple[str, str], DbRow] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    users: dict[str, dict[UUID, datetime | None]] = field(default_factory=dict)
    """By emoji: who chose it, and when that was taken back."""
    mentions: set[tuple[str, str]] = field(default_factory=set)
    versions: list[DbRow] = field(default_factory=list)

    @property
    def version_time(self) -> datetime:
        """When the message became what it says now."""
        became: datetime = self.row["edited_at"] or self.row["sent_at"]
        return became


@dataclass(slots=True)
class Change:
    """Rows that replace or join the stored ones of one message.

    `row` is the whole message where any of it changes; a list that is None stays as it is.
    """

    id: UUID
    row: DbRow | None = None
    reworded: bool = False
    purge: bool = False
    """Everything that belongs to the message goes."""
    versions: list[DbRow] | None = None
    """All versions, anew."""
    attachments: list[DbRow] | None = None
    """All attachments, anew."""
    more_attachments: list[DbRow] = field(default_factory=list)
    counts: list[DbRow] = field(default_factory=list)
    """Reactions with another count than the stored one."""
    reaction_users: list[DbRow] = field(default_factory=list)
    mentions: list[DbRow] = field(default_factory=list)

    def __bool__(self) -> bool:
        changed = (self.row, self.versions, self.attachments, self.more_attachments)
        return any(part is not None and part != [] for part in changed) or bool(
            self.counts or self.reaction_users or self.mentions
        )


def tells_more(
    settled: rules.Settled, sent_at: datetime, edited_at: datetime | None, deleted_at: datetime | None
) -> bool:
    """Whether a record may change a stored message: most of a repeated import say the same and have no parts."""
    record, earlier = settled
    return deleted_at is None and (
        rules.version_time(record) != (edited_at or sent_at)
        or record.deleted_at is not None
        or bool(earlier or record.attachments or record.reactions or record.mentions)
    )


def merge(names: Names, id_: UUID, stored: Stored, settled: rules.Settled, now: datetime) -> Change:
    """Decide what a record and its earlier versions change; a deleted message is changed by nothing."""
    record, earlier = settled
    change = Change(id_)
    if stored.row["deleted_at"] is not None:
        return change
    newer = record.deleted_at is not None or rules.version_time(record) > stored.version_time
    if newer:
        row = rows.message_row(names, id_, record)
        change.row = row | {name: row[name] or stored.row.get(name) for name in _PLACE}
        change.reworded = True
        if record.deleted_at is not None:
            change.purge = True
            return change
    _merge_versions(names, change, stored, [*earlier, *([] if newer else [record])], newer=newer, now=now)
    _merge_attachments(names, change, stored, record, newer=newer)
    _merge_reactions(names, change, stored, record)
    known = stored.mentions
    unknown = [one for one in record.mentions if (one.kind, one.native_id) not in known]
    change.mentions = rows.mention_rows(names, id_, unknown)
    _set_flags(change, stored)
    return change


def _merge_versions(
    names: Names, change: Change, stored: Stored, copies: Sequence[MessageRecord], *, newer: bool, now: datetime
) -> None:
    """Add what the stored message said if a newer copy replaces it, and what older copies say that nobody has kept."""
    sent_at = stored.row["sent_at"]
    known = {version["edited_at"] or sent_at for version in stored.versions} | {stored.version_time}
    added = [version_of(stored.row, now)] if newer else []
    for copy in copies:
        if rules.version_time(copy) not in known:
            known.add(rules.version_time(copy))
            added.append(earlier_version(names, copy, now))
    if added:
        change.versions = sorted([*stored.versions, *added], key=lambda version: version["edited_at"] or sent_at)


def version_of(row: DbRow, now: datetime) -> DbRow:
    """Return what a stored message says now, as a version."""
    return {
        "text": row.get("text", ""),
        "edited_at": row["edited_at"],
        "edited_by": row.get("edited_by"),
        "seen_at": now,
    }


def earlier_version(names: Names, copy: MessageRecord, now: datetime) -> DbRow:
    """Return an older copy as a version."""
    editor = names.user(copy.edited_by) if copy.edited_by else None
    return {"text": copy.text, "edited_at": copy.edited_at, "edited_by": editor, "seen_at": now}


def _merge_attachments(names: Names, change: Change, stored: Stored, record: MessageRecord, *, newer: bool) -> None:
    incoming = record.attachments
    unknown = [one for one in incoming if (one.kind, one.native_id) not in stored.attachments]
    if newer and incoming:
        mine = rows.attachment_rows(names, change.id, incoming)
        named = {(one.kind, one.native_id) for one in incoming}
        others = [row for key, row in stored.attachments.items() if key not in named]
        change.attachments = [{**row, "position": position} for position, row in enumerate((*mine, *others))]
    elif unknown:
        start = 1 + max((row["position"] for row in stored.attachments.values()), default=-1)
        change.more_attachments = rows.attachment_rows(names, change.id, unknown, start=start)


def _merge_reactions(names: Names, change: Change, stored: Stored, record: MessageRecord) -> None:
    """Add users and raise counts; who took a reaction back here stays away, whatever an older copy says."""
    for one in record.reactions:
        known = stored.users.get(one.emoji, {})
        users = {names.user(user): user for user in one.users}
        unknown = [user for id_, user in users.items() if id_ not in known]
        change.reaction_users += rows.reaction_user_rows(names, change.id, one.emoji, unknown)
        gone = sum(known.get(id_) is not None for id_ in users)
        present = sum(removed is None for removed in known.values()) + len(unknown)
        count = max(stored.counts.get(one.emoji, 0), one.count - gone, present)
        if count != stored.counts.get(one.emoji):
            change.counts += rows.reaction_rows(names, change.id, [replace(one, count=count)])


def _set_flags(change: Change, stored: Stored) -> None:
    """Let the message tell what it has, counting what it had before."""
    files = [row["kind"] == "file" for row in (*(change.attachments or ()), *change.more_attachments)]
    has: dict[str, Any] = {
        "has_file": stored.row["has_file"] or any(files),
        "has_reaction": stored.row["has_reaction"] or any(row["count"] > 0 for row in change.counts),
    }
    row = change.row if change.row is not None else stored.row
    if change.row is not None or any(row[name] != value for name, value in has.items()):
        change.row = row | has
