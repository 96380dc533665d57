"""The fleet's directory of tenants."""

from uuid import uuid4

import pytest

from undercroft import errors


def key() -> str:
    return f"slack:T{uuid4().hex[:12]}"


def test_ensure_creates_once_and_changes_what_is_given(store):
    name = key()
    made = store.tenants.ensure(name, name="Acme", plan_tier="pro", settings={"lang": "sv"})
    assert (made.key, made.name, made.plan_tier, made.subscription_status) == (name, "Acme", "pro", "active")
    assert store.tenants.get(name) == made == store.tenants.ensure(name)
    changed = store.tenants.ensure(name, subscription_status="past_due", settings={"tz": "CET"})
    assert (changed.id, changed.name, changed.subscription_status) == (made.id, "Acme", "past_due")
    assert changed.settings == {"lang": "sv", "tz": "CET"}
    assert store.tenants.update(name, name="Acme AB") == store.tenants.get(name)


def test_an_unknown_tenant_is_refused_at_the_first_use(store):
    nobody = store.tenant(key())
    for call in (
        nobody.users.list,
        lambda: nobody.users.ensure("U1"),
        lambda: nobody.audit.log("a.b"),
        nobody.stats,
        lambda: store.tenants.get(key()),
        lambda: store.tenants.update(key(), name="x"),
        lambda: store.tenants.soft_delete(key()),
    ):
        with pytest.raises(errors.TenantUnknown):
            call()


@pytest.mark.parametrize("wrong", ["", "T123", "slack:", ":T1", "Slack:T1", "slack:T\0"])
def test_a_key_that_is_none_is_refused(store, wrong):
    with pytest.raises(errors.InvalidInput):
        store.tenant(wrong)
    with pytest.raises(errors.InvalidInput):
        store.tenants.ensure(wrong)


def test_a_deleted_tenant_is_out_of_reach_until_restored(store):
    name = key()
    store.tenants.ensure(name)
    acme = store.tenant(name)
    acme.users.ensure("U1")
    deleted = store.tenants.soft_delete(name)
    assert deleted.deleted_at is not None
    assert store.tenants.soft_delete(name) == deleted
    for call in (
        lambda: acme.users.get("U1"),
        lambda: acme.users.ensure("U2"),
        lambda: acme.audit.log("a.b"),
        acme.stats,
        lambda: store.tenants.ensure(name),
        lambda: store.tenants.update(name, name="x"),
    ):
        with pytest.raises(errors.TenantDeleted):
            call()
    with pytest.raises(errors.TenantDeleted), acme.transaction():
        raise AssertionError
    assert store.tenants.restore(name).deleted_at is None
    assert acme.users.get("U1").native_id == "U1"


def test_purge_removes_everything_of_one_tenant_alone(store):
    name, neighbour = key(), key()
    for one in (name, neighbour):
        store.tenants.ensure(one)
        store.tenant(one).users.ensure("U1")
        store.tenant(one).audit.log("a.b")
    with pytest.raises(errors.InvalidInput):
        store.tenants.purge(name)
    store.tenants.soft_delete(name)
    assert store.tenants.purge(name) == 4
    with pytest.raises(errors.TenantUnknown):
        store.tenants.restore(name)
    assert store.tenant(neighbour).stats().users == 1
    store.tenants.ensure(name)
    assert store.tenant(name).stats().audit_events == 0


def test_list_by_filter_and_page(store):
    plan = uuid4().hex
    names = {key() for _ in range(5)}
    for name in names:
        store.tenants.ensure(name, plan_tier=plan)
    gone = min(names)
    store.tenants.soft_delete(gone)
    assert {one.key for one in store.tenants.list(plan_tier=plan)} == names - {gone}
    assert {one.key for one in store.tenants.list(plan_tier=plan, include_deleted=True)} == names
    assert store.tenants.list(plan_tier=plan, subscription_status="cancelled") == []
    first = store.tenants.list(plan_tier=plan, limit=2)
    rest = store.tenants.list(plan_tier=plan, limit=3, after=first[-1].key)
    assert {one.key for one in first + rest} == names - {gone}


def test_every_database_has_a_default_tenant(store):
    store.default.users.ensure("U1", name="me")
    assert store.default.users.get("U1").name == "me"
    assert store.default.key == "local:default"


def test_statistics_and_health(store, tenant):
    tenant.users.ensure("U1")
    tenant.audit.log("a.b")
    assert (tenant.stats().users, tenant.stats().audit_events, tenant.stats().messages) == (1, 1, 0)
    tenant.crm.disconnect(tenant.crm.connect("crono", credentials="env:KEY").id)
    tenant.crm.connect("hubspot", credentials="env:KEY")
    tenant.crm.map_account("acme.example", "A1")
    tenant.meetings.start("m1")
    held = tenant.stats()
    assert (held.crm_connections, held.account_mappings, held.meetings, held.meetings_this_month) == (1, 1, 1, 1)
    health = store.health()
    assert (health.status, health.error) == ("healthy", None)
    assert health.schema_revision == health.schema_head
    assert 0 < health.response_time_ms < 10_000
    assert {"users", "messages", "audit_events"} <= {table.name for table in health.tables}
    info = store.info()
    assert info.engine == health.engine
    assert info.bytes > 0
    assert store.stats().tenants >= 1
