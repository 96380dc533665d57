"""Secrets: what goes in comes out, for its owner, under its key, and nowhere else is it seen."""

import traceback
from typing import Any

import pytest
from pydantic import SecretBytes, SecretStr

from tests.reliability.own_calls import ours
from undercroft import Settings
from undercroft.core.seal import hidden
from undercroft.errors import InvalidInput, KeysMissing, KeyUnknown, NotFound, SealBroken

TOKEN = "xoxb-tell-nobody"


@pytest.mark.parametrize("value", [TOKEN, b"\0\xff", "鍵 🗝", SecretStr(TOKEN), SecretBytes(b"k")], ids=range(5))
def test_a_secret_comes_back_as_it_was_set(tenant, value):
    tenant.secrets.set("slack", value, by="U1")
    assert tenant.secrets.get("slack") == hidden(value)


def test_setting_it_again_replaces_it_and_counts(tenant):
    first = tenant.secrets.set("slack", "one", by="U1")
    second = tenant.secrets.set("slack", "two", by="U2")
    assert (first.version, second.version, second.updated_by) == (1, 2, "U2")
    assert second.created_at == first.created_at <= second.updated_at
    assert tenant.secrets.get("slack") == SecretStr("two")
    assert tenant.secrets.list() == [second]


def test_secrets_are_listed_by_name_a_page_at_a_time(tenant):
    for name in ("c", "a", "b"):
        tenant.secrets.set(name, TOKEN)
    assert [one.name for one in tenant.secrets.list(limit=2)] == ["a", "b"]
    assert [one.name for one in tenant.secrets.list(after="b")] == ["c"]


def test_a_secret_that_is_deleted_is_gone(tenant):
    tenant.secrets.set("slack", TOKEN)
    assert tenant.secrets.delete("slack", by="U1")
    assert not tenant.secrets.delete("slack")
    with pytest.raises(NotFound):
        tenant.secrets.get("slack")


def test_what_is_done_is_in_the_audit_trail_without_the_value(tenant):
    tenant.secrets.set("slack", TOKEN, by="U1")
    tenant.secrets.delete("slack", by="U2")
    deleted, made = tenant.audit.recent()
    assert (made.event_type, made.actor, made.resource_id, made.data) == ("secret.set", "U1", "slack", {"version": 1})
    assert (deleted.event_type, deleted.actor, deleted.resource_id) == ("secret.delete", "U2", "slack")
    assert TOKEN not in repr((made, deleted))


@pytest.mark.parametrize(
    ("name", "value"),
    [("", "a"), ("a" * 256, "a"), ("a\0", "a"), ("a", ""), ("a", b""), ("a", "x" * 65_537), ("a", 7), ("a", None)],
    ids=range(8),
)
def test_wrong_input_is_refused_and_changes_nothing(tenant, name: Any, value: Any):
    with pytest.raises(InvalidInput):
        tenant.secrets.set(name, value)
    assert tenant.secrets.list() == []
    assert tenant.audit.recent() == []


def test_secrets_of_one_transaction_are_there_together_or_not_at_all(tenant):
    with pytest.raises(ZeroDivisionError), tenant.transaction() as tx:
        tx.secrets.set("slack", TOKEN)
        assert tx.secrets.get("slack") == SecretStr(TOKEN)
        raise ZeroDivisionError
    assert tenant.secrets.list() == []


def test_another_tenant_has_secrets_of_its_own(tenant, new_tenant):
    tenant.secrets.set("slack", TOKEN)
    with pytest.raises(NotFound):
        new_tenant().secrets.get("slack")


def test_without_a_key_everything_else_works_and_nothing_is_stored_in_clear(colour, database_url, open_store, tenant):
    keyless = open_store(colour, settings=Settings.load(database_url, keys="#"))
    there = keyless.tenant(tenant.key)
    with pytest.raises(KeysMissing, match="undercroft keys init"):
        there.secrets.set("slack", TOKEN)
    assert there.secrets.list() == []
    there.users.ensure("U1")
    tenant.secrets.set("slack", TOKEN)
    with pytest.raises(KeyUnknown):
        there.secrets.get("slack")


def test_a_lost_key_breaks_nothing_that_another_one_sealed(colour, database_url, open_store, tenant, store):
    other = open_store(colour, settings=Settings.load(database_url, keys=store.keys.new()))
    tenant.secrets.set("old", TOKEN)
    other.tenant(tenant.key).secrets.set("new", TOKEN)
    assert other.tenant(tenant.key).secrets.get("new") == SecretStr(TOKEN)
    with pytest.raises(KeyUnknown) as unknown:
        other.tenant(tenant.key).secrets.get("old")
    assert unknown.value.context["key"] in str(unknown.value)
    assert len(other.tenant(tenant.key).secrets.list()) == 2


MOVES = {
    "another row": "UPDATE {t} SET value = (SELECT value FROM {t} WHERE name = 'b') WHERE name = 'a'",
    "another name": "UPDATE {t} SET name = 'c' WHERE name = 'a'",
    "another version": "UPDATE {t} SET version = 7 WHERE name = 'a'",
    "cut": "UPDATE {t} SET value = substr(value, 1, 88) WHERE name = 'a'",
    "in clear": "UPDATE {t} SET value = {clear} WHERE name = 'a'",
}


@pytest.mark.parametrize("move", MOVES)
def test_a_value_that_was_moved_or_changed_in_the_database_is_refused(tenant, engine, move):
    tenant.secrets.set("a", "first")
    tenant.secrets.set("b", "second")
    sqlite = engine == "sqlite"
    table = "secrets" if sqlite else "undercroft.secrets"
    clear = "CAST('first' AS BLOB)" if sqlite else "'first'::bytea"
    tenant.db.execute(MOVES[move].format(t=table, clear=clear))
    with pytest.raises(SealBroken):
        tenant.secrets.get("c" if move == "another name" else "a")
    assert tenant.secrets.get("b") == SecretStr("second")


def test_an_old_value_does_not_open_in_the_place_of_a_new_one_of_its_name(tenant, engine):
    table = "secrets" if engine == "sqlite" else "undercroft.secrets"
    tenant.secrets.set("a", "first")
    [row] = tenant.db.fetch(f"SELECT value FROM {table}")
    tenant.secrets.delete("a")
    tenant.secrets.set("a", "second")
    tenant.db.execute(f"UPDATE {table} SET value = $1", row["value"])
    with pytest.raises(SealBroken):
        tenant.secrets.get("a")


def test_no_frame_of_ours_shows_the_value_when_a_call_fails(tenant, monkeypatch):
    """In the frames of whoever called us it stands, of course; the last of those is this function."""
    monkeypatch.setattr("undercroft.audit.ops.log", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError) as failed:
        tenant.secrets.set("slack", TOKEN)
    frames = traceback.StackSummary.extract(traceback.walk_tb(failed.value.__traceback__), capture_locals=True)
    shown = [frame for frame in frames if frame.locals and TOKEN in repr(frame.locals)]
    assert [frame.filename for frame in shown if "/undercroft/" in frame.filename] == []


def test_control_an_operation_that_does_not_hide_shows_it(tenant):
    def fail(tx: Any, value: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as failed:
        ours(tenant, fail)(TOKEN)
    frames = traceback.StackSummary.extract(traceback.walk_tb(failed.value.__traceback__), capture_locals=True)
    assert [one for one in frames if one.locals and TOKEN in repr(one.locals) and "/undercroft/" in one.filename]


def test_under_an_idempotency_key_it_is_set_once(tenant):
    keyed = tenant.idempotent("K1")
    assert keyed.secrets.set("slack", TOKEN) == keyed.secrets.set("slack", TOKEN)
    assert tenant.secrets.list()[0].version == 1
