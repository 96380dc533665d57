"""The entries in an export's files, undecoded, each with the file and channel it belongs to.

A file that is broken half-way gives what stands before the break, and the break itself as one quarantined record. Each
kind of file has one walk through it, for all who read it: a file that was read to its end once can be read again.
"""

import json
import posixpath
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from undercroft.errors import SourceRefused
from undercroft.importers.json_stream import JsonStream, Malformed, Value
from undercroft.importers.quarantine import Quarantined

_ID_MAX = 255
_REPLIES = "slackdump_thread_replies"
_THREAD_CHUNK = b"1"
_NULL = b"null"
_BRACKET, _BRACE = b"[{"


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of a file: a message, a user, a channel."""

    path: str
    channel: str
    value: Value


Found = Iterator[Entry | Quarantined]


def listed(stream: JsonStream, path: str) -> Iterator[Entry]:
    """Yield the elements of a list of users or channels; raises SourceRefused where the file is no list.

    Not quarantined: without its list of channels an export's messages would be stored under the wrong identity.
    """
    try:
        for _ in stream.array():
            yield Entry(path, "", stream.value())
    except Malformed as error:
        raise SourceRefused(f"{path} is not a list: {error} (byte {error.position:,})", file=path) from error


def day_entries(stream: JsonStream, path: str, channel: str) -> Found:
    """Yield the messages of a day file."""
    try:
        for _ in stream.array():
            yield Entry(path, channel, stream.value())
        while stream.next_byte() is not None:
            yield Entry(path, channel, stream.value())  # whatever follows the list: nothing is passed over in silence
    except Malformed as error:
        yield _broken(path, error)


def conversation_entries(stream: JsonStream, path: str) -> Found:
    """Yield the messages of a slackdump dump, replies before the message they answer."""
    return (found for key, found in _conversation(stream, path) if key == "messages")


def conversation_head(stream: JsonStream, path: str) -> tuple[str, str]:
    """Return the id and the name of a dump's channel."""
    channel, name, is_told = channel_in_name(path), "", False
    for key, found in _conversation(stream, path):
        if isinstance(found, Entry):
            channel = found.channel
            name = _text(found.value) if key == "name" else name
            is_told = is_told or key == "channel_id"
            if key == "messages" and is_told:
                break  # slackdump writes the head first
    return channel, name


def _conversation(stream: JsonStream, path: str) -> Iterator[tuple[str, Entry | Quarantined]]:
    """Yield what stands in a dump, with the field it stands in."""
    channel = channel_in_name(path)
    try:
        if stream.next_byte() == _BRACKET:  # slackdump before 1.1
            for found in day_entries(stream, path, channel):
                yield "messages", found
            return
        for key in stream.object():
            if key == "messages" and stream.next_byte() == _BRACKET:
                for _ in stream.array():
                    for found in _with_replies(stream, path, channel):
                        yield key, found
                continue
            value = stream.value()
            if key == "channel_id":
                channel = _text(value) or channel
            if value.text != _NULL:
                yield key, Entry(path, channel, value)
    except Malformed as error:
        yield "messages", _broken(path, error)


def _with_replies(stream: JsonStream, path: str, channel: str) -> Found:
    """Yield a message's replies, then the message: a thread is longer than a record may be, its messages are not."""
    if stream.next_byte() != _BRACE:
        yield Entry(path, channel, stream.value())
        return
    begin, level = stream.position, stream.level
    members: list[bytes] = []
    size, is_whole = 0, True
    try:
        for key in stream.object():
            if key == _REPLIES and stream.next_byte() == _BRACKET:
                for _ in stream.array():
                    yield Entry(path, channel, stream.value())
            else:
                value = stream.value()
                size += len(value.text)
                is_whole = is_whole and value.is_whole and size <= stream.limits.record
                if is_whole:
                    members.append(json.dumps(key).encode() + b":" + value.text)
    except Malformed as error:
        if not stream.leave(level):
            raise
        yield _broken(path, error)
        return
    yield Entry(path, channel, Value(begin, b"{" + b",".join(members) + b"}", is_whole))


def chunk_entries(stream: JsonStream, path: str) -> Found:
    """Yield the messages of a slackdump chunk file, the roots of threads twice."""
    return (found for key, found in _chunks(stream, path) if key == "m")


def chunk_facts(stream: JsonStream, path: str, wanted: Collection[str]) -> Iterator[tuple[str, Entry]]:
    """Yield what a chunk file says beside its messages, by the chunk's field; the elements of a list one by one."""
    for key, found in _chunks(stream, path):
        if key in wanted and isinstance(found, Entry):
            yield key, found


def _chunks(stream: JsonStream, path: str) -> Iterator[tuple[str, Entry | Quarantined]]:
    """Yield what stands in a chunk file, with the chunk's field it stands in; the root of a thread as a message."""
    while stream.next_byte() is not None:
        level = stream.level
        channel, kind = channel_in_name(path), b""
        try:
            for key in stream.object():
                if stream.next_byte() == _BRACKET:
                    for _ in stream.array():
                        yield key, Entry(path, channel, stream.value())
                    continue
                value = stream.value()
                if key == "id":
                    channel = _text(value) or channel
                elif key == "t":
                    kind = value.text
                if value.text != _NULL:
                    yield "m" if key == "p" and kind == _THREAD_CHUNK else key, Entry(path, channel, value)
        except Malformed as error:
            yield "m", _broken(path, error)
            stream.skip_line(level)


def channel_in_name(path: str) -> str:
    """Return the channel id that slackdump puts first in a file's name."""
    return posixpath.basename(path).partition(".")[0].partition("-")[0]


def _text(value: Value) -> str:
    try:
        text = value.decode()
    except ValueError:
        return ""
    return text if isinstance(text, str) and len(text) <= _ID_MAX else ""


def _broken(path: str, error: Malformed) -> Quarantined:
    return Quarantined.of(path, error.position, str(error), error.text)
