"""A caller's own transaction: the same nouns, one commit, on every engine in both colours."""

from contextlib import suppress

import pytest
import sqlalchemy as sa

from undercroft import Settings, errors, models


def test_all_or_nothing(tenant):
    with tenant.transaction() as tx:
        tx.users.ensure("U1")
        tx.audit.log("user.join", by="U1")
    assert tenant.users.get("U1").native_id == "U1"
    assert [event.event_type for event in tenant.audit.recent()] == ["user.join"]

    with pytest.raises(ZeroDivisionError), tenant.transaction() as tx:
        tx.users.ensure("U2")
        tx.audit.log("user.join", by="U2")
        raise ZeroDivisionError
    with pytest.raises(errors.NotFound):
        tenant.users.get("U2")
    assert len(tenant.audit.recent()) == 1


def test_it_reads_what_it_wrote_and_nobody_else_does_before_the_commit(tenant):
    with tenant.transaction() as tx:
        tx.users.ensure("U1", name="Ada")
        assert tx.users.get("U1").name == "Ada"
        with pytest.raises(errors.NotFound):
            tenant.users.get("U1")
    assert tenant.users.get("U1").name == "Ada"


def test_a_transaction_inside_is_a_savepoint(tenant):
    with tenant.transaction() as tx:
        tx.users.ensure("outer")
        with pytest.raises(ZeroDivisionError), tx.transaction() as inner:
            inner.users.ensure("inner")
            raise ZeroDivisionError
        with tx.transaction() as inner:
            inner.users.ensure("second")
    assert {user.native_id for user in tenant.users.list()} == {"outer", "second"}


def test_it_is_refused_after_its_end(tenant):
    with tenant.transaction() as tx:
        pass
    with pytest.raises(errors.StoreClosed):
        tx.users.ensure("late")


def test_an_orm_session_shares_the_commit(tenant):
    with pytest.raises(ZeroDivisionError), tenant.transaction() as tx:
        tx.users.ensure("U1", name="Ada")
        with tx.session() as session:
            found = session.scalars(sa.select(models.User)).one()
            assert (found.native_id, found.name) == ("U1", "Ada")
            found.name = "Grace"
        assert tx.users.get("U1").name == "Grace"
        raise ZeroDivisionError
    assert tenant.users.list() == []


def test_a_session_takes_statements_about_tables_and_text(tenant):
    tenant.users.ensure("U1")
    table = models.User.__table__
    with tenant.session() as session:
        assert session.execute(sa.select(table.c.native_id)).all() == [("U1",)]
        assert session.scalar(sa.select(sa.func.count()).select_from(table)) == 1
        assert session.execute(sa.text("SELECT 1 + 1")).scalars().all() == [2]
        assert session.execute(sa.update(table).values(name="Ada")).rowcount == 1
    assert tenant.users.get("U1").name == "Ada"


def test_a_session_by_itself_commits(tenant):
    tenant.users.ensure("U1", name="Ada")
    with tenant.session() as session:
        session.scalars(sa.select(models.User)).one().name = "Grace"
    assert tenant.users.get("U1").name == "Grace"
    with pytest.raises(ZeroDivisionError), tenant.session() as session:
        session.scalars(sa.select(models.User)).one().name = "Lost"
        raise ZeroDivisionError
    assert tenant.users.get("U1").name == "Grace"


def test_an_unknown_tenant_has_no_transaction(store):
    with pytest.raises(errors.TenantUnknown), store.tenant("slack:Tnobody").transaction():
        raise AssertionError


def test_a_write_beside_an_open_transaction_does_not_wait_for_ever(database_url, colour, open_store, tenant):
    """On a file it waits for the very block that it stands in; a server has room for both."""
    mine = open_store(colour, settings=Settings.load(database_url, pool_timeout=0.2)).tenant(tenant.key)
    with mine.transaction() as tx:
        tx.users.ensure("U1")
        with suppress(errors.PoolTimeout):
            mine.users.ensure("U2")
        with suppress(errors.PoolTimeout), mine.transaction() as other:
            other.users.ensure("U3")
        tx.users.ensure("U4")
    assert {"U1", "U4"} <= {user.native_id for user in mine.users.list()}
    mine.users.ensure("U5")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_who_waits_for_his_turn_is_told_in_time(database_url, colour, open_store, tenant):
    mine = open_store(colour, settings=Settings.load(database_url, pool_timeout=0.2)).tenant(tenant.key)
    with mine.transaction(), pytest.raises(errors.PoolTimeout, match="inside a transaction"):
        mine.users.ensure("U1")
    with mine.transaction(), pytest.raises(errors.PoolTimeout), mine.transaction():
        pass
    assert mine.users.list() == []
