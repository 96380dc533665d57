"""settings, flags and preferences: what an operator sets, looks at and takes back."""

from collections.abc import Callable

import pytest

from tests.cli.conftest import Ended
from undercroft import Store

Call = Callable[..., Ended]
KEY = "slack:T024BE7LD"


@pytest.fixture
def made(undercroft: Call) -> Call:
    """The program, in a directory with the database of a tenant that has settings and a flag."""
    with Store("sqlite:///undercroft.db") as store:
        store.tenants.ensure(KEY, name="Acme")
        acme = store.tenant(KEY)
        acme.settings.set("retries", 3, description="Before giving up", by="U1")
        acme.settings.set("greeting", "5")
        acme.settings.set_flag("search", enabled=True, users=["U1"], share=12.5, by="U1")
        acme.preferences.set("U1", "retries", 9)
    return undercroft


def test_what_is_set(made: Call):
    rows = made("settings", "list").rows
    assert [row[:3] for row in rows] == [["greeting", "5", "str"], ["retries", "3", "int"]]
    assert rows[1][4:] == ["U1", "Before giving up"]
    told = made("settings", "list", "--json").json
    assert (told["tenant"], [one["value"] for one in told["settings"]]) == (KEY, ["5", 3])
    assert made("settings", "get", "retries").rows == [["retries", "3"]]


@pytest.mark.parametrize(
    ("words", "kind", "value"),
    [
        (["retries", "4"], "int", 4),
        (["greeting", "7"], "str", "7"),
        (["greeting", "7", "--type", "int"], "int", 7),
        (["new", "true"], "bool", True),
        (["new", "0.5"], "float", 0.5),
        (["new", "3", "--type", "float"], "float", 3.0),
        (["new", '{"a": [1, null]}'], "json", {"a": [1, None]}),
        (["new", "null"], "json", None),
        (["new", "good morning"], "str", "good morning"),
        (["new", "2026-01-02T03:04:05+01:00", "--type", "datetime"], "datetime", "2026-01-02T02:04:05+00:00"),
        (["new", "2026-01-02T03:04", "--type", "datetime"], "datetime", "2026-01-02T03:04:00+00:00"),
    ],
    ids=range(11),
)
def test_a_setting_is_set_keeps_its_type_or_gets_the_one_that_is_said(made: Call, words, kind, value):
    told = made("settings", "set", *words, "--by", "U2", "--json").json
    assert (told["type"], told["value"]) == (kind, value)
    again = made("settings", "get", words[0], "--json").json
    assert (again["type"], again["value"]) == (kind, value)
    with Store("sqlite:///undercroft.db") as store:
        assert store.tenant(KEY).audit.recent()[0].actor == "U2"


def test_a_number_of_any_length_is_printed_as_it_is(made: Call):
    assert '"value":[99999999999999999999999,-0.0]' in made(
        *("settings", "set", "big", "[99999999999999999999999, -0.0]", "--json")
    ).out.replace(", ", ",")


def test_what_counts_for_a_user(made: Call):
    assert made("preferences", "list", "U1", "--json").json["preferences"][0]["value"] == 9
    assert made("preferences", "get", "U1", "retries").rows == [["retries", "9"]]
    assert made("preferences", "get", "U2", "retries").rows == [["retries", "3"]]
    assert made("preferences", "set", "U2", "greeting", "8", "--json").json["value"] == "8"
    assert made("preferences", "delete", "U1", "retries").rows == [["retries", "deleted"]]
    assert made("preferences", "delete", "U1", "retries", "--json").json["deleted"] is False
    assert made("preferences", "get", "U1", "retries").rows == [["retries", "3"]]


def test_a_flag_is_switched_checked_and_deleted(made: Call):
    assert made("flags", "list").rows[0][:3] == ["search", "true", "U1, 12.5 %"]
    assert made("flags", "check", "search", "--user", "U1", "--json").json["on"] is True
    assert made("flags", "check", "search").rows == [["search", "false"]]
    off = made("flags", "set", "search", "--off", "--json").json["flag"]
    assert (off["enabled"], off["users"], off["share"]) == (False, ["U1"], 12.5)
    assert made("flags", "check", "search", "--user", "U1", "--json").json["on"] is False
    on = made("flags", "set", "search", "--on", "--user", "", "--share", "100", "--except", "U9", "--json").json["flag"]
    assert (on["users"], on["share"], on["except_users"]) == ([], 100, ["U9"])
    assert made("flags", "delete", "search", "--yes", "--json").json["deleted"] is True
    assert made("flags", "delete", "search", "--yes").rows == [["search", "there was none"]]


def test_a_setting_is_deleted(made: Call):
    assert made("settings", "delete", "retries", "-y", "--json").json["deleted"] is True
    assert [row[0] for row in made("settings", "list").rows] == ["greeting"]


@pytest.mark.parametrize(
    "words",
    [
        "settings get nothing",
        "settings set retries many",
        "settings set retries 1.5",
        "settings set new yes --type bool",
        "settings set new tomorrow --type datetime",
        "settings set new 1 --type number",
        "settings set new [NaN]",
        "settings delete retries",
        "flags check nothing",
        "flags set search",
        "flags set search --on --share 101",
        "flags delete search",
        "preferences get U1 nothing",
        "preferences set U1 retries many",
    ],
)
def test_a_mistake_changes_nothing_and_is_told_in_a_line(made: Call, words: str):
    ended = made(*words.split())
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    with Store("sqlite:///undercroft.db") as store:
        acme = store.tenant(KEY)
        assert (len(acme.audit.recent()), acme.preferences.get("U1", "retries")) == (3, 9)


def test_before_anything_is_set(undercroft: Call):
    undercroft("init")
    for words in (("settings", "list"), ("flags", "list"), ("preferences", "list", "U1")):
        assert undercroft(*words).rows == []
