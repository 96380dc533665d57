"""`undercroft import env`: the diff, the copy of before, the log, and what is never printed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Ended

Call = Callable[..., Ended]
ENV = "PORT=3000\nSLACK_BOT_TOKEN=s3cret\n"


@pytest.fixture(autouse=True)
def _keys(undercroft: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERCROFT_KEYS", "uck1_dW5kZXJjcm9mdCB0ZXN0cyB1bmRlcmNyb2Z0IHRlc3Q")


def files() -> list[str]:
    return sorted(path.name for path in Path().iterdir() if not path.name.startswith("undercroft.db"))


def test_a_dry_run_shows_what_would_change_and_changes_nothing(undercroft: Call):
    undercroft("init")
    Path(".env").write_text(ENV)
    ended = undercroft("import", "env", ".env", "--dry-run")
    assert ended.code == 0, ended.err
    assert ["added", "SLACK_BOT_TOKEN", "text", "true", ".env", "2"] in ended.rows
    assert "s3cret" not in ended.out + ended.err
    assert undercroft("config", "list", "--json").json["config"] == []
    assert files() == [".env"]


def test_twice_is_once_and_what_was_before_is_kept(undercroft: Call):
    Path(".env").write_text(ENV)
    Path("c.json").write_text('{"api": {"port": 5300}}')
    call = ("import", "env", ".env", "c.json", "--prefix", "bot.", "--category", "bot", "--log", "log")
    first, second = undercroft(*call, "--json"), undercroft(*call, "--json")
    assert (first.code, second.code) == (0, 0), first.err
    assert (first.json["added"], second.json["unchanged"]) == (3, 3)
    assert second.json["backup"] is None
    kept = first.json["backup"]
    assert files() == [".env", kept, "c.json", "log"]
    assert undercroft("backup", "verify", kept, "--unauthenticated").code == 0
    assert undercroft("config", "get", "bot.api.port").out == "5300\n"
    lines = [json.loads(line) for line in Path("log").read_text().splitlines()]
    assert [(line["outcome"], line["added"], line["unchanged"]) for line in lines] == [("done", 3, 0), ("done", 0, 3)]
    assert {one["path"] for one in lines[0]["files"]} == {".env", "c.json"}
    assert Path("log").stat().st_mode & 0o777 == 0o600
    shown = first.out + second.out + first.err + second.err + Path("log").read_text()
    assert "s3cret" not in shown
    assert b"s3cret" not in Path("undercroft.db").read_bytes() + Path(kept).read_bytes()


def test_a_bad_file_changes_nothing_and_is_in_the_log(undercroft: Call):
    undercroft("init")
    Path(".env").write_text(ENV)
    Path("c.json").write_text('{"a": 1,\n "a": "s3cret"}')
    ended = undercroft("import", "env", ".env", "c.json", "--log", "log")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("undercroft: c.json, line 2: 'a' is there twice, first on line 1")
    assert undercroft("config", "list", "--json").json["config"] == []
    [line] = [json.loads(line) for line in Path("log").read_text().splitlines()]
    assert (line["outcome"], line["error"]["code"]) == ("refused", "import.source-refused")
    assert "s3cret" not in ended.err + Path("log").read_text()
    assert files() == [".env", "c.json", "log"]


def test_what_cannot_be_meant_is_refused(undercroft: Call):
    Path("settings.ini").write_text("A=1")
    for wrong in ((), ("--format", "ini"), ("--format", "env", "--sensitive", "B"), ("--format", "env", "--log", "/")):
        ended = undercroft("import", "env", "settings.ini", *wrong)
        assert (ended.code, ended.err.count("\n")) == (2, 1)
