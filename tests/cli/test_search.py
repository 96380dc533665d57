"""search: words in any language, filters by the names people use, and the three forms of the answer."""

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.text import Text

from tests.cli.conftest import Ended
from tests.cli.workspaces import CHANNELS, KEY, export
from undercroft.cli.search import marked
from undercroft.cli.topics import topics

Call = Callable[..., Ended]


@pytest.fixture
def searched(undercroft: Call, tmp_path: Path) -> Call:
    """The search of a database that holds a workspace."""
    undercroft("import", "slack", export(tmp_path / "a.zip", 90))
    return lambda *arguments: undercroft("search", *arguments)


def test_a_phrase_and_two_japanese_characters(searched: Call):
    english = searched('"refund policy"', "--json").json
    assert len(english["hits"]) == 12  # every fifth message outside of the Japanese channel
    assert all("refund policy" in hit["text"] for hit in english["hits"])
    japanese = searched("返金", "--json", "--limit", "50").json
    assert len(japanese["hits"]) == 30
    assert {hit["channel_name"] for hit in japanese["hits"]} == {"日本語"}


def test_the_newest_come_first_and_no_more_than_asked_for(searched: Call):
    hits = searched("message", "--limit", "7", "--json").json["hits"]
    times = [hit["sent_at"] for hit in hits]
    assert len(times) == 7
    assert times == sorted(times, reverse=True)
    ranked = searched("refund", "--order", "rank", "--json").json["hits"]
    assert len(ranked) == 12


@pytest.mark.parametrize("author", ["U0ADA0001", "ada", "@Ada", "ada@example.com"])
def test_an_author_by_id_handle_name_or_address(author: str, searched: Call):
    hits = searched("message", "--author", author, "--json", "--limit", "100").json["hits"]
    assert hits
    assert {hit["author"] for hit in hits} == {"U0ADA0001"}


@pytest.mark.parametrize("channel", ["C0NIHONGO", "日本語", "#日本語"])
def test_a_channel_by_id_or_name(channel: str, searched: Call):
    hits = searched("返金", "--channel", channel, "--json", "--limit", "100").json["hits"]
    assert len(hits) == 30
    assert searched("返金", "--channel", "general", "--json").json["hits"] == []


@pytest.mark.parametrize("option", ["--author", "--channel"])
def test_a_name_that_nobody_has(option: str, searched: Call):
    ended = searched("message", option, "nobody")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "nobody" in ended.err


def test_a_name_that_two_have_asks_for_the_id(searched: Call, undercroft: Call):
    from undercroft import Store

    with Store("sqlite:///undercroft.db") as store:
        store.tenant(KEY).users.ensure("U0ADA0002", display_name="Ada")
    ended = undercroft("search", "message", "--author", "ada")
    assert ended.code == 2
    assert "U0ADA0001" in ended.err
    assert "U0ADA0002" in ended.err


def test_a_period(searched: Call):
    every = searched("message", "--limit", "100", "--json").json["hits"]
    days = {hit["sent_at"][:10] for hit in every}
    assert days == {"2024-01-01"}  # 90 messages, seven minutes apart, from nine o'clock
    assert len(searched("message", "--since", "2024-01-01", "--until", "2024-01-01", "--limit", "100").rows) == len(
        every
    )
    assert searched("message", "--since", "2024-01-02").out == ""
    assert searched("message", "--until", "2023").out == ""
    early = searched("message", "--until", "2024-01-01T10:00", "--json", "--limit", "100").json["hits"]
    assert 0 < len(early) < len(every)
    assert all(hit["sent_at"] < "2024-01-01T10:00" for hit in early)


def test_what_a_message_has(searched: Call):
    assert all("example.com" in hit["text"] for hit in searched("message", "--has", "link", "--json").json["hits"])
    for given in (["--has", "file"], ["--has", "link"], ["--has", "reaction"]):
        assert searched("message", *given, "--json").json["hits"]
    assert searched("message", "--has", "file,link", "--json").json["hits"] == []
    assert searched("message", "--has", "file", "--has", "link", "--json").json["hits"] == []
    assert searched("message", "--has", "charm").code == 2


def test_lines_for_a_program(searched: Call):
    rows = searched('"refund policy"', "--limit", "3").rows
    assert [len(row) for row in rows] == [4, 4, 4]
    time, channel, author, text = rows[0]
    assert time.endswith("Z")
    assert channel in CHANNELS.values()
    assert author
    assert "refund policy" in text
    assert "[" not in text


@pytest.mark.parametrize(
    "query", ['"', "*", "-", "()", "AND", "a:b", "'; DROP TABLE messages; --", "\\", "%", "[x]", "🎉"]
)
def test_no_character_is_too_special(query: str, searched: Call):
    ended = searched("--json", "--", query)
    assert ended.code in {0, 2}
    assert "Traceback" not in ended.err


def test_the_only_tenant_needs_no_name_and_one_of_several_does(searched: Call, undercroft: Call):
    assert searched("refund", "--json").json["tenant"] == KEY
    undercroft("tenants", "ensure", "slack:T2")
    ended = searched("refund")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "--tenant slack:" in ended.err
    assert searched("refund", "--tenant", KEY, "--json").json["hits"]
    assert searched("refund", "--tenant", "slack:T2", "--json").json["hits"] == []


def test_what_was_asked_for_is_set_off_and_other_brackets_are_left():
    assert marked("a [refund] in a[0]", "refund") == Text("a refund in a[0]", spans=[_bold(2, 8)])
    assert marked("「[返金]」について", "返金") == Text("「返金」について", spans=[_bold(1, 3)])
    assert marked("[Refunds] [today]", 'refun* "today"').plain == "Refunds today"
    assert marked("[\uff21\uff30\uff29]", "api").plain == "\uff21\uff30\uff29"  # full width
    assert marked("[x](y) says [hello", "hello").plain == "[x](y) says [hello"


def test_a_message_cannot_drive_the_terminal():
    assert "\x1b" not in marked("\x1b]0;owned\x07 [refund]\x1b[2J", "refund").plain


def _bold(start: int, end: int):
    from rich.text import Span

    return Span(start, end, "bold yellow")


def test_topics_are_words_that_many_messages_have():
    texts = [
        "the deployment failed",
        "deployment again: 東京",
        "which deployment?",
        "東京です",
        "東京と大阪",
        "x" * 9,
    ] * 2
    assert topics(texts) == ["deployment", "東京"]
    assert topics(["haskell monads"] * 3) == ["haskell", "monads"] or topics(["haskell monads"] * 3) == [
        "monads",
        "haskell",
    ]
    assert topics(["rare words"]) == []
    assert topics([]) == []
