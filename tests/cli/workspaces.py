"""Slack workspaces made to measure, as exports: deterministic, with what makes an import more than copying."""

import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

TEAM = "T0MADEUP1"
KEY = f"slack:{TEAM}"
USERS = ("U0ADA0001", "U0GRACE01", "U0LINUS01")
CHANNELS = {"C0GENERAL": "general", "C0RANDOM1": "random", "C0NIHONGO": "日本語"}
BROKEN = 3
"""Records in every export that cannot be understood."""
_BEGIN = datetime(2024, 1, 1, 9, tzinfo=UTC)


def export(path: Path, messages: int) -> Path:
    """Write an export with so many readable messages, and `BROKEN` others, as a zip archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in _files(messages):
            archive.writestr(name, json.dumps(value, ensure_ascii=False))
    return path


def _files(messages: int) -> Iterator[tuple[str, Any]]:
    yield "users.json", [_user(number) for number in range(len(USERS))]
    yield (
        "channels.json",
        [{"id": key, "name": name, "created": 1704067200, "members": list(USERS)} for key, name in CHANNELS.items()],
    )
    days: dict[str, list[Any]] = {}
    for number in range(messages):
        name = list(CHANNELS.values())[number % len(CHANNELS)]
        moment = _BEGIN + timedelta(minutes=7 * number)
        days.setdefault(f"{name}/{moment:%Y-%m-%d}.json", []).append(_message(number, moment))
    last = max(days)
    days[last] += [{"type": "message", "user": USERS[0], "text": "no ts"}, "not an object", {"ts": 1704067200.5}]
    yield from sorted(days.items())


def _user(number: int) -> dict[str, Any]:
    name = USERS[number].removeprefix("U0").rstrip("01").lower()
    return {
        "id": USERS[number],
        "team_id": TEAM,
        "name": name,
        "profile": {"real_name": name.capitalize(), "email": f"{name}@example.com"},
    }


def _message(number: int, moment: datetime) -> dict[str, Any]:
    text = f"message {number}: the refund policy" if number % 5 == 0 else f"message {number} says hello"
    if number % 3 == 2:
        text = f"返金についての質問 {number}"
    message: dict[str, Any] = {
        "type": "message",
        "user": USERS[number % len(USERS)],
        "text": text,
        "ts": _ts(number, moment),
    }
    match number % 10:
        case 1:
            message["reactions"] = [{"name": "tada", "count": 2, "users": list(USERS[:2])}]
        case 2:
            message["edited"] = {"user": USERS[0], "ts": _ts(number, moment + timedelta(minutes=1))}
        case 3:
            message["text"] += " <https://example.com/page|here>"
        case 4:
            message["files"] = [{"id": f"F{number:08}", "name": "plan.pdf", "mimetype": "application/pdf", "size": 9}]
        case 5:
            del message["user"]
            message |= {"subtype": "bot_message", "bot_id": f"B0BOT{number % 4}", "username": "deploy"}
        case 6:
            message["thread_ts"] = message["ts"]
    return message


def _ts(number: int, moment: datetime) -> str:
    return f"{int(moment.timestamp())}.{number % 1_000_000:06}"
