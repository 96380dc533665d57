"""Slack's markup inside a text: mentions, links, dates, entities.

Formats: <https://docs.slack.dev/messaging/formatting-message-text>. Until 2016 a mention carried the name as well
(`<@U1|ann>`); both forms are read. In Slack's texts a literal `<` is always `&lt;`, so every `<…>` is markup.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from undercroft.archive.records import MentionRecord

_MARKUP = re.compile(r"<([^<>|\n][^<>\n]*)>")
_ENTITY = re.compile(r"&(amp|lt|gt);")
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">"}
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_USER_ID = re.compile(r"[UWB][A-Z0-9]+")
_EVERYONE = frozenset({"here", "channel", "everyone", "group"})
_NO_NAMES: Mapping[str, str] = MappingProxyType({})


def plain_text(text: str, names: Mapping[str, str] = _NO_NAMES) -> str:
    """Return the text as a reader sees it; ``names`` gives the names of users, channels and user groups by id."""
    if "<" in text:
        text = _MARKUP.sub(lambda match: _shown(match[0], match[1], names), text)
    # Last and once: `&amp;lt;` is the text `&lt;`, and a label may hold entities too.
    return unescaped(text)


def unescaped(text: str) -> str:
    """Return the text with Slack's three entities resolved, once."""
    return _ENTITY.sub(lambda match: _ENTITIES[match[1]], text) if "&" in text else text


def _shown(whole: str, inside: str, names: Mapping[str, str]) -> str:
    target, _, label = inside.partition("|")
    mark, name = target[0], target[1:]
    if mark in "@#":
        return mark + (names.get(name) or label.removeprefix(mark) or name)
    if mark == "!":
        return _special(name, label, names)
    if not _SCHEME.match(target):
        return whole
    address = target.removeprefix("mailto:").removeprefix("tel:")
    says_more = label and label not in (address, target.partition("://")[2])
    return f"{label} ({address})" if says_more else address


def _special(name: str, label: str, names: Mapping[str, str]) -> str:
    word, _, rest = name.partition("^")
    if word == "subteam":
        return "@" + (label.removeprefix("@") or names.get(rest) or rest)
    return label if label and word not in _EVERYONE else "@" + word


def mentions_in(text: str) -> Iterator[MentionRecord]:
    """Yield who and what the text calls by id, in order, repetitions included."""
    for match in _MARKUP.finditer(text):
        target = match[1].partition("|")[0]
        mark, name = target[0], target[1:]
        if mark == "@" and _USER_ID.fullmatch(name):
            yield MentionRecord(kind="user", native_id=name)
        elif mark == "#" and name:
            yield MentionRecord(kind="channel", native_id=name)
        elif mark == "!":
            word, _, group = name.partition("^")
            if word == "subteam" and group:
                yield MentionRecord(kind="group", native_id=group)
            elif word in _EVERYONE:
                yield MentionRecord(kind="everyone", native_id=word)


def links_in(text: str) -> Iterator[str]:
    """Yield the web addresses the text links to, in order, repetitions included."""
    for match in _MARKUP.finditer(text):
        address = web_address(match[1].partition("|")[0])
        if address:
            yield address


def web_address(value: object) -> str | None:
    """Return the value, its entities resolved, if it is an http or https address; others may be active content."""
    if isinstance(value, str) and value.startswith(("http://", "https://")):
        return unescaped(value)
    return None
