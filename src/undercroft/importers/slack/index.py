"""Who and where: the users and channels of an export, their names, and which directory belongs to which channel."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from itertools import chain

from undercroft.archive.records import ChannelRecord, UserRecord
from undercroft.importers.json_stream import Malformed
from undercroft.importers.quarantine import Quarantined
from undercroft.importers.scrub import Scrubber
from undercroft.importers.slack.channels import Kind, channel_record, match_directories, stub_channel
from undercroft.importers.slack.decoding import decoded, quarantined
from undercroft.importers.slack.entries import Entry, channel_in_name, chunk_facts, conversation_head, listed
from undercroft.importers.slack.fields import BadRecord, mapping_of, text_of
from undercroft.importers.slack.files import ExportFiles
from undercroft.importers.slack.users import user_record


class Index:
    """The lists of an export. Names are kept, for mentions; records are not."""

    def __init__(self, files: ExportFiles, scrubber: Scrubber) -> None:
        self._files = files
        self._scrubber = scrubber

    @cached_property
    def names(self) -> dict[str, str]:
        """The shown names of listed users and channels by id."""
        return {**self._user_names, **{channel.native_id: channel.name for channel in self._known_channels}}

    @cached_property
    def user_ids(self) -> frozenset[str]:
        """The listed users."""
        return frozenset(self._user_names)

    @cached_property
    def directories(self) -> dict[str, str]:
        """The channel's id by its directory of day files."""
        # The name of a direct message is our own invention, made of its members' names.
        named = ((channel.native_id, "" if channel.kind == "dm" else channel.name) for channel in self._known_channels)
        paths = self._files.layout.days
        matched = match_directories((path.rpartition("/")[2] for path in paths), named)
        return {path: matched[path.rpartition("/")[2]] for path in paths}

    @cached_property
    def workspace(self) -> str | None:
        """A name for the tenant: `slack:` and the id of the team, or of the team most users belong to."""
        teams = Counter(self._teams())
        return f"slack:{teams.most_common(1)[0][0]}" if teams else None

    def verify(self) -> None:
        """Read the lists once; raises SourceRefused where one is unsafe, unreadable or no list."""
        for _ in chain(self._user_entries(), self._channel_entries(), self._teams()):
            pass

    def users(self) -> Iterator[UserRecord | Quarantined]:
        """Yield the listed users."""
        for entry in self._user_entries():
            raw = decoded(entry, self._scrubber)
            try:
                yield raw if isinstance(raw, Quarantined) else user_record(raw)
            except BadRecord as error:
                yield quarantined(entry, str(error))

    def channels(self) -> Iterator[ChannelRecord | Quarantined]:
        """Yield the channels, each id once: those listed, then those that only their files tell of."""
        members = self._chunk_members()
        given: set[str] = set()
        for item in chain(self._listed_channels(), self._unlisted_channels()):
            if isinstance(item, Quarantined):
                yield item
            elif item.native_id not in given:
                given.add(item.native_id)
                joined = dict.fromkeys((*item.members, *members.get(item.native_id, ())))
                yield replace(item, members=tuple(joined))

    @cached_property
    def _known_channels(self) -> list[ChannelRecord]:
        """The listed channels without what takes room."""
        return [
            ChannelRecord(native_id=channel.native_id, name=channel.name, kind=channel.kind)
            for channel in self._listed_channels()
            if isinstance(channel, ChannelRecord)
        ]

    @cached_property
    def _user_names(self) -> dict[str, str]:
        return {user.native_id: user.shown_name for user in self.users() if isinstance(user, UserRecord)}

    def _user_entries(self) -> Iterator[Entry]:
        if self._files.layout.kind == "chunks":
            yield from (entry for _, entry in self._facts("u"))
        for path in self._files.layout.users:
            with self._files.open(path) as stream:
                yield from listed(stream, path)

    def _listed_channels(self) -> Iterator[ChannelRecord | Quarantined]:
        for entry, kind in self._channel_entries():
            raw = decoded(entry, self._scrubber)
            try:
                yield raw if isinstance(raw, Quarantined) else channel_record(raw, kind, self._user_names)
            except BadRecord as error:
                yield quarantined(entry, str(error))

    def _channel_entries(self) -> Iterator[tuple[Entry, Kind]]:
        if self._files.layout.kind == "chunks":
            yield from ((entry, "public") for _, entry in self._facts("ci", "ch"))
        for path, kind in self._files.layout.channels.items():
            with self._files.open(path) as stream:
                for entry in listed(stream, path):
                    yield entry, kind

    def _unlisted_channels(self) -> Iterator[ChannelRecord]:
        for path, native_id in self.directories.items():
            yield stub_channel(native_id, path.rpartition("/")[2])
        for path in self._files.layout.conversations:
            if self._files.layout.kind == "dump":
                with self._files.open(path) as stream:
                    yield stub_channel(*conversation_head(stream, path))
            elif channel_in_name(path) not in ("users", "channels", "workspace"):
                yield stub_channel(channel_in_name(path))

    def _chunk_members(self) -> dict[str, dict[str, None]]:
        members: dict[str, dict[str, None]] = {}
        for _, entry in self._facts("cu"):
            try:
                member = entry.value.decode()
            except ValueError:
                continue  # the file is broken there, which reading its messages reports
            if isinstance(member, str):
                members.setdefault(entry.channel, {})[member] = None
        return members

    def _teams(self) -> Iterator[str]:
        """Yield the id of the team, or those of the users' teams: guests from other workspaces are listed too."""
        own = [entry for _, entry in self._facts("w")]
        if path := self._files.layout.workspace:
            with self._files.open(path) as stream, suppress(Malformed):
                own.append(Entry(path, "", stream.value()))
        for entry in own or self._user_entries():
            raw = decoded(entry, self._scrubber)
            if isinstance(raw, dict) and (
                team := text_of(raw, "team_id") or text_of(mapping_of(raw, "profile"), "team")
            ):
                yield team

    def _facts(self, *wanted: str) -> Iterator[tuple[str, Entry]]:
        if self._files.layout.kind == "chunks":
            for path in self._files.layout.conversations:
                with self._files.open(path) as stream:
                    yield from chunk_facts(stream, path, wanted)
