"""A Slack export as a whole."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from undercroft.archive.records import ChannelRecord, MessageRecord, UserRecord
from undercroft.errors import SourceRefused
from undercroft.importers.json_stream import JsonStream
from undercroft.importers.quarantine import Quarantined
from undercroft.importers.scrub import Scrubber
from undercroft.importers.slack.decoding import decoded, quarantined
from undercroft.importers.slack.entries import Entry, Found, chunk_entries, conversation_entries, day_entries
from undercroft.importers.slack.fields import BadRecord
from undercroft.importers.slack.files import ExportFiles
from undercroft.importers.slack.index import Index
from undercroft.importers.slack.layout import DATABASE_HINT
from undercroft.importers.slack.messages import message_record, message_versions
from undercroft.importers.slack.users import stub_record
from undercroft.importers.source import Limits, Source, open_source

_SQLITE = b"SQLite format 3\0"


def open_export(path: str | Path, *, limits: Limits | None = None) -> "SlackExport":
    """Open a Slack export or what slackdump made of one, a zip archive or a directory; raises SourceRefused.

    Only names have been looked at when it returns: call `SlackExport.verify` before anything is stored.
    """
    path = Path(path)
    try:
        return SlackExport(open_source(path, limits))
    except SourceRefused as refusal:
        if _is_database(path):
            raise SourceRefused(f"{path.name} is a database", hint=DATABASE_HINT) from refusal
        raise


def _is_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except (OSError, ValueError):
        return False


class SlackExport:
    """One export. Every iterator may be started again; each reads one file at a time and keeps nothing of it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        try:
            self._files = ExportFiles(source)
        except BaseException:
            source.close()
            raise
        self._scrubber = Scrubber()
        self._index = Index(self._files, Scrubber())
        self._stubs: dict[str, UserRecord] = {}
        self._stubbed: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Release the source."""
        self._source.close()

    @property
    def workspace(self) -> str | None:
        """A name for the tenant, `slack:` and the id of the team, where the export tells it."""
        return self._index.workspace

    @property
    def total_bytes(self) -> int:
        """Size of the files that hold messages, as they stand in the source."""
        return self._files.total_bytes

    @property
    def bytes_done(self) -> int:
        """How many of `total_bytes` the pass that runs or ran last, `verify` or `messages`, has read."""
        return self._files.bytes_done

    @property
    def replaced(self) -> int:
        """In how many texts of messages NUL or a lone surrogate was replaced by U+FFFD so far."""
        return self._scrubber.replaced

    @property
    def skipped(self) -> tuple[str, ...]:
        """The files that are not read: canvases, app logs, downloaded pictures, and whatever is unknown."""
        return self._files.layout.skipped

    def verify(self) -> None:
        """Read every file once, decoding nothing; raises SourceRefused at the first that is unsafe or unreadable.

        Damaged and cut-off archives, bombs, text that is not UTF-8, absurd nesting, an index that is no list.
        """
        self._index.verify()
        for path, stream in self._files.messages():
            for _ in self._entries(path, stream):
                pass

    def users(self) -> Iterator[UserRecord | Quarantined]:
        """Yield the listed users; authors whom no list names come from `take_stubs`."""
        return self._index.users()

    def channels(self) -> Iterator[ChannelRecord | Quarantined]:
        """Yield the channels, each id once: those listed, then those that only their files tell of (extra `stub`)."""
        return self._index.channels()

    def messages(self) -> Iterator[MessageRecord | Quarantined]:
        """Yield the messages, file by file; a message that stands in two files comes twice.

        An event that holds two versions of a message gives both, the older first.
        """
        for path, stream in self._files.messages():
            for found in self._entries(path, stream):
                if isinstance(found, Quarantined):
                    yield found
                else:
                    yield from self._records(found)

    def take_stubs(self) -> list[UserRecord]:
        """Return a stub for every author met since the last call whom no list of users names."""
        stubs = list(self._stubs.values())
        self._stubs.clear()
        return stubs

    def _entries(self, path: str, stream: JsonStream) -> Found:
        match self._files.layout.kind:
            case "export":
                return day_entries(stream, path, self._index.directories[path.rpartition("/")[0]])
            case "dump":
                return conversation_entries(stream, path)
            case "chunks":
                return chunk_entries(stream, path)

    def _records(self, entry: Entry) -> Iterator[MessageRecord | Quarantined]:
        raw = decoded(entry, self._scrubber)
        if isinstance(raw, Quarantined):
            yield raw
            return
        for version, became in message_versions(raw):
            try:
                record = message_record(version, became, entry.channel, self._index.names)
            except BadRecord as error:
                yield quarantined(entry, str(error))
                continue
            if record.author and record.author not in self._index.user_ids and record.author not in self._stubbed:
                self._stubbed.add(record.author)
                self._stubs[record.author] = stub_record(record.author, version)
            yield record
