"""demo: the whole of it, for somebody who has just arrived."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Ended
from tests.cli.workspaces import KEY, export

Call = Callable[..., Ended]


def test_it_imports_searches_and_tells_what_to_type_next(program: Call):
    ended = program("demo")
    assert (ended.code, ended.err) == (0, "")
    assert "\x1b" not in ended.out
    for part in ("import slack", 'search "refund policy"', "Already there", "Messages", "healthy", "返品"):
        assert part in ended.out
    assert "undercroft import slack export.zip" in ended.out
    assert [path.name for path in Path().iterdir() if path.suffix == ".db"] == ["undercroft-demo.db"]


def test_no_line_is_wider_than_a_terminal(program: Call):
    from rich.cells import cell_len

    lines = program("demo").out.splitlines()
    assert [line for line in lines if cell_len(line) > 80 or line != line.rstrip()] == []


def test_both_searches_find_something_and_the_second_run_adds_nothing(undercroft: Call):
    first = undercroft("demo", "--json").json
    assert [bool(one["hits"]) for one in first["searches"]] == [True, True]
    assert first["import"]["added"] > 100
    assert first["import"]["quarantined"] == 0
    assert first["health"]["status"] == "healthy"
    again = undercroft("demo", "--json").json
    assert again["import"]["added"] == 0
    assert again["stats"] == first["stats"]


def test_with_an_export_it_searches_what_that_talks_about(undercroft: Call, tmp_path: Path):
    answer = undercroft("demo", "--export", export(tmp_path / "mine.zip", 90), "--json").json
    assert answer["tenant"] == KEY
    assert len(answer["searches"]) == 2
    assert all(one["hits"] for one in answer["searches"])


def test_it_leaves_the_configured_database_alone(undercroft: Call, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("UNDERCROFT_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/precious")
    monkeypatch.setenv("UNDERCROFT_MIGRATE_URL", "postgresql://owner@127.0.0.1:1/precious")
    assert undercroft("demo").code == 0
    assert undercroft("demo", "-d", "sqlite:///elsewhere.db", "--json").code == 2  # here the settings count again
    monkeypatch.delenv("UNDERCROFT_MIGRATE_URL")
    assert undercroft("demo", "-d", "sqlite:///elsewhere.db", "--json").json["database"] == "elsewhere.db"


def test_an_export_that_is_none(undercroft: Call):
    ended = undercroft("demo", "--export", "nowhere.zip")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert re.search("nowhere.zip", ended.err)
    assert not Path("undercroft-demo.db").exists()
