"""Operations that bring meetings from state to state: each change is one conditional UPDATE, so of many one wins."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, case, func, literal, null, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from undercroft.audit import ops as audit
from undercroft.core import ids
from undercroft.core.canonical import check_text
from undercroft.core.clock import require_aware
from undercroft.core.schema import any_of
from undercroft.core.server_time import server_now
from undercroft.core.tx import Tx
from undercroft.errors import AttemptsExhausted, InvalidInput, MeetingHeld
from undercroft.meetings.models import MeetingChange, MeetingSession as Row
from undercroft.meetings.reading import COLUMNS, get
from undercroft.meetings.records import Meeting, State
from undercroft.meetings.rules import (
    NEXT,
    WORKING,
    check_lease,
    check_state,
    illegal,
    sources,
    storable,
    unexpected,
)

_CHANGES = MeetingChange.metadata.tables["undercroft.meeting_changes"]
_MINE = Row.tenant_id == bindparam("tenant_id")
_IT = (_MINE, Row.id == bindparam("id"))
_FREE = or_(Row.held_until.is_(None), Row.held_until <= server_now())
_FIND = select(*COLUMNS).where(_MINE, Row.source == bindparam("source"), Row.native_id == bindparam("native_id"))
_START = (
    insert(Row)
    .values(
        tenant_id=bindparam("tenant_id"),
        state=literal("received"),
        version=literal(1),
        attempts=literal(0),
        created_at=bindparam("now"),
        updated_at=bindparam("now"),
        user_native_id=bindparam("user"),
        **{name: bindparam(name) for name in ("id", "source", "native_id", "title", "transcript", "started_at")},
    )
    .on_conflict_do_nothing(index_elements=[Row.tenant_id, Row.source, Row.native_id])
    .returning(*COLUMNS)
)
_RELEASED = {"held_by": null(), "held_until": null()}
_MOVED = {"version": Row.version + 1, "updated_at": bindparam("now"), **_RELEASED}
_DATA = ("transcript", "summary", "action_items", "crm_connection_id", "crm_external_id", "crm_result")
_BY_HOLDER = (Row.held_by == bindparam("lease"),)


def _of_both(statement: Any) -> dict[bool, Any]:
    """Return a change as anybody makes it, and as only the holder of a lease does."""
    return {False: statement.returning(*COLUMNS), True: statement.where(*_BY_HOLDER).returning(*COLUMNS)}


_ADVANCE = _of_both(
    update(Row)
    .where(*_IT, any_of(Row.state, "sources"))
    .values(
        state=bindparam("to"),
        attempts=literal(0),
        error=null(),
        failed_from=null(),
        **{name: func.coalesce(bindparam(name, type_=getattr(Row, name).type), getattr(Row, name)) for name in _DATA},
        **_MOVED,
    )
)
_FAIL = _of_both(
    update(Row)
    .where(*_IT, any_of(Row.state, "sources"))
    .values(
        state=literal("failed"), failed_from=Row.state, error=bindparam("error"), attempts=Row.attempts + 1, **_MOVED
    )
)
_RETRY = (
    update(Row)
    .where(*_IT, Row.state == literal("failed"), Row.attempts < bindparam("most"))
    .values(state=Row.failed_from, failed_from=null(), **_MOVED)
    .returning(*COLUMNS)
)
_WAITING = aliased(Row)
_TAKEN = {
    # Whoever held it has let his lease run out, so he died of it.
    "attempts": case((Row.held_until.is_not(None), Row.attempts + 1), else_=Row.attempts),
    "held_by": bindparam("lease"),
    "held_until": server_now("seconds"),
}
_CLAIM = (
    update(Row)
    .where(
        _MINE,
        Row.id
        == select(_WAITING.id)
        .where(
            _WAITING.tenant_id == bindparam("tenant_id"),
            _WAITING.state == bindparam("state"),
            or_(_WAITING.held_until.is_(None), _WAITING.held_until <= server_now()),
        )
        .order_by(_WAITING.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery(),
    )
    .values(_TAKEN)
    .returning(*COLUMNS)
)
_HOLD = update(Row).where(*_IT, Row.state == bindparam("state"), _FREE).values(_TAKEN).returning(*COLUMNS)
_RENEW = (
    update(Row)
    .where(*_IT, Row.state == bindparam("state"), *_BY_HOLDER)
    .values(held_until=server_now("seconds"))
    .returning(*COLUMNS)
)
_RELEASE = update(Row).where(*_IT, *_BY_HOLDER).values(_RELEASED)


def start(
    tx: Tx,
    native_id: str,
    *,
    source: str = "",
    user: str | None = None,
    title: str = "",
    transcript: str | None = None,
    started_at: datetime | None = None,
) -> Meeting:
    """Take a meeting in, or return the one that is there: ``native_id`` is what its ``source`` calls it.

    Whatever tells of it twice, there is one. ``transcript`` is where the transcript lies, or itself.

    Raises:
        InvalidInput: an empty id.
    """
    if not check_text(native_id, "native_id"):
        message = "A meeting needs the id that its source gave it."
        raise InvalidInput(message, field="native_id")
    given = {
        "id": ids.new(),
        "source": source,
        "native_id": native_id,
        "user": user,
        "title": title,
        "transcript": transcript,
        "started_at": None if started_at is None else require_aware(started_at, "started_at"),
        "now": tx.now,
    }
    row = tx.row(_START, given)
    if row is None:
        return Meeting(*tx.rows(_FIND, given)[0])
    return _written(tx, row, "start", by=user)


def advance(
    tx: Tx,
    meeting: UUID,
    to: State,
    *,
    expected: State | None = None,
    lease: UUID | None = None,
    transcript: str | None = None,
    summary: str | None = None,
    action_items: Sequence[Any] | Mapping[str, Any] | None = None,
    crm_connection_id: UUID | None = None,
    crm_external_id: str | None = None,
    crm_result: Mapping[str, Any] | None = None,
) -> Meeting:
    """Bring a meeting into another state and store what is given; of several who try at once exactly one does.

    ``expected`` is the state it must be in, ``lease`` the ``held_by`` that it must still have. The lease ends.

    Raises:
        IllegalTransition: from its state it does not go there, or it is not in the one expected.
        MeetingHeld: the lease ran out, and another worker may have it.
        NotFound: the tenant has no such meeting.
        InvalidInput: a word that is no state, or ``failed``, which is `fail`'s.
    """
    new = check_state(to, "to")
    if new == "failed":
        message = "A meeting fails with an error."
        raise InvalidInput(message, field="to", hint="call meetings.fail(...)")
    old = None if expected is None else check_state(expected, "expected")
    data = {
        "transcript": transcript,
        "summary": summary,
        "action_items": action_items,
        "crm_connection_id": crm_connection_id,
        "crm_external_id": crm_external_id,
        "crm_result": None if crm_result is None else dict(crm_result),
    }
    moved = {"id": meeting, "to": new, "sources": sources(new, old), "now": tx.now, **data}
    return _changed(tx, _ADVANCE, moved, new, expected=old, lease=lease)


def fail(tx: Tx, meeting: UUID, error: str, *, lease: UUID | None = None) -> Meeting:
    """Note that a meeting could not come on and why; `retry` brings it back.

    Raises:
        IllegalTransition: nothing was to be done for it.
        MeetingHeld: the lease ran out, and another worker may have it.
        NotFound: the tenant has no such meeting.
    """
    moved = {"id": meeting, "error": storable(error), "sources": sources("failed"), "now": tx.now}
    return _changed(tx, _FAIL, moved, "failed", lease=lease)


def retry(tx: Tx, meeting: UUID, *, attempts: int = 5) -> Meeting:
    """Bring a failed meeting back to where it failed, unless it did so ``attempts`` times.

    Raises:
        AttemptsExhausted: it did.
        IllegalTransition: it has not failed.
        NotFound: the tenant has no such meeting.
    """
    if attempts < 1:
        message = "A meeting is tried at least once."
        raise InvalidInput(message, field="attempts")
    row = tx.row(_RETRY, {"id": meeting, "most": attempts, "now": tx.now})
    if row is None:
        found = get(tx, meeting)
        if found.state != "failed":
            raise illegal(found.state, found.state)
        raise AttemptsExhausted(attempts=found.attempts)
    return _written(tx, row, "retry")


def claim(tx: Tx, state: State, *, for_seconds: float = 60) -> Meeting | None:
    """Take the oldest meeting in a state that no other worker has, None where there is none.

    It is held for so many seconds by the database's clock, after which another worker gets it. Its ``held_by`` is the
    lease, for `advance`, `fail` and `pushing`.

    Raises:
        InvalidInput: a state in which nothing is to be done, or a period outside of 0 to a day.
    """
    wanted = check_state(state, "state", WORKING)
    row = tx.row(_CLAIM, {"state": wanted, "lease": ids.new(), "seconds": check_lease(for_seconds)})
    return None if row is None else Meeting(*row)


def hold(tx: Tx, meeting: UUID, state: State, *, lease: UUID | None, for_seconds: float) -> Meeting:
    """Take one meeting in a state, or hold it longer."""
    given = {"id": meeting, "state": state, "lease": lease or ids.new(), "seconds": check_lease(for_seconds)}
    row = tx.row(_HOLD if lease is None else _RENEW, given)
    if row is None:
        found = get(tx, meeting)
        raise MeetingHeld if found.state == state else illegal(found.state, NEXT[state][0])
    return Meeting(*row)


def release(tx: Tx, meeting: UUID, *, lease: UUID) -> None:
    """Let another worker have it at once."""
    tx.run(_RELEASE, {"id": meeting, "lease": lease})


def _changed(
    tx: Tx,
    statements: Mapping[bool, Any],
    moved: dict[str, Any],
    to: State,
    *,
    expected: State | None = None,
    lease: UUID | None = None,
) -> Meeting:
    row = tx.row(statements[lease is not None], moved if lease is None else {**moved, "lease": lease})
    if row is not None:
        return _written(tx, row, "fail" if to == "failed" else "advance")
    found = get(tx, moved["id"])
    if to not in NEXT[found.state]:
        raise illegal(found.state, to)
    if expected is not None and found.state != expected:
        raise unexpected(found.state, to, expected)
    raise MeetingHeld


def _written(tx: Tx, row: tuple[Any, ...], verb: str, *, by: str | None = None) -> Meeting:
    """Write down that a meeting came into a state."""
    meeting = Meeting(*row)
    error = meeting.error if meeting.state == "failed" else None
    change = {"version": meeting.version, "state": meeting.state, "error": error, "at": meeting.updated_at}
    tx.insert_many(_CHANGES, [{"tenant_id": tx.tenant_id, "meeting_id": meeting.id, **change}], conflict="error")
    audit.log(
        tx,
        f"meeting.{verb}",
        by=by,
        status="failure" if meeting.state == "failed" else "success",
        resource_type="meeting",
        resource_id=str(meeting.id),
        data={"state": meeting.state},
    )
    return meeting
