"""The decisions about copies of a message, a user, a channel, without a database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, strategies as st

from undercroft.archive import rules
from undercroft.archive.records import (
    AttachmentRecord,
    ChannelRecord,
    MentionRecord,
    MessageRecord,
    ReactionRecord,
    UserRecord,
)

SENT = datetime(2017, 7, 14, 2, 40, 0, 100, tzinfo=UTC)
MESSAGE = MessageRecord(channel="C1", native_id="1500000000.000100", author="U1", text="first", sent_at=SENT)
EDITED = replace(MESSAGE, text="second", edited_at=SENT + timedelta(minutes=1))
AGAIN = replace(MESSAGE, text="third", edited_at=SENT + timedelta(minutes=2))
GONE = replace(MESSAGE, text="This message was deleted.", deleted_at=SENT)
FILE = AttachmentRecord(native_id="F1", kind="file", name="plan.pdf")
EMBED = AttachmentRecord(native_id="F1", kind="embed", title="a page")


@pytest.mark.parametrize(
    ("platform", "native_id", "moment"),
    [
        ("slack", "1500000000.000100", SENT),
        ("slack", "1500000000", SENT.replace(microsecond=0)),
        ("slack", "CLIENT-1", None),
        # the example of Discord's own reference
        ("discord", "175928847299117063", datetime(2016, 4, 30, 11, 18, 25, 796_000, tzinfo=UTC)),
        ("discord", "0", datetime(2015, 1, 1, tzinfo=UTC)),
        ("discord", "12a", None),
        ("local", "1500000000.000100", SENT),
        ("local", "175928847299117063", datetime(2016, 4, 30, 11, 18, 25, 796_000, tzinfo=UTC)),
        ("local", "4711", None),
        ("telegram", "1500000000.000100", None),
    ],
)
def test_the_moment_in_a_native_id(platform, native_id, moment):
    assert rules.native_moment(platform, native_id) == moment


def test_the_newest_copy_stands_and_the_others_are_its_versions():
    for copies in ([MESSAGE, EDITED, AGAIN], [AGAIN, MESSAGE, EDITED, MESSAGE, AGAIN]):
        current, earlier = rules.settle(copies)
        assert (current.text, [one.text for one in earlier]) == ("third", ["first", "second"])


def test_of_two_copies_of_one_version_the_first_stands():
    current, earlier = rules.settle([EDITED, replace(EDITED, text="otherwise")])
    assert (current.text, earlier) == ("second", [])


def test_a_deletion_leaves_nothing_of_any_copy():
    whole = replace(MESSAGE, attachments=(FILE,), reactions=(ReactionRecord(emoji="x", count=1, users=("U1",)),))
    for copies in ([GONE], [whole, GONE], [GONE, AGAIN, whole]):
        current, earlier = rules.settle(copies)
        assert (current.text, current.attachments, current.reactions, earlier) == ("", (), (), [])
        assert current.deleted_at == SENT


def test_the_parts_of_all_copies_are_joined():
    one = replace(
        MESSAGE,
        attachments=(FILE,),
        reactions=(ReactionRecord(emoji="x", count=5, users=("U1", "U2")),),
        mentions=(MentionRecord(kind="user", native_id="U2"),),
    )
    two = replace(
        EDITED,
        attachments=(replace(FILE, title="newer"), EMBED),
        reactions=(ReactionRecord(emoji="x", count=2, users=("U2", "U3")), ReactionRecord(emoji="y", count=1)),
        mentions=(MentionRecord(kind="user", native_id="U2"), MentionRecord(kind="channel", native_id="C2")),
    )
    for copies in ([one, two], [two, one]):
        current, _ = rules.settle(copies)
        assert current.attachments == (replace(FILE, title="newer"), EMBED)
        assert {(r.emoji, r.count, frozenset(r.users)) for r in current.reactions} == {
            ("x", 5, frozenset({"U1", "U2", "U3"})),
            ("y", 1, frozenset()),
        }
        assert len(current.mentions) == 2


def test_a_count_is_never_less_than_its_users():
    a = ReactionRecord(emoji="x", count=2, users=("U1", "U2"))
    b = ReactionRecord(emoji="x", count=2, users=("U2", "U3"))
    assert rules.join_reactions([a], [b])[0].count == 3


LISTED = UserRecord(native_id="U1", name="ada", email="ada@example.com", profile={"title": "Dr"})
STUB = UserRecord(native_id="U1", display_name="Ada L.", is_stub=True)


def test_a_stub_never_replaces_a_listed_user_and_is_replaced_by_one():
    assert rules.merge_user(LISTED, STUB) == LISTED
    assert rules.merge_user(STUB, LISTED) == replace(LISTED, display_name="Ada L.")


def test_a_blank_says_nothing_of_a_user():
    later = UserRecord(native_id="U1", name="countess", is_deleted=True, profile={"skype": "x"})
    merged = rules.merge_user(LISTED, later)
    assert (merged.name, merged.email, merged.is_deleted) == ("countess", "ada@example.com", True)
    assert merged.profile == {"title": "Dr", "skype": "x"}
    assert rules.merge_user(merged, later) == merged


def test_a_stub_never_replaces_a_listed_channel_and_is_replaced_by_one():
    listed = ChannelRecord(native_id="C1", name="general", kind="private", topic="all", members=("U1",))
    stub = ChannelRecord(native_id="C1", name="C1", kind="public", members=("U2",), extra={"stub": True})
    assert rules.merge_channel(listed, stub) == replace(listed, members=("U1", "U2"))
    assert rules.merge_channel(stub, listed) == replace(listed, members=("U2", "U1"))


def row(milliseconds, micros, low):
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds, microseconds=micros)
    return UUID(int=milliseconds << 80 | low), moment


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), max_size=40), st.integers(1, 9))
def test_pages_give_every_row_once_and_in_the_order_of_time(moments, size):
    """Paged as the statement would: by id, a page at a time."""
    rows = sorted(row(ms, micros, low) for low, (ms, micros) in enumerate(moments))
    seen, after = [], UUID(int=0)
    while after is not None:
        page = [one for one in rows if one[0] >= after and (not seen or one[0] > after)][:size]
        kept, after = rules.whole_milliseconds(page, size)
        seen += kept
    assert sorted(seen) == rows
    times = [moment for _, moment in seen]
    crowded = any(sum(one[0].int >> 80 == ms for one in rows) >= size for ms in range(7))
    assert crowded or times == sorted(times)
