"""Whole archives: the sample always, real ones of 2015 to 2022 where this machine has them; every count is known."""

import json
import zipfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from tests.importers.exports import archive, data_directory, directory, export, message, records, split
from undercroft.archive.records import MessageRecord
from undercroft.importers.sample import sample_export
from undercroft.importers.slack import open_export

DATA = data_directory()


@dataclass(frozen=True)
class Known:
    """What the data's own README counts; `channels` and `users` are the lists' lengths."""

    name: str
    workspace: str
    messages: int
    authors: int
    users: int
    channels: int
    threads: int = 0
    replies: int = 0
    reacted: int = 0
    filed: int = 0
    edited: int = 0
    first: date = date.min
    last: date = date.min


SAMPLE = Known(
    "sample", "slack:T07LANTERN", 200, 13, 12, 5, 45, 111, 77, 9, 4, first=date(2025, 3, 3), last=date(2025, 3, 14)
)
REAL = [
    Known(
        "houston-datavis-2015-2016.zip", "slack:T061A2UFL", 1382, 71, 71, 16, 0, 0, 89, 67, 37,
        first=date(2015, 6, 6), last=date(2016, 7, 27),
    ),
    Known(
        "haskell-jp-2017-2022.zip", "slack:T4KTM3GTE", 8581, 1034, 1034, 10, 121, 706,
        first=date(2017, 10, 2), last=date(2022, 12, 31),
    ),
    Known(
        "slack-export-viewer-testarchive.zip", "slack:T0BMHLSRH", 158, 4, 4, 2, 0, 0, 1, 4, 1,
        first=date(2016, 1, 15), last=date(2016, 3, 29),
    ),
]  # fmt: skip
ARCHIVES = [SAMPLE, *(REAL if DATA else [])]


def path_of(known: Known) -> Path:
    return sample_export() if known is SAMPLE else DATA / known.name


@pytest.mark.parametrize("known", ARCHIVES, ids=lambda known: known.name)
def test_every_count_is_right(known):
    with open_export(path_of(known)) as opened:
        opened.verify()
        users, channels = list(opened.users()), list(opened.channels())
        found = list(opened.messages())
        assert opened.workspace == known.workspace
        assert opened.bytes_done == opened.total_bytes
        assert opened.replaced == 0
    assert all(isinstance(record, MessageRecord) for record in found)
    assert (len(users), len(channels), len(found)) == (known.users, known.channels, known.messages)
    assert len({(record.channel, record.native_id) for record in found}) == known.messages
    authors = {record.author for record in found if record.author and not record.author.startswith("B")}
    assert len(authors) == known.authors
    assert len({(record.channel, record.thread) for record in found if record.thread}) == known.threads
    assert sum(record.reply_to is not None for record in found) == known.replies
    assert sum(bool(record.reactions) for record in found) == known.reacted
    assert sum(any(one.kind == "file" for one in record.attachments) for record in found) == known.filed
    assert sum(record.edited_at is not None for record in found) == known.edited
    assert (found_at := sorted(record.sent_at.date() for record in found))[0] == known.first
    assert found_at[-1] == known.last


@pytest.mark.parametrize("known", ARCHIVES, ids=lambda known: known.name)
def test_nothing_a_reader_would_search_for_is_lost(known):
    for record in records(path_of(known)):
        said = record.shown_text + record.search_words
        assert said or record.deleted_at or (not record.text and not record.attachments), record
        assert "REDACTED" not in repr(record.attachments)  # a token stood there
        assert "<@" not in said
        assert "&amp;" not in said or "&amp;amp;" in record.text + repr(record.extra)


@pytest.mark.parametrize("known", ARCHIVES, ids=lambda known: known.name)
def test_a_directory_and_an_archive_of_it_are_read_alike(known, tmp_path):
    path = path_of(known)
    if path.is_dir():
        other = archive(
            tmp_path / "x.zip", {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*.json")}
        )
    else:
        with zipfile.ZipFile(path) as packed:
            other = directory(tmp_path / "x", {name: packed.read(name) for name in packed.namelist()})
    assert records(other) == records(path)


def test_the_sample_shows_what_an_archive_can_hold():
    found = records(sample_export())
    kinds = {record.kind for record in found}
    assert {"message", "bot_message", "thread_broadcast", "tombstone", "channel_join", "channel_topic"} <= kinds
    assert any(record.edited_at for record in found)
    assert any(record.deleted_at and record.thread for record in found)
    assert any(not record.text and record.search_words for record in found)
    assert sum(any("\u3040" <= char <= "\u9fff" for char in record.text) for record in found) > 40
    by_id = {record.native_id: record for record in found}
    assert all(by_id[record.thread].thread == record.thread for record in found if record.thread)


def test_the_sample_needs_stubs_for_two_authors():
    with open_export(sample_export()) as opened:
        assert split(opened.messages())[1] == []
        assert sorted(stub.shown_name for stub in opened.take_stubs()) == ["Slackbot", "The Lantern Gazette"]


def oddities() -> list[tuple[str, dict]]:
    lines = (DATA / "oddities.jsonl").read_text().splitlines() if DATA else []
    real = [json.loads(line) for line in lines]
    return [
        ("own", message(text="an own one, so that there is always one")),
        *((f"{odd['path']}:{odd['message']['ts']}", odd["message"]) for odd in real),
    ]


@pytest.mark.parametrize("odd", oddities(), ids=lambda odd: odd[0])
def test_every_oddity_is_read(odd, tmp_path):
    (record,) = records(directory(tmp_path / "x", export(odd[1])))
    assert record.text == odd[1]["text"]
    assert record.native_id == odd[1]["ts"]
    assert record.author == (odd[1].get("user") or odd[1].get("comment", {}).get("user") or odd[1].get("bot_id"))
    assert record.kind == odd[1].get("subtype", "message")


def test_fixtures_with_a_broadcast_a_canvas_and_direct_messages(tmp_path):
    """Zulip's fixtures, or what they hold, written again."""
    fixtures = DATA / "zulip-fixtures" if DATA else None
    root = message("1434139102.000002", "thread message", "U061A5N1G", thread_ts="1434139102.000002")
    thread = [
        root,
        message("1434139103.000002", "first reply", "U061A1R2R", thread_ts=root["ts"]),
        message(
            "1434139104.000002", "everyone", "U061A1R2R", thread_ts=root["ts"], subtype="thread_broadcast", root=root
        ),
    ]
    canvas = message(
        "1772636065.551219", "files", files=[{"id": "F1", "name": "Untitled", "title": "Weekly Sync"}, {"id": "F2"}]
    )
    dms = [{"id": f"D{at}", "members": [f"U{at}", f"U{at + 1}"]} for at in range(3)] + [
        {"id": "D9", "members": ["U9", "U9"]}
    ]
    mpims = [{"id": f"G{at}", "name": f"mpdm-a--b--c-{at}", "members": ["U1", "U2", "U3"]} for at in range(3)]
    if fixtures:
        thread = json.loads((fixtures / "thread_with_broadcast_reply.json").read_text())
        canvas = json.loads((fixtures / "message_with_variety_files_and_rich_text.json").read_text())
        dms, mpims = (json.loads((fixtures / name).read_text()) for name in ("dms.json", "mpims.json"))
    files = export(*thread, canvas) | {
        "dms.json": dms,
        "mpims.json": mpims,
        f"{dms[0]['id']}/2015-06-12.json": [message()],
    }
    with open_export(directory(tmp_path / "x", files)) as opened:
        found, refused = split(opened.messages())
        channels, _ = split(opened.channels())
    assert refused == []
    direct, *replies, last = found
    assert [record.is_broadcast for record in replies] == [False, False, True]
    assert {record.thread for record in replies} == {"1434139102.000002"}
    assert (last.attachments[0].kind, last.attachments[0].title) == ("file", "Weekly Sync")
    assert len(last.attachments) == 2
    assert "token=" not in repr(last)
    assert direct.channel == dms[0]["id"]
    assert [channel.kind for channel in channels].count("dm") == len(dms)
    assert [channel.kind for channel in channels].count("group") == len(mpims)
    (alone,) = (channel for channel in channels if channel.kind == "dm" and len(channel.members) == 1)
    assert alone.name == alone.members[0]
