"""What must never stand in the trail: secrets, taken out of an event before it is hashed and stored.

The trail cannot be rewritten, so a password that got into it would stay. Nothing of a secret is kept, its length and a
hash neither: a short one could be guessed from them.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

REDACTED: Final = "[redacted]"

_NAMES = re.compile(
    "passw(or)?d|passphrase|passcode|secret|token|credential|authorization|cookie|api_?key|access_?key|private_?key"
    "|signing_?key|encryption_?key|client_?key|session_?key|connection_?string|dsn$|^pwd$|^pin$|^otp$|^auth$|^bearer$"
)
_HARMLESS = re.compile("(tokens|tokens?_(used|count|limit|total|type|usage)|max_tokens?)$")
_WORDS = re.compile("(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")
_VALUES = re.compile(
    r"xox[a-z]-[\w-]{8,}|xapp-[\w-]{8,}|(?:AKIA|ASIA)[0-9A-Z]{16}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?|gh[a-z]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}"
    r"|(?<![A-Za-z0-9])sk-[\w-]{16,}|[sr]k_(?:live|test)_\w{10,}|AIza[\w-]{30,}|hooks\.slack\.com/services/[\w/]+"
    r"|[Bb]earer [\w.~+/=-]{16,}|[Bb]asic [A-Za-z0-9+/=]{16,}"
    r"|://[^\s/:@]*:[^\s/@]+@"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)"
)
_SHORTEST = 12
_NUMBERS = {int, bool, float}


def redacted(value: Any, extra: frozenset[str] = frozenset()) -> Any:
    """Return JSON with the values of sensitive names, and what looks like a known secret in any text, replaced.

    ``extra`` are more names, in lower case with underscores. What holds nothing sensitive is returned as it is, the
    very same object.
    """
    if isinstance(value, str):
        return redacted_text(value)
    if value is None or type(value) in _NUMBERS:  # before it is asked whether it is a mapping, which takes long
        return value
    if isinstance(value, (dict, Mapping)):
        kept: dict[Any, Any] | None = None
        for key, part in value.items():
            new = REDACTED if part is not None and is_sensitive(key, extra) else redacted(part, extra)
            if new is not part:
                kept = dict(value) if kept is None else kept
                kept[key] = new
        return value if kept is None else kept
    if isinstance(value, list | tuple):
        parts = [redacted(part, extra) for part in value]
        return value if all(new is old for new, old in zip(parts, value, strict=True)) else parts
    return value


def redacted_text(text: str) -> str:
    """Return a text without tokens, keys and passwords of forms that are known: Slack, AWS, GitHub, JWT, PEM, URLs."""
    if len(text) < _SHORTEST or _VALUES.search(text) is None:
        return text
    return _VALUES.sub(_marked, text)


def is_sensitive(name: object, extra: frozenset[str] = frozenset()) -> bool:
    """Tell whether what bears this name is a secret: ``apiKey``, ``X-Api-Key`` and ``api_key`` are the same name."""
    return isinstance(name, str) and _judged(name, extra)


@lru_cache(maxsize=4096)
def _judged(name: str, extra: frozenset[str]) -> bool:
    words = _WORDS.sub("_", name).strip("_").lower()
    return words in extra or (_NAMES.search(words) is not None and _HARMLESS.search(words) is None)


def _marked(found: "re.Match[str]") -> str:
    return f"://{REDACTED}@" if found[0].startswith("://") else REDACTED
