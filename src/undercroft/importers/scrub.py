"""What imported values must lose before anybody keeps them: text no database holds, and other people's keys.

Signed links to files give whoever reads an export the files themselves; Slack's own tokens give far more.
"""

import math
import re
from typing import Any

_REPLACEMENT = "\ufffd"
_BROKEN = re.compile("[\0\ud800-\udfff]")
_EXACT_INTEGER = 1 << 53  # RFC 8785 numbers are doubles: a larger integer is kept as its digits

_TOKEN = re.compile(r"xox[a-z]-[A-Za-z0-9-]+|xapp-[A-Za-z0-9-]+")
_URL = re.compile(r"https?://[^\s<>|\"'\\]+", re.IGNORECASE)
_FILE_HOST = re.compile(
    r"https?://(?:[a-z0-9-]+\.)*(?:slack-files\.com|slack\.com|slack-edge\.com)(?=[/:?]|$)", re.IGNORECASE
)
_FILE_KEYS = frozenset({"t", "token", "pub_secret"})
# permalink_public: team, file, and the secret that makes the file public
_PUBLIC_FILE = re.compile(r"(slack-files\.com/[A-Z0-9]+-[A-Z0-9]+)-[A-Za-z0-9]+", re.IGNORECASE)


class Scrubber:
    """Cleans decoded JSON; `replaced` counts the texts in which NUL or lone surrogates had to give way to U+FFFD."""

    def __init__(self) -> None:
        self.replaced = 0

    def clean(self, value: Any) -> Any:
        """Return the JSON value with storable text and numbers and without keys in its links; changes it in place.

        A number that is no finite double, or an integer beyond 2^53, becomes its text.
        """
        kind = type(value)
        if kind is str:
            return self.text(value)
        if kind is dict:
            for key, item in value.items():
                value[key] = self.clean(item)
            renamed = [(key, name) for key in value if (name := self.text(key)) != key]
            for key, name in renamed:
                value[name] = value.pop(key)
        elif kind is list:
            value[:] = map(self.clean, value)
        elif (kind is float and not math.isfinite(value)) or (kind is int and abs(value) > _EXACT_INTEGER):
            return str(value)
        return value

    def text(self, text: str) -> str:
        """Return the text as a database can hold it, its links without keys."""
        if not text.isascii() or "\0" in text:
            whole, broken = _BROKEN.subn(_REPLACEMENT, text)
            self.replaced += bool(broken)
            text = whole
        return without_keys(text) if "://" in text else text


def without_keys(text: str) -> str:
    """Return the text with tokens and signatures cut from the links in it; the rest of it stays as it is."""
    return _URL.sub(lambda match: _link_without_keys(match[0]), text)


def without_tokens(text: str) -> str:
    """Return the text without tokens anywhere: for excerpts of broken records, where a link cannot be told."""
    return _TOKEN.sub("REDACTED", without_keys(text))


def _link_without_keys(link: str) -> str:
    address, mark, query = link.partition("?")
    if mark:
        fragment_at = query.find("#")
        query, fragment = (query, "") if fragment_at < 0 else (query[:fragment_at], query[fragment_at:])
        own = bool(_FILE_HOST.match(address))
        separator = "&amp;" if "&amp;" in query else "&"
        kept = [
            parameter
            for parameter in query.split(separator)
            if not (_TOKEN.search(parameter) or (own and parameter.partition("=")[0].lower() in _FILE_KEYS))
        ]
        address += (mark + separator.join(kept) if kept else "") + fragment
    return _TOKEN.sub("REDACTED", _PUBLIC_FILE.sub(r"\1", address))
