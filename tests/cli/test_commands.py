"""init, stats, health, tenants and db: what they do, in each of the three forms."""

import contextlib
import re
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Ended

Call = Callable[..., Ended]
ANSI = "\x1b"


def keys(ended: Ended) -> list[str]:
    """The tenants of a list, without the one that every database has."""
    return [row[0] for row in ended.rows if row[0] != "local:default"]


def test_init_makes_a_private_file_in_the_current_directory(undercroft: Call):
    ended = undercroft("init")
    assert ended.code == 0
    assert ended.err == ""
    assert stat.S_IMODE(Path("undercroft.db").stat().st_mode) == 0o600
    assert ["rights", "-rw-------"] in ended.rows
    assert ["database", str(Path("undercroft.db").resolve())] in ended.rows


def test_init_again_is_harmless_and_says_that_it_was_there(undercroft: Call):
    assert undercroft("init", "--json").json["created"] is True
    undercroft("tenants", "ensure", "slack:T1")
    again = undercroft("init", "--json")
    assert again.code == 0
    assert again.json["created"] is False
    assert keys(undercroft("tenants", "list")) == ["slack:T1"]


def test_init_takes_the_address_as_an_argument_or_an_option(undercroft: Call):
    assert undercroft("init", "sqlite:///one.db").code == 0
    assert undercroft("init", "-d", "sqlite:///two.db").code == 0
    assert undercroft("-d", "sqlite:///three.db", "init").code == 0
    assert sorted(path.name for path in Path().glob("*.db")) == ["one.db", "three.db", "two.db"]


def test_init_points_out_a_file_that_others_can_read(undercroft: Call):
    undercroft("init")
    Path("undercroft.db").chmod(0o644)
    assert undercroft("init", "--json").json["mode"] == "-rw-r--r--"


def test_the_environment_names_the_database_and_the_option_goes_before_it(
    undercroft: Call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("UNDERCROFT_DATABASE_URL", "sqlite:///environment.db")
    assert undercroft("init", "--json").json["database"] == "environment.db"
    assert undercroft("init", "-d", "sqlite:///option.db", "--json").json["database"] == "option.db"


@pytest.mark.parametrize(
    "name", ["search x", "stats", "health", "tenants list", "tenants purge slack:T1", "db current"]
)
def test_a_command_that_reads_makes_no_file(name: str, undercroft: Call):
    ended = undercroft(*name.split())
    assert ended.code == 2
    assert ended.err == (
        "undercroft: There is no database undercroft.db in this directory:"
        " make it with `undercroft init`, or name another with --database-url\n"
    )
    assert list(Path().iterdir()) == []


def test_stats_of_one_tenant_and_of_several(undercroft: Call):
    undercroft("tenants", "ensure", "slack:T1", "--name", "Acme")
    one = undercroft("stats", "--json").json
    assert [counted["tenant"] for counted in one["tenants"]] == ["slack:T1"]
    assert one["tenants"][0]["messages"] == 0
    assert one["fleet"]["deleted_tenants"] == 0
    undercroft("tenants", "ensure", "discord:9", "--name", "株式会社")
    assert {row[1] for row in undercroft("stats").rows if len(row) == 6} == {"Acme", "株式会社"}
    named = undercroft("stats", "--tenant", "discord:9", "--json").json
    assert [counted["tenant"] for counted in named["tenants"]] == ["discord:9"]


def test_stats_shows_tables_when_asked(undercroft: Call):
    undercroft("init")
    assert ["messages", "0", ""] not in undercroft("stats").rows
    assert ["messages", "0", ""] in undercroft("stats", "--tables").rows
    assert ["messages", "0", ""] in undercroft("health", "--tables").rows


def test_health_of_a_database_that_answers(undercroft: Call):
    undercroft("init")
    ended = undercroft("health", "--json")
    assert ended.code == 0
    assert ended.json["status"] == "healthy"
    assert ended.json["schema_revision"] == ended.json["schema_head"]


def test_health_that_writes(undercroft: Call):
    undercroft("init")
    assert undercroft("health", "--json").json["trial"] is None
    ended = undercroft("health", "--deep", "--json")
    assert (ended.code, ended.json["status"]) == (0, "healthy")
    assert all(ended.json["trial"][step] > 0 for step in ("write_ms", "read_ms", "delete_ms"))
    shown = [row[0] for row in undercroft("health", "--deep").rows]
    assert {"wrote_a_row_in", "read_it_back_in", "deleted_it_in"} <= set(shown)


def test_health_of_a_file_that_answers_and_takes_nothing(undercroft: Call):
    undercroft("init")
    with contextlib.closing(sqlite3.connect("undercroft.db")) as file, file:
        file.execute("CREATE TRIGGER full BEFORE INSERT ON upkeep_runs BEGIN SELECT raise(FAIL, 'no'); END")
    assert undercroft("health").code == 0
    ended = undercroft("health", "--deep")
    assert ended.code == 3
    assert ["wrote_a_row_in", "it did not"] in [row[:2] for row in ended.rows]
    assert undercroft("health", "--deep", "--json").json["error"] == "database.constraint"


def test_health_of_a_file_that_is_no_database(undercroft: Call):
    Path("undercroft.db").write_text("no database at all" * 100)
    ended = undercroft("health", "--json")
    assert ended.code == 3
    assert ended.json["status"] == "unhealthy"
    assert ended.json["error"] == "database.corrupt"


def test_health_of_a_server_that_is_not_there(undercroft: Call):
    ended = undercroft("health", "--json", "-d", "postgresql://u:secret@127.0.0.1:1/x")
    assert ended.code == 3
    assert ended.json["error"] == "database.unavailable"
    assert "secret" not in ended.out + ended.err


def test_the_life_of_a_tenant(undercroft: Call):
    key = "slack:T024BE7LD"
    made = undercroft("tenants", "ensure", key, "--name", "Acme", "--plan", "pro", "--json").json["tenant"]
    assert (made["key"], made["name"], made["plan_tier"]) == (key, "Acme", "pro")
    changed = undercroft("tenants", "ensure", key, "--status", "trial", "--json").json["tenant"]
    assert (changed["name"], changed["plan_tier"], changed["subscription_status"]) == ("Acme", "pro", "trial")
    assert undercroft("tenants", "show", "--tenant", key, "--json").json["tenant"] == changed
    assert undercroft("tenants", "purge", key, "--yes").code == 2
    assert undercroft("tenants", "delete", key).code == 0
    assert keys(undercroft("tenants", "list")) == []
    assert keys(undercroft("tenants", "list", "--deleted")) == [key]
    assert undercroft("tenants", "restore", key, "--json").json["tenant"]["deleted_at"] is None
    undercroft("tenants", "delete", key)
    assert undercroft("tenants", "purge", key, "--yes", "--json").json["rows_removed"] == 1
    assert undercroft("tenants", "show", key).code == 2


def test_a_long_list_of_tenants_is_whole(undercroft: Call, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("undercroft.cli.tenants._PAGE", 3)
    made = [f"slack:T{number}" for number in range(7)]
    for key in made:
        undercroft("tenants", "ensure", key)
    assert sorted(keys(undercroft("tenants", "list"))) == made


@pytest.mark.parametrize("arguments", [["tenants", "purge", "slack:T1"], ["db", "downgrade", "base"]])
def test_what_cannot_be_undone_is_not_done_where_nobody_can_be_asked(arguments: list[str], undercroft: Call):
    undercroft("tenants", "ensure", "slack:T1")
    undercroft("tenants", "delete", "slack:T1")
    ended = undercroft(*arguments)
    assert ended.code == 2
    assert ended.err.endswith(": add --yes to go ahead\n")
    assert keys(undercroft("tenants", "list", "--deleted")) == ["slack:T1"]


def test_the_schema_goes_forward_and_back(undercroft: Call):
    up = undercroft("db", "upgrade", "--json").json
    assert (up["before"], up["changed"]) == ([], True)
    assert stat.S_IMODE(Path("undercroft.db").stat().st_mode) == 0o600
    assert undercroft("db", "upgrade", "--json").json["changed"] is False
    here = undercroft("db", "current", "--json").json
    assert (here["revision"], here["is_newest"], here["applied"]) == (here["head"], True, up["after"])
    assert undercroft("db", "downgrade", "base", "--yes", "--json").json["after"] == []
    assert undercroft("db", "current", "--json").json["revision"] is None
    assert undercroft("db", "upgrade", up["after"][0]).code == 0


def test_stamp_writes_the_revision_down_and_makes_no_table(undercroft: Call):
    undercroft("db", "upgrade")
    undercroft("db", "downgrade", "base", "--yes")
    assert undercroft("db", "stamp", "head", "--json").json["changed"] is True
    assert undercroft("db", "current", "--json").json["is_newest"] is True
    assert undercroft("tenants", "list").code == 2 or undercroft("tenants", "list").code == 3  # there are no tables


def test_history_needs_no_database_and_ends_with_the_first_revision(undercroft: Call):
    steps = undercroft("db", "history", "--json").json["revisions"]
    assert steps[-1]["after"] is None
    assert all(step["message"] for step in steps)
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(("dialect", "word"), [("sqlite", "fts5"), ("postgresql", "ROW LEVEL SECURITY")])
def test_sql_prints_what_an_upgrade_would_run(dialect: str, word: str, undercroft: Call):
    text = undercroft("db", "sql", "--dialect", dialect).out
    assert word in text
    assert undercroft("db", "sql", "--dialect", dialect, "--json").json["sql"].strip() == text.strip()
    assert list(Path().iterdir()) == []


def test_sql_is_in_the_words_of_the_database_at_hand(undercroft: Call):
    assert undercroft("db", "sql").out == undercroft("db", "sql", "--dialect", "sqlite").out


@pytest.mark.parametrize("where", ["before", "after"])
def test_the_options_of_every_command_may_stand_before_and_after_its_name(where: str, undercroft: Call):
    undercroft("tenants", "ensure", "slack:T1")
    names = ["tenants", "list"]
    ended = undercroft("--json", *names) if where == "before" else undercroft(*names, "--json")
    assert ended.json["schema_version"] == 1


def test_between_the_two_the_later_one_wins(undercroft: Call):
    undercroft("init", "sqlite:///a.db")
    undercroft("init", "sqlite:///b.db")
    assert undercroft("-d", "sqlite:///a.db", "health", "-d", "sqlite:///b.db", "--json").json["database"] == "b.db"


def test_the_version(undercroft: Call):
    import undercroft as library

    assert undercroft("--version").out.split() == ["undercroft", library.__version__]
    assert undercroft("--version", "--json").json == {"schema_version": 1, "version": library.__version__}


def test_a_name_cannot_break_the_lines_of_a_table(undercroft: Call):
    undercroft("tenants", "ensure", "slack:T1", "--name", "two\nlines\tand a tab")
    rows = {row[0]: row for row in undercroft("tenants", "list").rows}
    assert rows["slack:T1"][1] == "two lines and a tab"
    assert len(rows["slack:T1"]) == 5


@pytest.mark.parametrize("options", [[], ["--quiet"]])
def test_behind_a_pipe_nothing_is_drawn_and_nothing_is_coloured(options: list[str], undercroft: Call):
    undercroft("tenants", "ensure", "slack:T1")
    commands = (["stats", "--tables"], ["health"], ["tenants", "list"], ["db", "current"], ["init"], ["nonsense"])
    for arguments in commands:
        ended = undercroft(*arguments, *options)
        assert ended.out or ended.err
        assert ANSI not in ended.out + ended.err
        assert not re.search(r"[─━╭]|  ", ended.out)
    assert ANSI not in undercroft("--help").out


def test_a_process_of_its_own_prints_the_same(program: Call, undercroft: Call):
    undercroft("tenants", "ensure", "slack:T1")
    assert program("tenants", "list", "--json").out == undercroft("tenants", "list", "--json").out
