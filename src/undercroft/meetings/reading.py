"""Operations that read meetings and where they have been."""

from dataclasses import fields
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, func, select

from undercroft.core import ids
from undercroft.core.clock import require_aware
from undercroft.core.pages import Filtered, check_limit
from undercroft.core.tx import Tx
from undercroft.errors import NotFound
from undercroft.meetings.models import MeetingChange, MeetingSession as Row
from undercroft.meetings.records import Change, Meeting, State
from undercroft.meetings.rules import STATES, check_state

COLUMNS = tuple(getattr(Row, "user_native_id" if field.name == "user" else field.name) for field in fields(Meeting))
_MINE = Row.tenant_id == bindparam("tenant_id")
_GET = select(*COLUMNS).where(_MINE, Row.id == bindparam("id"))
_LIST = Filtered(
    select(*COLUMNS).where(_MINE).order_by(Row.id.desc()).limit(bindparam("limit")),
    user=Row.user_native_id == bindparam("user"),
    state=Row.state == bindparam("state"),
    since=Row.id >= bindparam("since"),
    until=Row.id < bindparam("until"),
    before=Row.id < bindparam("before"),
)
_HISTORY = (
    select(*(getattr(MeetingChange, field.name) for field in fields(Change)))
    .where(MeetingChange.tenant_id == bindparam("tenant_id"), MeetingChange.meeting_id == bindparam("id"))
    .order_by(MeetingChange.version)
)
_STATS = select(Row.state, func.count()).where(_MINE).group_by(Row.state)


def get(tx: Tx, meeting: UUID) -> Meeting:
    """Look up a meeting.

    Raises:
        NotFound: the tenant has no such meeting.
    """
    row = tx.row(_GET, {"id": meeting})
    if row is None:
        message = "The tenant has no such meeting."
        raise NotFound(message)
    return Meeting(*row)


def list_(
    tx: Tx,
    *,
    user: str | None = None,
    state: State | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 50,
    before: UUID | None = None,
) -> list[Meeting]:
    """List meetings, the latest taken in first; ``before`` is the id of the last one of the page before.

    ``since`` and ``until`` are about when they were taken in.
    """
    statement, used = _LIST.given(
        user=user,
        state=None if state is None else check_state(state, "state"),
        since=None if since is None else ids.floor(require_aware(since, "since")),
        until=None if until is None else ids.floor(require_aware(until, "until")),
        before=before,
        limit=check_limit(limit),
    )
    return [Meeting(*row) for row in tx.rows(statement, used)]


def for_user(
    tx: Tx,
    user: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    state: State | None = None,
    limit: int = 50,
    before: UUID | None = None,
) -> list[Meeting]:
    """List the meetings of a user, as `list` does."""
    return list_(tx, user=user, state=state, since=since, until=until, limit=limit, before=before)


def history(tx: Tx, meeting: UUID) -> list[Change]:
    """Return the states that a meeting came through, in order; none where the tenant has no such meeting."""
    return [Change(*row) for row in tx.rows(_HISTORY, {"id": meeting})]


def stats(tx: Tx) -> dict[State, int]:
    """Count the meetings in each state."""
    counted = {state: int(number) for state, number in tx.rows(_STATS)}
    return {state: counted.get(state, 0) for state in STATES}
