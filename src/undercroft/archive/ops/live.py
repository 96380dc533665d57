"""What a running bot sees happen to single messages."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, null, select, update
from sqlalchemy.dialects.postgresql import insert

from undercroft.archive import rows, rules
from undercroft.archive.merging import Change, version_of
from undercroft.archive.models import Message as Row, Reaction, ReactionUser
from undercroft.archive.ops.reading import get
from undercroft.archive.ops.saving import LOCKED, WHOLE, add_stubs, apply, read_versions, save_messages
from undercroft.archive.records import MessageRecord, ReactionRecord
from undercroft.archive.results import Message
from undercroft.archive.rows import DbRow, Names
from undercroft.core.clock import require_aware
from undercroft.core.tx import Tx
from undercroft.errors import InvalidInput, NotFound

_KEY: dict[str, Any] = {
    "tenant_id": bindparam("tenant_id"),
    "message_id": bindparam("message"),
    "emoji": bindparam("emoji"),
}


def _of_reaction(part: Any) -> tuple[Any, ...]:
    return tuple(getattr(part, name) == value for name, value in _KEY.items())


_CHOSEN = select(ReactionUser.removed_at).where(*_of_reaction(ReactionUser), ReactionUser.user_id == bindparam("user"))
_CHOOSE = (
    insert(ReactionUser)
    .values(**_KEY, user_id=bindparam("user"), removed_at=null())
    .on_conflict_do_update(index_elements=["tenant_id", "message_id", "emoji", "user_id"], set_={"removed_at": null()})
)
_TAKE_BACK = (
    update(ReactionUser)
    .where(*_of_reaction(ReactionUser), ReactionUser.user_id == bindparam("user"))
    .values(removed_at=bindparam("now"))
)
_COUNTED = select(Reaction.count).where(*_of_reaction(Reaction))
_INSERT_COUNT = insert(Reaction).values(**_KEY, count=bindparam("number"))
_SET_COUNT = _INSERT_COUNT.on_conflict_do_update(
    index_elements=["tenant_id", "message_id", "emoji"], set_={"count": _INSERT_COUNT.excluded.count}
)
_ANY_REACTION = (
    select(Reaction.emoji)
    .where(
        Reaction.tenant_id == bindparam("tenant_id"), Reaction.message_id == bindparam("message"), Reaction.count > 0
    )
    .limit(1)
)
_SET_FLAG = (
    update(Row)
    .where(Row.tenant_id == bindparam("tenant_id"), Row.id == bindparam("message"))
    .values(has_reaction=bindparam("flag"))
)


def edit(
    tx: Tx,
    channel: str,
    native_id: str,
    *,
    text: str,
    plain: str | None = None,
    edited_at: datetime | None = None,
    by: str | None = None,
    sent_at: datetime | None = None,
) -> Message:
    """Change what a message says and keep what it said; returns the message as it stands then.

    ``plain`` is the text as a reader sees it where that differs, ``edited_at`` now by default, ``by`` a native user id.
    ``sent_at`` is needed where the platform's ids carry no time. An edit that is not newer than what is stored, or of
    a deleted message, changes nothing: events come late and twice.

    Raises:
        NotFound: the archive has no such message.
        InvalidInput: an empty id, a naive moment, or text that cannot be stored.
    """
    names = Names(tx.tenant_id, tx.platform, tx.named)
    stored = _locked(tx, names, channel, native_id, sent_at)
    became = tx.now if edited_at is None else require_aware(edited_at, "edited_at")
    if stored["deleted_at"] is None and became > (stored["edited_at"] or stored["sent_at"]):
        row = stored | {
            "text": text,
            "plain": plain,
            "edited_at": became,
            "edited_by": names.user(by) if by else None,
            "has_link": rules.has_link(text) or rules.has_link(stored["search_words"]),
        }
        versions = [*read_versions(tx, [stored["id"]]).get(stored["id"], ()), version_of(stored, tx.now)]
        add_stubs(tx, names, {})
        apply(tx, [Change(stored["id"], row=row, reworded=True, versions=versions)])
    return get(tx, channel, native_id, sent_at=sent_at)


def delete(
    tx: Tx, channel: str, native_id: str, *, at: datetime | None = None, sent_at: datetime | None = None
) -> Message:
    """Delete a message: its text, parts, earlier versions and words in the index go for good, its place stays.

    A message that is not in the archive is marked too, so that no older export brings it back. ``at`` is now by
    default, ``sent_at`` is needed where the platform's ids carry no time.

    Raises:
        InvalidInput: an empty id, or a naive moment.
    """
    moment = rules.native_moment(tx.platform, native_id) or sent_at
    if moment is None:
        raise rows.without_time()
    deleted_at = tx.now if at is None else require_aware(at, "at")
    save_messages(tx, [MessageRecord(channel=channel, native_id=native_id, sent_at=moment, deleted_at=deleted_at)])
    return get(tx, channel, native_id, sent_at=sent_at)


def react(
    tx: Tx,
    channel: str,
    native_id: str,
    *,
    emoji: str,
    user: str,
    remove: bool = False,
    sent_at: datetime | None = None,
) -> ReactionRecord:
    """Add a user's reaction to a message, or take it back; doing either twice is doing it once.

    ``emoji`` is the character or the platform's name of it, ``user`` a native id, ``sent_at`` is needed where the
    platform's ids carry no time. Returns the emoji's count; ``users`` is whom this call added.

    Raises:
        NotFound: the archive has no such message.
        InvalidInput: an empty id or emoji.
    """
    if not emoji:
        raise InvalidInput("A reaction needs an emoji", field="emoji")
    names = Names(tx.tenant_id, tx.platform, tx.named)
    message = _locked(tx, names, channel, native_id, sent_at)
    key = {"message": message["id"], "emoji": emoji, "user": names.user(user)}
    chosen = tx.row(_CHOSEN, key)
    count: int = tx.value(_COUNTED, key) or 0
    had = chosen is not None and chosen[0] is None
    if message["deleted_at"] is not None or had is not remove:
        return ReactionRecord(emoji=emoji, count=count)
    if remove:
        tx.run(_TAKE_BACK, {**key, "now": tx.now})
    else:
        add_stubs(tx, names, {})
        tx.run(_CHOOSE, key)
    count = max(0, count + (-1 if remove else 1))
    tx.run(_SET_COUNT, {**key, "number": count})
    flag = count > 0 or tx.row(_ANY_REACTION, key) is not None
    if flag is not message["has_reaction"]:
        tx.run(_SET_FLAG, {**key, "flag": flag})
    return ReactionRecord(emoji=emoji, count=count, users=() if remove else (user,))


def _locked(tx: Tx, names: Names, channel: str, native_id: str, sent_at: datetime | None) -> DbRow:
    id_: UUID = names.asked(channel, native_id, sent_at)
    row = tx.row(LOCKED, {"ids": [id_]})
    if row is None:
        raise NotFound("The archive has no such message.", channel=channel, native_id=native_id)
    return dict(zip(WHOLE, row, strict=True))
