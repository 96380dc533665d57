"""Settings: a value comes back as exactly what went in; feature flags: the same user, the same answer."""

import math
import threading
import time
from datetime import UTC, datetime, timedelta, timezone
from enum import IntEnum, StrEnum
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings as examples, strategies as st

from tests import servers
from tests.live import until
from undercroft import errors
from undercroft.app_settings.rules import bucket
from undercroft.core.tx import Tx

on_a_server = pytest.mark.parametrize("engine", servers.names("postgresql"), indirect=True)

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
INTEGERS = st.integers() | st.integers(-(10**640) + 1, 10**640 - 1)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
MOMENTS = st.datetimes(timezones=st.just(UTC))
JSON = st.recursive(
    st.none() | st.booleans() | INTEGERS | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
VALUES = st.booleans() | INTEGERS | NUMBERS | TEXT | MOMENTS | JSON
KNOWN = [
    *(True, False, 0, 1, -(2**63), 2**53 + 1, 10**639, 0.0, -0.0, 1.0, 5e-324, 1e300, 0.1, "", "true", "1", "null"),
    *("🗝 鍵\n'; --", None, [], {}, [1, 1.0, True, None, -0.0, [2**64]], {"b": {"": 1}, "a": [1e300]}),
    *(datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)),
]


def same(one: Any, other: Any) -> bool:
    """Whether two values are of the same types all the way down, the sign of a zero and the order of keys included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return one == other and (not isinstance(one, datetime) or other.tzinfo is UTC)


def test_a_value_comes_back_as_the_type_that_went_in(tenant):
    with tenant.transaction() as tx:
        for value in KNOWN:
            made = tx.settings.set("s", value)
            assert same(tx.settings.get("s", default="?"), value)
            assert same(made.value, value)
            assert same(tx.settings.list()[0].value, value)
            tx.preferences.set("U1", "s", value)
            assert same(tx.preferences.get("U1", "s", default="?"), value)
            assert same(tx.preferences.effective("U1"), {"s": value})


@pytest.mark.parametrize(
    "value", [True, 10**300, -0.0, "true", [1.0, None], datetime(2026, 1, 2, tzinfo=UTC)], ids=repr
)
def test_a_value_that_is_read_by_itself_has_its_type(tenant, value):
    tenant.settings.set("s", value)
    assert same(tenant.settings.get("s", default="?"), value)
    assert same(tenant.preferences.effective("U1"), {"s": value})


@examples(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(values=st.lists(VALUES, min_size=1, max_size=6))
def test_any_value_comes_back_as_the_type_that_went_in(tenant, values):
    with tenant.transaction() as tx:
        for number, value in enumerate(values):
            tx.preferences.set("U1", f"p{number}", value)
    for number, value in enumerate(values):
        assert same(tenant.preferences.get("U1", f"p{number}", default="?"), value)


@pytest.mark.soak
@examples(max_examples=1000, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(value=VALUES)
def test_any_value_comes_back_as_the_type_that_went_in_at_length(tenant, value):
    tenant.settings.set("s", value)
    assert same(tenant.settings.get("s", default="?"), value)


@on_a_server
def test_control_json_of_the_database_would_not_bring_it_back(tenant):
    """Why values are text: PostgreSQL's JSONB has no -0.0 and makes an integer of 1e300; SQLite's keeps both."""
    back = tenant.db.fetchval("SELECT '[1e300, -0.0]'::jsonb::text")
    assert not back.startswith("[1e300, -0.0")


def test_a_moment_comes_back_in_utc(tenant):
    moment = datetime(2026, 6, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    tenant.settings.set("s", moment)
    assert same(tenant.settings.get("s"), moment.astimezone(UTC))


def test_what_is_not_set_is_the_callers_default_and_none_can_be_set(tenant):
    assert (tenant.settings.get("s"), tenant.settings.get("s", default=3)) == (None, 3)
    tenant.settings.set("s", None)
    assert tenant.settings.get("s", default=3) is None


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


DEEP: Any = []
for _ in range(200):
    DEEP = [DEEP]


REFUSED: list[tuple[str | None, Any]] = [
    ("value", float("nan")),
    ("value", float("inf")),
    ("value.a[1]", {"a": [1, float("-inf")]}),
    ("value", datetime(2026, 1, 1)),  # noqa: DTZ001 - what is refused
    ("value[0]", [datetime(2026, 1, 1, tzinfo=UTC)]),
    ("value", (1, 2)),
    ("value.a", {"a": (1, 2)}),
    ("value", {1, 2}),
    ("value", b"bytes"),
    ("value", {1: "a"}),
    ("value", Colour.RED),
    ("value[0]", [Level.HIGH]),
    ("value", "a\0"),
    ("value", "\ud800"),
    ("value.k", {"k": "\0"}),
    ("value", {"\0": 1}),
    ("value", 10**640),
    ("value[0]", [-(10**640)]),
    ("value", "x" * 65_537),
    ("value", ["x" * 65_536]),
    (None, DEEP),  # by a path of a hundred places
]


def test_what_would_not_come_back_is_refused_and_changes_nothing(tenant):
    kept = tenant.settings.set("s", 1)
    for field, value in REFUSED:
        for call in (
            partial(tenant.settings.set, "s", value),
            partial(tenant.settings.set, "new", value),
            partial(tenant.preferences.set, "U1", "s", value),
        ):
            with pytest.raises(errors.InvalidInput) as refused:
                call()
            assert refused.value.field == field or field is None, value
    assert tenant.settings.list() == [kept]
    assert tenant.preferences.list("U1") == []
    assert len(tenant.audit.recent()) == 1


@pytest.mark.parametrize("name", ["", "x" * 201, "a\0", 7, None], ids=range(5))
def test_a_name_that_is_none_is_refused(tenant, name: Any):
    for call in (
        lambda: tenant.settings.set(name, 1),
        lambda: tenant.settings.get(name),
        lambda: tenant.settings.delete(name),
        lambda: tenant.settings.flag(name),
        lambda: tenant.settings.set_flag(name, enabled=True),
        lambda: tenant.settings.delete_flag(name),
        lambda: tenant.preferences.set("U1", name, 1),
        lambda: tenant.preferences.get("U1", name),
        lambda: tenant.preferences.delete("U1", name),
    ):
        with pytest.raises(errors.InvalidInput) as refused:
            call()
        assert refused.value.field == "name"
    assert (tenant.settings.list(), tenant.settings.flags(), tenant.audit.recent()) == ([], [], [])


def test_settings_are_listed_described_and_deleted(tenant):
    made = tenant.settings.set("b", 1, description="How many", by="U1")
    again = tenant.settings.set("b", 2, by="U2")
    assert (again.description, again.updated_by, again.kind, again.value) == ("How many", "U2", "int", 2)
    assert again.created_at == made.created_at < again.updated_at
    for name in ("c", "a"):
        tenant.settings.set(name, name)
    assert [one.name for one in tenant.settings.list()] == ["a", "b", "c"]
    assert [one.name for one in tenant.settings.list(limit=1, after="a")] == ["b"]
    assert (tenant.settings.delete("b"), tenant.settings.delete("b")) == (True, False)
    assert tenant.settings.get("b") is None


def test_a_value_of_another_type_is_another_value(tenant):
    for value in (1, True, 1.0, "1", [1]):
        tenant.settings.set("s", value)
        assert same(tenant.settings.get("s"), value)
    assert len(tenant.audit.recent()) == 5


def test_what_is_so_already_is_left_alone(tenant):
    made = tenant.settings.set("s", {"a": 1}, by="U1")
    assert tenant.settings.set("s", {"a": 1}, by="U2") == made
    flag = tenant.settings.set_flag("f", enabled=True, users=["U1"], by="U1")
    assert tenant.settings.set_flag("f", enabled=True, users=["U1", "U1"], by="U2") == flag
    assert len(tenant.audit.recent()) == 2


def test_a_change_is_in_the_audit_trail_and_in_its_transaction(tenant):
    tenant.settings.set("retries", 3, by="U1")
    tenant.settings.set("retries", 5, by="U2")
    tenant.settings.delete("retries", by="U3")
    deleted, changed, made = tenant.audit.recent()
    assert (made.event_type, made.actor, made.resource_id) == ("setting.set", "U1", "retries")
    assert made.data == {"kind": "int", "old": None, "new": {"retries": "3"}}
    assert changed.data == {"kind": "int", "old": {"retries": "3"}, "new": {"retries": "5"}}
    assert (deleted.event_type, deleted.data) == ("setting.delete", {"old": {"retries": "5"}})
    with pytest.raises(ZeroDivisionError), tenant.transaction() as tx:
        tx.settings.set("retries", 7)
        tx.settings.set_flag("f", enabled=True)
        assert (tx.settings.get("retries"), tx.settings.flag("f")) == (7, True)
        raise ZeroDivisionError
    assert (tenant.settings.get("retries"), tenant.settings.flag("f")) == (None, False)
    assert len(tenant.audit.recent()) == 3


def test_the_trail_keeps_no_secret_and_no_long_text(tenant):
    tenant.settings.set("api_key", "hunter2hunter2")
    tenant.settings.set("prompt", "x" * 60_000)
    prompt, key = tenant.audit.recent()
    assert key.data["new"] == {"api_key": "[redacted]"}
    assert len(prompt.data["new"]["prompt"]) == 201


def test_a_tenant_has_settings_of_its_own(new_tenant):
    one, other = new_tenant(), new_tenant()
    one.settings.set("s", 1)
    one.settings.set_flag("f", enabled=True)
    one.preferences.set("U1", "s", 2)
    assert (other.settings.get("s"), other.settings.flag("f"), other.preferences.get("U1", "s")) == (None, False, None)
    assert (other.settings.list(), other.settings.flags(), other.preferences.effective("U1")) == ([], [], {})
    assert (other.settings.delete("s"), other.settings.delete_flag("f"), other.preferences.clear("U1")) == (False, 0, 0)
    assert one.preferences.get("U1", "s") == 2


def test_what_somebody_wrote_past_the_calls_is_told(tenant, engine):
    tenant.settings.set("a", 1)
    tenant.settings.set("b", 2)
    table = "app_settings" if engine == "sqlite" else "undercroft.app_settings"
    tenant.db.execute(f"UPDATE {table} SET value = 'many' WHERE name = 'a'")
    with pytest.raises(errors.InvalidInput, match="no int"):
        tenant.settings.get("a")
    assert [one.text for one in tenant.settings.list()] == ["many", "2"]
    assert tenant.settings.set("a", 3).value == 3


def raced(tenant: Any, engine: str, first: Any, second: Any) -> None:
    """Make a call in a transaction, and another one elsewhere that begins before the transaction is committed."""
    other = threading.Thread(target=second, args=(tenant,))
    with tenant.transaction() as tx:
        first(tx)
        other.start()
        end = time.monotonic() + 20
        while engine != "sqlite" and time.monotonic() < end:
            if tx.db.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"):
                break
            time.sleep(0.01)
        else:
            time.sleep(0.05)
    other.join()


RACES = {
    "setting": (lambda scope: scope.settings.set("s", 1), lambda scope: scope.settings.set("s", 2)),
    "flag": (
        lambda scope: scope.settings.set_flag("f", enabled=False),
        lambda scope: scope.settings.set_flag("f", enabled=True),
    ),
}


@pytest.mark.parametrize("what", RACES)
def test_who_is_second_knows_what_was_there(tenant, engine, what):
    raced(tenant, engine, *RACES[what])
    second, first = tenant.audit.recent()
    assert first.data["old"] is None
    assert second.data["old"] == first.data["new"]


@on_a_server  # a file has one writer at a time: who is second has not looked before
@pytest.mark.parametrize("what", RACES)
def test_control_without_taking_turns_both_write_down_that_there_was_nothing(tenant, engine, monkeypatch, what):
    monkeypatch.setattr(Tx, "announce", lambda tx, topic: 1)
    raced(tenant, engine, *RACES[what])
    assert [event.data["old"] for event in tenant.audit.recent()] == [None, None]


def test_a_change_elsewhere_is_seen_soon(tenant, open_store, colour, database_url):
    """All that is remembered, and each of the changes that it depends on."""
    there = open_store(colour, database_url).tenant(tenant.key)

    def seen() -> tuple[Any, ...]:
        ask = there.preferences
        return there.settings.get("s"), there.settings.flag("f"), ask.get("U1", "s"), ask.effective("U1").get("s")

    assert seen() == (None, False, None, None)
    tenant.settings.set("s", 1)
    assert until(lambda: seen() == (1, False, 1, 1), 20)
    tenant.preferences.set("U1", "s", 2)
    tenant.settings.set_flag("f", enabled=True)
    assert until(lambda: seen() == (1, True, 2, 2), 20)
    tenant.preferences.delete("U1", "s")
    tenant.settings.delete_flag("f")
    assert until(lambda: seen() == (1, False, 1, 1), 20)
    tenant.settings.delete("s")
    assert until(lambda: seen() == (None, False, None, None), 20)
    tenant.preferences.set("U1", "s", 3)
    assert until(lambda: seen()[2:] == (3, 3), 20)
    tenant.preferences.clear("U1")
    assert until(lambda: seen()[2:] == (None, None), 20)


def test_what_was_handed_out_is_the_callers_own(tenant):
    tenant.settings.set("s", {"a": [1]})
    for _ in range(2):
        tenant.settings.get("s")["a"].append(2)
        tenant.preferences.effective("U1")["s"]["a"].append(2)
        tenant.preferences.effective("U1").clear()
    assert tenant.settings.get("s") == tenant.preferences.get("U1", "s") == {"a": [1]}


# -- feature flags ----------------------------------------------------------------------------------------------------

PEOPLE = [f"U{number}" for number in range(200)]


def on(tenant: Any, name: str = "f") -> set[str]:
    with tenant.transaction() as tx:
        return {user for user in PEOPLE if tx.settings.flag(name, user=user)}


def test_a_flag_that_nobody_made_is_the_callers_default(tenant):
    assert tenant.settings.flag("f") is False
    assert tenant.settings.flag("f", user="U1", default=True) is True
    tenant.settings.set_flag("f", enabled=False)
    assert tenant.settings.flag("f", user="U1", default=True) is False
    assert tenant.settings.delete_flag("f", by="U9") is True
    assert tenant.settings.flag("f", default=True) is True


def test_a_flag_for_some_users(tenant):
    tenant.settings.set_flag("f", enabled=True, users=["U2", "U1"])
    assert on(tenant) == {"U1", "U2"}
    assert tenant.settings.flag("f") is False
    tenant.settings.set_flag("f", enabled=True, except_users=["U1"])
    assert on(tenant) == {"U2"}
    tenant.settings.set_flag("f", enabled=True, users=[])
    assert on(tenant) == {*PEOPLE} - {"U1"}
    assert tenant.settings.flag("f") is True


def test_a_share_only_grows_when_it_is_raised(tenant):
    before: set[str] = set()
    for share in (0, 0.5, 10, 12.5, 50, 99.9999, 100):
        tenant.settings.set_flag("f", enabled=True, share=share)
        now = on(tenant)
        assert before <= now == {user for user in PEOPLE if bucket("f", user) < share * 10_000}
        assert tenant.settings.flag("f") is (share == 100)
        before = now
    assert before == {*PEOPLE}


def test_a_share_beside_lists_and_a_switch_that_forgets_nothing(tenant):
    tenant.settings.set_flag("f", enabled=True, share=20, users=["U1"], except_users=["U2"])
    some = on(tenant)
    assert "U1" in some
    assert "U2" not in some
    assert 20 <= len(some) <= 65
    off = tenant.settings.set_flag("f", enabled=False, by="U7")
    assert (off.share, off.users, off.except_users, off.updated_by) == (20, ("U1",), ("U2",), "U7")
    assert on(tenant) == set()
    tenant.settings.set_flag("f", enabled=True)
    assert on(tenant) == some


def test_flags_are_listed_and_their_changes_written_down(tenant):
    first = tenant.settings.set_flag("b", enabled=True, share=12.5, description="New search", by="U1")
    tenant.settings.set_flag("a", enabled=False)
    assert [one.name for one in tenant.settings.flags()] == ["a", "b"]
    assert tenant.settings.flags(after="a") == [first]
    tenant.settings.delete_flag("b", by="U2")
    assert tenant.settings.delete_flag("b") is False
    deleted, _, made = tenant.audit.recent()
    assert (made.event_type, made.actor, made.resource_id) == ("flag.set", "U1", "b")
    assert made.data["new"] == {"enabled": True, "users": [], "except_users": [], "share": 12.5}
    assert (deleted.event_type, deleted.actor, deleted.data["old"]) == ("flag.delete", "U2", made.data["new"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("enabled", 1),
        ("enabled", "yes"),
        ("share", -0.1),
        ("share", 100.1),
        ("share", float("nan")),
        ("share", 0.00001),
        ("share", True),
        ("share", "5"),
        ("users", "U1"),
        ("users", ["U1", ""]),
        ("users", [1]),
        ("users", [f"U{number}" for number in range(1001)]),
        ("except_users", {"U1": 1, "\0": 2}),
        ("description", 3),
    ],
    ids=range(14),
)
def test_what_a_flag_cannot_be_is_refused_and_changes_nothing(tenant, field, value):
    made = tenant.settings.set_flag("f", enabled=True, share=5)
    for name in ("f", "new"):
        with pytest.raises(errors.InvalidInput) as refused:
            tenant.settings.set_flag(name, **({"enabled": True} | {field: value}))
        assert refused.value.field == field
    assert tenant.settings.flags() == [made]
    assert len(tenant.audit.recent()) == 1


def test_under_an_idempotency_key_it_is_done_once(tenant):
    keyed = tenant.idempotent("K1")
    made = keyed.settings.set("s", 10**600)
    tenant.settings.set("s", 2)
    assert keyed.settings.set("s", 10**600) == made
    assert tenant.settings.get("s") == 2
    flag = keyed.settings.set_flag("f", enabled=True, share=0.1, users=["U1"])
    assert keyed.settings.set_flag("f", enabled=True, share=0.1, users=["U1"]) == flag
