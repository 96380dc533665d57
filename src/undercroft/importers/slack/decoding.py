"""From an entry's bytes to a clean object, or to the reason why it is none."""

import json
import re
from typing import Any

from undercroft.importers.quarantine import Quarantined
from undercroft.importers.scrub import Scrubber
from undercroft.importers.slack.entries import Entry

_EXACT = re.compile(r"[0-9]{1,11}\.[0-9]{6}")


def decoded(entry: Entry, scrubber: Scrubber) -> dict[str, Any] | Quarantined:
    """Return the entry's object, clean; quarantined where it is not JSON, too long, or no object."""
    try:
        raw = entry.value.decode()
    except ValueError as error:
        return quarantined(entry, f"is not JSON: {error}" if isinstance(error, json.JSONDecodeError) else str(error))
    if not isinstance(raw, dict):
        return quarantined(entry, "is not an object")
    if isinstance(raw.get("ts"), float) or isinstance(raw.get("thread_ts"), float):
        _restore_timestamps(raw, entry.value.text)
    clean: dict[str, Any] = scrubber.clean(raw)
    return clean


def quarantined(entry: Entry, reason: str) -> Quarantined:
    """Quarantine the entry as it stands in its file."""
    return Quarantined.of(entry.path, entry.value.position, reason, entry.value.text)


def _restore_timestamps(raw: dict[str, Any], text: bytes) -> None:
    """Put back timestamps written as numbers, if all six decimals stand in the file: then no digit is lost yet."""
    literal = json.loads(text.decode(), parse_float=str)
    for key in ("ts", "thread_ts"):
        if isinstance(raw.get(key), float) and _EXACT.fullmatch(literal[key]):
            raw[key] = literal[key]
