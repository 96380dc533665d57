"""The mapping of a platform's user to one of the warehouse, asked before a query runs."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import update

from undercroft import errors, models


def test_a_mapping_is_made_changed_and_taken_away(tenant):
    made = tenant.users.map_database(
        "U1", database_user="ANALYST", role="REPORTER", allowed_databases=["SALES", "HR", "SALES"], permissions=["read"]
    )
    assert (made.native_id, made.database_user, made.role) == ("U1", "ANALYST", "REPORTER")
    assert (made.allowed_databases, made.permissions) == (("HR", "SALES"), ("read",))
    assert tenant.users.database_mapping("U1") == made
    changed = tenant.users.map_database("U1", database_user="ADMIN", allowed_databases=["*"], by="boss")
    assert (changed.database_user, changed.role, changed.created_at) == ("ADMIN", "", made.created_at)
    assert tenant.users.database_mapping("U1") == changed
    assert tenant.users.unmap_database("U1", by="boss") is True
    assert tenant.users.unmap_database("U1") is False
    with pytest.raises(errors.NotFound):
        tenant.users.database_mapping("U1")
    told = [(event.event_type, event.actor, event.data.get("database_user")) for event in tenant.audit.recent()]
    assert told == [
        ("user.unmap_database", "boss", None),
        ("user.map_database", "boss", "ADMIN"),
        ("user.map_database", None, "ANALYST"),
    ]


def test_who_may_is_let_through_and_nothing_is_written_down(tenant):
    mapping = tenant.users.map_database("U1", database_user="A", allowed_databases=["SALES"], permissions=["read"])
    assert tenant.users.authorize_query("U1", database="SALES") == mapping
    everything = tenant.users.map_database("U2", database_user="B", allowed_databases=["*"], permissions=["*"])
    assert tenant.users.authorize_query("U2", database="anything", permission="write") == everything
    assert tenant.audit.failures() == []


@pytest.mark.parametrize(
    ("user", "database", "permission", "reason"),
    [
        ("U1", "HR", "read", "the database is not among those allowed"),
        ("U1", "sales", "read", "the database is not among those allowed"),
        ("U1", "SALES", "write", "the permission is missing"),
        ("U2", "SALES", "read", "the user has no mapping"),
        ("gone", "SALES", "read", "the user is deleted"),
        ("nothing", "SALES", "read", "the database is not among those allowed"),
    ],
)
def test_who_may_not_is_denied_and_it_is_written_down(tenant, user, database, permission, reason):
    tenant.users.map_database("U1", database_user="A", allowed_databases=["SALES"], permissions=["read"])
    tenant.users.map_database("nothing", database_user="A")
    tenant.users.map_database("gone", database_user="A", allowed_databases=["SALES"])
    tenant.users.ensure("gone")
    with tenant.session() as session:
        session.execute(update(models.User).where(models.User.native_id == "gone").values(deleted_at=datetime.now(UTC)))
    with pytest.raises(errors.AccessDenied) as denied:
        tenant.users.authorize_query(user, database=database, permission=permission)
    assert reason in str(denied.value)
    [event] = tenant.audit.failures()
    assert (event.event_type, event.category, event.actor, event.status) == (
        "user.authorize_query",
        "access",
        user,
        "denied",
    )
    assert event.data == {"database": database, "permission": permission, "reason": reason}


def test_a_tenant_has_its_own_mappings(new_tenant):
    one, other = new_tenant(), new_tenant()
    one.users.map_database("U1", database_user="A", allowed_databases=["*"])
    with pytest.raises(errors.AccessDenied):
        other.users.authorize_query("U1", database="SALES")
    assert one.audit.failures() == []
    assert len(other.audit.failures()) == 1


def test_rights_tell_apart_whatever_the_warehouse_may_show_differently(tenant):
    def rights(**given):
        given = {"database_user": "A", "role": "R", "permissions": ["read"]} | given
        return tenant.users.map_database("U1", **given).rights

    same = rights()
    assert same == rights(allowed_databases=["SALES"]) == rights(permissions=["read", "read"])
    others = [rights(database_user="B"), rights(role="S"), rights(permissions=["read", "pii"]), rights(permissions=[])]
    assert len({same, *others}) == 5
    assert rights(role="R", permissions=["x"]) != rights(role="R permission:x", permissions=[])


@pytest.mark.parametrize(
    "wrong",
    [
        {"user": ""},
        {"database_user": ""},
        {"allowed_databases": "SALES"},
        {"permissions": [""]},
        {"database_user": "A\0"},
    ],
    ids=["no user", "no database user", "a text for a list", "an empty permission", "NUL"],
)
def test_a_wrong_mapping_is_refused(tenant, wrong):
    given = {"user": "U1", "database_user": "A"} | wrong
    with pytest.raises(errors.InvalidInput):
        tenant.users.map_database(**given)
    assert tenant.audit.recent() == []
