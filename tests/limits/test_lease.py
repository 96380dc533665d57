"""Leases: never more than the limit, whatever becomes of those who hold them."""

from threading import Thread

import pytest

from undercroft import errors


def test_a_lease_hands_out_no_more_than_the_limit(tenant):
    tenant.limits.define("api", 100, per="day")
    with tenant.limits.lease("api", block=30) as lease:
        assert [lease.try_consume().allowed for _ in range(110)].count(True) == 100
        refused = lease.try_consume()
        assert (refused.allowed, refused.units) == (False, 1)
        assert refused.retry_at == tenant.limits.check("api", units=1).retry_at
        with pytest.raises(errors.LimitExceeded):
            lease.consume()
    assert tenant.limits.check("api").remaining == 0


def test_what_was_not_handed_out_is_given_back(tenant):
    tenant.limits.define("api", 100, per="day", each="user")
    with tenant.limits.lease("api", block=40, by="U1") as lease:
        assert lease.consume(units=3).remaining == 37
        assert tenant.limits.check("api", by="U1").remaining == 60
        assert lease.consume(units=50).units == 50  # more than a block
    assert tenant.limits.check("api", by="U1").remaining == 47
    with pytest.raises(errors.StoreClosed):
        lease.consume()
    assert tenant.limits.check("api", by="U2").remaining == 100


def test_units_that_were_held_too_long_are_given_back_first(tenant):
    tenant.limits.define("api", 100, per="day")
    lease = tenant.limits.lease("api", block=40, seconds=0.000001)
    for _ in range(5):
        assert lease.consume().allowed
    lease.close()
    assert tenant.limits.check("api").remaining == 95


def test_threads_share_a_lease(tenant):
    tenant.limits.define("api", 250, per="day")
    with tenant.limits.lease("api", block=20) as lease:
        allowed: list[bool] = []
        take = lambda: allowed.extend(lease.try_consume().allowed for _ in range(100))  # noqa: E731
        threads = [Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert allowed.count(True) == 250


def test_a_lease_is_refused_where_it_could_be_undone(tenant):
    tenant.limits.define("api", 5, per="day")
    with tenant.transaction() as tx, pytest.raises(errors.InvalidInput, match="transaction"):
        tx.limits.lease("api", block=2)
    for arguments in ({"block": 0}, {"block": 1, "seconds": 0}, {"block": 1, "seconds": 10**6}):
        with pytest.raises(errors.InvalidInput):
            tenant.limits.lease("api", **arguments)
    with pytest.raises(errors.NotFound):
        tenant.limits.lease("unheard", block=1).consume()
