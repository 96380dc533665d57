"""The keys of a store as text and in memory: the first one seals, all of them open."""

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import SecretBytes, SecretStr

from undercroft.core.seal.envelope import KEY_BYTES, Key
from undercroft.errors import ConfigurationError

PLAIN, WRAPPED = "uck1_", "uckw1_"
"""How a key's text begins, by itself and wrapped by a provider: what looks for leaked secrets can find it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One key as it is written down."""

    is_wrapped: bool
    content: SecretBytes

    @property
    def text(self) -> SecretStr:
        """The key's text."""
        prefix = WRAPPED if self.is_wrapped else PLAIN
        return SecretStr(prefix + base64.urlsafe_b64encode(self.content.get_secret_value()).decode().rstrip("="))


@dataclass(frozen=True, slots=True)
class Ring:
    """The keys of a store; ``lacks_primary`` tells that the first one is written down and could not be unwrapped."""

    keys: tuple[Key, ...] = ()
    lacks_primary: bool = False

    @property
    def primary(self) -> Key | None:
        """The key that seals."""
        return None if self.lacks_primary or not self.keys else self.keys[0]

    def get(self, key_id: bytes) -> Key | None:
        """Find a key by its id."""
        return next((key for key in self.keys if key.id == key_id), None)


def entries(text: SecretStr, place: str, setting: str) -> list[Entry]:
    """Read keys, one after another between blanks, commas and line ends; ``#`` begins a remark.

    Raises:
        ConfigurationError: one is no key, named by its number and never shown; or one stands there twice.
    """
    found = [_entry(word) for word in _words(text)]
    for number, entry in enumerate(found, 1):
        if entry is None:
            raise ConfigurationError(
                f"Key {number} in {place} is no key",
                setting=setting,
                hint=f"a key is what `undercroft keys new` prints: {PLAIN} and 43 characters",
            )
    read = [entry for entry in found if entry is not None]
    if len({entry.content.get_secret_value() for entry in read}) < len(read):
        raise ConfigurationError(f"A key stands twice in {place}", setting=setting, hint="take one of them out")
    return read


def written(entries: Sequence[Entry]) -> SecretStr:
    """Return the text of a key file."""
    head = (
        "# Keys of Undercroft; the first one seals. Whoever has them reads the secrets, and without them nobody does.\n"
    )
    return SecretStr(head + "".join(f"{entry.text.get_secret_value()}\n" for entry in entries))


def _words(text: SecretStr) -> Iterator[SecretStr]:
    for line in text.get_secret_value().splitlines():
        yield from map(SecretStr, re.findall(r"[^\s,]+", line.partition("#")[0]))


def _entry(word: SecretStr) -> Entry | None:
    is_wrapped = word.get_secret_value().startswith(WRAPPED)
    content = _decoded(word, WRAPPED if is_wrapped else PLAIN)
    if content is None or (not is_wrapped and len(content) != KEY_BYTES):
        return None
    return Entry(is_wrapped, content)


def _decoded(word: SecretStr, prefix: str) -> SecretBytes | None:
    head, body = word.get_secret_value()[: len(prefix)], word.get_secret_value()[len(prefix) :]
    try:
        content = SecretBytes(base64.b64decode(body + "=" * (-len(body) % 4), altchars="-_", validate=True))
    except (binascii.Error, ValueError):
        return None
    return content if head == prefix and len(content) else None
