"""Writes under an idempotency key: done once and answered alike, on every engine in both colours."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from tests import servers
from undercroft import errors, models
from undercroft.core import idempotency
from undercroft.core.operation import operation
from undercroft.core.tx import Tx


def kept(tenant) -> list[tuple[str, str]]:
    with tenant.session() as session:
        return [(row.operation, row.key) for row in session.scalars(sa.select(models.IdempotencyKey))]


def test_a_call_under_a_key_is_done_once_and_answered_alike(tenant):
    once = tenant.idempotent("k1")
    first = once.audit.log("report.sent", by="U1", data={"to": ["a", 1, 2.5, None, True], "of": {"ä": "€"}})
    again = once.audit.log("report.sent", by="U1", data={"to": ["a", 1, 2.5, None, True], "of": {"ä": "€"}})
    assert again == first
    assert type(again) is type(first)
    assert tenant.audit.recent() == [first]
    assert tenant.idempotent("k1").audit.log("report.sent", by="U1", data=dict(first.data)) == first
    user = once.users.ensure("U1", name="Ada", preferences={"a": 1})
    assert once.users.ensure("U1", name="Ada", preferences={"a": 1}) == user == tenant.users.get("U1")
    assert sorted(kept(tenant)) == [("audit.new_event", "k1"), ("users.ensure", "k1")]


def test_without_a_key_it_is_done_each_time(tenant):
    assert tenant.audit.log("report.sent") != tenant.audit.log("report.sent")
    assert len(tenant.audit.recent()) == 2
    assert kept(tenant) == []


def test_the_answer_is_the_first_one_even_if_things_have_changed(tenant):
    once = tenant.idempotent("k1")
    assert once.users.ensure("U1", name="Ada").name == "Ada"
    tenant.users.ensure("U1", name="Grace")
    assert once.users.ensure("U1", name="Ada").name == "Ada"
    assert tenant.users.get("U1").name == "Grace"


def test_other_arguments_under_the_same_key_are_refused(tenant):
    once = tenant.idempotent("k1")
    once.users.ensure("U1", name="Ada")
    with pytest.raises(errors.IdempotencyConflict):
        once.users.ensure("U1", name="Eve")
    with pytest.raises(errors.IdempotencyConflict):
        once.users.ensure("U2", name="Ada")
    assert once.users.ensure(user="U1", name="Ada", email=None).name == "Ada"  # the same, said differently
    assert [user.native_id for user in tenant.users.list()] == ["U1"]


def test_a_key_is_one_tenants_own(tenant, new_tenant):
    other = new_tenant()
    assert tenant.idempotent("k1").audit.log("a.b", by="U1") != other.idempotent("k1").audit.log("a.b", by="U2")
    assert len(tenant.audit.recent()) == len(other.audit.recent()) == 1


def test_what_failed_may_be_called_again_under_its_key(tenant):
    once = tenant.idempotent("k1")
    with pytest.raises(errors.NotFound):
        once.users.set_role("U1", "admin")
    tenant.users.ensure("U1")
    assert once.users.set_role("U1", "admin").role == "admin"
    assert once.users.set_role("U1", "admin").role == "admin"
    assert len(tenant.audit.recent()) == 1


def test_a_key_commits_with_the_work(tenant):
    once = tenant.idempotent("k1")
    with pytest.raises(ZeroDivisionError), once.transaction() as tx:
        tx.audit.log("a.b")
        raise ZeroDivisionError
    assert kept(tenant) == []
    for _ in range(2):  # a whole transaction can be run again
        with once.transaction() as tx:
            tx.audit.log("a.b")
            tx.users.ensure("U1")
    assert len(tenant.audit.recent()) == len(tenant.users.list()) == 1


def test_what_failed_inside_a_transaction_leaves_no_key(tenant):
    with tenant.idempotent("k1").transaction() as tx:
        with pytest.raises(errors.NotFound):
            tx.users.set_role("U1", "admin")
        tx.users.ensure("U1")
        assert tx.users.set_role("U1", "admin").role == "admin"


def test_a_key_that_has_expired_is_a_new_one(tenant):
    once = tenant.idempotent("k1")
    first = once.audit.log("a.b", by="U1")
    with tenant.session() as session:
        entry = session.scalars(sa.select(models.IdempotencyKey)).one()
        assert entry.expires_at - entry.created_at == idempotency.KEPT >= timedelta(hours=24)
        entry.expires_at = entry.created_at
    second = once.audit.log("a.b", by="U2")
    assert second.actor == "U2"
    assert once.audit.log("a.b", by="U2") == second
    assert {event.id for event in tenant.audit.recent()} == {first.id, second.id}


def test_many_at_once_do_it_once(tenant):
    once = tenant.idempotent("k1")

    def call(_) -> object:
        try:
            return once.audit.log("a.b", by="U1")
        except errors.IdempotencyInFlight as error:
            return error.code

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(call, range(64)))
    [event] = tenant.audit.recent()
    assert event in answers
    assert [answer for answer in answers if answer not in (event, "idempotency.in-flight")] == []


@pytest.mark.parametrize("engine", servers.names("postgresql"), indirect=True)
def test_a_call_that_is_under_way_is_refused(tenant):
    with tenant.idempotent("k1").transaction() as tx:
        event = tx.audit.log("a.b")
        with pytest.raises(errors.IdempotencyInFlight):
            tenant.idempotent("k1").audit.log("a.b")
        assert tenant.idempotent("k2").audit.log("a.b") != event
    assert tenant.idempotent("k1").audit.log("a.b") == event


def test_a_read_needs_no_key(tenant):
    once = tenant.idempotent("k1")
    tenant.users.ensure("U1")
    assert [user.native_id for user in once.users.list()] == ["U1"]
    tenant.users.ensure("U2")
    assert len(once.users.list()) == 2
    assert kept(tenant) == []


def test_what_is_more_than_one_write_is_refused(tenant):
    tenant.users.ensure("U1", role="owner")
    with pytest.raises(errors.InvalidInput, match="more than that"):
        tenant.idempotent("k1").users.require("U1", "member")


@pytest.mark.parametrize("key", ["", "x" * 256, "nul\0", "\ud800"])
def test_a_key_that_cannot_be_kept_is_refused(tenant, key):
    with pytest.raises(errors.InvalidInput) as refused:
        tenant.idempotent(key)
    assert refused.value.field == "key"


def _wide(tx: Tx, what: object, *, times: int = 1) -> int:
    return times + tx.now.year


@pytest.mark.parametrize("value", [iter([1]), object(), lambda: 1])
def test_an_argument_that_cannot_be_told_apart_is_refused(value):
    with pytest.raises(errors.InvalidInput):
        idempotency.request_hash(operation(_wide), (value,), {})


def test_a_request_is_its_arguments_however_they_are_given():
    def asked(*args, **kwargs) -> bytes:
        return idempotency.request_hash(operation(_wide), args, kwargs)

    same = uuid4()
    assert asked(same) == asked(str(same)) == asked(what=same, times=1)
    assert asked({"a": 1, "b": 2}) == asked({"b": 2, "a": 1})
    assert asked({"x", "y", "z"}) == asked(["x", "y", "z"])
    assert len({asked("1"), asked(1), asked([1]), asked(None), asked(1, times=2), asked({"1": 1}), asked(b"1")}) == 7


def test_an_answer_of_another_release_is_not_taken_for_this_ones():
    op = operation(_wide)
    assert idempotency.read_answer(op, idempotency.answer(op, 7)) == 7
    for stored in ({"format": 2, "value": 7}, {"format": 1, "value": {"new": "shape"}}):
        with pytest.raises(errors.IdempotencyConflict, match="another release"):
            idempotency.read_answer(op, stored)
