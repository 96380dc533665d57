"""queries, results, sessions and users: what the operator of a text-to-SQL bot is asked."""

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from rich.cells import cell_len

from tests.cli.conftest import Ended
from undercroft import Store
from undercroft.cli.cells import Share, plain, shown
from undercroft.cli.output import Listing, Output
from undercroft.cli.sparkline import sparkline

Call = Callable[..., Ended]
KEY = "slack:T024BE7LD"
SQL = "SELECT name\nFROM products -- all of them"
DECLINED = {"question": "What is love?", "database": "shop", "user": "U2", "status": "declined", "error": "no SQL"}


@pytest.fixture
def asked(undercroft: Call) -> Call:
    """The program, in a directory with the database of a bot that was asked a little."""
    with Store("sqlite:///undercroft.db") as store:
        store.tenants.ensure(KEY, name="Acme")
        acme = store.tenant(KEY)
        acme.users.ensure("U1", name="ada", display_name="Ada Lovelace")
        session = acme.sessions.start("U1", channel="C1", current_database="shop")
        acme.sessions.end(acme.sessions.start("U2", channel="C2").id)
        for _ in range(3):
            with acme.queries.record("Products?", sql=SQL, database="shop", user="U1", session=session.id) as run:
                run.rows = acme.results.get_or_run(SQL, lambda: ["Tea"], database="shop", rights="all").value
        with suppress(ValueError), acme.queries.record("Margins?", sql="SELECT m", database="shop", user="U2"):
            raise ValueError("no such column: \x1b[2Jm")
        acme.results.stats()  # writes down what this process has counted
        acme.queries.log(**DECLINED)
    return undercroft


def test_who_asked_what_the_latest_first(asked: Call):
    told = asked("queries", "history", "--json").json
    assert told["schema_version"] == 1
    assert told["tenant"] == KEY
    assert [(one["user"], one["status"]) for one in told["queries"]] == [
        ("U2", "declined"),
        ("U2", "failed"),
        *[("U1", "success")] * 3,
    ]
    rows = asked("queries", "history").rows
    assert [len(row) for row in rows] == [10] * 5
    assert rows[0][2:] == ["U2", "shop", "declined", "", "", "What is love?", "", "no SQL"]
    assert rows[1][9] == "ValueError: no such column: \N{REPLACEMENT CHARACTER}[2Jm"
    assert rows[2][8] == "SELECT name FROM products -- all of them"


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--sql", SQL], 3),
        (["--sql", "SELECT name"], 0),
        (["--user", "ada"], 3),
        (["--user", "Ada Lovelace"], 3),
        (["--user", "U2"], 2),
        (["--status", "failed"], 1),
        (["--database", "hr"], 0),
        (["--since", "1h"], 5),
        (["--until", "2024"], 0),
        (["--limit", "2"], 2),
    ],
    ids=["sql", "another sql", "handle", "display name", "id", "status", "database", "since", "until", "limit"],
)
def test_who_ran_this_query(asked: Call, options: list[str], count: int):
    assert len(asked("queries", "history", *options).rows) == count


@pytest.mark.parametrize("group", ["queries history", "sessions list"])
def test_a_user_whom_nobody_knows_is_a_mistake(asked: Call, group: str):
    ended = asked(*group.split(), "--user", "nobody")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "--user: there is none called nobody" in ended.err


def test_what_is_slow(asked: Call):
    hours = asked("queries", "performance", "--json").json["hours"]
    assert sum(hour["queries"] for hour in hours) == 5
    assert sum(hour["errors"] for hour in hours) == sum(hour["declined"] for hour in hours) == 1
    rows = asked("queries", "performance").rows
    assert [len(row) for row in rows] == [7] * len(hours)
    assert rows[0][6].startswith("0.")
    assert asked("queries", "performance", "--hours", "0").code == 2


def test_whether_the_cache_helps(asked: Call):
    stats = asked("results", "stats", "--json").json
    assert (stats["entries"], stats["hits"], stats["misses"]) == (1, 2, 1)
    assert ["hit_rate", "0.667"] in asked("results", "stats").rows
    [day] = asked("results", "efficiency", "--json").json["days"]
    assert (day["hits"], day["misses"], round(day["hit_rate"], 3)) == (2, 1, 0.667)
    assert asked("results", "efficiency").rows == [[day["day"][:10], "0.667", "2", "1", "0", "0", "0"]]
    assert asked("results", "efficiency", "--days", "0").code == 2


def test_who_is_at_what(asked: Call):
    [session] = asked("sessions", "list", "--json").json["sessions"]
    assert (session["user"], session["channel"], session["current_database"]) == ("U1", "C1", "shop")
    [row] = asked("sessions", "list").rows
    assert row[:3] == ["Ada Lovelace", "C1", "shop"]
    assert [row[0] for row in asked("sessions", "list", "--ended").rows] == ["U2", "Ada Lovelace"]
    assert len(asked("sessions", "list", "--user", "ada").rows) == 1
    assert asked("sessions", "list", "--channel", "C9").rows == []


def test_who_is_active(asked: Call):
    users = asked("users", "activity", "--json").json["users"]
    assert {one["user"]: (one["queries"], one["errors"], one["sessions"]) for one in users} == {
        "U1": (3, 0, 1),
        "U2": (2, 1, 1),
    }
    rows = asked("users", "activity", "--days", "1").rows
    assert {row[0]: row[1:6] for row in rows} == {
        "Ada Lovelace": ["U1", "3", "0", "1", "1"],
        "U2": ["U2", "2", "1", "1", "0"],
    }


def test_who_may_ask_which_database(asked: Call):
    assert asked("users", "access", "U1").code == 2
    made = asked("users", "allow", "U1", "shop", "hr", "--login", "analyst", "--role", "READ_ONLY", "--json").json
    assert made["access"]["allowed_databases"] == ["hr", "shop"]
    assert asked("users", "access", "U1", "--json").json == made
    assert ["asks_as", "analyst"] in asked("users", "access", "U1").rows
    with Store("sqlite:///undercroft.db") as store:
        acme = store.tenant(KEY)
        assert acme.users.authorize_query("U1", database="hr").role == "READ_ONLY"
        assert [one.event_type for one in acme.audit.recent()] == ["user.map_database"]
    assert asked("users", "disallow", "U1", "--json").json["removed"] is True
    assert asked("users", "disallow", "U1", "--json").json["removed"] is False
    assert asked("users", "access", "U1").code == 2
    assert asked("users", "allow", "U1").code == 2


@pytest.mark.parametrize(
    "words",
    ["queries history", "queries performance", "results efficiency", "sessions list", "users activity"],
)
@pytest.mark.parametrize("width", [80, 120])
def test_a_screen_is_no_wider_than_the_terminal_and_cuts_no_time(asked: Call, monkeypatch, words: str, width: int):
    with Store("sqlite:///undercroft.db") as store:
        acme = store.tenant(KEY)
        acme.users.ensure("U3", display_name="株式会社アンダークロフト第二営業部 Katherine Goble Johnson")
        acme.sessions.start("U3", channel="C0123456789ABCDEF", current_database="A_DATABASE_OF_A_VERY_LONG_NAME")
        acme.queries.log("word " * 50, user="U3", execution_time_ms=4_000_000, row_count=123_456, database="x" * 60)
    monkeypatch.setattr(Output, "is_for_people", True)
    monkeypatch.setenv("COLUMNS", str(width))
    screen = asked(*words.split()).out
    lines = screen.splitlines()
    assert max(cell_len(line) for line in lines) <= width
    assert "\x1b" not in screen
    if words not in {"results efficiency", "queries performance"}:
        assert len(re.findall(r"\d\d:\d\d", screen)) >= 2
    if words in {"sessions list", "users activity"}:
        assert len(re.findall(r"20\d\d-\d\d-\d\d \d\d:\d\d", screen)) >= 3


def test_at_length_nothing_is_cut(asked: Call, monkeypatch):
    monkeypatch.setattr(Output, "is_for_people", True)
    monkeypatch.setenv("COLUMNS", "80")
    screen = asked("queries", "history", "--long").out
    assert "SELECT name\n    FROM products -- all of them\n" in screen
    assert "ValueError: no such column" in screen
    assert screen.count("  U1\n") == 3


def test_before_anybody_asked(undercroft: Call, monkeypatch):
    undercroft("init")
    every = ("queries history", "queries performance", "results efficiency", "sessions list", "users activity")
    for words in every:
        assert (undercroft(*words.split()).code, undercroft(*words.split()).out) == (0, "")
    assert ["hit_rate", ""] in undercroft("results", "stats").rows
    monkeypatch.setattr(Output, "is_for_people", True)
    assert [line for words in every for line in undercroft(*words.split()).out.splitlines()] == [
        "  no question is recorded",
        "  nobody has asked anything",
        "  nothing was asked of the cache",
        "  nobody is at anything",
        "  nobody has asked anything",
    ]


def test_a_share_for_people_and_for_programs():
    assert [shown(Share(part)) for part in (None, 0.0, 2 / 3, 1.0)] == ["-", "0 %", "67 %", "100 %"]
    assert [plain(Share(part)) for part in (None, 0.0, 2 / 3)] == ["", "0.000", "0.667"]


def test_hours_as_a_line_of_blocks():
    first = datetime(2024, 2, 27, 23, tzinfo=UTC)
    assert sparkline({first: 7, first + timedelta(hours=2): 1}, step=timedelta(hours=1)) == "█▁▂"


def test_only_the_columns_that_may_be_cut_give_way():
    from rich.console import Console

    listing = Listing(["name", "when"], [["long " * 20, "2024-05-17 10:00"]], cut=["name"])
    console = Console(width=40)
    with console.capture() as drawn:
        console.print(listing.rich())
    assert "2024-05-17 10:00" in drawn.get()
    assert "…" in drawn.get()
