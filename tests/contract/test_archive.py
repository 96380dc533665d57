"""The archive: what is stored, in whatever order and however often, and what is read back."""

import logging
import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from time import sleep
from types import SimpleNamespace

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests import databases
from undercroft import Settings, errors, models
from undercroft.archive import (
    AttachmentRecord,
    ChannelRecord,
    MentionRecord,
    MessageRecord,
    ReactionRecord,
    Saved,
    UserRecord,
)
from undercroft.core.clock import from_slack_ts

BASE = 1_500_000_000
SENT = from_slack_ts(f"{BASE}.000100")
CANARY = "zwitschermaschine"


def ts(number):
    return f"{BASE + number}.000100"


def message(number=0, **fields):
    native_id = fields.pop("native_id", ts(number))
    sent_at = from_slack_ts(native_id)
    return MessageRecord(**{"channel": "C1", "native_id": native_id, "author": "U1", "sent_at": sent_at, **fields})


def later(seconds):
    return SENT + timedelta(seconds=seconds)


def edited(one, seconds, text, **fields):
    return replace(one, text=text, edited_at=later(seconds), edited_by="U1", **fields)


def tombstone(one):
    return replace(one, kind="tombstone", text="This message was deleted.", deleted_at=one.sent_at, attachments=())


FILE = AttachmentRecord(
    native_id="F1", kind="file", name="plan.pdf", mimetype="application/pdf", size=12, url="https://x"
)
EMBED = AttachmentRecord(native_id="1", kind="embed", title="A page", extra={"color": "red"})
PARTY = ReactionRecord(emoji="partyparrot", count=2, users=("U1", "U2"))


# -- messages ---------------------------------------------------------------------------------------------------------


def test_a_message_comes_back_whole(tenant):
    root = message(0, text="Fish & chips", thread=ts(0))
    full = message(
        1,
        text="<@U2> see <https://example.com>",
        plain="@bob see https://example.com",
        search_words="plan",
        author_name="ada",
        kind="thread_broadcast",
        thread=ts(0),
        reply_to=ts(0),
        is_broadcast=True,
        edited_at=later(60),
        edited_by="U3",
        attachments=(FILE, EMBED),
        reactions=(PARTY, ReactionRecord(emoji="👍", count=9)),
        mentions=(MentionRecord(kind="user", native_id="U2"), MentionRecord(kind="everyone", native_id="here")),
        links=("https://example.com",),
        extra={"app_id": "A1", "nested": {"a": [1, None]}},
    )
    assert tenant.archive.save_messages([root, full]) == Saved(added=2)
    found = tenant.archive.get("C1", ts(1))
    for name in ("channel", "native_id", "author", "author_name", "kind", "text", "plain", "thread", "reply_to"):
        assert getattr(found, name) == getattr(full, name), name
    for name in ("is_broadcast", "sent_at", "edited_at", "edited_by", "deleted_at", "extra", "attachments", "mentions"):
        assert Counter(map(repr, vars_of(found, name))) == Counter(map(repr, vars_of(full, name))), name
    assert set(found.reactions) == set(full.reactions)
    assert found.shown_text == full.shown_text
    assert found.channel_name == "C1"


def vars_of(one, name):
    value = getattr(one, name)
    return value if isinstance(value, tuple) else (value,)


def test_what_an_export_does_not_name_becomes_a_stub(tenant):
    tenant.archive.save_messages([message(author="U9", author_name="Ghost", channel="C9")])
    ghost = tenant.users.get("U9")
    assert (ghost.is_stub, ghost.display_name) == (True, "Ghost")
    [channel] = tenant.archive.channels()
    assert (channel.native_id, channel.kind, channel.is_stub) == ("C9", "public", True)

    tenant.archive.save_users([UserRecord(native_id="U9", name="casper")])
    tenant.archive.save_channels([ChannelRecord(native_id="C9", name="attic", kind="private")])
    assert (tenant.users.get("U9").is_stub, tenant.users.get("U9").name) == (False, "casper")
    [channel] = tenant.archive.channels()
    assert (channel.name, channel.kind, channel.is_stub, dict(channel.extra)) == ("attic", "private", False, {})


def test_a_message_without_an_author(tenant):
    tenant.archive.save_messages([message(author=None, author_name="webhook")])
    assert (tenant.archive.get("C1", ts(0)).author, tenant.archive.get("C1", ts(0)).author_name) == (None, "webhook")


def test_repeating_adds_nothing(tenant):
    records = [
        message(number, text=f"text {number}", attachments=(FILE,), reactions=(PARTY,), thread=ts(number // 3 * 3))
        for number in range(30)
    ]
    assert tenant.archive.save_messages(records) == Saved(added=30)
    before = state(tenant)
    assert tenant.archive.save_messages(records) == Saved(unchanged=30)
    assert tenant.archive.save_messages(records[::-1] + records[:5]) == Saved(unchanged=35)
    assert state(tenant) == before


def test_overlapping_exports_merge_and_absence_is_not_deletion(tenant):
    first = [message(number, text=f"text {number}", reactions=(PARTY,)) for number in range(20)]
    second = [message(number, text=f"text {number}", attachments=(FILE,)) for number in range(10, 30)]
    assert tenant.archive.save_messages(first) == Saved(added=20)
    assert tenant.archive.save_messages(second) == Saved(added=10, updated=10)
    found = list(tenant.archive.messages("C1"))
    assert [one.native_id for one in found] == [ts(number) for number in range(30)]
    assert [len(one.reactions) for one in found] == [1] * 20 + [0] * 10
    assert [len(one.attachments) for one in found] == [0] * 10 + [1] * 20


def test_an_edit_keeps_what_was_said(tenant):
    one = message(text="first")
    tenant.archive.save_messages([one])
    assert tenant.archive.save_messages([edited(one, 60, "second")]) == Saved(updated=1)
    assert tenant.archive.save_messages([one, edited(one, 30, "between")]) == Saved(updated=1, unchanged=1)
    assert tenant.archive.get("C1", ts(0)).text == "second"
    assert [(version.version, version.text) for version in tenant.archive.history("C1", ts(0))] == [
        (1, "first"),
        (2, "between"),
    ]
    assert tenant.archive.save_messages([one, edited(one, 30, "between"), edited(one, 60, "x")]) == Saved(unchanged=3)


def test_every_order_of_the_copies_ends_the_same(new_tenant):
    one = message(text="first", attachments=(FILE,))
    copies = [one, edited(one, 60, "second", attachments=(EMBED,)), edited(one, 90, "third", reactions=(PARTY,))]
    ends = []
    for order in permutations(copies):
        tenant = new_tenant()
        for copy in order:
            tenant.archive.save_messages([copy])
        ends.append(state(tenant))
    assert all(end == ends[0] for end in ends)
    assert ends[0][0]["text"] == "third"
    assert ends[0][0]["history"] == ["first", "second"]


REACTIONS = st.lists(
    st.builds(
        ReactionRecord,
        emoji=st.sampled_from(["x", "y"]),
        count=st.integers(0, 4),
        users=st.lists(st.sampled_from(["U1", "U2", "U3"]), unique=True).map(tuple),
    ),
    max_size=2,
    unique_by=lambda one: one.emoji,
).map(tuple)
COPIES = st.builds(
    lambda number, version, files, reactions, mentions: replace(
        message(
            number,
            text=f"message {number} version {version}",
            thread=ts(0) if number else None,
            edited_at=later(number + version) if version else None,
            deleted_at=later(9) if version == 3 else None,
            attachments=tuple(replace(FILE, native_id=file) for file in files),
            reactions=reactions,
            mentions=tuple(MentionRecord(kind="user", native_id=user) for user in mentions),
        )
    ),
    st.integers(0, 2),
    st.integers(0, 3),
    st.lists(st.sampled_from(["F1", "F2"]), unique=True),
    REACTIONS,
    st.lists(st.sampled_from(["U1", "U2"]), unique=True),
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), copies=st.lists(COPIES, min_size=1, max_size=10))
def test_any_order_any_batches_any_repetition(new_tenant, data, copies):
    at_once, in_parts = new_tenant(), new_tenant()
    at_once.archive.save_messages(copies)
    shuffled = data.draw(st.permutations([*copies, *data.draw(st.lists(st.sampled_from(copies), max_size=4))]))
    while shuffled:
        size = data.draw(st.integers(1, len(shuffled)))
        in_parts.archive.save_messages(shuffled[:size])
        shuffled = shuffled[size:]
    assert state(in_parts) == state(at_once) == expected(copies)


def expected(copies):
    """What is left of copies, told without the rules."""
    ends = []
    for native_id in sorted({copy.native_id for copy in copies}):
        mine = [copy for copy in copies if copy.native_id == native_id]
        versions = sorted({copy.edited_at or copy.sent_at: copy.text for copy in mine}.items())
        gone = any(copy.deleted_at for copy in mine)
        counts: dict[str, int] = {}
        users: dict[str, set[str]] = {}
        for one in (reaction for copy in mine for reaction in copy.reactions):
            counts[one.emoji] = max(counts.get(one.emoji, 0), one.count)
            users.setdefault(one.emoji, set()).update(one.users)
        totals = {(emoji, max(count, len(users[emoji])), frozenset(users[emoji])) for emoji, count in counts.items()}
        ends.append(
            {
                "native_id": native_id,
                "text": "" if gone else versions[-1][1],
                "history": [] if gone else [text for _, text in versions[:-1]],
                "deleted": gone,
                "attachments": set() if gone else {file.native_id for copy in mine for file in copy.attachments},
                "reactions": set() if gone else {total for total in totals if total[1]},
                "mentions": set() if gone else {one.native_id for copy in mine for one in copy.mentions},
            }
        )
    return ends


def state(tenant):
    return [
        {
            "native_id": one.native_id,
            "text": one.text,
            "history": [version.text for version in tenant.archive.history("C1", one.native_id)],
            "deleted": one.deleted_at is not None,
            "attachments": {file.native_id for file in one.attachments},
            "reactions": {(r.emoji, r.count, frozenset(r.users)) for r in one.reactions},
            "mentions": {mention.native_id for mention in one.mentions},
        }
        for one in tenant.archive.messages("C1")
    ]


# -- deletion ---------------------------------------------------------------------------------------------------------


def everything_said(tenant, database_url):
    """Every value of every row of the tenant's tables, as the database holds it."""
    names = [table.name for table in models.Base.metadata.sorted_tables if table.schema == "undercroft"]
    if database_url.startswith("sqlite"):
        with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as connection:
            connection.execute("CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab (main, messages_fts, row)")
            found = [connection.execute(f"SELECT * FROM {name}").fetchall() for name in names]
            found.append(connection.execute("SELECT term FROM vocabulary").fetchall())
            connection.execute("INSERT INTO messages_fts (messages_fts, rank) VALUES ('integrity-check', 1)")
            return repr(found)
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT undercroft.enter_sealed(%s)", [databases.context(tenant.id)])
        return repr(
            [
                connection.execute(f"SELECT t::text FROM undercroft.{name} t").fetchall()
                for name in names
                if name not in {"message_search", "tenants"}
            ]
        )


TOLD = message(
    text=f"say {CANARY}",
    plain=f"say {CANARY}",
    search_words=CANARY,
    attachments=(replace(FILE, name=CANARY, title=CANARY, url=f"https://x/{CANARY}", extra={"x": CANARY}),),
    reactions=(ReactionRecord(emoji=CANARY, count=1, users=("U2",)),),
    mentions=(MentionRecord(kind="group", native_id=CANARY),),
    extra={"blocks": CANARY},
)


@pytest.mark.parametrize("how", ["by a copy", "in the same batch", "by a bot"])
def test_a_deletion_leaves_nothing_behind(tenant, database_url, how):
    other = message(5, text="another stays")
    copies = [TOLD, edited(TOLD, 5, f"corrected {CANARY}"), other]
    gone = replace(tombstone(TOLD), extra={}, reactions=(), mentions=(), plain=None, search_words="")
    if how == "in the same batch":
        tenant.archive.save_messages([*copies, gone])
    else:
        tenant.archive.save_messages(copies)
        assert len(tenant.archive.search(CANARY)) == 1
        assert CANARY in everything_said(tenant, database_url)
    if how == "by a copy":
        assert tenant.archive.save_messages([gone]) == Saved(updated=1)
    if how == "by a bot":
        assert tenant.archive.delete("C1", ts(0), at=later(99)).text == ""
    assert CANARY not in everything_said(tenant, database_url)
    assert tenant.archive.search(CANARY) == []
    assert [hit.native_id for hit in tenant.archive.search("another")] == [ts(5)]

    left = tenant.archive.get("C1", ts(0))
    assert left.deleted_at is not None
    assert (left.author, left.attachments, left.reactions, left.mentions) == ("U1", (), (), ())
    assert tenant.archive.history("C1", ts(0)) == []
    assert tenant.archive.save_messages(copies) == Saved(unchanged=3), "no older export brings it back"
    assert CANARY not in everything_said(tenant, database_url)


def test_a_message_deleted_before_it_was_seen_stays_deleted(tenant):
    assert tenant.archive.delete("C1", ts(0)).deleted_at is not None
    assert tenant.archive.save_messages([message(text="too late")]) == Saved(unchanged=1)
    assert tenant.archive.get("C1", ts(0)).text == ""


def test_a_deletion_beside_an_import_leaves_nothing_either(tenant, database_url):
    """The import does not know of the message when it begins, and waits for the deletion to commit."""
    with ThreadPoolExecutor(1) as thread, tenant.transaction() as tx:
        tx.archive.save_messages([replace(tombstone(TOLD), extra={}, plain=None, search_words="")])
        beside = thread.submit(
            tenant.archive.save_messages, [TOLD, message(1, attachments=(FILE,), reactions=(PARTY,))]
        )
        sleep(0.2)
        assert not beside.done()
    assert beside.result() == Saved(added=1, unchanged=1)
    assert CANARY not in everything_said(tenant, database_url)
    assert [len(one.attachments + one.reactions) for one in tenant.archive.messages("C1")] == [0, 2]


def test_purging_a_tenant_empties_its_index(store, new_tenant, database_url):
    mine, other = new_tenant(), new_tenant()
    for tenant in (mine, other):
        tenant.archive.save_messages([message(text=f"{CANARY} {tenant.key}")])
    store.tenants.soft_delete(mine.key)
    store.tenants.purge(mine.key)
    told = everything_said(other, database_url)
    assert CANARY in told
    assert mine.key.removeprefix("slack:") not in told
    assert len(other.archive.search(CANARY)) == 1


# -- what a bot sees --------------------------------------------------------------------------------------------------


def test_a_bot_edits(tenant):
    tenant.archive.save_messages([message(text="an old wording", search_words="beside")])
    changed = tenant.archive.edit("C1", ts(0), text="a new https://x", plain="a new one", edited_at=later(60), by="U2")
    assert (changed.text, changed.plain, changed.edited_at, changed.edited_by) == (
        "a new https://x",
        "a new one",
        later(60),
        "U2",
    )
    assert [version.text for version in tenant.archive.history("C1", ts(0))] == ["an old wording"]
    assert tenant.archive.search("wording") == []
    assert len(tenant.archive.search("new one beside", has=["link"])) == 1

    assert tenant.archive.edit("C1", ts(0), text="came late", edited_at=later(30)).text == "a new https://x"
    assert tenant.archive.edit("C1", ts(0), text="now").text == "now"
    assert [version.text for version in tenant.archive.history("C1", ts(0))] == ["an old wording", "a new https://x"]
    tenant.archive.delete("C1", ts(0))
    assert tenant.archive.edit("C1", ts(0), text="from the grave").text == ""


def test_an_imported_copy_of_a_live_edit_changes_nothing(tenant):
    one = message(text="first")
    tenant.archive.save_messages([one])
    tenant.archive.edit("C1", ts(0), text="second", edited_at=later(60))
    assert tenant.archive.save_messages([one, edited(one, 60, "second")]) == Saved(unchanged=2)


def test_a_bot_reacts(tenant):
    tenant.archive.save_messages([message(text="like")])
    assert tenant.archive.react("C1", ts(0), emoji="👍", user="U2").count == 1
    assert tenant.archive.react("C1", ts(0), emoji="👍", user="U2").count == 1
    assert tenant.archive.react("C1", ts(0), emoji="👍", user="U3").count == 2
    assert len(tenant.archive.search("like", has=["reaction"])) == 1
    assert tenant.archive.react("C1", ts(0), emoji="👍", user="U2", remove=True).count == 1
    assert tenant.archive.react("C1", ts(0), emoji="👍", user="U2", remove=True).count == 1
    [reaction] = tenant.archive.get("C1", ts(0)).reactions
    assert reaction == ReactionRecord(emoji="👍", count=1, users=("U3",))

    older = message(text="like", reactions=(ReactionRecord(emoji="👍", count=2, users=("U2", "U3")),))
    assert tenant.archive.save_messages([older]) == Saved(unchanged=1), "what was taken back stays away"
    tenant.archive.react("C1", ts(0), emoji="👍", user="U3", remove=True)
    assert tenant.archive.get("C1", ts(0)).reactions == ()
    assert tenant.archive.search("like", has=["reaction"]) == []


def test_a_message_that_is_not_there(tenant):
    for call in (
        lambda: tenant.archive.get("C1", ts(0)),
        lambda: tenant.archive.edit("C1", ts(0), text="x"),
        lambda: tenant.archive.react("C1", ts(0), emoji="x", user="U1"),
    ):
        with pytest.raises(errors.NotFound):
            call()
    assert tenant.archive.thread("C1", ts(0)) == tenant.archive.history("C1", ts(0)) == []
    assert list(tenant.archive.messages("C1")) == []


@pytest.mark.parametrize(
    ("field", "records"),
    [
        ("native_id", [MessageRecord(channel="C1", native_id="", sent_at=SENT)]),
        ("channel", [MessageRecord(channel="", native_id=ts(0), sent_at=SENT)]),
        ("time", [message(1), MessageRecord(channel="C1", native_id="x", sent_at=datetime(2020, 1, 1))]),  # noqa: DTZ001
        (None, [message(1), message(2, text="nul \0")]),
    ],
)
def test_a_wrong_record_stores_nothing(tenant, field, records):
    with pytest.raises(errors.InvalidInput) as refused:
        tenant.archive.save_messages(records)
    assert refused.value.field == field
    assert tenant.archive.last_messages() == []


def test_a_platform_whose_ids_carry_no_time(store):
    store.tenants.ensure("irc:libera")
    tenant = store.tenant("irc:libera")
    moment = datetime(2020, 5, 17, 12, tzinfo=UTC)
    root = MessageRecord(channel="#ubuntu", native_id="17", sent_at=moment, text="hello", thread="17")
    reply = replace(root, native_id="18", text="hi", sent_at=moment + timedelta(seconds=1), reply_to="17")
    assert tenant.archive.save_messages([reply, root]).total == 2
    assert tenant.archive.get("#ubuntu", "18", sent_at=reply.sent_at).reply_to == "17"
    assert [one.text for one in tenant.archive.thread("#ubuntu", "17", sent_at=moment)] == ["hello", "hi"]
    with pytest.raises(errors.InvalidInput) as refused:
        tenant.archive.get("#ubuntu", "18")
    assert refused.value.field == "sent_at"


# -- reading ----------------------------------------------------------------------------------------------------------


def test_messages_come_in_the_order_of_time_across_pages(tenant):
    crowd = [message(native_id=f"{BASE}.{number:06}", text=str(number)) for number in range(0, 900_000, 700)]
    tenant.archive.save_messages(crowd[::-1])
    assert [int(one.text) for one in tenant.archive.messages("C1")] == list(range(0, 900_000, 700))
    since, until = crowd[10].sent_at, crowd[1000].sent_at
    inside = [one.sent_at for one in tenant.archive.messages("C1", since=since, until=until)]
    assert inside == [one.sent_at for one in crowd[10:1000]]


def test_a_thread_and_the_timeline(tenant):
    tenant.archive.save_messages(
        [
            message(0, text="root", thread=ts(0)),
            message(1, text="reply", thread=ts(0)),
            message(2, text="shown in both", thread=ts(0), is_broadcast=True),
            message(3, text="elsewhere"),
            message(4, text="of an absent root", thread=ts(-5)),
            message(5, text="root, replied to later"),
            message(6, text="late", thread=ts(5)),
        ]
    )
    archive = tenant.archive

    def said(found):
        return [one.text for one in found]

    assert said(archive.thread("C1", ts(0))) == ["root", "reply", "shown in both"]
    assert said(archive.messages("C1", thread=ts(0))) == ["root", "reply", "shown in both"]
    assert said(archive.thread("C1", ts(-5))) == ["of an absent root"]
    assert archive.get("C1", ts(4)).thread is None
    assert archive.get("C1", ts(4)).thread_id is not None
    assert said(archive.thread("C1", ts(5))) == ["root, replied to later", "late"]
    assert said(archive.messages("C1", replies=False)) == [
        "root",
        "shown in both",
        "elsewhere",
        "root, replied to later",
    ]


def test_the_last_message_of_every_channel(tenant):
    tenant.archive.save_channels([ChannelRecord(native_id="C3", name="empty", kind="public")])
    tenant.archive.save_messages([message(number, channel=f"C{number % 2}", text="x") for number in range(9)])
    assert [(one.channel, one.native_id, one.sent_at) for one in tenant.archive.last_messages()] == [
        ("C0", ts(8), message(8).sent_at),
        ("C1", ts(7), message(7).sent_at),
    ]


def test_tenants_share_nothing(new_tenant):
    mine, other = new_tenant(), new_tenant()
    mine.archive.save_messages([message(text="mine alone")])
    assert other.archive.search("mine") == []
    assert other.archive.channels() == other.archive.last_messages() == list(other.archive.messages("C1")) == []
    assert other.archive.save_messages([message(text="theirs")]) == Saved(added=1)
    assert [one.text for one in mine.archive.messages("C1")] == ["mine alone"]


# -- users and channels -----------------------------------------------------------------------------------------------


def test_users_keep_what_is_not_of_the_platform(tenant):
    tenant.users.ensure("U1", name="old", role="admin", preferences={"tone": "dry"})
    records = [
        UserRecord(native_id="U1", name="ada", email="ada@example.com", timezone="Asia/Tokyo", profile={"title": "Dr"}),
        UserRecord(native_id="U2", name="bob", is_bot=True),
        UserRecord(native_id="U3", is_stub=True, display_name="seen once"),
    ]
    assert tenant.archive.save_users(records) == Saved(added=2, updated=1)
    assert tenant.archive.save_users(records) == Saved(unchanged=3)
    ada = tenant.users.get("U1")
    assert (ada.name, ada.role, ada.preferences, ada.timezone) == ("ada", "admin", {"tone": "dry"}, "Asia/Tokyo")
    assert tenant.users.get("U2").is_bot
    assert tenant.users.get("U3").is_stub

    assert tenant.archive.save_users([UserRecord(native_id="U1", is_stub=True, name="?")]) == Saved(unchanged=1)
    assert tenant.archive.save_users([replace(records[0], is_deleted=True)]) == Saved(updated=1)
    assert tenant.users.get("U1").deleted_at is not None
    assert tenant.users.get("U1").role == "admin"


def test_channels_gain_members_and_lose_none(tenant):
    first = ChannelRecord(native_id="C1", name="general", kind="public", creator="U9", members=("U1", "U2"))
    assert tenant.archive.save_channels([first, first]) == Saved(added=1, unchanged=1)
    assert tenant.archive.save_channels([replace(first, members=("U2", "U3"), topic="new")]) == Saved(updated=1)
    assert tenant.archive.save_channels([replace(first, members=())]) == Saved(unchanged=1)
    [channel] = tenant.archive.channels()
    assert channel.members == ("U1", "U2", "U3")
    assert (channel.topic, channel.creator) == ("new", "U9")
    assert tenant.users.get("U9").is_stub


# -- counts -----------------------------------------------------------------------------------------------------------


def test_statistics_equal_a_count_from_scratch(tenant):
    records = [
        message(
            number * 1777,
            channel=f"C{number % 3}",
            author=None if number % 11 == 0 else f"U{number % 4}",
            thread=ts(0) if number % 5 == 0 else None,
            text="x",
        )
        for number in range(200)
    ]
    gone = tombstone(records[7])
    tenant.archive.save_messages([*records, gone])
    living = [one for one in records if one is not records[7]]

    days = Counter(one.sent_at.date() for one in living)
    found = tenant.archive.daily()
    assert [(one.day, one.messages) for one in found] == sorted(days.items())
    assert {one.day: one.authors for one in found} == {
        day: len({one.author for one in living if one.sent_at.date() == day and one.author}) for day in days
    }
    hours = Counter((one.sent_at.replace(minute=0, second=0, microsecond=0), one.channel) for one in living)
    assert [((one.hour, one.channel), one.messages) for one in tenant.archive.hourly()] == sorted(hours.items())
    since, until = records[50].sent_at, records[150].sent_at
    inside = [one for one in living if since <= one.sent_at < until and one.channel == "C1"]
    assert sum(one.messages for one in tenant.archive.daily(channel="C1", since=since, until=until)) == len(inside)
    assert sum(one.messages for one in tenant.archive.hourly(channel="C1", since=since, until=until)) == len(inside)

    authors = Counter(one.author for one in living if one.author)
    active = tenant.archive.activity()
    assert [(one.author, one.messages) for one in active] == sorted(authors.items(), key=lambda kv: (-kv[1], kv[0]))
    for one in active:
        mine = [record for record in living if record.author == one.author]
        assert one.replies == sum(record.thread is not None and record.thread != record.native_id for record in mine)
        assert one.channels == len({record.channel for record in mine})
        assert (one.first_at, one.last_at) == (mine[0].sent_at, mine[-1].sent_at)
    assert tenant.archive.activity(limit=1) == active[:1]


def test_quarantine_keeps_a_record_once(tenant):
    bad = [SimpleNamespace(path="a.json", position=n, reason="no ts", record_text='{"x": 1}') for n in range(3)]
    assert tenant.archive.quarantine(bad, source="export.zip") == Saved(added=3)
    assert tenant.archive.quarantine([*bad, bad[0]]) == Saved(unchanged=4)
    found = tenant.archive.quarantined()
    assert sorted((one.path, one.position, one.reason, one.record_text, one.source) for one in found) == [
        ("a.json", n, "no ts", '{"x": 1}', "export.zip") for n in range(3)
    ]
    assert tenant.archive.quarantined(limit=2) + tenant.archive.quarantined(after=found[1].id) == found


# -- statements -------------------------------------------------------------------------------------------------------


@pytest.fixture
def statements(database_url, colour, open_store, caplog):
    """Counts the statements of a call on a tenant of a store that tells them."""
    store = open_store(colour, settings=Settings.load(database_url, echo_sql=True))
    key = f"slack:T{datetime.now(UTC).timestamp()}".replace(".", "")
    store.tenants.ensure(key)
    tenant = store.tenant(key)

    def count(call):
        caplog.clear()
        with caplog.at_level(logging.INFO, "undercroft.sql"):
            call(tenant.archive)
        texts = [record.statement for record in caplog.records if record.name == "undercroft.sql"]
        return [text for text in texts if text.split()[0].strip(";") not in {"BEGIN", "COMMIT", "ROLLBACK"}]

    return count


def batch(start, size, *, version=0):
    return [
        edited(one, 10_000 * version, f"version {version}", attachments=(FILE, EMBED)) if version else one
        for number in range(start, start + size)
        for one in (
            message(
                number,
                text="some words",
                author=f"U{number}",
                thread=ts(number - 1),
                attachments=(FILE,),
                reactions=(PARTY,),
                mentions=(MentionRecord(kind="user", native_id="U2"),),
            ),
        )
    ]


SAVES = {
    "new": (11, batch),
    "known": (5, lambda start, size: batch(0, size)),
    "newer": (23, lambda start, size: batch(0, size, version=start)),
    "deleted": (22, lambda start, size: [tombstone(one) for one in batch(start - 1000, size)]),
}


@pytest.mark.parametrize("kind", SAVES)
def test_a_batch_costs_the_same_number_of_statements_whatever_its_size(statements, kind):
    most, make = SAVES[kind]
    statements(lambda archive: archive.save_messages(batch(0, 80)))
    if kind == "deleted":
        statements(lambda archive: archive.save_messages(batch(1000, 80)))
    few = statements(lambda archive: archive.save_messages(make(1000 + 1, 2)))
    many = statements(lambda archive: archive.save_messages(make(1000 + 10, 60)))
    assert len(few) == len(many), "\n".join(many)
    own = [text for text in many if "main.tenants" not in text and not text.startswith("SELECT undercroft.enter_")]
    assert len(own) <= most, f"{len(own)}\n" + "\n".join(own)


READS = {
    "get": (6, lambda archive: archive.get("C1", ts(1))),
    "thread": (6, lambda archive: archive.thread("C1", ts(0))),
    "messages": (6, lambda archive: list(archive.messages("C1"))),
    "history": (1, lambda archive: archive.history("C1", ts(0))),
    "channels": (2, lambda archive: archive.channels()),
    "last_messages": (1, lambda archive: archive.last_messages()),
    "search": (3, lambda archive: archive.search("words", limit=100)),
    "daily": (1, lambda archive: archive.daily()),
    "hourly": (2, lambda archive: archive.hourly()),
    "activity": (1, lambda archive: archive.activity()),
}


@pytest.mark.parametrize("name", READS)
def test_reading_costs_the_same_number_of_statements_however_much_there_is(statements, name):
    most, read = READS[name]
    counts = []
    for size in (2, 60):
        records = [replace(one, thread=ts(0)) for one in batch(0, size)]
        elsewhere = [replace(one, channel=f"C{number}") for number, one in enumerate(records)]
        statements(lambda archive, records=[*records, *elsewhere]: archive.save_messages(records))
        counts.append([text for text in statements(read) if "main.tenants" not in text])
    assert len(counts[0]) == len(counts[1]), "\n".join(counts[1])
    assert len(counts[1]) <= most, "\n".join(counts[1])


def test_lists_cost_the_same_number_of_statements_whatever_their_size(statements):
    def save(start, size, name):
        numbers = range(start, start + size)
        users = [UserRecord(native_id=f"U{n}", name=name) for n in numbers]
        channels = [
            ChannelRecord(native_id=f"C{n}", name=name, kind="public", members=(f"U{n}", "U0")) for n in numbers
        ]
        return (
            len(statements(lambda archive: archive.save_users(users))),
            len(statements(lambda archive: archive.save_channels(channels))),
        )

    for name in ("new", "changed", "changed"):
        assert save(0, 2, name) == save(100, 60, name)


def test_a_year_that_is_prepared_keeps_its_messages_together(tenant, engine):
    since, until = datetime(2011, 3, 1, tzinfo=UTC), datetime(2012, 3, 1, tzinfo=UTC)
    made = tenant.archive.prepare(since, until)
    assert tenant.archive.prepare(since, until) == 0
    tenant.archive.save_messages([message(native_id=f"{int(since.timestamp())}.000100")])
    assert len(list(tenant.archive.messages("C1"))) == 1
    if engine == "sqlite":
        assert made == 0
    else:
        [where] = tenant.db.fetch("SELECT tableoid::regclass::text AS part FROM undercroft.messages")
        assert where["part"] == "undercroft.messages_2011"


def test_a_period_that_ends_before_it_begins_is_refused(tenant):
    with pytest.raises(errors.InvalidInput, match="ends after"):
        tenant.archive.prepare(SENT, SENT - timedelta(days=1))
    with pytest.raises(errors.InvalidInput):
        tenant.archive.prepare(datetime(2020, 1, 1), SENT)  # noqa: DTZ001 - what is refused
