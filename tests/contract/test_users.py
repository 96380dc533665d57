"""Users of a tenant and their roles."""

import pytest

from undercroft import UserRecord, errors


def test_ensure_creates_once_and_changes_what_is_given(tenant):
    made = tenant.users.ensure("U1", name="ada", email="ada@example.com", preferences={"lang": "sv"})
    assert (made.role, made.is_bot, made.deleted_at) == ("member", False, None)
    assert tenant.users.get("U1") == made
    assert tenant.users.ensure("U1") == made
    changed = tenant.users.ensure("U1", name="Ada", preferences={"tz": "CET"})
    assert (changed.id, changed.name, changed.email) == (made.id, "Ada", "ada@example.com")
    assert changed.preferences == {"lang": "sv", "tz": "CET"}
    assert changed.updated_at >= made.updated_at
    assert tenant.users.get("U1") == changed


def test_ensure_does_not_change_a_role(tenant):
    tenant.users.ensure("U1", role="owner")
    assert tenant.users.ensure("U1", role="viewer").role == "owner"


def test_ids_of_64_bits_and_any_script_survive(tenant):
    for native in ("9223372036854775807", "81384788765712384", "ユーザー", "a:b|c"):
        tenant.users.ensure(native, name=native)
        assert tenant.users.get(native).name == native


def test_two_tenants_have_two_users_of_one_name(new_tenant):
    one, other = new_tenant(), new_tenant()
    assert one.users.ensure("U1", name="here").id != other.users.ensure("U1", name="there").id
    assert one.users.get("U1").name == "here"
    assert [user.name for user in other.users.list()] == ["there"]


def test_list_by_filter_and_page(tenant):
    for n in range(5):
        tenant.users.ensure(f"U{n}", is_bot=n == 0, role="admin" if n < 2 else "member", email=f"u{n}@example.com")
    assert {user.native_id for user in tenant.users.list()} == {f"U{n}" for n in range(5)}
    assert {user.native_id for user in tenant.users.list(role="admin")} == {"U0", "U1"}
    assert [user.native_id for user in tenant.users.list(is_bot=True)] == ["U0"]
    assert [user.native_id for user in tenant.users.list(email="u3@example.com")] == ["U3"]
    first = tenant.users.list(limit=2)
    rest = tenant.users.list(limit=3, after=first[-1].native_id)
    assert len({user.id for user in first + rest}) == 5


@pytest.mark.parametrize(
    "wrong",
    [
        lambda users: users.ensure(""),
        lambda users: users.ensure("U1", role="king"),
        lambda users: users.list(limit=0),
        lambda users: users.list(role="king"),
        lambda users: users.ensure("a\0b"),
        lambda users: users.ensure("U1", name="\ud800"),
    ],
    ids=["no id", "unknown role", "empty page", "unknown role in a filter", "NUL in an id", "lone surrogate in a name"],
)
def test_wrong_input_is_refused_and_changes_nothing(tenant, wrong):
    with pytest.raises(errors.InvalidInput):
        wrong(tenant.users)
    assert tenant.users.list() == []


def test_an_unknown_user_is_not_found(tenant):
    with pytest.raises(errors.NotFound):
        tenant.users.get("U404")


def test_roles_are_handed_out_by_admins_and_owners(tenant):
    for name, role in (("owner", "owner"), ("admin", "admin"), ("member", "member"), ("viewer", "viewer")):
        tenant.users.ensure(name, role=role)
    assert tenant.users.set_role("viewer", "member", by="admin").role == "member"
    assert tenant.users.set_role("member", "owner", by="owner").role == "owner"
    for user, role, by in (
        ("viewer", "owner", "admin"),
        ("owner", "member", "admin"),
        ("admin", "owner", "viewer"),
        ("viewer", "admin", "viewer"),
    ):
        with pytest.raises(errors.AccessDenied):
            tenant.users.set_role(user, role, by=by)
    changes = tenant.audit.search(event_type="user.set_role")
    assert [(event.actor, event.resource_id, event.data["new"]) for event in changes] == [
        ("owner", "member", "owner"),
        ("admin", "viewer", "member"),
    ]


def test_who_is_deleted_has_no_role_any_more(tenant):
    tenant.users.ensure("gone", role="owner")
    tenant.users.ensure("boss", role="owner")
    tenant.users.ensure("guest")
    tenant.archive.save_users([UserRecord(native_id="gone", name="gone", is_deleted=True)])
    assert tenant.users.get("gone").role == "owner"
    with pytest.raises(errors.AccessDenied):
        tenant.users.set_role("guest", "admin", by="gone")
    with pytest.raises(errors.AccessDenied):
        tenant.users.require("gone", "viewer")
    with pytest.raises(errors.AccessDenied):  # nor does he count as the owner who is left
        tenant.users.set_role("boss", "member")
    assert tenant.users.set_role("guest", "admin", by="boss").role == "admin"


def test_the_last_owner_stays_one(tenant):
    tenant.users.ensure("one", role="owner")
    with pytest.raises(errors.AccessDenied):
        tenant.users.set_role("one", "member")
    tenant.users.ensure("two", role="owner")
    assert tenant.users.set_role("one", "member", by="two").role == "member"


def test_require_lets_through_or_denies_and_writes_it_down(tenant):
    tenant.users.ensure("boss", role="owner")
    tenant.users.ensure("guest", role="viewer")
    assert tenant.users.require("boss", "admin").native_id == "boss"
    assert tenant.users.require("guest", "viewer").native_id == "guest"
    for user in ("guest", "nobody"):
        with pytest.raises(errors.AccessDenied):
            tenant.users.require(user, "member")
    denied = tenant.audit.failures()
    assert [(event.actor, event.data["needed"], event.data["has"]) for event in denied] == [
        ("nobody", "member", None),
        ("guest", "member", "viewer"),
    ]
