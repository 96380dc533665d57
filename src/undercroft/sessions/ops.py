"""Operations on sessions."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, null, select, update
from sqlalchemy.dialects.postgresql import insert

from undercroft.core import ids
from undercroft.core.dialects.base import ReturnedRow
from undercroft.core.pages import Filtered, check_limit
from undercroft.core.tx import Tx
from undercroft.errors import InvalidInput, NotFound
from undercroft.sessions.models import UserSession as Row
from undercroft.sessions.records import Session

_COLUMNS = (
    Row.id,
    Row.user_native_id,
    Row.channel,
    Row.team,
    Row.current_database,
    Row.preferences,
    Row.started_at,
    Row.last_activity_at,
    Row.ended_at,
)
_MINE = Row.tenant_id == bindparam("tenant_id")
_NEW = insert(Row).values(
    tenant_id=bindparam("tenant_id"),
    id=bindparam("id"),
    user_native_id=bindparam("user"),
    channel=bindparam("channel"),
    team=bindparam("team"),
    current_database=bindparam("current_database"),
    preferences=bindparam("preferences"),
    started_at=bindparam("now"),
    last_activity_at=bindparam("now"),
    ended_at=null(),
)
_START = _NEW.on_conflict_do_update(
    index_elements=[Row.tenant_id, Row.user_native_id, Row.channel],
    index_where=Row.ended_at.is_(None),
    set_={
        "last_activity_at": _NEW.excluded.last_activity_at,
        "team": func.coalesce(_NEW.excluded.team, Row.team),
        "current_database": func.coalesce(_NEW.excluded.current_database, Row.current_database),
    },
).returning(*_COLUMNS)
_ACTIVE = select(*_COLUMNS).where(
    _MINE, Row.user_native_id == bindparam("user"), Row.channel == bindparam("channel"), Row.ended_at.is_(None)
)
_GET = select(*_COLUMNS).where(_MINE, Row.id == bindparam("id"))
_LIVING = (_MINE, Row.id == bindparam("id"), Row.ended_at.is_(None))
_TABLE = Row.metadata.tables["undercroft.user_sessions"]
_TOUCHED = ReturnedRow(_LIVING, _COLUMNS)
_CHANGE = (
    update(Row)
    .where(*_LIVING)
    .values(current_database=bindparam("current_database"), preferences=bindparam("preferences"))
    .returning(*_COLUMNS)
)
_END = update(Row).where(*_LIVING).values(ended_at=bindparam("now"))
_END_IDLE = (
    update(Row)
    .where(_MINE, Row.ended_at.is_(None), Row.last_activity_at < bindparam("before"))
    .values(ended_at=bindparam("now"))
)
_LIST = Filtered(
    select(*_COLUMNS).where(_MINE).order_by(Row.id.desc()).limit(bindparam("limit")),
    user=Row.user_native_id == bindparam("user"),
    channel=Row.channel == bindparam("channel"),
    active=Row.ended_at.is_(None),
    before=Row.id < bindparam("before"),
)


def start(
    tx: Tx,
    user: str,
    *,
    channel: str = "",
    team: str | None = None,
    current_database: str | None = None,
    preferences: Mapping[str, Any] | None = None,
) -> Session:
    """Start a session, or go on with the one that is active for this user and channel.

    What is given replaces what an active session had; its preferences are kept key by key.

    Raises:
        InvalidInput: an empty user.
    """
    if not user:
        message = "A session needs the platform's id of a user."
        raise InvalidInput(message, field="user")
    started = Session(
        *tx.rows(
            _START,
            {
                "id": ids.new(),
                "user": user,
                "channel": channel,
                "team": team,
                "current_database": current_database,
                "preferences": dict(preferences or {}),
                "now": tx.now,
            },
        )[0]
    )
    if not preferences or started.preferences == preferences:
        return started
    return save(tx, started.id, preferences=preferences)


def active(tx: Tx, user: str, *, channel: str = "") -> Session | None:
    """Return the active session of a user in a channel, None where there is none."""
    row = tx.row(_ACTIVE, {"user": user, "channel": channel})
    return None if row is None else Session(*row)


def get(tx: Tx, session: UUID) -> Session:
    """Look up a session, an ended one too.

    Raises:
        NotFound: the tenant has no such session.
    """
    row = tx.row(_GET, {"id": session})
    if row is None:
        raise _none()
    return Session(*row)


def touch(tx: Tx, session: UUID) -> Session:
    """Note that the session is in use.

    Raises:
        NotFound: the tenant has no such session, or it has ended.
    """
    touching = tx.dialect.update_by_key(_TABLE, ("last_activity_at",), _TOUCHED)
    row = tx.row(touching, {"id": session, "new_last_activity_at": tx.now})
    if row is None:
        raise _none()
    return Session(*row)


def save(
    tx: Tx, session: UUID, *, current_database: str | None = None, preferences: Mapping[str, Any] | None = None
) -> Session:
    """Change the context of an active session: the database asked, preferences key by key.

    Raises:
        NotFound: the tenant has no such session, or it has ended.
    """
    old = touch(tx, session)  # a write comes first: whoever saves at the same moment waits, and finds what we saved
    changed = {
        "current_database": current_database or old.current_database,
        "preferences": {**old.preferences, **(preferences or {})},
    }
    return Session(*tx.rows(_CHANGE, {"id": session, **changed})[0])


def end(tx: Tx, session: UUID) -> bool:
    """End a session; tells whether it was active."""
    return tx.run(_END, {"id": session, "now": tx.now}) > 0


def list_(
    tx: Tx,
    *,
    user: str | None = None,
    channel: str | None = None,
    active: bool = False,
    limit: int = 100,
    before: UUID | None = None,
) -> list[Session]:
    """List sessions, newest first; ``before`` is the id of the last one of the page before."""
    statement, used = _LIST.given(
        user=user, channel=channel, active=active or None, before=before, limit=check_limit(limit)
    )
    return [Session(*row) for row in tx.rows(statement, used)]


def cleanup(tx: Tx, *, hours: float = 24) -> int:
    """End every session that was idle for so many hours; returns how many."""
    if hours <= 0:
        message = "The period must be positive."
        raise InvalidInput(message, field="hours")
    return tx.run(_END_IDLE, {"before": tx.now - timedelta(hours=hours), "now": tx.now})


def _none() -> NotFound:
    message = "The tenant has no such active session."
    return NotFound(message)
