"""No call's number of statements depends on how much there is: N+1 would show here.

Every declared call stands in CALLS, or the last test fails. A call is counted in a tenant that holds little and in one
that holds much, asked for as much as there is.
"""

import logging
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from undercroft import Settings, Store, TenantScope
from undercroft.core.operation import Slice, gathered, operation, procedure, resource, stream
from undercroft.core.runtime.base import Blocking

LITTLE, MUCH = 3, 60

Call = Callable[[Store, TenantScope[Blocking], int], Any]

CALLS: dict[str, tuple[int, Call]] = {
    # the most statements it may take, those that make what it is about included, and the call
    "store.health": (6, lambda store, tenant, n: store.health()),
    "store.info": (4, lambda store, tenant, n: store.info()),
    "store.stats": (4, lambda store, tenant, n: store.stats()),
    "tenant.stats": (1, lambda store, tenant, n: tenant.stats()),
    "tenants.ensure": (3, lambda store, tenant, n: store.tenants.ensure(tenant.key, name=uuid4().hex)),
    "tenants.get": (1, lambda store, tenant, n: store.tenants.get(tenant.key)),
    "tenants.list": (1, lambda store, tenant, n: store.tenants.list(limit=n)),
    "tenants.update": (2, lambda store, tenant, n: store.tenants.update(tenant.key, name=uuid4().hex)),
    "tenants.soft_delete": (5, lambda store, tenant, n: store.tenants.soft_delete(_made(store))),
    "tenants.restore": (7, lambda store, tenant, n: store.tenants.restore(_deleted(store))),
    "tenants.purge": (20, lambda store, tenant, n: store.tenants.purge(_deleted(store))),
    "users.ensure": (3, lambda store, tenant, n: tenant.users.ensure("U0", name=uuid4().hex)),
    "users.get": (1, lambda store, tenant, n: tenant.users.get("U0")),
    "users.list": (1, lambda store, tenant, n: len(tenant.users.list(limit=n)) == n or pytest.fail("too few")),
    "users.set_role": (5, lambda store, tenant, n: tenant.users.set_role("U1", "admin", by="U0")),
    "users.require": (2, lambda store, tenant, n: tenant.users.require("U0", "viewer")),
    "audit.log": (1, lambda store, tenant, n: tenant.audit.log("a.b")),
    "audit.recent": (1, lambda store, tenant, n: len(tenant.audit.recent(limit=n)) == n or pytest.fail("too few")),
    "audit.search": (1, lambda store, tenant, n: tenant.audit.search(category="seed", limit=n)),
    "audit.failures": (1, lambda store, tenant, n: tenant.audit.failures(limit=n)),
}
OWN = {"BEGIN", "COMMIT", "ROLLBACK"}


@pytest.fixture
def counted(database_url: str):
    with Store(settings=Settings.load(database_url, echo_sql=True)) as store:
        yield store


@pytest.mark.parametrize("name", CALLS)
def test_statements_do_not_grow_with_the_data(counted, caplog, name):
    most, call = CALLS[name]
    few, many = (_statements(counted, caplog, call, _filled(counted, n), n) for n in (LITTLE, MUCH))
    assert len(few) == len(many), "\n".join(many)
    assert len(many) <= most, "\n".join(many)


def test_the_count_sees_a_query_in_a_loop(counted, caplog):
    """The control: a call that looks up one user after another is caught."""

    def one_by_one(store: Store, tenant: TenantScope[Blocking], n: int) -> None:
        for user in tenant.users.list(limit=n):
            tenant.users.get(user.native_id)

    few, many = (_statements(counted, caplog, one_by_one, _filled(counted, n), n) for n in (LITTLE, MUCH))
    assert len(many) > len(few)


def test_every_call_is_counted(counted):
    tenant = counted.tenant("local:default")
    declared = {f"store.{name}" for name in _declared(counted)} | {f"tenant.{name}" for name in _declared(tenant)}
    for scope in (counted, tenant):
        for noun, value in vars(scope).items():
            if isinstance(value, Slice) and not noun.startswith("_"):
                declared |= {f"{noun}.{name}" for name in _declared(value)}
    assert declared == set(CALLS)


def _declared(thing: Slice[Any]) -> set[str]:
    kinds = (operation, procedure, resource, stream, gathered)
    return {name for kind in type(thing).__mro__ for name, value in vars(kind).items() if isinstance(value, kinds)}


def _statements(store: Store, caplog: Any, call: Call, tenant: TenantScope[Blocking], n: int) -> list[str]:
    call(store, tenant, n)  # what is prepared once is not counted
    with caplog.at_level(logging.INFO, "undercroft.sql"):
        caplog.clear()
        call(store, tenant, n)
        texts = [record.statement for record in caplog.records if record.name == "undercroft.sql"]
    return [text for text in texts if text.split(";")[0].split()[0] not in OWN and "main.tenants WHERE" not in text]


def _filled(store: Store, n: int) -> TenantScope[Blocking]:
    tenant = store.tenant(_made(store))
    with tenant.transaction() as tx:
        for number in range(n):
            tx.users.ensure(f"U{number}", role="owner" if number == 0 else "member")
            tx.audit.log("seed.step", status="failure")
    return tenant


def _made(store: Store) -> str:
    key = f"slack:T{uuid4().hex}"
    store.tenants.ensure(key)
    return key


def _deleted(store: Store) -> str:
    key = _made(store)
    store.tenants.soft_delete(key)
    return key
