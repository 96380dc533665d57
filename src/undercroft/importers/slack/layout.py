"""Which files of an export hold what, told from their names alone.

Three layouts: Slack's own export, which slackdump writes too (lists of channels beside a directory of day files for
each channel); slackdump's dump (one JSON file for each conversation); slackdump's chunks (`.json.gz`, JSON lines).
Formats: <https://slack.com/help/articles/220556107>, <https://github.com/rusq/slackdump>.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from undercroft.errors import SourceRefused
from undercroft.importers.slack.channels import Kind

_CHANNELS: Mapping[str, Kind] = {
    "channels.json": "public",
    "groups.json": "private",
    "mpims.json": "group",
    "dms.json": "dm",
    "file_conversations.json": "private",  # comments on canvases
}
_USERS = ("users.json", "org_users.json")
_WORKSPACE = "workspace.json"
_CHUNK = ".json.gz"
_SEARCHES = "search.json.gz"  # finds, abridged, of messages that are elsewhere in full

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}\.json")
_CONVERSATION = re.compile(r"[CDG][A-Z0-9]{5,}(?:-\d+\.\d+)?\.json")
_DATABASE = "slackdump.sqlite"
DATABASE_HINT = "turn it into an export first: slackdump convert -f export -o export.zip DIRECTORY"

# What other programs leave in archives, and the files that slackdump downloads beside the messages.
_JUNK = re.compile(r"(?:^|/)(?:__MACOSX/|\._|\.DS_Store$|Thumbs\.db$|\.git/)")
_UPLOADS = re.compile(r"(?:^|/)(?:attachments|__uploads|__avatars)/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The files to read; all names are the source's."""

    kind: Literal["export", "dump", "chunks"]
    users: tuple[str, ...] = ()
    channels: Mapping[str, Kind] = field(default_factory=dict)
    """Lists of channels, with the kind that their entries have."""
    days: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Day files by the path of their directory, oldest first."""
    conversations: tuple[str, ...] = ()
    workspace: str | None = None
    skipped: tuple[str, ...] = ()
    """Files that hold no messages, or none that this importer knows: canvases, app logs, downloaded pictures …"""

    def lists(self) -> Iterator[str]:
        """Yield the files that name users and channels."""
        yield from self.users
        yield from self.channels
        if self.workspace:
            yield self.workspace

    def message_files(self) -> Iterator[str]:
        """Yield the files that hold messages, in the order they are read."""
        yield from self.conversations
        for files in self.days.values():
            yield from files


def recognise(names: Iterable[str], source: str) -> Layout:
    """Tell the layout from the names of all files; raises SourceRefused where they are no Slack export."""
    names = sorted(name for name in names if not _JUNK.search(name))
    root = _root(names, source)
    if root is None:
        if any(posixpath.basename(name) == _DATABASE for name in names):
            raise SourceRefused(f"{source} is a slackdump database", hint=DATABASE_HINT)
        raise SourceRefused(
            f"{source} holds no channels.json and nothing else of a Slack export",
            hint="name the .zip file that Slack made, or the directory where it was unpacked",
        )
    inside = {name[len(root) :]: name for name in names if name.startswith(root)}
    top = [name for name in inside if "/" not in name]
    layout = _export(inside)
    if not layout.days and any(_CONVERSATION.fullmatch(name) for name in top):
        layout = _dump(inside, top)
    elif not layout.days and any(name.endswith(_CHUNK) for name in top):
        layout = _chunks(inside, top)
    read = {*layout.lists(), *layout.message_files()}
    return replace(layout, skipped=tuple(name for name in names if name not in read))


def _root(names: Iterable[str], source: str) -> str | None:
    """Return the directory that the export lies in: people zip the directory as often as its content."""
    found = {
        name[: name.rfind("/") + 1]
        for name in names
        if posixpath.basename(name) in _CHANNELS
        or name.endswith(_CHUNK)
        or _CONVERSATION.fullmatch(posixpath.basename(name))
    }
    found = {root for root in found if not _UPLOADS.search(root)}
    if not found:
        return None
    depth = min(root.count("/") for root in found)
    roots = sorted(root for root in found if root.count("/") == depth)
    if len(roots) > 1:
        raise SourceRefused(
            f"{source} holds more than one export ({', '.join(roots[:3])})", hint="name the directory of one of them"
        )
    return roots[0]


def _export(inside: Mapping[str, str]) -> Layout:
    days: dict[str, list[str]] = {}
    for name in inside:
        directory, _, file = name.rpartition("/")
        if directory and "/" not in directory and _DAY.fullmatch(file):
            days.setdefault(inside[name].rpartition("/")[0], []).append(inside[name])
    return Layout(
        kind="export",
        users=tuple(inside[name] for name in _USERS if name in inside),
        channels={inside[name]: kind for name, kind in _CHANNELS.items() if name in inside},
        days={directory: tuple(files) for directory, files in days.items()},
    )


def _dump(inside: Mapping[str, str], top: Iterable[str]) -> Layout:
    return Layout(
        kind="dump",
        users=tuple(inside[name] for name in _USERS if name in inside),
        channels={inside[name]: kind for name, kind in _CHANNELS.items() if name in inside},
        conversations=tuple(inside[name] for name in top if _CONVERSATION.fullmatch(name)),
        workspace=inside.get(_WORKSPACE),
    )


def _chunks(inside: Mapping[str, str], top: Iterable[str]) -> Layout:
    chunks = (name for name in top if name.endswith(_CHUNK) and name != _SEARCHES)
    return Layout(kind="chunks", conversations=tuple(inside[name] for name in chunks))
