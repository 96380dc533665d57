"""Which names an archive may use."""

import re
import unicodedata

_DRIVE = re.compile(r"[A-Za-z]:")
_NAME_MAX = 1024
_PART_MAX = 255


def safe_name(name: str) -> str:
    """Return the entry's name, relative, without `.` parts; raises ValueError with the reason to refuse it.

    Nothing is ever written under these names, but they are shown, stored and matched with channels. A backslash is
    refused, not translated: whether it separates depends on who reads, and two readers must see the same archive.
    """
    if not name or len(name) > _NAME_MAX:
        raise ValueError("has an empty or endless name")
    if any(unicodedata.category(char) in {"Cc", "Cs"} for char in name):
        raise ValueError("has control characters or broken text in its name")
    if "\\" in name:
        raise ValueError("has a backslash in its name")
    if name.startswith("/") or _DRIVE.match(name):
        raise ValueError("has an absolute name")
    parts = [part for part in name.removesuffix("/").split("/") if part != "."]
    if ".." in parts:
        raise ValueError("has a name that leads out of the archive")
    if "" in parts or not parts:
        raise ValueError("has an empty part in its name")
    if any(len(part) > _PART_MAX for part in parts):
        raise ValueError("has an endless part in its name")
    safe = "/".join(parts)
    return name if safe == name else safe  # one text for each of a hundred thousand entries, not two
