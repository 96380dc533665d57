"""Which settings are secrets, told by their names and by what their values look like."""

import re
from collections.abc import Mapping
from typing import Any

from undercroft.importers.scrub import without_tokens

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_ALWAYS = {"secret", "secrets", "password", "passwords", "passwd", "passphrase", "pwd", "credential", "credentials"}
"""Whatever the value is, and wherever in the name."""
_LAST = {"token", "tokens", "key", "keys", "apikey", "apikeys", "salt", "dsn", "cookie", "cookies"}
"""In the last part of the name, where the value is text."""
_ENDINGS = ("apikey", "token", "secret", "password", "passwd")
# Bounded, since a value may be long and its author unkind.
_LOGIN = re.compile(r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s/@:]{0,200}:[^\s/@]{1,500}@")
_TOKEN = re.compile(r"\b(?:sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|AKIA[A-Z0-9]{16}|AIza[\w-]{30,})")
_PRIVATE = "PRIVATE KEY-----"


def looks_secret(key: str, value: Any) -> bool:
    """Tell whether a setting is likely a secret, such as `SLACK_BOT_TOKEN`, or an address with a password in it."""
    parts = [_words(part) for part in key.split(".")]
    if isinstance(value, bool) or value is None:
        return False
    if any(_ALWAYS & words or any(word.endswith(_ENDINGS[3:]) for word in words) for words in parts):
        return True
    if isinstance(value, str):
        last = parts[-1]
        return bool(_LAST & last) or any(word.endswith(_ENDINGS) for word in last) or _holds_secret(value)
    return any(looks_secret(name, below) for name, below in _below(key, value))


def _words(part: str) -> set[str]:
    return {word.lower() for word in _WORDS.findall(part)}


def _holds_secret(text: str) -> bool:
    found = _LOGIN.search(text) or _TOKEN.search(text) or _PRIVATE in text
    return bool(found) or without_tokens(text) != text


def _below(key: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return list(value.items())
    return [(key.rpartition(".")[2], one) for one in value] if isinstance(value, list) else []
