"""One message at a time: what each odd form of it becomes."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st

from tests.importers.exports import message
from undercroft.archive.records import MentionRecord, MessageRecord, ReactionRecord
from undercroft.importers.scrub import Scrubber
from undercroft.importers.slack.fields import BadRecord, moment
from undercroft.importers.slack.messages import message_record, message_versions
from undercroft.importers.slack.users import stub_record

NAMES = {"U1": "Ann", "U2": "Ben"}


def read(*args, **more) -> MessageRecord:
    return versions(message(*args, **more))[-1]


def versions(raw) -> list[MessageRecord]:
    return [message_record(one, became, "C1", NAMES) for one, became in message_versions(raw)]


def test_a_plain_message():
    record = read(text="hi <@U2>, 1 &lt; 2")
    assert (record.channel, record.native_id, record.author, record.author_name) == (
        "C1",
        "1700000000.000100",
        "U1",
        "Ann",
    )
    assert (record.kind, record.text, record.plain) == ("message", "hi <@U2>, 1 &lt; 2", "hi @Ben, 1 < 2")
    assert record.sent_at == datetime(2023, 11, 14, 22, 13, 20, 100, tzinfo=UTC)
    assert record.mentions == (MentionRecord(kind="user", native_id="U2"),)
    assert read(text="no markup").plain is None


@pytest.mark.parametrize("ts", ["1700000000.000001", "1700000000.999999", "1355517523.000005", "0000000001.000000"])
def test_a_timestamp_is_exact_to_the_microsecond(ts):
    sent_at = read(ts=ts).sent_at
    assert f"{int((sent_at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()):010d}.{sent_at.microsecond:06d}" == ts


@pytest.mark.parametrize(
    "ts",
    [None, "", "today", 1700000000, 1700000000.25, True, "1700000000.1234567", "-1.0", "1e9", "0", ["1"], "9" * 40],
)
def test_a_message_without_a_usable_ts_is_a_bad_record(ts):
    with pytest.raises(BadRecord, match="ts"):
        read(ts=ts)


def test_times_that_are_none():
    assert [moment(value) for value in (None, 0, "0", "", 1.5, True, {}, "١٢٣")] == [None] * 8
    assert moment("1433558319") == moment(1433558319) == datetime(2015, 6, 6, 2, 38, 39, tzinfo=UTC)


def test_a_bot_without_a_user_is_known_by_its_own_id():
    raw = message(user=None, subtype="bot_message", bot_id="B1", username="deploys", text="")
    record = versions(raw)[0]
    assert (record.author, record.author_name, record.kind) == ("B1", "deploys", "bot_message")
    stub = stub_record("B1", raw)
    assert (stub.native_id, stub.shown_name, stub.is_bot, stub.is_stub) == ("B1", "deploys", True, True)


def test_a_bot_that_is_a_user_too_is_known_by_its_user():
    record = read(user="U7", bot_id="B1", bot_profile={"id": "B1", "name": "Quill"})
    assert (record.author, record.author_name) == ("U7", "Quill")


def test_a_message_of_nobody_is_kept():
    record = read(user=None)
    assert (record.author, record.author_name, record.text) == (None, "", "hello")
    assert read(user=["U1"]).author is None


def test_a_stub_takes_what_the_message_tells_of_its_author():
    raw = message(user="U9", user_profile={"display_name": "Eve", "real_name": "Eve E.", "name": "eve", "team": "T2"})
    stub = stub_record("U9", raw)
    assert (stub.name, stub.display_name, stub.real_name, stub.profile) == ("eve", "Eve", "Eve E.", {"team_id": "T2"})
    assert stub_record("USLACKBOT", message()).shown_name == "Slackbot"
    assert versions(raw)[0].author_name == "Eve"


def test_a_name_that_is_a_mention_is_no_name():
    assert read(subtype="file_share", username="<@U1|ann>").author_name == "Ann"


def test_unknown_subtypes_are_kept():
    record = read(subtype="huddle_thread", room={"id": "R1"})
    assert (record.kind, record.extra) == ("huddle_thread", {"room": {"id": "R1"}})


def test_threads():
    root = read(ts="1.000000", thread_ts="1.000000", reply_count=1)
    reply = read(ts="2.000000", thread_ts="1.000000", parent_user_id="U1")
    broadcast = read(ts="3.000000", thread_ts="1.000000", subtype="thread_broadcast", root={"ts": "1.000000", "x": 1})
    old = read(ts="4.000000", broadcast_thread_ts="1.000000", subtype="reply_broadcast")
    assert [record.thread for record in (root, reply, broadcast, old, read())] == ["1.000000"] * 4 + [None]
    assert [record.reply_to for record in (root, reply, broadcast)] == [None, "1.000000", "1.000000"]
    assert [record.is_broadcast for record in (root, reply, broadcast, old)] == [False, False, True, True]
    assert broadcast.extra == {"root": {"ts": "1.000000"}}
    odd = read(thread_ts="soon")
    assert (odd.thread, odd.extra) == (None, {"thread_ts": "soon"})


def test_an_edit():
    record = read(edited={"user": "U2", "ts": "1700000060.000000"})
    assert (record.edited_at, record.edited_by) == (datetime(2023, 11, 14, 22, 14, 20, tzinfo=UTC), "U2")
    assert record.supersedes(read())
    assert not read().supersedes(record)
    assert not record.supersedes(record)


def test_the_event_of_an_edit_gives_both_versions():
    before = message(text="helo")
    after = message(text="hello", edited={"user": "U1", "ts": "1700000030.000000"})
    event = {"subtype": "message_changed", "ts": "1700000031.000200", "message": after, "previous_message": before}
    found = versions(event)
    assert [(record.native_id, record.text) for record in found] == [
        ("1700000000.000100", "helo"),
        ("1700000000.000100", "hello"),
    ]
    assert found[1].supersedes(found[0])
    unedited = versions({**event, "message": message(text="hello")})[1]
    assert unedited.edited_at == moment("1700000031.000200")


def test_the_event_of_a_deletion_leaves_a_place_and_no_content():
    gone = message(
        text="secret <https://s.example>", files=[{"id": "F1", "name": "secret.pdf"}], blocks=[{"text": "secret"}]
    )
    event = {
        "subtype": "message_deleted",
        "ts": "1700000031.000200",
        "deleted_ts": gone["ts"],
        "previous_message": gone,
    }
    (record,) = versions(event)
    assert (record.native_id, record.author, record.deleted_at) == (gone["ts"], "U1", moment("1700000031.000200"))
    assert "secret" not in repr(record)
    assert record.supersedes(versions(gone)[0])


@pytest.mark.parametrize("more", [{"subtype": "tombstone", "user": "U1"}, {"user": "USLACKBOT"}])
def test_a_tombstone(more):
    record = read(**{"text": "This message was deleted.", "thread_ts": "1700000000.000100", "reply_count": 2, **more})
    assert record.deleted_at == record.sent_at
    assert record.thread == record.native_id
    assert read(text="This message was deleted.").deleted_at is None  # somebody who says so


def test_files_of_three_eras():
    file = {"id": "F1", "name": "a.png", "title": "A", "mimetype": "image/png", "size": 10, "url_private": "https://f"}
    for more in ({"file": file}, {"files": [file]}, {"file": file, "files": [file, file]}):
        (found,) = read(subtype="file_share", **more).attachments
        assert (found.native_id, found.kind, found.name, found.title) == ("F1", "file", "a.png", "A")
        assert (found.mimetype, found.size, found.url) == ("image/png", 10, "https://f")
    comment = read(user=None, subtype="file_comment", file=file, comment={"user": "U2", "comment": "nice fox"})
    assert (comment.author, comment.search_words) == ("U2", "A\na.png\nnice fox")
    nameless = read(files=[{"mode": "tombstone"}, {"size": "-1"}, "F2"]).attachments
    assert [(found.native_id, found.size) for found in nameless] == [("file-1", None), ("file-2", None)]


def test_what_a_login_is_needed_for_is_left_out_of_a_file():
    file = {"id": "F1", "thumb_64": "https://t", "preview_highlight": "<div>", "permalink": "https://p", "lines": 3}
    assert read(files=[file]).attachments[0].extra == {"permalink": "https://p", "lines": 3}


def test_an_embed():
    card = {
        "service_name": "Git",
        "title": "PR &amp; 1",
        "title_link": "https://g/1?a=1&amp;b=2",
        "text": "Fix",
        "id": 7,
    }
    record = read(text="", attachments=[card, {"fallback": "only a fallback"}])
    assert [(found.native_id, found.kind, found.name, found.title, found.url) for found in record.attachments] == [
        ("1", "embed", "Git", "PR & 1", "https://g/1?a=1&b=2"),
        ("2", "embed", "", "", None),
    ]
    assert record.search_words == "PR & 1\nFix\nonly a fallback"
    assert record.links == ("https://g/1?a=1&b=2",)
    assert record.attachments[0].extra["text"] == "Fix"


def test_the_words_of_cards_fields_and_blocks_are_found_once():
    record = read(
        text="Deployed",
        attachments=[{"text": "Deployed", "fields": [{"title": "Region", "value": "<https://eu.example|eu>"}]}],
        blocks=[
            {
                "type": "section",
                "text": {"type": "mrkdwn", "text": "Deployed *main*"},
                "fields": [{"text": "took 3 min"}],
            },
            {"type": "image", "alt_text": "a chart", "title": {"text": "Chart"}},
            {"type": "context", "elements": [{"text": "by <@U1>"}]},
        ],
    )
    words = "Region|eu (https://eu.example)|Deployed *main*|took 3 min|a chart|Chart|by @Ann"
    assert record.search_words == words.replace("|", "\n")
    assert "blocks" in record.extra


def test_rich_text_says_what_the_text_says_and_calls_whom_it_calls():
    parts = [
        {"type": "text", "text": "see "},
        {"type": "user", "user_id": "U2"},
        {"type": "link", "url": "https://x.example"},
        {"type": "broadcast", "range": "here"},
        {"type": "usergroup", "usergroup_id": "S1"},
        {"type": "channel", "channel_id": "C2"},
    ]
    blocks = [{"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": parts}]}]
    typed = read(text="see <@U2> <https://x.example>", blocks=blocks)
    assert (typed.search_words, typed.extra, typed.links) == ("", {}, ("https://x.example",))
    alone = read(text="", blocks=blocks)
    assert alone.search_words == "see"
    assert [(found.kind, found.native_id) for found in alone.mentions] == [
        ("user", "U2"),
        ("everyone", "here"),
        ("group", "S1"),
        ("channel", "C2"),
    ]
    assert alone.extra == {"blocks": blocks}


def test_search_words_are_capped():
    cards = [{"text": f"{number} " + "x" * 900} for number in range(100)]
    assert 30_000 < len(read(attachments=cards).search_words) <= 32_000


def test_reactions():
    found = read(
        reactions=[
            {"name": "+1", "users": ["U1", "U2", "U1"], "count": 60},
            {"name": "tada", "users": ["U1"]},
            {"name": "odd", "count": -3, "users": None},
            {"users": ["U1"]},
            "eyes",
        ]
    ).reactions
    assert found == (
        ReactionRecord(emoji="+1", count=60, users=("U1", "U2")),
        ReactionRecord(emoji="tada", count=1, users=("U1",)),
        ReactionRecord(emoji="odd", count=0, users=()),
    )


def test_two_exports_of_one_message_are_read_alike():
    shared = message(thread_ts="1700000000.000100", client_msg_id="m1")
    earlier = {**shared, "reply_count": 1, "latest_reply": "2.0", "reply_users": ["U2"], "last_read": "2.0"}
    later = {**shared, "reply_count": 2, "latest_reply": "3.0", "subscribed": True, "user_profile": {"name": "x"}}
    first, second = versions(earlier)[0], versions(later)[0]
    assert first.extra == second.extra == {"client_msg_id": "m1"}


@pytest.mark.parametrize(
    "more",
    [
        {"user": "U" * 300},
        {"subtype": "s" * 300},
        {"text": f"<@U{'1' * 300}>"},
        {"reactions": [{"name": "x" * 300}]},
        {"files": [{"id": "F" * 300}]},
    ],
)
def test_an_id_that_no_index_can_hold_is_a_bad_record(more):
    with pytest.raises(BadRecord, match="id of more than 255"):
        read(**more)


KEYS = st.sampled_from(
    [
        *("type", "subtype", "ts", "text", "user", "bot_id", "username", "thread_ts", "edited", "reactions", "files"),
        *("file", "attachments", "blocks", "comment", "message", "previous_message", "deleted_ts", "name", "users"),
        *("count", "id", "title", "elements", "fields", "bot_profile", "user_profile", "root", "size", "user_id"),
    ]
)
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
    | st.sampled_from(["1700000000.000100", "message_changed", "message_deleted", "tombstone", "rich_text", "<@U1>"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)  # fmt: skip


@given(st.dictionaries(KEYS, ODD, max_size=12))
def test_no_message_is_too_odd(raw):
    clean = Scrubber().clean(raw)
    for version, became in message_versions(clean):
        try:
            record = message_record(version, became, "C1", NAMES)
        except BadRecord:
            continue
        assert record.sent_at.tzinfo is UTC
        assert isinstance(record.text, str)
        assert all(0 <= reaction.count < 1 << 31 for reaction in record.reactions)
        keys = [(attachment.kind, attachment.native_id) for attachment in record.attachments]
        assert len(keys) == len(set(keys))
        assert len({reaction.emoji for reaction in record.reactions}) == len(record.reactions)
        if record.author:
            assert stub_record(record.author, version).native_id == record.author
