"""config: what an operator sets, looks at, compares and takes back; what is sensitive shows only where he says so."""

import io
import time
from collections.abc import Callable
from subprocess import PIPE, Popen
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from tests.cli.conftest import Ended, command
from undercroft import Store

Call = Callable[..., Ended]
TOKEN = "xoxb-tell-nobody"


@pytest.fixture
def filled(undercroft: Call, monkeypatch: pytest.MonkeyPatch) -> Call:
    """The program, in a directory with the database of a bot that is set to some things."""
    with Store("sqlite:///undercroft.db") as store:
        monkeypatch.setenv("UNDERCROFT_KEYS", store.keys.new().get_secret_value())
    with Store("sqlite:///undercroft.db") as store:
        config = store.default.config
        config.set("slack.retries", 3, category="slack", description="How often", by="U1")
        config.set("slack.retries", 5, by="U2")
        config.set("slack.token", TOKEN, category="slack", is_sensitive=True)
        config.set("prompt", "You are kind.\nAnswer in French.\tAlways.")
        config.set("features", {"search": True, "beta": [1, 2]})
    return undercroft


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a text where a pipe's would come from."""
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_what_is_set(filled: Call):
    rows = [row[:5] for row in filled("config", "list").rows]
    assert rows == [
        ["features", '{"beta": [1, 2], "search": true}', "object", "general", "1"],
        ["prompt", "You are kind. Answer in French. Always.", "text", "general", "1"],
        ["slack.retries", "5", "integer", "slack", "2"],
        ["slack.token", "•••", "sensitive", "slack", "1"],
    ]
    assert [row[0] for row in filled("config", "list", "--category", "slack", "--limit", "1").rows] == ["slack.retries"]
    assert [row[0] for row in filled("config", "list", "--prefix", "slack.", "--after", "slack.retries").rows] == [
        "slack.token"
    ]
    told = filled("config", "list", "--json").json["config"]
    assert [one["value"] for one in told] == [
        {"beta": [1, 2], "search": True},
        "You are kind.\nAnswer in French.\tAlways.",
        5,
        None,
    ]


def test_behind_a_pipe_a_value_comes_as_it_is(filled: Call):
    assert filled("config", "get", "prompt").out == "You are kind.\nAnswer in French.\tAlways.\n"
    assert filled("config", "get", "features").out == '{"beta": [1, 2], "search": true}\n'
    assert filled("config", "get", "slack.retries", "--json").json["config"]["value"] == 5
    missing = filled("config", "get", "nothing")
    assert (missing.code, missing.out, missing.err.count("\n")) == (2, "", 1)


def test_what_is_sensitive_is_printed_where_somebody_says_so_and_nowhere_else(filled: Call, piped: Any):
    refused = filled("config", "get", "slack.token")
    assert (refused.code, refused.out) == (2, "")
    assert "--reveal" in refused.err
    assert filled("config", "get", "slack.token", "--reveal").out == f"{TOKEN}\n"
    assert filled("config", "get", "slack.token", "--json").json["config"]["value"] is None
    assert filled("config", "get", "slack.token", "--json", "--reveal").json["config"]["value"] == TOKEN
    piped(f"{TOKEN}2\n")
    said = [filled("config", "set", "slack.token", "--by", "U1")]
    said += [filled("config", *words) for words in (["history", "slack.token"], ["diff", "slack.token", "1"])]
    said += [filled("config", "list"), filled("audit", "recent"), filled("config", "rollback", "slack.token", "1")]
    assert [one.code for one in said] == [0] * 6
    assert TOKEN not in "".join(one.out + one.err for one in said)
    assert said[2].rows == [["changed", "$", "•••", "•••"]]


def test_a_sensitive_value_stands_on_no_command_line(filled: Call, piped: Any):
    for words in (["slack.token", "new"], ["other", "new", "--sensitive"]):
        refused = filled("config", "set", *words)
        assert refused.code == 2
        assert "command line" in refused.err
    filled("config", "delete", "slack.token")
    assert filled("config", "set", "slack.token", "new").code == 2
    piped("\n")
    assert "Nothing came in" in filled("config", "set", "other", "--sensitive").err
    piped(TOKEN)
    assert filled("config", "set", "other", "--sensitive").code == 0
    piped('{"a": 1}\n')
    assert filled("config", "set", "json", "--sensitive", "--json-value").code == 0
    with Store("sqlite:///undercroft.db") as store:
        assert store.default.config.get("other") == SecretStr(TOKEN)
        assert store.default.config.get("json").get_secret_value() == {"a": 1}
    assert filled("config", "set", "slack.token", "clear", "--not-sensitive").rows[1] == ["value", "clear"]


def test_a_value_is_text_unless_it_is_said_to_be_json(filled: Call, piped: Any):
    def stored(*words: str) -> Any:
        told = filled("config", "set", "k", *words, "--json")
        assert told.code == 0, told.err
        return told.json["config"]["value"]

    assert stored("3") == "3"
    assert stored("3", "--json-value") == 3
    assert stored("-j", "[1, 2.5, null]") == [1, 2.5, None]
    assert stored("") == ""
    piped("a\nb\n")
    assert stored() == "a\nb"
    piped('{"x": true}')
    assert stored("-j") == {"x": True}
    for wrong in ("{", "NaN", "99999999999999999999"):
        refused = filled("config", "set", "k", wrong, "-j")
        assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert filled("config", "set", "a b", "1").code == 2


def test_a_version_may_be_expected(filled: Call):
    assert filled("config", "set", "slack.retries", "7", "-j", "--expected", "2", "--by", "U3").rows[2] == [
        "version",
        "3",
    ]
    for words in (["set", "slack.retries", "8"], ["delete", "slack.retries"], ["rollback", "slack.retries", "1"]):
        refused = filled("config", *words, "--expected", "2")
        assert refused.code == 2
        assert "current 3" in refused.err
    assert filled("config", "set", "new", "1", "--expected", "0").code == 0
    assert filled("config", "set", "new", "1", "--expected", "0", "--json").json["error"]["code"] == "version.conflict"


def test_the_history_and_what_was_taken_back(filled: Call):
    assert filled("config", "rollback", "slack.retries", "1", "--by", "U9").rows[:3] == [
        ["key", "slack.retries"],
        ["value", "3"],
        ["version", "3"],
    ]
    assert filled("config", "delete", "slack.retries").rows == [["slack.retries", "deleted"]]
    assert filled("config", "delete", "slack.retries", "--json").json["deleted"] is False
    rows = filled("config", "history", "slack.retries").rows
    assert [[row[0], *row[2:]] for row in rows] == [
        ["4", "", "delete", "", ""],
        ["3", "U9", "back to 1", "3", "integer"],
        ["2", "U2", "set", "5", "integer"],
        ["1", "U1", "set", "3", "integer"],
    ]
    told = filled("config", "history", "slack.retries", "--before", "3", "--limit", "1", "--json").json["history"]
    assert [(one["version"], one["value"]) for one in told] == [(2, 5)]
    assert filled("config", "rollback", "slack.retries", "9").code == 2


def test_a_diff_is_read_by_people_and_programs(filled: Call):
    filled("config", "set", "features", '{"search": false, "new": "x"}', "-j", "--category", "flags")
    assert filled("config", "diff", "features", "1").rows == [
        ["changed", "category", '"general"', '"flags"'],
        ["removed", "$.beta", "[1, 2]", ""],
        ["added", "$.new", "", '"x"'],
        ["changed", "$.search", "true", "false"],
    ]
    told = filled("config", "diff", "features", "1", "2", "--json").json["diff"]
    assert (told["old"], told["new"], told["differences"][1]["path"]) == (1, 2, "$.beta")
    assert filled("config", "diff", "features", "2", "2").rows == []


def test_changes_are_shown_as_they_come(filled: Call):
    assert filled("config", "list").code == 0  # the database is there
    with Popen(command("config", "watch", "--prefix", "x.", "--count", "2", "--json"), stdout=PIPE, text=True) as seen:
        number, end = 0, time.monotonic() + 60
        while seen.poll() is None and time.monotonic() < end:
            number += 1
            with Store("sqlite:///undercroft.db") as store:
                store.default.config.set("x.n", number, by="U1")
                store.default.config.set("y", number)
        seen.kill()
        lines = [orjson.loads(line) for line in seen.stdout]
    first, second = (line["change"] for line in lines)
    assert (first["key"], first["by"], first["value"]) == ("x.n", "U1", first["version"])
    assert second["version"] == first["version"] + 1
