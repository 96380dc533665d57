"""Config: a value comes back as it went in, each change is a version that stays, nobody overwrites another unseen."""

import threading
import time
import traceback
from collections.abc import Callable
from enum import StrEnum
from typing import Any
from uuid import uuid4

import pytest
from pydantic import Secret, SecretBytes, SecretStr

from undercroft import Settings
from undercroft.config import ConfigDifference, reading
from undercroft.errors import InvalidInput, KeysMissing, NotFound, PermissionDenied, SealBroken, VersionConflict

TOKEN = "xoxb-tell-nobody"
VALUES = {
    "text": "true",
    "empty text": "",
    "Japanese": "設定 🗝",
    "integer": 7,
    "64 bits": 2**63 - 1,
    "float": 1.0,
    "large float": 1e20,
    "small float": 5e-324,
    "negative zero": -0.0,
    "true": True,
    "none": None,
    "list": [1, 1.0, True, None, "1", []],
    "dict": {"b": {"nested": [1.5, {}]}, "a": False, "": 0, "ü": "\u2028"},
}


def exactly(value: Any) -> str:
    """A value with the types of all its parts."""
    if isinstance(value, dict):
        return str({key: exactly(one) for key, one in sorted(value.items())})
    return str([exactly(one) for one in value]) if isinstance(value, list) else f"{type(value).__name__} {value!r}"


@pytest.mark.parametrize("is_sensitive", [False, True])
def test_a_value_comes_back_as_what_went_in(tenant, is_sensitive):
    for name, value in VALUES.items():
        tenant.config.set("a.b", value, is_sensitive=is_sensitive)
        found = tenant.config.get("a.b", "default")
        assert exactly(found.get_secret_value() if is_sensitive else found) == exactly(value), name


def test_what_is_not_set_is_the_default(tenant):
    assert tenant.config.get("greeting") is None
    assert tenant.config.get("greeting", "Hej") == "Hej"
    assert tenant.config.get("greeting", default=7) == 7
    with pytest.raises(NotFound):
        tenant.config.entry("greeting")


def test_what_is_known_of_one(tenant):
    made = tenant.config.set("slack.retries", 3, category="slack", description="How often", by="U1")
    assert (made.key, made.value, made.version, made.category) == ("slack.retries", 3, 1, "slack")
    assert (made.description, made.is_sensitive, made.updated_by) == ("How often", False, "U1")
    assert tenant.config.entry("slack.retries") == made
    changed = tenant.config.set("slack.retries", 4)
    assert (changed.category, changed.description, changed.updated_by) == ("slack", "How often", None)
    assert (changed.version, changed.created_at) == (2, made.created_at)
    assert changed.updated_at >= made.updated_at
    assert tenant.config.set("other", 1).category == "general"


def test_they_are_listed_by_key_a_page_at_a_time(tenant):
    for key in ("b.a", "a.c", "a.b", "aXb", "A"):
        tenant.config.set(key, key, category="x" if "." in key else "y")
    tenant.config.set("a.gone", 1, category="x")
    tenant.config.delete("a.gone")
    everything = [one.key for one in tenant.config.list()]
    assert sorted(everything) == sorted(["A", "a.b", "a.c", "aXb", "b.a"])
    paged = []
    while page := tenant.config.list(limit=2, after=paged[-1] if paged else None):
        paged += [one.key for one in page]
    assert paged == everything
    assert [one.key for one in tenant.config.list(prefix="a.")] == ["a.b", "a.c"]
    assert [one.value for one in tenant.config.list(category="y", prefix="a")] == ["aXb"]


def test_a_category_is_a_mapping(tenant):
    tenant.config.set("a", 1, category="slack")
    tenant.config.set("b", TOKEN, category="slack", is_sensitive=True)
    tenant.config.set("c", 2)
    tenant.config.set("d", 2, category="slack")
    tenant.config.delete("d")
    assert tenant.config.by_category("slack") == {"a": 1, "b": SecretStr(TOKEN)}
    assert tenant.config.by_category("none") == {}


# -- versions ----------------------------------------------------------------------------------------------------------


def test_each_change_is_a_version_that_stays(tenant):
    tenant.config.set("a", 1, by="U1")
    tenant.config.set("a", 1, category="x", by="U2")
    assert tenant.config.delete("a", by="U3")
    assert tenant.config.get("a", "gone") == "gone"
    assert not tenant.config.delete("a", by="U3")
    tenant.config.set("a", [2])
    told = [(one.version, one.change, one.value, one.category, one.by) for one in tenant.config.history("a")]
    assert told == [
        (4, "set", [2], "x", None),
        (3, "delete", None, "x", "U3"),
        (2, "set", 1, "x", "U2"),
        (1, "set", 1, "general", "U1"),
    ]
    assert [one.version for one in tenant.config.history("a", limit=2, before=4)] == [3, 2]
    assert tenant.config.history("never") == []


def test_a_rollback_is_itself_a_version(tenant):
    tenant.config.set("a", {"n": 1}, category="one", description="first")
    tenant.config.set("a", 2, category="two", description="second")
    back = tenant.config.rollback("a", 1, by="U1")
    assert (back.version, back.value, back.category, back.description) == (3, {"n": 1}, "one", "first")
    assert tenant.config.get("a") == {"n": 1}
    newest, second, _ = tenant.config.history("a")
    assert (newest.change, newest.rolled_back_to, newest.by) == ("rollback", 1, "U1")
    assert (second.value, second.rolled_back_to) == (2, None)


def test_a_rollback_brings_back_what_was_deleted(tenant):
    tenant.config.set("a", 1)
    tenant.config.delete("a")
    assert tenant.config.rollback("a", 1).version == 3
    assert tenant.config.get("a") == 1
    with pytest.raises(InvalidInput, match="deleted"):
        tenant.config.rollback("a", 2)
    for key, version in (("a", 9), ("never", 1)):
        with pytest.raises(NotFound):
            tenant.config.rollback(key, version)
    assert tenant.config.entry("a").version == 3


def test_a_diff_names_each_place(tenant):
    tenant.config.set("a", {"same": 1, "n": 1, "gone": None, "list": [1, {"x": 1}], "a b": 1}, category="one")
    tenant.config.set("a", {"same": 1, "n": 1.0, "list": [1, {"x": 2}, 3], "a b": True}, category="two")
    tenant.config.delete("a")
    found = tenant.config.diff("a", 1, 2)
    assert (found.key, found.old, found.new, found.is_sensitive) == ("a", 1, 2, False)
    assert list(found.differences) == [
        ConfigDifference("category", "changed", "one", "two"),
        ConfigDifference("$['a b']", "changed", 1, True),
        ConfigDifference("$.gone", "removed", None),
        ConfigDifference("$.list[1].x", "changed", 1, 2),
        ConfigDifference("$.list[2]", "added", new=3),
        ConfigDifference("$.n", "changed", 1, 1.0),
    ]
    [gone] = tenant.config.diff("a", 2).differences
    assert (gone.path, gone.kind, gone.new) == ("$", "removed", None)
    assert tenant.config.diff("a", 3, 1).differences[-1].kind == "added"
    assert list(tenant.config.diff("a", 2, 2).differences) == []
    with pytest.raises(NotFound):
        tenant.config.diff("a", 1, 9)
    with pytest.raises(NotFound):
        tenant.config.diff("never", 1)


# -- compare and set ---------------------------------------------------------------------------------------------------


def test_it_is_set_at_the_version_that_is_expected_and_at_no_other(tenant):
    assert tenant.config.set("a", 1, expected=0).version == 1
    with pytest.raises(VersionConflict) as refused:
        tenant.config.set("a", 2, expected=0)
    assert (refused.value.expected, refused.value.current) == (0, 1)
    assert "current 1" in str(refused.value)
    assert tenant.config.set("a", 2, expected=1).version == 2
    for call in (tenant.config.delete, lambda key, expected: tenant.config.rollback(key, 1, expected=expected)):
        with pytest.raises(VersionConflict):
            call("a", expected=1)
    assert tenant.config.delete("a", expected=2)
    with pytest.raises(VersionConflict) as gone:
        tenant.config.set("a", 3, expected=3)
    assert gone.value.current == 0
    assert tenant.config.set("a", 3, expected=0).version == 4
    with pytest.raises(VersionConflict):
        tenant.config.delete("never", expected=1)
    assert not tenant.config.delete("never", expected=0)


def test_a_conflict_changes_nothing(tenant):
    tenant.config.set("a", 1)
    with pytest.raises(VersionConflict):
        tenant.config.set_many({"b": 2, "a": 2}, expected={"a": 7})
    assert tenant.config.by_category("general") == {"a": 1}
    assert tenant.config.history("b") == []
    assert len(tenant.audit.recent()) == 1


def test_many_are_set_together_with_a_version_each(tenant):
    tenant.config.set("b", 0, description="kept")
    many = {"a": 1, "b": 2, "token": SecretStr(TOKEN), "c": [1]}
    made = tenant.config.set_many(many, category="env", expected={"a": 0, "b": 1}, by="U1")
    assert [(one.key, one.version, one.value, one.is_sensitive) for one in made] == [
        ("a", 1, 1, False),
        ("b", 2, 2, False),
        ("token", 1, None, True),
        ("c", 1, [1], False),
    ]
    assert tenant.config.by_category("env") == {"a": 1, "b": 2, "c": [1], "token": SecretStr(TOKEN)}
    assert tenant.config.entry("b").description == "kept"
    assert {one.event_type for one in tenant.audit.recent()} == {"config.set"}
    assert len(tenant.audit.recent()) == 5
    assert tenant.config.set_many({}) == []


# -- sensitive values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "is_sensitive", "found"),
    [
        (TOKEN, True, SecretStr(TOKEN)),
        (SecretStr(TOKEN), None, SecretStr(TOKEN)),
        (Secret([TOKEN]), None, Secret([TOKEN])),
        ({"key": TOKEN}, True, Secret({"key": TOKEN})),
        (7, True, Secret(7)),
        (None, True, Secret(None)),
    ],
    ids=range(6),
)
def test_a_sensitive_value_is_hidden_and_sealed(tenant, engine, value, is_sensitive, found):
    made = tenant.config.set("k", value, is_sensitive=is_sensitive, by="U1")
    assert (made.value, made.is_sensitive) == (None, True)
    assert tenant.config.get("k") == found
    assert type(tenant.config.get("k")) is type(found)
    schema = "" if engine == "sqlite" else "undercroft."
    stored = [
        [dict(row) for row in tenant.db.fetch(f"SELECT * FROM {schema}{table}")]
        for table in ("configurations", "config_audit", "audit_events")
    ]
    entries = tenant.config.list(), tenant.config.history("k"), tenant.config.entry("k"), tenant.config.diff("k", 1)
    shown = repr((made, tenant.config.get("k"), entries, tenant.config.by_category("general"), stored))
    assert TOKEN not in shown
    assert [row[0]["value"] for row in stored[:2]] == [None, None]


def test_what_was_sensitive_stays_so_until_somebody_says_otherwise(tenant):
    tenant.config.set("k", "one", is_sensitive=True)
    assert tenant.config.set("k", "two").is_sensitive
    tenant.config.delete("k")
    assert tenant.config.set("k", "three").is_sensitive
    opened = tenant.config.set("k", "four", is_sensitive=False)
    assert (opened.value, tenant.config.get("k")) == ("four", "four")
    assert [one.value for one in tenant.config.history("k")] == ["four", None, None, None, None]
    back = tenant.config.rollback("k", 1)
    assert (back.is_sensitive, back.value, tenant.config.get("k")) == (True, None, SecretStr("one"))
    assert tenant.config.rollback("k", 5).is_sensitive
    assert tenant.config.get("k") == SecretStr("four")


def test_a_diff_tells_of_a_sensitive_value_whether_it_changed(tenant):
    tenant.config.set("k", TOKEN, is_sensitive=True)
    tenant.config.set("k", TOKEN)
    tenant.config.set("k", f"{TOKEN}2")
    tenant.config.delete("k")
    assert list(tenant.config.diff("k", 1, 2).differences) == []
    [changed] = tenant.config.diff("k", 1, 3).differences
    assert changed == ConfigDifference("$", "changed")
    assert tenant.config.diff("k", 3, 4).differences[0] == ConfigDifference("$", "removed")
    assert tenant.config.diff("k", 1, 3).is_sensitive


def test_a_hidden_value_is_not_stored_in_clear(tenant):
    with pytest.raises(InvalidInput, match="hidden"):
        tenant.config.set("k", SecretStr(TOKEN), is_sensitive=False)
    with pytest.raises(InvalidInput, match="hidden"):
        tenant.config.set_many({"k": Secret(7)}, is_sensitive=False)
    assert tenant.config.list() == []


def test_without_a_key_nothing_sensitive_is_stored_and_the_rest_works(colour, database_url, open_store, tenant):
    keyless = open_store(colour, settings=Settings.load(database_url, keys="#")).tenant(tenant.key)
    with pytest.raises(KeysMissing):
        keyless.config.set("k", TOKEN, is_sensitive=True)
    tenant.config.set("k", TOKEN, is_sensitive=True)
    keyless.config.set("a", 1)
    assert [one.key for one in keyless.config.list()] == ["a", "k"]
    assert keyless.config.history("k")[0].is_sensitive
    assert keyless.config.delete("k")


MOVES = {
    "another key": "UPDATE {t} SET sealed = (SELECT sealed FROM {t} WHERE key = 'b') WHERE key = 'a'",
    "another version": "UPDATE {t} SET version = 7 WHERE key = 'a'",
    "cut": "UPDATE {t} SET sealed = substr(sealed, 1, 88) WHERE key = 'a'",
}


@pytest.mark.parametrize("move", MOVES)
def test_a_sealed_value_that_was_moved_or_changed_is_refused(tenant, engine, move):
    tenant.config.set("a", "first", is_sensitive=True)
    tenant.config.set("b", "second", is_sensitive=True)
    tenant.db.execute(MOVES[move].format(t="configurations" if engine == "sqlite" else "undercroft.configurations"))
    with pytest.raises(SealBroken):
        tenant.config.get("a")
    assert tenant.config.get("b") == SecretStr("second")


@pytest.mark.parametrize("key", ["a", "a" * 201], ids=["in the audit trail", "in the refusal of the key"])
def test_no_frame_of_ours_shows_the_value_when_a_call_fails(tenant, monkeypatch, key):
    monkeypatch.setattr("undercroft.audit.ops.append", lambda *_, **__: 1 / 0)
    for call in (
        lambda: tenant.config.set(key, TOKEN, is_sensitive=True),
        lambda: tenant.config.set(key, {"a": TOKEN, "b": b""}, is_sensitive=True),
        lambda: tenant.config.set_many({key: TOKEN}, is_sensitive=True),
        lambda: tenant.config.set_many({key: {"a": TOKEN, "b": b""}}, is_sensitive=True),
    ):
        with pytest.raises((ZeroDivisionError, InvalidInput)) as failed:
            call()
        frames = traceback.StackSummary.extract(traceback.walk_tb(failed.value.__traceback__), capture_locals=True)
        shown = [frame for frame in frames if frame.locals and TOKEN in repr(frame.locals)]
        assert [frame.filename for frame in shown if "/undercroft/" in frame.filename] == []


# -- the trail, and what is refused ------------------------------------------------------------------------------------


def test_what_is_done_is_in_the_audit_trail_without_the_value(tenant):
    tenant.config.set("a", TOKEN, by="U1")
    tenant.config.rollback("a", 1, by="U2")
    tenant.config.delete("a", by="U3")
    events = tenant.audit.recent()
    told = [(one.event_type, one.actor, one.resource_type, one.resource_id, dict(one.data)) for one in events]
    assert told == [
        ("config.delete", "U3", "config", "a", {"version": 3, "is_sensitive": False}),
        ("config.rollback", "U2", "config", "a", {"version": 2, "is_sensitive": False, "rolled_back_to": 1}),
        ("config.set", "U1", "config", "a", {"version": 1, "is_sensitive": False}),
    ]
    assert TOKEN not in repr(events)


class Shade(StrEnum):
    """Text, but not of the type that comes back."""

    DARK = "dark"


WRONG_KEYS = ["", ".", "a.", ".a", "a..b", "a b", "ä", "a\0", "a\n", "a" * 201, 7, None, b"a"]
WRONG_VALUES = [
    *(b"a", bytearray(b"a"), {1}, (1,), uuid4(), Shade.DARK, object(), SecretBytes(b"a"), float("nan"), float("inf")),
    *(2**63, -(2**63) - 1, "a\0", "\ud800", ["a", "\ud800"], {1: 1}, {"a\0": 1}, {"a": {"b": [float("nan")]}}),
    *("x" * 262_143, Secret(b"a")),
]


def _calls_of(tenant: Any, key: Any) -> list[Any]:
    return [
        lambda: tenant.config.set(key, 1),
        lambda: tenant.config.set_many({"good": 1, key: 1}),
        *(lambda call=call: getattr(tenant.config, call)(key) for call in ("get", "entry", "history", "delete")),
        *(lambda call=call: getattr(tenant.config, call)(key, 1) for call in ("diff", "rollback")),
    ]


def test_a_key_that_cannot_be_is_refused_by_every_call(tenant):
    for call in [call for key in WRONG_KEYS for call in _calls_of(tenant, key)]:
        with pytest.raises(InvalidInput) as refused:
            call()
        assert refused.value.field == "key"
    assert tenant.config.list() == []


def test_a_value_that_cannot_come_back_is_refused(tenant):
    for value in WRONG_VALUES:
        for field, call in (
            ("value", lambda value=value: tenant.config.set("a", value)),
            ("value", lambda value=value: tenant.config.set("a", [value], is_sensitive=True)),
            ("a", lambda value=value: tenant.config.set_many({"b": 1, "a": value})),
        ):
            with pytest.raises(InvalidInput) as refused:
                call()
            assert refused.value.field.split()[0] == field
    assert tenant.config.list() == []
    assert tenant.audit.recent() == []


def test_what_is_wrong_is_named_by_its_place(tenant):
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    circle: dict[str, Any] = {}
    circle["itself"] = circle
    for value, place in [({"a": [1, b""]}, "value $.a[1]"), ({"a b": {"c": {1}}}, "value $['a b'].c")]:
        with pytest.raises(InvalidInput) as refused:
            tenant.config.set("a", value)
        assert refused.value.field == place
    for value in (deep, circle):
        with pytest.raises(InvalidInput, match="nested"):
            tenant.config.set("a", value)


WRONG: list[dict[str, Any]] = [
    *({"category": ""}, {"category": "x" * 101}, {"category": 7}, {"description": "x" * 2001}, {"description": "a\0"}),
    *({"expected": -1}, {"expected": True}, {"expected": "1"}),
]


def test_what_else_is_wrong_is_refused_and_changes_nothing(tenant):
    for given in WRONG:
        with pytest.raises(InvalidInput) as refused:
            tenant.config.set("a", 1, **given)
        assert refused.value.field == next(iter(given))
    assert tenant.config.list() == []


def test_wrong_calls_for_many_and_for_pages_are_refused(tenant):
    for call in (
        lambda: tenant.config.set_many([("a", 1)]),
        lambda: tenant.config.set_many({f"k{number}": 1 for number in range(1001)}),
        lambda: tenant.config.set_many({"a": 1}, expected={"b": 0}),
        lambda: tenant.config.list(limit=0),
        lambda: tenant.config.list(prefix="a b"),
        lambda: tenant.config.list(prefix=""),
        lambda: tenant.config.diff("a", 0),
        lambda: tenant.config.rollback("a", 0),
        lambda: tenant.config.by_category(""),
    ):
        with pytest.raises(InvalidInput):
            call()
    assert tenant.config.list() == []


# -- what a process remembers, and hears of --------------------------------------------------------------------------


def until(check: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether something comes to be so."""
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture
def loads(monkeypatch):
    """Counts how often a call reads the database."""
    read: list[str] = []
    load = reading.check_key
    monkeypatch.setattr(reading, "check_key", lambda key: read.append(key) or load(key))

    def of(call: Callable[[], Any]) -> int:
        read.clear()
        call()
        return len(read)

    return of


@pytest.fixture
def other(tenant, open_store, colour, database_url):
    """The tenant in another store, which knows of the first one's changes by what it hears alone."""
    return open_store(colour, database_url).tenant(tenant.key)


def test_what_was_read_is_remembered_what_is_not_set_too(tenant, loads):
    tenant.config.set("a", [1])
    tenant.config.set("k", TOKEN, is_sensitive=True)
    for call in (
        lambda: tenant.config.get("a"),
        lambda: tenant.config.get("nothing", default="Hej"),
        lambda: tenant.config.get("k"),
        lambda: tenant.config.get("a", "another default"),
    ):
        assert until(lambda call=call: loads(call) == 0)
    tenant.config.get("a").append("mine alone")
    assert tenant.config.get("a") == [1]
    assert tenant.config.get("nothing", 7) == 7
    assert tenant.config.get("k") == SecretStr(TOKEN)
    tenant.config.set("nothing", 1)
    tenant.config.delete("a")
    assert (tenant.config.get("nothing", 7), tenant.config.get("a", 7)) == (1, 7)


def test_another_store_hears_of_every_change(tenant, other, loads):
    calls = {
        "set": lambda: tenant.config.set("a", 1),
        "set again": lambda: tenant.config.set("a", 2, is_sensitive=False),
        "many": lambda: tenant.config.set_many({"a": 3, "b": 1}),
        "deleted": lambda: tenant.config.delete("a"),
        "back": lambda: tenant.config.rollback("a", 2),
    }
    expected = [1, 2, 3, None, 2]
    for (name, change), value in zip(calls.items(), expected, strict=True):
        assert until(lambda: loads(lambda: other.config.get("a")) == 0), name
        assert until(lambda: other.config.by_category("general") == tenant.config.by_category("general"))
        change()
        assert tenant.config.get("a") == value, name  # who changes it never reads the old
        assert until(lambda value=value: other.config.get("a") == value), name


def test_what_is_rolled_back_with_its_transaction_is_not_remembered(tenant):
    tenant.config.set("a", 1)
    with pytest.raises(ZeroDivisionError), tenant.transaction() as tx:
        tx.config.set("a", 2)
        assert tx.config.get("a") == 2
        assert tenant.config.get("a") == 1
        raise ZeroDivisionError
    assert tenant.config.get("a") == 1


class Following:
    """A thread that follows the changes until that of ``last``."""

    def __init__(self, tenant: Any, writer: Any, **given: Any) -> None:
        self.items: list[Any] = []
        self.thread = threading.Thread(target=self._follow, args=(tenant, given), daemon=True)
        self.thread.start()
        assert until(lambda: writer.config.set("x.warm", 1, category="x") and self.items)  # it has begun

    def _follow(self, tenant: Any, given: dict[str, Any]) -> None:
        for change in tenant.config.watch(**given):
            self.items.append(change)
            if change.key.endswith("last"):
                break

    @property
    def told(self) -> list[tuple[Any, ...]]:
        """What was seen but for the beginning."""
        return [(one.key, one.version, one.change, one.value) for one in self.items if one.key != "x.warm"]


def test_each_change_is_told_in_its_order(tenant, other):
    tenant.config.set("before", 1)
    seen = Following(other, tenant)
    tenant.config.set("a", 1, by="U1")
    tenant.config.set_many({"c": 1, "b": SecretStr(TOKEN)})
    tenant.config.delete("a")
    tenant.config.set_many({f"many.{number:03}": number for number in range(120)})  # more than a page
    tenant.config.rollback("a", 1)
    tenant.config.set("last", 1)
    seen.thread.join(30)
    many = [(f"many.{number:03}", 1, "set", number) for number in range(120)]
    assert seen.told == [
        ("a", 1, "set", 1),
        ("b", 1, "set", None),
        ("c", 1, "set", 1),
        ("a", 2, "delete", None),
        *many,
        ("a", 3, "rollback", 1),
        ("last", 1, "set", 1),
    ]


def test_a_change_is_told_where_the_count_of_changes_was_lost(tenant, other, engine):
    """As in a database into which a backup of these tables alone was restored."""
    for number in range(5):
        tenant.config.set("a", number)
    tenant.db.execute(f"DELETE FROM {'' if engine == 'sqlite' else 'undercroft.'}change_versions")
    seen = Following(other, tenant)
    tenant.config.set("last", 1)
    seen.thread.join(30)
    assert [one[0] for one in seen.told] == ["last"]


@pytest.mark.parametrize("given", [{"category": "x"}, {"prefix": "x."}], ids=["category", "prefix"])
def test_some_changes_may_be_followed_alone(tenant, other, given):
    seen = Following(other, tenant, **given)
    tenant.config.set("x.a", 1, category="x")
    tenant.config.set("b", 1, category="y")
    tenant.config.set("x.last", 1, category="x")
    seen.thread.join(30)
    assert [one[0] for one in seen.told] == ["x.a", "x.last"]


# -- around it ---------------------------------------------------------------------------------------------------------


def test_those_of_one_transaction_are_there_together_or_not_at_all(tenant):
    with pytest.raises(ZeroDivisionError), tenant.transaction() as tx:
        tx.config.set("a", 1)
        assert tx.config.get("a") == 1
        raise ZeroDivisionError
    assert tenant.config.get("a") is None
    assert tenant.config.history("a") == []


def test_another_tenant_has_configurations_of_its_own(tenant, new_tenant):
    tenant.config.set("a", 1)
    other = new_tenant()
    assert other.config.get("a") is None
    assert other.config.history("a") == []
    other.config.set("a", 2, expected=0)
    assert tenant.config.get("a") == 1


@pytest.mark.parametrize("is_sensitive", [False, True])
def test_under_an_idempotency_key_it_is_set_once(tenant, engine, is_sensitive):
    keyed = tenant.idempotent("K1")
    first = keyed.config.set("a", {"x": TOKEN}, is_sensitive=is_sensitive)
    assert keyed.config.set("a", {"x": TOKEN}, is_sensitive=is_sensitive) == first
    assert tenant.config.entry("a").version == 1
    kept = tenant.db.fetch(f"SELECT * FROM {'' if engine == 'sqlite' else 'undercroft.'}idempotency_keys")
    assert (TOKEN in repr([dict(row) for row in kept])) is not is_sensitive


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {t} SET value = '2'",
        "UPDATE {t} SET changed_by = 'somebody else'",
        "DELETE FROM {t}",
        "DELETE FROM {t} WHERE version = 1",
    ],
)
def test_the_history_cannot_be_changed_by_sql(tenant, engine, statement):
    tenant.config.set("a", 1, by="U1")
    tenant.config.set("a", 2, by="U2")
    before = tenant.config.history("a")
    with pytest.raises(PermissionDenied):
        tenant.db.execute(statement.format(t="config_audit" if engine == "sqlite" else "undercroft.config_audit"))
    assert tenant.config.history("a") == before


def test_control_what_may_be_changed_is(tenant, engine):
    tenant.config.set("a", 1)
    tenant.db.execute(f"UPDATE {'' if engine == 'sqlite' else 'undercroft.'}configurations SET value = '2'")
    assert tenant.config.get("a") == 2
