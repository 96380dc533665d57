"""Messages in bulk: any order, any repetition, the same rows in the end.

A batch costs the same number of statements whatever its size. Known messages are read first and without a lock, for
most imports repeat most of what was imported before; only those that a record changes are locked, read again and
written.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Table, bindparam, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.elements import CompilerElement

from undercroft.archive import rows, rules
from undercroft.archive.merging import Change, Stored, earlier_version, merge, tells_more
from undercroft.archive.models import (
    Attachment,
    Mention,
    Message as Row,
    MessageVersion,
    Reaction,
    ReactionUser,
)
from undercroft.archive.ops.channels import add_stub_channels
from undercroft.archive.ops.users import add_stub_users
from undercroft.archive.records import MessageRecord
from undercroft.archive.results import Saved
from undercroft.archive.rows import DbRow, Names
from undercroft.core.schema import any_of
from undercroft.core.tx import Tx

Settled = Mapping[UUID, rules.Settled]
FEW = 100
"""Messages that any plan finds fast enough."""

_MINE = Row.tenant_id == bindparam("tenant_id")
_VERSION = ("id", "sent_at", "edited_at", "deleted_at", "has_file", "has_reaction")
_KNOWN = select(*(getattr(Row, name) for name in _VERSION)).where(_MINE, any_of(Row.id, "ids"))
WHOLE = tuple(column.name for column in Row.__table__.c if column.name not in {"tenant_id", "search"})
LOCKED = (
    select(*(getattr(Row, name) for name in WHOLE))
    .where(_MINE, any_of(Row.id, "ids"))
    .order_by(Row.id)
    .with_for_update()
)
"""Reads whole messages, and keeps everybody else from changing them."""
_CHANGEABLE = tuple(name for name in WHOLE if name not in rows.KEPT)
_CHANGE = (
    update(Row).where(_MINE, Row.id == bindparam("message")).values({name: bindparam(name) for name in _CHANGEABLE})
)
_COUNT_INSERT = insert(Reaction).values({column.name: bindparam(column.name) for column in Reaction.__table__.c})
_COUNT = _COUNT_INSERT.on_conflict_do_update(
    index_elements=["tenant_id", "message_id", "emoji"], set_={"count": _COUNT_INSERT.excluded.count}
)


def _of_messages(part: Any, *columns: Any) -> Any:
    return select(*columns).where(part.tenant_id == bindparam("tenant_id"), any_of(part.message_id, "ids"))


def _without(part: Any) -> Any:
    return delete(part).where(part.tenant_id == bindparam("tenant_id"), any_of(part.message_id, "ids"))


_ATTACHMENT = tuple(column.name for column in Attachment.__table__.c)
_ATTACHMENTS = _of_messages(Attachment, *Attachment.__table__.c).order_by(Attachment.message_id, Attachment.position)
_REACTIONS = _of_messages(Reaction, Reaction.message_id, Reaction.emoji, Reaction.count)
_REACTION_USERS = _of_messages(
    ReactionUser, ReactionUser.message_id, ReactionUser.emoji, ReactionUser.user_id, ReactionUser.removed_at
)
_MENTIONS = _of_messages(Mention, Mention.message_id, Mention.kind, Mention.native_id)
_VERSIONS = _of_messages(
    MessageVersion,
    MessageVersion.message_id,
    MessageVersion.text,
    MessageVersion.edited_at,
    MessageVersion.edited_by,
    MessageVersion.seen_at,
).order_by(MessageVersion.message_id, MessageVersion.version)
_DROP_ATTACHMENTS = _without(Attachment)
_DROP_VERSIONS = _without(MessageVersion)
_DROP_PARTS = tuple(_without(part) for part in (Attachment, MessageVersion, Reaction, ReactionUser, Mention))


def save_messages(tx: Tx, records: Sequence[MessageRecord]) -> Saved:
    """Store messages: new ones are added, a newer copy of one updates it, and all else that a copy tells is joined.

    The text that an update replaces, and that of an older copy, are kept as versions. A deletion empties the message,
    its parts, its versions and the search index for good. Authors and channels that nobody listed become stubs.

    Raises:
        InvalidInput: an empty id, a naive moment, or text that cannot be stored.
    """
    if not records:
        return Saved()
    names = Names(tx.tenant_id, tx.platform, tx.named)
    copies: dict[UUID, list[MessageRecord]] = {}
    for record in records:
        copies.setdefault(names.message(record), []).append(record)
    settled = {id_: rules.settle(copies[id_]) for id_ in sorted(copies)}
    if len(settled) > FEW:
        tx.dialect.plan_anew(tx)
    known = _read(tx, _KNOWN, list(settled))
    new = {id_: found for id_, found in settled.items() if id_ not in known}
    added = _add(tx, names, new) if new else 0
    if added < len(new):  # another transaction stored some of them meanwhile, with parts of their own or deleted
        known = _read(tx, _KNOWN, list(settled))
    telling = {id_: Stored(_row(_VERSION, row)) for id_, row in known.items() if tells_more(settled[id_], *row[1:4])}
    updated = len(_merge(tx, names, settled, telling) - set(new))
    return Saved(added, updated, len(records) - added - updated)


def _add(tx: Tx, names: Names, new: Settled) -> int:
    """Insert messages and return how many there were not; if that was not all, the parts are left to be merged."""
    messages = [rows.message_row(names, id_, record) for id_, (record, _) in new.items()]
    parts: dict[Any, list[DbRow]] = {part: [] for part in (Attachment, Reaction, ReactionUser, Mention, MessageVersion)}
    for id_, (record, earlier) in new.items():
        parts[Attachment] += rows.attachment_rows(names, id_, record.attachments)
        parts[Reaction] += rows.reaction_rows(names, id_, record.reactions)
        for one in record.reactions:
            parts[ReactionUser] += rows.reaction_user_rows(names, id_, one.emoji, one.users)
        parts[Mention] += rows.mention_rows(names, id_, record.mentions)
        versions = [earlier_version(names, copy, tx.now) for copy in earlier]
        parts[MessageVersion] += rows.version_rows(tx.tenant_id, id_, versions)
    add_stubs(tx, names, {record.author: record.author_name for record, _ in new.values() if record.author})
    added = tx.dialect.insert_searchable(tx, table(Row), messages, [rows.words(row) for row in messages])
    if added == len(new):
        for part, found in parts.items():
            tx.insert_many(table(part), found)
    return added


def _merge(tx: Tx, names: Names, settled: Settled, known: dict[UUID, Stored]) -> set[UUID]:
    """Change stored messages by their records and return those that really changed."""
    touched = _changes(tx, names, settled, known)
    if not touched:
        return set()
    # Decided again on what nobody else can change now.
    locked = _locked(tx, [change.id for change in touched])
    changes = _changes(tx, names, settled, locked)
    add_stubs(tx, names, {record.author: record.author_name for record, _ in settled.values() if record.author})
    apply(tx, changes)
    return {change.id for change in changes}


def _changes(tx: Tx, names: Names, settled: Settled, stored: dict[UUID, Stored]) -> list[Change]:
    _read_parts(tx, settled, stored)
    decided = [merge(names, id_, one, settled[id_], tx.now) for id_, one in stored.items()]
    return [change for change in decided if change]


def _read(tx: Tx, statement: CompilerElement, messages: list[UUID]) -> dict[UUID, tuple[Any, ...]]:
    """Read rows that begin with a message's id."""
    return {row[0]: row for row in tx.rows(statement, {"ids": messages})}


def _locked(tx: Tx, messages: list[UUID]) -> dict[UUID, Stored]:
    """Read whole messages and their versions, which nobody else can change until the transaction ends."""
    found = {row["id"]: row for row in (_row(WHOLE, values) for values in tx.rows(LOCKED, {"ids": messages}))}
    versions = read_versions(tx, messages)
    return {id_: Stored(row, versions=versions.get(id_, [])) for id_, row in found.items()}


def _row(names: Sequence[str], values: tuple[Any, ...]) -> DbRow:
    return dict(zip(names, values, strict=True))


def _read_parts(tx: Tx, settled: Settled, stored: dict[UUID, Stored]) -> None:
    """Read of messages those kinds of parts that their records bring along."""
    having = [id_ for id_ in stored if settled[id_][0].attachments]
    for values in _parts(tx, _ATTACHMENTS, having):
        row = dict(zip(_ATTACHMENT, values, strict=True))
        stored[row["message_id"]].attachments[row["kind"], row["native_id"]] = row
    having = [id_ for id_ in stored if settled[id_][0].reactions]
    for id_, emoji, count in _parts(tx, _REACTIONS, having):
        stored[id_].counts[emoji] = count
    for id_, emoji, user, removed_at in _parts(tx, _REACTION_USERS, having):
        stored[id_].users.setdefault(emoji, {})[user] = removed_at
    having = [id_ for id_ in stored if settled[id_][0].mentions]
    for id_, kind, native_id in _parts(tx, _MENTIONS, having):
        stored[id_].mentions.add((kind, native_id))


def _parts(tx: Tx, statement: CompilerElement, messages: list[UUID]) -> list[tuple[Any, ...]]:
    return tx.rows(statement, {"ids": messages}) if messages else []


def read_versions(tx: Tx, messages: list[UUID]) -> dict[UUID, list[DbRow]]:
    """Read what messages said before, oldest first."""
    found: dict[UUID, list[DbRow]] = {}
    for id_, text, edited_at, edited_by, seen_at in tx.rows(_VERSIONS, {"ids": messages}):
        version = {"text": text, "edited_at": edited_at, "edited_by": edited_by, "seen_at": seen_at}
        found.setdefault(id_, []).append(version)
    return found


def apply(tx: Tx, changes: Sequence[Change]) -> None:
    """Write what was decided, kind by kind."""
    changed = [change.row for change in changes if change.row is not None]
    tx.run_many(_CHANGE, [{"message": row["id"], **{name: row[name] for name in _CHANGEABLE}} for row in changed])
    reworded = {change.id: rows.words(change.row) for change in changes if change.row is not None and change.reworded}
    if reworded:
        tx.dialect.reindex(tx, reworded)
    purged = [change.id for change in changes if change.purge]
    if purged:
        for statement in _DROP_PARTS:
            tx.run(statement, {"ids": purged})
    rewritten = [change.id for change in changes if change.attachments is not None]
    if rewritten:
        tx.run(_DROP_ATTACHMENTS, {"ids": rewritten})
    tx.insert_many(
        table(Attachment),
        [row for change in changes for row in (*(change.attachments or ()), *change.more_attachments)],
    )
    grown = {change.id: change.versions for change in changes if change.versions is not None}
    if grown:
        tx.run(_DROP_VERSIONS, {"ids": list(grown)})
        tx.insert_many(
            table(MessageVersion),
            [row for id_, versions in grown.items() for row in rows.version_rows(tx.tenant_id, id_, versions)],
        )
    tx.run_many(_COUNT, [row for change in changes for row in change.counts])
    tx.insert_many(table(ReactionUser), [row for change in changes for row in change.reaction_users])
    tx.insert_many(table(Mention), [row for change in changes for row in change.mentions])


def add_stubs(tx: Tx, names: Names, posted_as: Mapping[str, str]) -> None:
    """Make a stub of every user and channel named so far that nobody listed; a user's with the name he posted under."""
    add_stub_channels(tx, names.channels)
    add_stub_users(tx, names.users, posted_as)


def table(model: Any) -> Table:
    """Return a model's table, which its class attribute does not say to be one."""
    found: Table = model.__table__
    return found
