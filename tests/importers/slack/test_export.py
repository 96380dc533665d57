"""An export as a whole: its layouts, its lists, what is quarantined, what is refused, what it costs to read."""

import gzip
import json
import tracemalloc
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.importers.exports import archive, content, directory, everything, export, message, records, split
from undercroft.archive.records import ChannelRecord, MessageRecord, UserRecord
from undercroft.errors import SourceRefused
from undercroft.importers.quarantine import Quarantined
from undercroft.importers.slack import open_export
from undercroft.importers.source import Limits

ROOT = message("1700000000.000100", "root <@U2>", thread_ts="1700000000.000100", reply_count=2)
REPLY = message("1700000001.000100", "reply", "U2", thread_ts="1700000000.000100", parent_user_id="U1")
SHOWN = message("1700000002.000100", "shown", "U2", thread_ts="1700000000.000100", subtype="thread_broadcast")
ALONE = message("1700000003.000100", "alone", files=[{"id": "F1", "name": "a.txt"}])
USERS = [
    {"id": "U1", "team_id": "T1", "name": "ann", "profile": {"display_name": "Ann"}},
    {"id": "U2", "team_id": "T1", "name": "ben"},
    {"id": "U3", "team_id": "T9", "name": "guest"},
]
CHANNEL = {"id": "C1234567", "name": "general", "created": 1600000000, "members": ["U1", "U2", "U1"]}

OFFICIAL = {
    "users.json": USERS,
    "channels.json": [CHANNEL],
    "integration_logs.json": [],
    "general/2023-11-14.json": [ROOT, REPLY],
    "general/2023-11-15.json": [SHOWN, ALONE],
}
DUMP = {
    "users.json": USERS,
    "channels.json": [CHANNEL],
    "workspace.json": {"team_id": "T1", "url": "https://acme.slack.com"},
    "C1234567.json": {
        "channel_id": "C1234567",
        "name": "general",
        "messages": [{**ROOT, "slackdump_thread_replies": [REPLY, SHOWN]}, ALONE],
    },
    "C1234567/a.txt": "an attachment",
}
CHUNKS = {
    "workspace.json.gz": json.dumps({"t": 6, "w": {"team_id": "T1"}}),
    "users.json.gz": json.dumps({"t": 3, "n": 3, "u": USERS}),
    "C1234567.json.gz": "\n".join(
        json.dumps(chunk)
        for chunk in (
            {"t": 7, "id": "C1234567", "cu": ["U1", "U2"]},
            {"t": 5, "id": "C1234567", "ci": {**CHANNEL, "members": None}},
            {"t": 2, "id": "C1234567", "p": ALONE, "f": [{"id": "F1"}]},
            {"t": 0, "id": "C1234567", "m": [ROOT, ALONE]},
            {"t": 1, "id": "C1234567", "r": "1700000000.000100", "p": ROOT, "m": [REPLY, SHOWN]},
        )
    ),
    "search.json.gz": json.dumps({"t": 10, "sm": [ALONE]}),
}
INSIDE = {f"acme export/{name}": value for name, value in OFFICIAL.items()} | {
    "__MACOSX/acme export/._channels.json": b"\0\5\x16\7",
    "acme export/.DS_Store": b"\0",
}
SLACKDUMP = OFFICIAL | {
    "general/attachments/F1-2020-01-01.json": "not JSON",
    "__uploads/F1/channels.json": "not JSON",
    "__avatars/U1/x.png": b"\x89PNG",
}


@pytest.mark.parametrize(
    "files", [OFFICIAL, DUMP, CHUNKS, INSIDE, SLACKDUMP], ids=["official", "dump", "chunks", "in", "with"]
)
@pytest.mark.parametrize("make", [archive, directory])
def test_every_layout_gives_the_same_records(files, make, tmp_path):
    reference = {record.native_id: record for record in records(directory(tmp_path / "reference", OFFICIAL))}
    with open_export(make(tmp_path / "export", files)) as opened:
        found = everything(opened)
        assert opened.workspace == "slack:T1"
        assert opened.bytes_done == opened.total_bytes > 0
    assert {record.native_id: record for record in found if isinstance(record, MessageRecord)} == reference
    assert len(reference) == 4
    assert [user.native_id for user in found if isinstance(user, UserRecord)] == ["U1", "U2", "U3"]
    (channel,) = (channel for channel in found if isinstance(channel, ChannelRecord))
    assert (channel.native_id, channel.name, channel.kind, channel.members) == (
        "C1234567",
        "general",
        "public",
        ("U1", "U2"),
    )
    assert not any(isinstance(item, Quarantined) for item in found)


def test_a_dump_without_lists_names_its_channels_itself(tmp_path):
    files = {
        "C1234567-1700000000.000100.json": {
            "channel_id": "C1234567",
            "thread_ts": "1700000000.000100",
            "name": "ops",
            "messages": [ROOT, REPLY],
        },
        "D1234567.json": {"messages": [ALONE], "name": "", "channel_id": "D1234567"},
        "C2345678.json": [ALONE],
    }
    with open_export(archive(tmp_path / "x.zip", files)) as opened:
        channels, _ = split(opened.channels())
        messages, _ = split(opened.messages())
        assert [(channel.native_id, channel.name, channel.kind) for channel in channels] == [
            ("C1234567", "ops", "public"),
            ("C2345678", "C2345678", "public"),
            ("D1234567", "D1234567", "dm"),
        ]
        assert [record.channel for record in messages] == ["C1234567", "C1234567", "C2345678", "D1234567"]
        assert {stub.native_id for stub in opened.take_stubs()} == {"U1", "U2"}
        assert opened.take_stubs() == []
        assert opened.workspace is None


def test_a_thread_longer_than_a_record_is_read_reply_by_reply(tmp_path):
    replies = [message(f"17000000{number:02d}.000200", "x" * 500) for number in range(50)]
    dump = {
        "C1234567.json": {"channel_id": "C1234567", "messages": [{**ROOT, "slackdump_thread_replies": replies}, ALONE]}
    }
    with open_export(archive(tmp_path / "x.zip", dump), limits=Limits(record=2_000)) as opened:
        found, refused = split(opened.messages())
    assert (len(found), refused) == (52, [])


def test_channels_of_every_kind(tmp_path):
    files = export(message()) | {
        "channels.json": [
            {"id": "C1", "name": "general", "topic": {"value": "T"}, "purpose": "P", "created": "1600000000"}
        ],
        "groups.json": [{"id": "G1", "name": "board", "is_archived": True, "creator": "U1"}],
        "mpims.json": [{"id": "G2", "name": "mpdm-ann--ben--cy-1", "members": ["U1", "U2"]}],
        "dms.json": [{"id": "D1", "members": ["U1", "U2"]}, {"id": "D2", "members": ["U1", "U1"]}, {"id": "D3"}],
        "file_conversations.json": [{"id": "C5", "name": "FC:F1:canvas"}],
        "board/2023-11-14.json": [message()],
        "mpdm-ann--ben--cy-1/2023-11-14.json": [message()],
        "D1/2023-11-14.json": [message()],
        "FC:F1:canvas/2023-11-14.json": [message()],
        "unlisted/2023-11-14.json": [message()],
        "mpdm-x--y-1/2023-11-14.json": [message()],
    }
    with open_export(directory(tmp_path / "x", files)) as opened:
        channels = {channel.native_id: channel for channel in split(opened.channels())[0]}
        assert Counter(record.channel for record in opened.messages()) == Counter(
            ["C1", "G1", "G2", "D1", "C5", "unlisted", "mpdm-x--y-1"]
        )
    assert {native_id: (channel.name, channel.kind) for native_id, channel in channels.items()} == {
        "C1": ("general", "public"),
        "G1": ("board", "private"),
        "G2": ("mpdm-ann--ben--cy-1", "group"),
        "D1": ("ann, U2", "dm"),
        "D2": ("ann", "dm"),
        "D3": ("D3", "dm"),
        "C5": ("FC:F1:canvas", "private"),
        "unlisted": ("unlisted", "public"),
        "mpdm-x--y-1": ("mpdm-x--y-1", "group"),
    }
    assert (channels["C1"].topic, channels["C1"].purpose, channels["C1"].created_at.year) == ("T", "P", 2020)
    assert (channels["G1"].is_archived, channels["G1"].creator, channels["D2"].members) == (True, "U1", ("U1",))
    assert channels["unlisted"].extra == {"stub": True}


def test_a_directory_is_matched_whatever_form_its_accents_have(tmp_path):
    files = export() | {"channels.json": [{"id": "C1", "name": "caf\u00e9"}], "cafe\u0301/2023-11-14.json": [message()]}
    assert [record.channel for record in records(archive(tmp_path / "x.zip", files))] == ["C1"]


def test_users(tmp_path):
    listed = {
        "id": "U1", "team_id": "T1", "name": "ann", "deleted": True, "tz": "Asia/Tokyo", "is_admin": True,
        "profile": {"display_name": "Ann", "real_name": "Ann Lee", "email": "a@example.com", "phone": "",
                    "title": "Boss", "image_24": "https://x/24", "image_192": "https://x/192", "image_512": "https://x/512"},
    }  # fmt: skip
    with open_export(directory(tmp_path / "x", export(users=[listed, {"id": "USLACKBOT"}]))) as opened:
        (ann, slackbot), _ = split(opened.users())
    assert (ann.name, ann.display_name, ann.real_name, ann.email) == ("ann", "Ann", "Ann Lee", "a@example.com")
    assert (ann.is_deleted, ann.is_bot, ann.is_stub, ann.timezone) == (True, False, False, "Asia/Tokyo")
    assert ann.profile == {"title": "Boss", "image": "https://x/512", "team_id": "T1", "is_admin": True}
    assert (slackbot.is_bot, slackbot.shown_name) == (True, "USLACKBOT")


BAD = [
    ('{"type": "message", "ts": tru}', "is not JSON"),
    ('{"type": "message"}', "has no ts"),
    ('{"ts": 1700000000, "text": "x"}', "its ts is a number"),
    ('{"ts": 1700000000.25, "text": "x"}', "its ts is a number"),
    ('{"ts": "1700000000.000100", "x": NaN}', "NaN"),
    ('{"ts": "1700000000.000100", "x": ' + "9" * 5000 + "}", "digits"),
    ('"a text"', "is not an object"),
    ("null", "is not an object"),
    ("[1, 2]", "is not an object"),
    ('{"ts": "1.0", "text": "' + "x" * 5000 + '"}', "longer than a record"),
]


@pytest.mark.parametrize(("record", "reason"), BAD)
def test_a_bad_record_is_quarantined_and_its_neighbours_are_read(record, reason, tmp_path):
    day = f"[{json.dumps(message('1.000000'))}, {record}, {json.dumps(message('2.000000'))}]"
    limits = Limits(record=6_000 if "digits" in reason else 4_000)
    with open_export(directory(tmp_path / "x", export() | {"general/2023-11-14.json": day}), limits=limits) as opened:
        opened.verify()
        found, (refused,) = split(opened.messages())
    assert [record.native_id for record in found] == ["1.000000", "2.000000"]
    assert (refused.path, refused.position) == ("general/2023-11-14.json", day.index(record))
    assert reason in refused.reason
    assert record.startswith(refused.record_text[:100])


def test_a_number_with_all_its_digits_is_a_timestamp(tmp_path):
    day = '[{"ts": 1700000000.000100, "thread_ts": 1699999999.999900, "text": "x", "other": 0.1}]'
    (record,) = records(directory(tmp_path / "x", export() | {"general/2023-11-14.json": day}))
    assert (record.native_id, record.thread, record.extra) == ("1700000000.000100", "1699999999.999900", {"other": 0.1})


@pytest.mark.parametrize(
    ("day", "read", "quarantined"),
    [
        ("", 0, 1),
        ("{}", 0, 1),
        ("<html>", 0, 1),
        ("[]", 0, 0),
        ('[{"ts": "1.000000"}, {"ts": "2.0', 1, 1),
        ('[{"ts": "1.000000"},', 1, 1),
        ('[{"ts": "1.000000"}}, {"ts": "2.000000"}]', 1, 1),
        ('[{"ts": "1.000000"}] {"ts": "2.000000"} 3', 2, 1),
        ('[{"ts": "1.000000"},, {"ts": "2.000000"},]', 2, 0),
    ],
)
def test_a_broken_day_gives_what_it_holds_and_says_that_it_is_broken(day, read, quarantined, tmp_path):
    files = export() | {"general/2023-11-14.json": day, "general/2023-11-15.json": [message("9.000000")]}
    with open_export(directory(tmp_path / "x", files)) as opened:
        opened.verify()
        found, refused = split(opened.messages())
    assert (len(found) - 1, len(refused)) == (read, quarantined)
    assert found[-1].native_id == "9.000000"


@pytest.mark.parametrize(
    ("dump", "read", "quarantined"),
    [
        (
            '{"messages": [{"ts": "1.000000", "slackdump_thread_replies": [{"ts": "2.000000"}, 3]}]}',
            2,
            1,
        ),
        ('{"messages": [{"ts" "1.000000"}, {"ts": "2.000000"}]}', 1, 1),
        ('{"messages": [{"ts": "1.000000", "slackdump_thread_replies": [{"ts": "2.000000"}', 1, 1),
        ('{"messages": [5, {"ts": "1.000000"}], "messages": 7, 8}', 1, 3),
        ('{"messages": null}', 0, 0),
        ("7", 0, 1),
    ],
)
def test_a_broken_dump_gives_what_it_holds(dump, read, quarantined, tmp_path):
    with open_export(directory(tmp_path / "x", {"C1234567.json": dump})) as opened:
        opened.verify()
        assert len(split(opened.channels())[0]) == 1
        found, refused = split(opened.messages())
    assert (len(found), len(refused)) == (read, quarantined)


def test_a_broken_chunk_costs_its_line(tmp_path):
    lines = [
        '{"t": 0, "id": "C1", "m": [{"ts": "1.000000"}]}',
        '{"t": 0, "m": [}',
        '{"t": 0, "id": "C1", "m": [{"ts": "2.000000"}]}',
        "5",
    ]
    with open_export(directory(tmp_path / "x", {"C1234567.json.gz": "\n".join(lines)})) as opened:
        found, refused = split(everything(opened))
    assert [item.native_id for item in found if isinstance(item, MessageRecord)] == ["1.000000", "2.000000"]
    assert len(refused) == 2


def test_bad_entries_of_the_lists_are_quarantined(tmp_path):
    files = export(
        message(),
        users=[{"name": "nobody"}, {"id": "U1"}, 7],
        channels=[{"name": "x"}, {"id": "C1", "name": "general"}],
    )
    with open_export(directory(tmp_path / "x", files)) as opened:
        users, bad_users = split(opened.users())
        channels, bad_channels = split(opened.channels())
    assert ([user.native_id for user in users], [channel.native_id for channel in channels]) == (["U1"], ["C1"])
    assert [(bad.path, bad.reason) for bad in (*bad_users, *bad_channels)] == [
        ("users.json", "has no id"),
        ("users.json", "is not an object"),
        ("channels.json", "has no id"),
    ]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"readme.txt": "hello"}, "nothing else of a Slack export"),
        ({"a/channels.json": [], "b/channels.json": []}, "more than one export"),
        ({"slackdump.sqlite": b"SQLite format 3\0"}, "slackdump database.*slackdump convert"),
        (export(channels={"ok": False}), r"channels\.json is not a list"),
        (export(users="[{}"), r"users\.json is not a list"),
        (export() | {"users.json": b"\xff\xfe[\0]\0"}, r"users\.json is UTF-16"),
        (export() | {"general/2020-01-01.json": '["ü"]'.encode("latin-1")}, r"general/2020-01-01\.json is not UTF-8"),
        (export() | {"general/2020-01-01.json": "[" * 100_000}, r"general/2020-01-01\.json nests"),
        (export() | {"general/2020-01-01.json": b"[1] \xff"}, r"general/2020-01-01\.json is not UTF-8"),
        ({"C1234567.json.gz": '{"m": [}\n{"m": ' + "[" * 200}, r"C1234567\.json\.gz nests"),
        ({"C1234567.json": '{"messages": [{"ts" 1}, {"blocks": ' + "[" * 200}, r"C1234567\.json nests"),
    ],
)
@pytest.mark.parametrize("make", [archive, directory])
def test_an_unsafe_or_unreadable_export_is_refused_before_a_record_is_read(files, reason, make, tmp_path):
    with pytest.raises(SourceRefused, match=reason):  # noqa: SIM117 - it may be refused at either step
        with open_export(make(tmp_path / "x.zip", files)) as opened:
            opened.verify()


def test_a_database_of_slackdump_is_refused_with_the_way_out(tmp_path):
    path = tmp_path / "slackdump.sqlite"
    path.write_bytes(b"SQLite format 3\0" + bytes(100))
    with pytest.raises(SourceRefused, match="slackdump convert -f export"):
        open_export(path)


def test_a_compressed_chunk_is_no_way_around_the_limits(tmp_path):
    for data, reason in (
        (gzip.compress(b" " * (20 << 20)), "unpacks to more than it may"),
        (gzip.compress(b'{"m": []}')[:-9], "is damaged or cut off"),
        (b"not gzip", "is damaged or cut off"),
    ):
        path = tmp_path / "C1234567.json.gz"
        path.write_bytes(data)
        with open_export(tmp_path) as opened, pytest.raises(SourceRefused, match=rf"C1234567\.json\.gz {reason}"):
            opened.verify()


def test_what_a_database_cannot_hold_is_replaced_and_counted(tmp_path):
    day = r'[{"ts": "1.000000", "text": "a\u0000b\ud800c \ud83d\ude00", "x\u0000": 12345678901234567890}]'
    with open_export(directory(tmp_path / "x", export() | {"general/2023-11-14.json": day})) as opened:
        (record,) = opened.messages()
        assert opened.replaced == 2
    assert record.text == "a\ufffdb\ufffdc 😀"
    assert record.extra == {"x\ufffd": "12345678901234567890"}


def test_no_token_of_a_link_gets_through(tmp_path):
    url = "https://files.slack.com/files-pri/T1-F1/a.png?t=xoxe-111-222-333"
    public = "https://slack-files.com/T1-F1-0a1b2c3d4e?pub_secret=0a1b2c3d4e"
    file = {"id": "F1", "url_private": url, "thumb_64": url, "permalink_public": public, "preview": f"see {url}"}
    files = export(
        message(text=f"<{url}|a> <{public}>", files=[file], attachments=[{"image_url": url, "text": f"<{url}>"}]),
        '{"broken": "' + url + '", xoxb-1-2-3}',
        message(ts=None, text=url),
        users=[{"id": "U1", "profile": {"image_512": url}}],
    )
    with open_export(directory(tmp_path / "x", files)) as opened:
        found = repr(everything(opened))
    assert found.count("files.slack.com") >= 5
    assert "xoxe" not in found
    assert "xoxb" not in found
    assert "0a1b2c3d4e" not in found


def test_the_order_of_files_is_the_order_of_time_in_a_channel(tmp_path):
    days = {f"general/2023-{month:02d}-01.json": [message(f"{month}.000000")] for month in (12, 3, 11, 1)}
    found = records(archive(tmp_path / "x.zip", export() | days))
    assert [record.native_id for record in found] == ["1.000000", "3.000000", "11.000000", "12.000000"]


def test_what_is_not_read_is_named(tmp_path):
    files = export(message()) | {"canvases.json": [], "general/canvas.json": {}, "general/notes/2020-01-01.json": []}
    with open_export(directory(tmp_path / "x", files)) as opened:
        assert opened.skipped == ("canvases.json", "general/canvas.json", "general/notes/2020-01-01.json")


@pytest.mark.parametrize("layout", ["one file", "a file a day"])
def test_memory_does_not_grow_with_the_number_of_messages(layout, tmp_path):
    peaks = []
    for number in (1_000, 10_000):
        made = [message(f"{1_600_000_000 + place}.000000", f"message {place} " + "x" * 400) for place in range(number)]
        days = {"general/2020-01-01.json": made}
        if layout == "a file a day":
            days = {f"general/{2000 + at // 100_000}-01-{at % 100:02d}.json": made[at::100] for at in range(100)}
        path = archive(tmp_path / f"{number}.zip", export() | days)
        del made, days
        with open_export(path) as opened:
            tracemalloc.start()
            opened.verify()
            assert sum(1 for _ in opened.messages()) == number
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    # Ten thousand messages are 6 MB as they stand, and 20 as objects.
    assert peaks[1] < peaks[0] + 500_000


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(
        st.tuples(
            st.floats(0, 1, exclude_max=True),
            st.binary(max_size=4) | st.sampled_from([b"[" * 120, b"{", b"]", b"}", b'"', b":", b"\n", b"\\"]),
            st.integers(0, 6),
        ),
        min_size=1,
        max_size=5,
    ),
    name=st.sampled_from(
        [
            "general/2023-11-14.json",
            "channels.json",
            "users.json",
            "C1234567.json",
            "C1234567.json.gz",
            "workspace.json",
        ]
    ),
)
def test_damaged_text_is_refused_before_anything_is_read_or_quarantined(changes, name, tmp_path):
    layout = next(files for files in (OFFICIAL, DUMP, CHUNKS) if name in files)
    data = bytearray(content(layout[name]))
    for place, new, length in changes:
        at = int(place * len(data))
        data[at : at + length] = new
    made = directory(tmp_path / "x", layout | {name: bytes(data)})
    try:
        with open_export(made) as opened:
            try:
                opened.verify()
            except SourceRefused as refused:
                assert name in str(refused)  # noqa: PT017 - either outcome is right
                return
            found = everything(opened)
            assert opened.workspace is None or opened.workspace.startswith("slack:")
        assert all(isinstance(item, (UserRecord, ChannelRecord, MessageRecord, Quarantined)) for item in found)
    finally:
        for path in made.rglob("*.*"):
            path.unlink()
