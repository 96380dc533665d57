"""limits: what an operator defines, looks at and frees."""

from collections.abc import Callable

import pytest
from rich.cells import cell_len

from tests.cli.conftest import Ended
from undercroft import Store
from undercroft.cli.output import Output

Call = Callable[..., Ended]
KEY = "slack:T024BE7LD"


@pytest.fixture
def limited(undercroft: Call) -> Call:
    """The program, in a directory with the database of a tenant that has limits and used them."""
    with Store("sqlite:///undercroft.db") as store:
        store.tenants.ensure(KEY, name="Acme")
        acme = store.tenant(KEY)
        acme.users.ensure("U1", display_name="Ada Lovelace")
        acme.limits.define("sql", 100, per="month", each="user")
        acme.limits.define("api", 60, per="day", kind="bucket", burst=10)
        acme.limits.consume("sql", units=7, by="U1")
        acme.limits.consume("sql", units=3, by="U2")
        acme.limits.consume("api", units=4)
    return undercroft


def test_what_is_limited(limited: Call):
    assert limited("limits", "list").rows == [
        ["api", "60", "day", "bucket", "10", "tenant"],
        ["sql", "100", "month", "period", "100", "user"],
    ]
    told = limited("limits", "list", "--json", "--tenant", KEY).json
    assert (told["schema_version"], told["tenant"]) == (1, KEY)
    assert told["limits"][0] == {
        "name": "api",
        "kind": "bucket",
        "amount": 60,
        "per": "day",
        "burst": 10,
        "each": "tenant",
    }


def test_what_is_used(limited: Call):
    rows = limited("limits", "usage").rows
    assert [row[:6] for row in rows] == [
        ["api", "", "", "4", "10", "6"],
        ["sql", "Ada Lovelace", "", "7", "100", "93"],
        ["sql", "U2", "", "3", "100", "97"],
    ]
    assert all(row[6].endswith("Z") for row in rows)
    assert [one["user"] for one in limited("limits", "usage", "sql", "--json").json["usage"]] == ["U1", "U2"]
    assert len(limited("limits", "usage", "--user", "U2").rows) == 1
    assert limited("limits", "usage", "--resource", "gpt").rows == []
    assert len(limited("limits", "usage", "--limit", "2").rows) == 2


def test_a_limit_is_defined_changed_and_removed(limited: Call):
    made = limited("limits", "define", "cents", "5000", "month", "--each", "user and resource", "--json").json
    assert (made["tenant"], made["limit"]["amount"], made["limit"]["each"]) == (KEY, 5000, "user and resource")
    changed = limited("limits", "define", "cents", "60", "minute", "--kind", "bucket", "--burst", "5")
    assert ["at_once", "5"] in changed.rows
    assert limited("limits", "remove", "cents", "--yes", "--json").json["removed"] is True
    assert limited("limits", "remove", "cents", "--yes", "--json").json["removed"] is False
    assert [row[0] for row in limited("limits", "list").rows] == ["api", "sql"]


def test_what_was_used_is_forgotten(limited: Call):
    assert limited("limits", "reset", "sql", "--user", "U1", "-y", "--json").json["counters"] == 1
    assert [row[1] for row in limited("limits", "usage", "sql").rows] == ["U2"]
    assert limited("limits", "reset", "sql", "-y").rows == [["limit", "sql"], ["freed", "1"]]


@pytest.mark.parametrize(
    "words",
    [
        "define sql 0 day",
        "define sql many day",
        "define sql 1 year",
        "define sql 1 second",
        "define sql 1 day --burst 5",
        "define sql 1 day --each channel",
        "usage --limit 0",
        "remove sql",
        "reset sql",
        "list --tenant slack:T0UNKNOWN",
    ],
    ids=[
        "nothing",
        "no number",
        "no period",
        "too short",
        "no bucket",
        "nobody",
        "no page",
        "remove unasked",
        "reset unasked",
        "no tenant",
    ],
)
def test_a_mistake_changes_nothing_and_is_told_in_a_line(limited: Call, words: str):
    ended = limited("limits", *words.split())
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert len(limited("limits", "list").rows) == 2
    assert len(limited("limits", "usage").rows) == 3


@pytest.mark.parametrize("words", ["limits list", "limits usage"])
@pytest.mark.parametrize("width", [80, 120])
def test_a_screen_is_no_wider_than_the_terminal(limited: Call, monkeypatch, words: str, width: int):
    with Store("sqlite:///undercroft.db") as store:
        acme = store.tenant(KEY)
        acme.users.ensure("U3", display_name="株式会社アンダークロフト第二営業部 Katherine Goble Johnson")
        acme.limits.define("a_budget_" + "of_a_long_name_" * 5, 500_000_000, per="month", each="user and resource")
        acme.limits.consume("a_budget_" + "of_a_long_name_" * 5, units=123_456_789, by="U3", resource="model" * 20)
    monkeypatch.setattr(Output, "is_for_people", True)
    monkeypatch.setenv("COLUMNS", str(width))
    screen = limited(*words.split()).out
    assert max(cell_len(line) for line in screen.splitlines()) <= width
    assert "500,000,000" in screen
    if words == "limits usage":
        assert screen.count(" 00:00") >= 3


def test_before_anything_is_limited(undercroft: Call, monkeypatch):
    undercroft("init")
    monkeypatch.setattr(Output, "is_for_people", True)
    assert undercroft("limits", "list").out == "  nothing is limited\n"
    assert undercroft("limits", "usage").out == "  nothing is used\n"
