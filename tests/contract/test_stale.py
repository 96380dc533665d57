"""A tenant whose reads may be stale: the same calls, on every engine, with a replica or without one."""

import pytest

from undercroft import errors


def test_without_a_replica_it_reads_what_was_written(tenant):
    stale = tenant.stale()
    stale.users.ensure("U1", name="Ada")
    assert stale.users.get("U1").name == "Ada"
    assert stale.stale(5).users.list() == tenant.users.list()
    assert (stale.key, stale.id) == (tenant.key, tenant.id)


def test_in_a_transaction_it_is_the_transaction(tenant):
    with tenant.stale().transaction() as tx:
        tx.users.ensure("U1")
        assert len(tx.stale().users.list()) == 1


def test_it_keeps_the_key_of_a_write(tenant):
    once = tenant.idempotent("k1").stale()
    assert once.audit.log("a.b") == once.audit.log("a.b")
    assert len(tenant.audit.recent()) == 1


@pytest.mark.parametrize("max_lag", [0.9, 0, -1, float("nan")])
def test_nobody_can_promise_less_than_a_second(tenant, max_lag):
    with pytest.raises(errors.InvalidInput) as refused:
        tenant.stale(max_lag)
    assert refused.value.context["field"] == "max_lag"
