"""Repositories of our models: the same on every engine in both colours."""

import dataclasses
import operator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from undercroft import errors, models

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def values(native_id, **more):
    return {"platform": "slack", "native_id": native_id, "created_at": NOW, "updated_at": NOW, **more}


@pytest.fixture
def users(tenant):
    return tenant.repository(models.User)


@pytest.fixture
def people(users):
    """Twelve users, of whom four have an address and three each share a name."""
    users.create_many(
        values(
            f"U{n:02}",
            name=f"name {n % 4}",
            email=f"{n}@x" if n % 3 == 0 else None,
            created_at=NOW + timedelta(days=n % 5),
        )
        for n in range(12)
    )
    return users.list()


def test_what_is_created_comes_back_whole(users):
    made = users.create(**values("U1", email="ada@x", profile={"langs": ["sv", "en"], "n": 1.5}))
    assert (made.native_id, made.email, made.profile) == ("U1", "ada@x", {"langs": ["sv", "en"], "n": 1.5})
    assert (made.role, made.is_bot, made.preferences, made.deleted_at) == ("member", False, {}, None)
    assert (made.created_at, made.created_at.tzinfo) == (NOW, UTC)
    assert users.get(made.id) == made
    assert users.get_or_none(made.id) == made


def test_a_row_is_a_frozen_copy_and_no_instance(users):
    made = users.create(**values("U1", email="ada@x"))
    assert not isinstance(made, models.User)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.name = "other"
    assert dataclasses.replace(made, name="other").name == "other"
    assert "ada@x" not in repr(made)  # as in the model's own
    assert "U1" in repr(made)


def test_what_is_not_there(users):
    assert users.get_or_none(uuid4()) is None
    assert users.delete(uuid4()) is False
    for call in (lambda: users.get(uuid4()), lambda: users.update(uuid4(), name="x")):
        with pytest.raises(errors.NotFound):
            call()


def test_update_changes_what_is_given(users):
    made = users.create(**values("U1", name="Ada", email="ada@x"))
    other = users.create(**values("U2"))
    changed = users.update(made.id, email=None, profile={"a": None}, created_at=NOW - timedelta(1))
    assert changed == dataclasses.replace(made, email=None, profile={"a": None}, created_at=NOW - timedelta(1))
    assert users.get(made.id) == changed
    assert users.update(made.id) == changed
    assert users.get(other.id) == other


def test_delete(users):
    made = users.create(**values("U1"))
    assert users.delete(made.id) is True
    assert users.get_or_none(made.id) is None


def test_many_are_stored_all_or_none(users):
    twin = uuid4()
    assert users.create_many([values("U1", id=twin), values("U2", email="e"), values("U3")]) == 3
    with pytest.raises(errors.UniqueViolation):
        users.create_many([values("U4"), values("U5", id=twin)])
    assert users.create_many([values("U4"), values("U5", id=twin)], conflict="ignore") == 1
    assert users.create_many([]) == 0
    assert sorted(user.native_id for user in users.list()) == ["U1", "U2", "U3", "U4"]


MISTAKES = [
    (lambda users: users.create(**values("U1", nickname="x")), "nickname"),
    (lambda users: users.create(native_id="U1", created_at=NOW, updated_at=NOW), "platform"),
    (lambda users: users.create(**values(1)), "native_id"),
    (lambda users: users.create(**values("U1", created_at=NOW.replace(tzinfo=None))), "time"),
    (lambda users: users.create(**values("U1", profile=[1])), "profile"),
    (lambda users: users.update(uuid4(), nickname="x"), "nickname"),
    (lambda users: users.update(uuid4(), id=uuid4()), "id"),
    (lambda users: users.update(uuid4(), tenant_id=uuid4()), "tenant_id"),
    (lambda users: users.get("U1"), "id"),
    (lambda users: users.get((uuid4(), uuid4())), "key"),
    (lambda users: users.get(None), "key"),
    (lambda users: users.list({"nickname": "x"}), "nickname"),
    (lambda users: users.list({"name; DROP TABLE users": "x"}), "name;"),
    (lambda users: users.list({"name ~": "x"}), "where"),
    (lambda users: users.list({"name >": None}), "where"),
    (lambda users: users.list({"name in": "abc"}), "where"),
    (lambda users: users.list({"created_at >": "yesterday"}), "created_at"),
    (lambda users: users.count({"nickname": "x"}), "nickname"),
    (lambda users: users.list(order_by="nickname"), "nickname"),
    (lambda users: users.list(limit=0), "limit"),
    (lambda users: users.list(offset=-1), "offset"),
    (lambda users: users.page(order_by="email"), "order_by"),
    (lambda users: users.page(after=(1, 2, 3)), "after"),
    (lambda users: users.page(after="x"), "after"),
]


def test_a_mistake_is_named(users):
    for call, field in MISTAKES:
        with pytest.raises(errors.InvalidInput) as refused:
            call(users)
        assert refused.value.field == field
    assert users.count() == 0


COMPARISONS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
FILTERS = [
    *({f"native_id {sign}": "U05"} for sign in COMPARISONS),
    *({f"created_at {sign}": NOW + timedelta(days=2)} for sign in COMPARISONS),
    *({f"is_bot {sign}": False} for sign in COMPARISONS),
    {"name": "name 1"},
    {"email": None},
    {"email !=": None},
    {"email !=": "3@x"},
    {"email  NOT  IN ": ["3@x", "6@x"]},
    {"email in": ["3@x", "6@x", "?"]},
    {"name in": {"name 1", "name 2"}, "email": None},
    {"created_at in": (NOW, NOW + timedelta(days=3))},
    {"name in": []},
    {"name not in": []},
    {"name >=": "name 1", "name <": "name 3", "native_id !=": "U05", "email !=": None},
    {},
]  # fmt: skip


def agrees(user, where):
    for text, value in where.items():
        name, _, sign = text.strip().partition(" ")
        sign = " ".join(sign.split()).lower() or "="
        found = getattr(user, name)
        if sign in COMPARISONS:
            if not COMPARISONS[sign](found, value):
                return False
        elif (found in value) is (sign == "not in"):
            return False
    return True


def test_filters_choose_what_python_would(users, people):
    for where in FILTERS:
        expected = [user for user in people if agrees(user, where)]
        assert users.list(where) == expected, where
        assert users.count(where) == len(expected), where
        assert users.exists(where) is bool(expected), where
        assert list(users.each(where, batch=5)) == expected, where


def test_identifiers_are_found_in_lists(users, people):
    some = [user.id for user in people[3:6]]
    assert [user.id for user in users.list({"id in": some})] == some
    assert users.count({"id not in": some}) == 9


ORDERS = [
    None,
    "native_id",
    "-native_id",
    ["name"],
    ["-name"],
    ["name", "-native_id"],
    ["-created_at", "name"],
    ["-name", "id"],
]


@pytest.mark.parametrize("order_by", ORDERS, ids=str)
def test_orders_and_pages(users, people, order_by):
    named = [order_by] if isinstance(order_by, str) else order_by or []
    expected = sorted(people, key=lambda user: user.id, reverse=bool(named) and named[-1].startswith("-"))
    for name in reversed(named):
        expected.sort(key=lambda user: getattr(user, name.removeprefix("-")), reverse=name.startswith("-"))
    assert users.list(order_by=order_by) == expected
    assert users.list(order_by=order_by, limit=5, offset=4) == expected[4:9]
    pages, after = [], None
    while True:
        page = users.page(order_by=order_by, limit=5, after=after)
        pages.append(page.items)
        after = page.after
        if after is None:
            break
    assert pages == [expected[:5], expected[5:10], expected[10:]]
    whole = users.page(order_by=order_by, limit=12)
    assert (whole.items, whole.after) == (expected, None)


def test_a_page_is_not_disturbed_by_new_rows(users, people):
    first = users.page({"email": None}, order_by="-native_id", limit=3)
    users.create(**values("U99"))
    second = users.page({"email": None}, order_by="-native_id", limit=100, after=first.after)
    assert [user.native_id for user in first.items + second.items] == [
        "U11",
        "U10",
        "U08",
        "U07",
        "U05",
        "U04",
        "U02",
        "U01",
    ]


def test_a_query_of_the_callers_own(users, people):
    found = users.query(
        sa.select(models.User)
        .where(models.User.native_id.in_(["U01", "U02"]) | models.User.email.like("9%"))
        .order_by(models.User.native_id)
    )
    assert [user.native_id for user in found] == ["U01", "U02", "U09"]
    assert all(user in people for user in found)
    for other in (sa.select(models.User.name), sa.select(models.Channel), sa.select(models.User, models.Channel)):
        with pytest.raises(errors.InvalidInput):
            users.query(other)


def test_no_row_of_another_tenant_is_within_reach(new_tenant):
    acme, other = new_tenant(), new_tenant()
    ours, theirs = acme.repository(models.User), other.repository(models.User)
    foreign = theirs.create(**values("U1", name="foreign"))
    twin = ours.create(**values("U1", id=foreign.id, name="ours"))  # the same id, and another row
    for repository in (ours, acme.repository(models.User, as_orm=True)):
        assert repository.get(foreign.id).name == "ours"
        assert [user.name for user in repository.list()] == ["ours"]
        assert [user.name for user in repository.page().items] == ["ours"]
        assert [user.name for user in repository.query(sa.select(models.User))] == ["ours"]
        assert repository.query(sa.select(models.User).where(models.User.tenant_id == other.id)) == []
        assert repository.count({"tenant_id": other.id}) == 0
        assert repository.list({"tenant_id": other.id}) == []
        with pytest.raises(errors.TenantMismatch):
            repository.create(**values("U2", tenant_id=other.id))
        with pytest.raises(errors.TenantMismatch):
            repository.create_many([values("U2", tenant_id=other.id)])
        repository.update(foreign.id, email="changed@x")
    assert theirs.get(foreign.id) == foreign
    assert ours.delete(twin.id) is True
    assert theirs.get(foreign.id) == foreign
    assert ours.delete(foreign.id) is False
    with pytest.raises(errors.NotFound):
        ours.update(foreign.id, name="x")


def test_without_a_tenant_there_is_nothing(store, tenant):
    tenant.repository(models.User).create(**values("U1"))
    for repository in (
        store.repository(models.User),
        store.repository(models.User, as_orm=True),
        store.repository(models.Tenant),
    ):
        for call, *arguments in ((repository.list,), (repository.count,), (repository.get, uuid4())):
            with pytest.raises(errors.TenantNotSet):
                call(*arguments)
        with pytest.raises((errors.TenantNotSet, errors.InvalidInput)):
            repository.create(**values("U2"))


def test_what_the_application_may_not_change(tenant, store):
    tenant.audit.log("a.b")
    events, tenants = tenant.repository(models.AuditEvent), tenant.repository(models.Tenant)
    [event] = events.list()
    assert tenants.get(tenant.id).native_id == tenant.key.removeprefix("slack:")
    for call in (
        lambda: events.update(event.id, actor="x"),
        lambda: events.delete(event.id),
        lambda: tenants.delete(tenant.id),
    ):
        with suppress(errors.PermissionDenied):
            assert call() is False  # where the login is the fleet's too, it finds no row to delete
    assert events.list() == [event]
    assert store.tenants.get(tenant.key).deleted_at is None


def test_inside_a_transaction_it_takes_part(tenant):
    with pytest.raises(ZeroDivisionError), tenant.transaction() as tx:
        users = tx.repository(models.User)
        made = users.create(**values("U1"))
        assert users.update(made.id, name="Ada").name == "Ada"
        assert tx.repository(models.User, as_orm=True).get(made.id).name == "Ada"
        assert tx.db.fetchval("SELECT name FROM undercroft.users") == "Ada"
        assert users.count() == 1
        raise ZeroDivisionError
    assert tenant.repository(models.User).count() == 0


def test_instances_on_request(tenant, people):
    users = tenant.repository(models.User, as_orm=True)
    made = users.create(**values("U99", name="Ada"))
    assert isinstance(made, models.User)
    assert (made.tenant_id, made.role, made.preferences) == (tenant.id, "member", {})
    assert users.get(made.id).name == "Ada"
    assert users.get_or_none(uuid4()) is None
    changed = users.update(made.id, name="Grace")
    assert isinstance(changed, models.User)
    assert changed.name == "Grace"
    assert [user.native_id for user in users.list({"native_id >=": "U10"}, order_by="-native_id")] == [
        "U99",
        "U11",
        "U10",
    ]
    first = users.page(limit=10)
    assert len(first.items) == 10
    assert len(users.page(limit=10, after=first.after).items) == 3
    assert [user.id for user in users.query(sa.select(models.User).where(models.User.name == "Grace"))] == [made.id]
    with pytest.raises(errors.UniqueViolation):
        users.create(**values("U1", id=made.id))
    with pytest.raises(errors.CheckViolation):
        users.update(made.id, role="king")
    with pytest.raises(errors.NotFound):
        users.get(uuid4())
    assert users.delete(made.id) is True
    assert users.count() == 12


def test_a_write_under_an_idempotency_key_is_done_once(tenant):
    once = tenant.idempotent("key 1").repository(models.User)
    made = once.create(**values("U1", profile={"a": 1}))
    assert once.create(**values("U1", profile={"a": 1})) == made
    with pytest.raises(errors.IdempotencyConflict):
        once.create(**values("U2"))
    assert tenant.repository(models.User).list() == [made]


@pytest.mark.parametrize("model", [dict, models.Base, 1, models.message_search])
def test_only_a_model_has_a_repository(tenant, model):
    with pytest.raises(errors.InvalidInput):
        tenant.repository(model)
