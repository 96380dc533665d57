"""Entries of channels.json, groups.json, mpims.json and dms.json, and directories that none of them names."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Literal

from undercroft.archive.records import ChannelRecord
from undercroft.importers.slack.fields import BadRecord, Raw, check_ids, ids_of, mapping_of, moment, rest_of, text_of

Kind = Literal["public", "private", "dm", "group"]

_DIRECT = re.compile(r"D[A-Z0-9]{6,}")
_PRIVATE = re.compile(r"G[A-Z0-9]{6,}$|FC:")  # FC: the comments on a canvas
_MAPPED = ("id", "name", "topic", "purpose", "created", "is_archived", "creator", "members")
# The exporting user's own view; kept, it would make every export of the same channel differ.
_VIEW = ("is_member", "is_open", "last_read", "latest", "unread_count", "unread_count_display", "priority")


def channel_record(raw: Raw, kind: Kind, names: Mapping[str, str]) -> ChannelRecord:
    """Read one entry of a list of channels; raises BadRecord without an id.

    A direct message has no name: it gets one made of its members' ``names``.
    """
    native_id = text_of(raw, "id")
    if not native_id:
        raise BadRecord("has no id")
    members = ids_of(raw, "members") or tuple(filter(None, (text_of(raw, "user"),)))
    check_ids(native_id, text_of(raw, "creator"), *members)
    return ChannelRecord(
        native_id=native_id,
        name=text_of(raw, "name") or ", ".join(names.get(member, member) for member in members) or native_id,
        kind=_kind(raw, kind),
        topic=_remark(raw, "topic"),
        purpose=_remark(raw, "purpose"),
        created_at=moment(raw.get("created")),
        is_archived=raw.get("is_archived") is True,
        creator=text_of(raw, "creator") or None,
        members=members,
        extra=rest_of(raw, _MAPPED + _VIEW),
    )


def stub_channel(native_id: str, name: str = "") -> ChannelRecord:
    """Return a channel of which only an id, or the name of its directory, is known."""
    kind: Kind = "public"
    if native_id.startswith("mpdm-"):
        kind = "group"
    elif _DIRECT.fullmatch(native_id):
        kind = "dm"
    elif _PRIVATE.match(native_id):
        kind = "private"
    return ChannelRecord(native_id=native_id, name=name or native_id, kind=kind, extra={"stub": True})


def match_directories(directories: Iterable[str], channels: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the channel's id for every directory of day files, given (id, name) of every listed channel.

    Matched by name, else by id (direct messages), else the directory's name is all there is and serves as the id.
    Unicode forms are levelled: some systems decompose accents in file names.
    """
    ids: dict[str, str] = {}
    known: set[str] = set()
    for native_id, name in channels:
        known.add(native_id)
        ids.setdefault(unicodedata.normalize("NFC", name), native_id)
    return {
        directory: directory if directory in known else ids.get(unicodedata.normalize("NFC", directory), directory)
        for directory in directories
    }


def _kind(raw: Raw, listed_as: Kind) -> Kind:
    if raw.get("is_im") is True:
        return "dm"
    if raw.get("is_mpim") is True:
        return "group"
    if listed_as == "public" and (raw.get("is_private") is True or raw.get("is_group") is True):
        return "private"
    return listed_as


def _remark(raw: Raw, key: str) -> str:
    return text_of(mapping_of(raw, key), "value") or text_of(raw, key)
