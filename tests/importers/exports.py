"""Exports made for a test: files as a mapping of name to content, written as a directory or a zip archive."""

import gzip
import json
import os
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from undercroft.archive.records import ChannelRecord, MessageRecord, UserRecord
from undercroft.importers.quarantine import Quarantined
from undercroft.importers.slack import SlackExport, open_export

Files = Mapping[str, Any]


def data_directory() -> Path | None:
    """Real archives, where this machine has them."""
    beside = Path(__file__).parents[3] / "shared" / "data"
    found = Path(os.environ.get("UNDERCROFT_TEST_DATA", beside)) / "slack"
    return found if found.is_dir() else None


def content(value: Any) -> bytes:
    """Text and bytes as they are, anything else as JSON."""
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else json.dumps(value)).encode()


def packed(name: str, value: Any) -> bytes:
    return gzip.compress(content(value)) if name.endswith(".gz") else content(value)


def directory(root: Path, files: Files) -> Path:
    for name, value in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(packed(name, value))
    return root


def archive(path: Path, files: Files, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as made:
        for name, value in files.items():
            made.writestr(name, packed(name, value))
    return path


def message(ts: str = "1700000000.000100", text: str = "hello", user: str | None = "U1", **more: Any) -> dict[str, Any]:
    return {"type": "message", "ts": ts, "text": text, "user": user, **more}


def export(*messages: Any, **lists: Any) -> dict[str, Any]:
    """The files of an export with one channel, one user, and these messages on one day."""
    return {
        "users.json": lists.get("users", [{"id": "U1", "team_id": "T1", "name": "ann"}]),
        "channels.json": lists.get("channels", [{"id": "C1", "name": "general"}]),
        "general/2023-11-14.json": list(messages),
    }


def records(path: Path) -> list[MessageRecord]:
    """All messages of a verified export, none of them quarantined."""
    with open_export(path) as opened:
        opened.verify()
        found, refused = split(opened.messages())
    assert refused == []
    return found


def split(found: Iterable[Any]) -> tuple[list[Any], list[Quarantined]]:
    """What was read, and what was quarantined."""
    items = list(found)
    refused = [item for item in items if isinstance(item, Quarantined)]
    return [item for item in items if not isinstance(item, Quarantined)], refused


def everything(opened: SlackExport) -> list[UserRecord | ChannelRecord | MessageRecord | Quarantined]:
    """Whatever an export gives, in the order an import asks for it."""
    opened.verify()
    return [*opened.users(), *opened.channels(), *opened.messages(), *opened.take_stubs()]
