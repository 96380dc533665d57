"""Meetings: from state to state, each change made once, and pushed to the CRM once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
from sqlalchemy import bindparam, update

from tests.reliability.own_calls import ours
from undercroft import errors
from undercroft.core.tx import Tx
from undercroft.meetings.models import MeetingSession
from undercroft.meetings.rules import NEXT, STATES

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def at(tenant: Any, state: str) -> Any:
    """A meeting in a state."""
    meeting = tenant.meetings.start(uuid4().hex, source="zoom", user="U1")
    match state:
        case "received":
            return meeting
        case "failed":
            return tenant.meetings.fail(meeting.id, "no sound")
        case "pushed":
            tenant.meetings.advance(meeting.id, "summarised")
    return tenant.meetings.advance(meeting.id, state)


def test_a_meeting_comes_all_the_way(tenant):
    begun = tenant.meetings.start("m1", source="fathom", user="U1", title="Kick-off", started_at=NOON)
    assert (begun.state, begun.version, begun.attempts, begun.started_at) == ("received", 1, 0, NOON)
    assert tenant.meetings.get(begun.id) == begun
    transcribed = tenant.meetings.advance(begun.id, "transcribed", transcript="s3://t/m1.vtt")
    assert (transcribed.state, transcribed.transcript) == ("transcribed", "s3://t/m1.vtt")
    items = [{"who": "ada", "what": "send the offer"}]
    summarised = tenant.meetings.advance(begun.id, "summarised", summary="They want it.", action_items=items)
    assert (summarised.transcript, summarised.summary, summarised.action_items) == (
        "s3://t/m1.vtt",
        "They want it.",
        items,
    )
    crm = tenant.crm.connect("hubspot", credentials="env:KEY")
    with tenant.meetings.pushing(begun.id) as push:
        push.connection, push.external_id, push.result = crm.id, "note-7", {"url": "https://crm/7"}
    done = tenant.meetings.get(begun.id)
    assert (done.state, done.crm_connection_id, done.crm_external_id) == ("pushed", crm.id, "note-7")
    assert (done.crm_result, done.held_by, done.held_until) == ({"url": "https://crm/7"}, None, None)
    changes = tenant.meetings.history(begun.id)
    assert [(one.version, one.state) for one in changes] == [
        (1, "received"),
        (2, "transcribed"),
        (3, "summarised"),
        (4, "pushed"),
    ]
    assert [one.at for one in changes] == sorted(one.at for one in changes)
    told = tenant.audit.search(resource_type="meeting", resource_id=str(begun.id))
    assert [one.event_type for one in told] == [*["meeting.advance"] * 3, "meeting.start"]


def test_a_meeting_that_is_told_of_twice_is_one(tenant):
    first = tenant.meetings.start("m1", source="zoom", title="Kick-off")
    tenant.meetings.advance(first.id, "summarised")
    again = tenant.meetings.start("m1", source="zoom", title="other")
    assert (again.id, again.title, again.state) == (first.id, "Kick-off", "summarised")
    assert tenant.meetings.start("m1", source="fathom").id != first.id
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: tenant.meetings.start("m2").id, range(8)))
    assert len(set(found)) == 1
    assert len(tenant.meetings.history(found[0])) == 1


@pytest.mark.parametrize("colour", ["sync"])
@pytest.mark.parametrize("old", STATES)
def test_what_the_table_does_not_have_is_refused_with_both_states_named(tenant, old):
    meeting = at(tenant, old)
    for new in STATES:
        if new == "failed" or new in NEXT[old]:
            continue
        for expected in (None, old):
            with pytest.raises(errors.IllegalTransition) as refused:
                tenant.meetings.advance(meeting.id, new, expected=expected)
            assert (refused.value.old, refused.value.new) == (old, new)
            assert old in refused.value.message
            assert new in refused.value.message
    if "failed" not in NEXT[old]:
        with pytest.raises(errors.IllegalTransition):
            tenant.meetings.fail(meeting.id, "no")
    assert tenant.meetings.get(meeting.id) == meeting
    assert len(tenant.meetings.history(meeting.id)) == meeting.version


@pytest.mark.parametrize("colour", ["sync"])
@pytest.mark.parametrize("old", STATES)
def test_what_the_table_has_is_done(tenant, old):
    for new in NEXT[old]:
        meeting = at(tenant, old)
        call = (
            partial(tenant.meetings.fail, error="no") if new == "failed" else partial(tenant.meetings.advance, to=new)
        )
        assert call(meeting.id).state == new


def test_control_a_table_that_allows_everything_refuses_nothing(tenant):
    meeting = at(tenant, "pushed")
    with patch.dict(NEXT, dict.fromkeys(STATES, STATES)):
        assert tenant.meetings.advance(meeting.id, "received").state == "received"


def test_of_those_who_advance_at_once_exactly_one_does(tenant):
    meeting = at(tenant, "received")
    ready = threading.Barrier(6)

    def advance(number: int) -> bool:
        ready.wait()
        try:
            tenant.meetings.advance(meeting.id, "transcribed", transcript=f"t{number}")
        except errors.IllegalTransition:
            return False
        return True

    with ThreadPoolExecutor(6) as threads:
        won = list(threads.map(advance, range(6)))
    assert won.count(True) == 1
    assert tenant.meetings.get(meeting.id).transcript == f"t{won.index(True)}"
    assert [one.state for one in tenant.meetings.history(meeting.id)] == ["received", "transcribed"]


def test_who_expects_another_state_is_told_which_it_is(tenant):
    meeting = at(tenant, "transcribed")
    with pytest.raises(errors.IllegalTransition, match="transcribed and not received"):
        tenant.meetings.advance(meeting.id, "summarised", expected="received")
    assert tenant.meetings.advance(meeting.id, "summarised", expected="transcribed").state == "summarised"


def test_a_failure_is_kept_and_retried_as_often_as_is_allowed(tenant):
    meeting = at(tenant, "transcribed")
    for number in (1, 2):
        failed = tenant.meetings.fail(meeting.id, f"model: {number}\0")
        assert (failed.state, failed.failed_from, failed.attempts) == ("failed", "transcribed", number)
        assert failed.error.startswith(f"model: {number}")
        back = tenant.meetings.retry(meeting.id, attempts=3)
        assert (back.state, back.failed_from, back.attempts) == ("transcribed", None, number)
    tenant.meetings.fail(meeting.id, "model: 3")
    with pytest.raises(errors.AttemptsExhausted) as refused:
        tenant.meetings.retry(meeting.id, attempts=3)
    assert refused.value.context["attempts"] == 3
    assert tenant.meetings.retry(meeting.id, attempts=4).state == "transcribed"
    with pytest.raises(errors.IllegalTransition):
        tenant.meetings.retry(meeting.id)
    done = tenant.meetings.advance(meeting.id, "summarised")
    assert (done.attempts, done.error) == (0, None)
    assert [one.error for one in tenant.meetings.history(meeting.id) if one.state == "failed"][-1] == "model: 3"
    assert len(tenant.audit.failures()) == 3


# -- workers ----------------------------------------------------------------------------------------------------------

_PASSED = (
    update(MeetingSession)
    .where(MeetingSession.tenant_id == bindparam("tenant_id"), MeetingSession.held_until.is_not(None))
    .values(held_until=bindparam("past"))
)


def _pass(tx: Tx) -> int:
    return tx.run(_PASSED, {"past": datetime(2020, 1, 1, tzinfo=UTC)})


def lease_ends(tenant: Any) -> None:
    """Let every lease of a tenant have ended."""
    assert ours(tenant, _pass)()


def test_workers_take_the_oldest_and_none_takes_anothers(tenant):
    meetings = [tenant.meetings.start(f"m{number}").id for number in range(12)]
    assert tenant.meetings.claim("transcribed") is None
    first = tenant.meetings.claim("received", for_seconds=30)
    assert (first.id, first.attempts) == (meetings[0], 0)
    assert timedelta(0) < first.held_until - first.updated_at <= timedelta(seconds=60)
    with ThreadPoolExecutor(6) as threads:
        others = [one.id for one in threads.map(lambda _: tenant.meetings.claim("received"), range(11)) if one]
    while (one := tenant.meetings.claim("received")) is not None:  # who found a row locked may have gone without
        others.append(one.id)
    assert sorted(others) == meetings[1:]


def test_a_worker_that_died_is_followed_by_another(tenant):
    meeting = at(tenant, "received")
    dead = tenant.meetings.claim("received")
    assert tenant.meetings.claim("received") is None
    lease_ends(tenant)
    alive = tenant.meetings.claim("received")
    assert (alive.id, alive.attempts) == (meeting.id, 1)
    assert alive.held_by != dead.held_by
    for call in (
        lambda: tenant.meetings.advance(meeting.id, "transcribed", lease=dead.held_by),
        lambda: tenant.meetings.fail(meeting.id, "too late", lease=dead.held_by),
    ):
        with pytest.raises(errors.MeetingHeld):
            call()
    done = tenant.meetings.advance(meeting.id, "transcribed", lease=alive.held_by)
    assert (done.state, done.held_by, done.attempts) == ("transcribed", None, 0)
    assert tenant.meetings.claim("transcribed").id == meeting.id


def test_control_without_the_lease_two_workers_have_one_meeting(tenant):
    at(tenant, "received")
    first = tenant.meetings.claim("received")
    lease_ends(tenant)
    assert tenant.meetings.claim("received").id == first.id


def test_only_one_pushes_and_a_push_that_breaks_has_failed(tenant):
    meeting = at(tenant, "summarised")
    claimed = tenant.meetings.claim("summarised")
    with pytest.raises(errors.MeetingHeld), tenant.meetings.pushing(meeting.id):
        raise AssertionError
    with pytest.raises(ZeroDivisionError), tenant.meetings.pushing(meeting.id, lease=claimed.held_by) as push:
        key = push.idempotency_key
        raise ZeroDivisionError("the CRM is gone")
    failed = tenant.meetings.get(meeting.id)
    assert (failed.state, failed.failed_from, failed.error) == (
        "failed",
        "summarised",
        "ZeroDivisionError: the CRM is gone",
    )
    tenant.meetings.retry(meeting.id)
    with tenant.meetings.pushing(meeting.id) as push:
        assert push.idempotency_key == key
    with pytest.raises(errors.IllegalTransition) as refused, tenant.meetings.pushing(meeting.id):
        raise AssertionError
    assert (refused.value.old, refused.value.new) == ("pushed", "pushed")


def test_a_worker_that_is_told_to_stop_lets_go_at_once(tenant):
    meeting = at(tenant, "summarised")
    with pytest.raises(SystemExit), tenant.meetings.pushing(meeting.id):
        raise SystemExit
    assert tenant.meetings.claim("summarised").id == meeting.id


def test_a_push_that_took_too_long_is_left_to_who_has_it_now(tenant):
    meeting = at(tenant, "summarised")
    with pytest.raises(errors.IllegalTransition), tenant.meetings.pushing(meeting.id) as late:
        late.external_id = "late"
        lease_ends(tenant)
        with tenant.meetings.pushing(meeting.id) as push:
            push.external_id = "once"
        assert push.idempotency_key == late.idempotency_key
    assert tenant.meetings.get(meeting.id).crm_external_id == "once"


def test_who_is_too_late_neither_ends_nor_fails_the_push_of_another(tenant):
    meeting = at(tenant, "summarised")
    for error in (errors.MeetingHeld, ZeroDivisionError):
        with pytest.raises(error), tenant.meetings.pushing(meeting.id):
            lease_ends(tenant)
            held = tenant.meetings.claim("summarised")
            if error is ZeroDivisionError:
                raise ZeroDivisionError
        assert tenant.meetings.get(meeting.id) == held
        lease_ends(tenant)


# -- reading ----------------------------------------------------------------------------------------------------------


def test_meetings_of_a_user_in_a_period_and_a_state(tenant):
    made = [tenant.meetings.start(f"m{number}", user=f"U{number % 2}") for number in range(6)]
    tenant.meetings.advance(made[0].id, "cancelled")
    ours_ = [one.id for one in made[::2]][::-1]
    assert [one.id for one in tenant.meetings.for_user("U0")] == ours_
    assert [one.id for one in tenant.meetings.for_user("U0", state="cancelled")] == [made[0].id]
    assert [one.id for one in tenant.meetings.for_user("U0", limit=1, before=ours_[0])] == [ours_[1]]
    hour = timedelta(hours=1)
    assert len(tenant.meetings.for_user("U0", since=made[0].created_at - hour, until=made[0].created_at + hour)) == 3
    assert tenant.meetings.for_user("U0", until=made[0].created_at - hour) == []
    assert len(tenant.meetings.list()) == 6
    assert [one.id for one in tenant.meetings.list(state="cancelled")] == [made[0].id]
    assert tenant.meetings.stats() == dict.fromkeys(STATES, 0) | {"received": 5, "cancelled": 1}


@pytest.mark.parametrize("colour", ["sync"])
@pytest.mark.parametrize(
    "call",
    [
        lambda meetings, one: meetings.start(""),
        lambda meetings, one: meetings.start("m2", started_at=NOON.replace(tzinfo=None)),
        lambda meetings, one: meetings.advance(one, "transcribing"),
        lambda meetings, one: meetings.advance(one, "failed"),
        lambda meetings, one: meetings.advance(one, "transcribed", expected="new"),
        lambda meetings, one: meetings.claim("pushed"),
        lambda meetings, one: meetings.claim("received", for_seconds=0),
        lambda meetings, one: meetings.claim("received", for_seconds=float("nan")),
        lambda meetings, one: meetings.retry(one, attempts=0),
        lambda meetings, one: meetings.list(state="done"),
        lambda meetings, one: meetings.list(limit=0),
        lambda meetings, one: meetings.for_user("U1", since=NOON.replace(tzinfo=None)),
    ],
    ids=[
        *("no id", "naive start", "no state", "failed without an error", "expecting no state", "claiming the end"),
        *("no lease", "nan", "no attempt", "no such state", "empty page", "naive period"),
    ],
)
def test_wrong_input_is_refused_and_changes_nothing(tenant, call):
    meeting = tenant.meetings.start("m1")
    with pytest.raises(errors.InvalidInput):
        call(tenant.meetings, meeting.id)
    assert tenant.meetings.list() == [meeting]


def test_another_tenants_meeting_is_not_found_and_a_deleted_tenants_out_of_reach(store, new_tenant):
    one, other = new_tenant(), new_tenant()
    meeting = one.meetings.start("m1")
    assert other.meetings.start("m1").id != meeting.id
    for call in (
        other.meetings.get,
        other.meetings.retry,
        partial(other.meetings.advance, to="summarised"),
        partial(other.meetings.fail, error="no"),
    ):
        with pytest.raises(errors.NotFound):
            call(meeting.id)
    assert other.meetings.history(meeting.id) == []
    store.tenants.soft_delete(one.key)
    for call in (
        one.meetings.list,
        one.meetings.stats,
        partial(one.meetings.get, meeting.id),
        partial(one.meetings.start, "m2"),
        partial(one.meetings.claim, "received"),
        partial(one.meetings.advance, meeting.id, "summarised"),
    ):
        with pytest.raises(errors.TenantDeleted):
            call()
    with pytest.raises(errors.TenantDeleted), one.meetings.pushing(meeting.id):
        raise AssertionError
    store.tenants.restore(one.key)
    assert one.meetings.get(meeting.id) == meeting


def test_a_change_in_a_transaction_is_stored_with_it_or_not_at_all(tenant):
    meeting = at(tenant, "received")
    with pytest.raises(KeyError), tenant.transaction() as tx:
        tx.meetings.advance(meeting.id, "summarised")
        raise KeyError
    assert tenant.meetings.get(meeting.id) == meeting
