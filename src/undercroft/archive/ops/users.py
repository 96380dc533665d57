"""The users that a platform's lists and messages name; roles and preferences are never touched from here."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Table, bindparam, select, update

from undercroft.archive.records import UserRecord
from undercroft.archive.results import Saved
from undercroft.archive.rows import DbRow, checked
from undercroft.archive.rules import merge_user
from undercroft.core.schema import any_of
from undercroft.core.tx import Tx
from undercroft.users.models import User as Row

_TABLE: Table = Row.__table__  # type: ignore[assignment]  # declared wider than it is
_MINE = Row.tenant_id == bindparam("tenant_id")
_FIELDS = ("name", "display_name", "real_name", "email", "is_bot", "is_stub", "timezone", "profile")
_KNOWN = (
    select(Row.id, Row.native_id, Row.deleted_at, *(getattr(Row, name) for name in _FIELDS))
    .where(_MINE, any_of(Row.id, "ids"))
    .order_by(Row.id)
    .with_for_update()
)
_CHANGE = (
    update(Row)
    .where(_MINE, Row.id == bindparam("user"))
    .values(
        updated_at=bindparam("now"),
        deleted_at=bindparam("deleted_at"),
        **{name: bindparam(name) for name in _FIELDS},
    )
)


def save_users(tx: Tx, records: Sequence[UserRecord]) -> Saved:
    """Store users: unknown ones are added, of known ones what the record says is changed; a blank says nothing.

    A stub never changes a user who came from a list; a record from a list replaces a stub.

    Raises:
        InvalidInput: an empty id, or text that cannot be stored.
    """
    if not records:
        return Saved()
    given: dict[UUID, list[UserRecord]] = {}
    for record in records:
        given.setdefault(tx.named("user", checked(record.native_id, "user")), []).append(record)
    known: dict[UUID, tuple[UserRecord, Any]] = {}
    for id_, native_id, deleted_at, *fields in tx.rows(_KNOWN, {"ids": list(given)}):
        values = dict(zip(_FIELDS, fields, strict=True))
        known[id_] = UserRecord(native_id=native_id, is_deleted=deleted_at is not None, **values), deleted_at
    added: list[DbRow] = []
    changed: list[DbRow] = []
    for id_ in sorted(given):
        old, deleted_at = known.get(id_, (None, None))
        new = old
        for record in given[id_]:
            new = merge_user(new, record)
        if new is None or new == old:
            continue
        deleted_at = (deleted_at or tx.now) if new.is_deleted else None
        values = {"deleted_at": deleted_at, **{name: getattr(new, name) for name in _FIELDS}}
        if old is None:
            added.append(_new_row(tx, id_, new.native_id, values))
        else:
            changed.append({"user": id_, "now": tx.now, **values})
    stored = tx.insert_many(_TABLE, added)
    tx.run_many(_CHANGE, changed)
    return Saved(stored, len(changed), len(records) - stored - len(changed))


def add_stub_users(tx: Tx, users: Mapping[str, UUID], posted_as: Mapping[str, str]) -> int:
    """Make a stub of every user who is not known, native id to id; `posted_as` are the names they wrote under."""
    blank: DbRow = {"name": "", "real_name": "", "email": None, "timezone": None, "profile": {}, "deleted_at": None}
    return tx.insert_many(
        _TABLE,
        [
            _new_row(
                tx,
                id_,
                native_id,
                {**blank, "display_name": posted_as.get(native_id, ""), "is_bot": False, "is_stub": True},
            )
            for native_id, id_ in sorted(users.items(), key=lambda user: user[1])
        ],
    )


def _new_row(tx: Tx, id_: UUID, native_id: str, values: DbRow) -> DbRow:
    return {
        "tenant_id": tx.tenant_id,
        "id": id_,
        "platform": tx.platform,
        "native_id": native_id,
        "role": "member",
        "preferences": {},
        "created_at": tx.now,
        "updated_at": tx.now,
        **{name: values[name] for name in ("deleted_at", *_FIELDS)},
    }
