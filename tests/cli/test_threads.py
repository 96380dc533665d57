"""threads, metrics and goals: listed, shown, changed."""

from collections.abc import Callable
from datetime import timedelta

from tests.cli.conftest import Ended
from undercroft import Store

Call = Callable[..., Ended]
KEY = "C123:1700000000.000100"


def filled() -> None:
    with Store("sqlite:///undercroft.db") as store:
        acme = store.default
        acme.threads.append(KEY, role="user", content="Sales in May?", user="U1")
        acme.threads.append(KEY, role="assistant", tool_calls=[{"id": "1", "function": {"name": "sql"}}])
        acme.threads.append(KEY, role="user", content=[{"type": "text", "text": "see"}, {"type": "image"}])
        acme.threads.describe(KEY, title="Sales", expires_after=timedelta(hours=1))
        acme.metrics.log("speed", 0.5, unit="s")
        acme.metrics.log("speed", 1.5, unit="s")


def test_threads_are_listed_and_shown(undercroft: Call):
    filled()
    assert [row[1:] for row in undercroft("threads", "list").rows] == [[KEY, "3", "U1", "Sales"]]
    assert undercroft("threads", "list", "--owner", "U2").rows == []
    shown = undercroft("threads", "show", KEY)
    assert shown.rows[-3:] == [
        ["1", "U1", "Sales in May?"],
        ["2", "assistant", "(calls sql)"],
        ["3", "user", "see (image)"],
    ]
    told = undercroft("threads", "show", KEY, "--last", "1", "--json").json
    assert (told["thread"]["expires_after_seconds"], told["thread"]["messages"]) == (3600, 3)
    assert [message["position"] for message in told["messages"]] == [3]
    assert undercroft("threads", "show", "C1:none").code == 2


def test_metrics_are_listed_and_shown(undercroft: Call):
    filled()
    assert [row[:6] for row in undercroft("metrics", "list").rows] == [["speed", "s", "2", "1", "0.5", "1.5"]]
    told = undercroft("metrics", "show", "speed", "--by", "day", "--json").json
    assert (told["total"]["count"], told["total"]["mean"], told["unit"]) == (2, 1.0, "s")
    assert undercroft("metrics", "show", "speed").rows[-1][1:5] == ["2", "1", "0.5", "1.5"]
    assert undercroft("metrics", "show", "speed", "--by", "week").code == 2


def test_goals_are_set_listed_and_shown(undercroft: Call):
    filled()
    assert undercroft("goals", "set", "q1").code == 2
    assert undercroft("goals", "set", "q1", "--title", "Grow", "--area", "sales").code == 0
    assert undercroft("goals", "set", "q1", "--progress", "40").code == 0
    refused = undercroft("goals", "set", "q1", "--progress", "140")
    assert (refused.code, "0 to 100" in refused.err) == (2, True)
    assert undercroft("goals", "list").rows == [["q1", "Grow", "sales", "not_started", "3", "40"]]
    assert undercroft("goals", "list", "--status", "completed").rows == []
    told = undercroft("goals", "show", "q1", "--json").json
    assert [one["progress"] for one in told["history"]] == [40, 0]
