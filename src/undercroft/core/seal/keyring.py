"""The ring of a running store: read at the start, read again where its file has changed."""

import logging
import threading
import time
from pathlib import Path

from pydantic import SecretBytes

from undercroft.core.seal import envelope, key_file
from undercroft.core.seal.envelope import Hidden, Key
from undercroft.core.seal.providers import KeyProvider, provider
from undercroft.core.seal.ring import Entry, Ring, entries, written
from undercroft.errors import ConfigurationError, KeysMissing, KeysUnavailable, KeyUnknown, UndercroftError
from undercroft.settings import Settings

logger = logging.getLogger("undercroft")

AGAIN = 1.0
"""Seconds until a provider that failed is asked once more."""


class Keyring:
    """The keys that a store seals and opens with; safe to share between threads.

    They come from the setting ``keys``, else from the file ``keys_file``. A file that another process has replaced is
    read before the next value is sealed, and before a value is found to be under an unknown key.

    Raises:
        ConfigurationError: the keys or their file are not as they must be.
    """

    def __init__(self, settings: Settings) -> None:
        self._given = settings.keys
        self.path = None if settings.keys is not None else _path(settings)
        self._provider_name = settings.key_provider
        self._provider: KeyProvider | None = None
        self._unwrapped: dict[bytes, Key] = {}
        self._reading = threading.Lock()
        self._stamp: key_file.Stamp | None = None
        self._failed: float | None = None
        self._ring = Ring()
        self.reload()

    @property
    def ring(self) -> Ring:
        """The keys as they were last read."""
        return self._ring

    def seal(self, place: bytes, value: Hidden) -> bytes:
        """Seal a value under the primary key."""
        self.refresh()
        primary = self._ring.primary
        if primary is None:
            raise KeysUnavailable if self._ring.lacks_primary else KeysMissing
        return envelope.seal(primary, place, value)

    def open(self, place: bytes, sealed: bytes) -> Hidden:
        """Open a value under whichever key it is sealed with."""
        return envelope.open_(self.find(envelope.key_id(sealed)), place, sealed)

    def find(self, key_id: bytes) -> Key:
        """Return a key; raises KeyUnknown where the ring has it not."""
        found = self._ring.get(key_id)
        if found is None:
            self.refresh()
            found = self._ring.get(key_id)
        if found is None:
            raise KeyUnknown(key=key_id.hex())
        return found

    def refresh(self) -> None:
        """Read the file again where it has changed; one that cannot be used leaves the keys as they are."""
        if not self._is_outdated():
            return
        with self._reading:
            if not self._is_outdated():  # whoever held the lock has read it
                return
            try:
                self._read()
            except UndercroftError as error:
                logger.error("the keys were not read again: %s", error)  # noqa: TRY400 - a traceback says no more

    def reload(self) -> None:
        """Read the keys again.

        Raises:
            ConfigurationError: they, their file or their provider are not as they must be.
        """
        with self._reading:
            self._read()

    def _is_outdated(self) -> bool:
        if self._failed is not None and time.monotonic() - self._failed > AGAIN:
            return True
        return self.path is not None and key_file.stamp(self.path) != self._stamp

    def _read(self) -> None:
        stamp = None if self.path is None else key_file.stamp(self.path)
        self._failed = None
        try:
            self._ring = self._unwrap(self.entries())
        finally:
            self._stamp = stamp  # after the keys: who sees this stamp looks no further

    def entries(self) -> list[Entry]:
        """Read the keys as they are written down."""
        if self._given is not None:
            return entries(self._given, "UNDERCROFT_KEYS", "keys")
        text = None if self.path is None else key_file.read(self.path)
        return [] if text is None else entries(text, str(self.path), "keys_file")

    def _unwrap(self, found: list[Entry]) -> Ring:
        keys = [self._key(entry, number) for number, entry in enumerate(found, 1)]
        return Ring(tuple(key for key in keys if key is not None), lacks_primary=keys[:1] == [None])

    def _key(self, entry: Entry, number: int = 0) -> Key | None:
        if not entry.is_wrapped:
            return Key.of(entry.content)
        known = self._unwrapped.get(entry.content.get_secret_value())
        if known is None:
            try:
                known = Key.of(SecretBytes(self.provider.unwrap(entry.content.get_secret_value())))
            except ConfigurationError:
                raise
            except Exception as error:  # noqa: BLE001 - a provider is somebody else's code
                logger.warning(
                    "key %d was not unwrapped (%s): what it sealed cannot be opened", number, type(error).__name__
                )
                self._failed = time.monotonic()
                return None
            self._unwrapped[entry.content.get_secret_value()] = known
        return known

    @property
    def provider(self) -> KeyProvider:
        """The provider that wrapped keys need; raises ConfigurationError where none is named."""
        if self._provider is None:
            if self._provider_name is None:
                message = "A key is wrapped, and no provider is named to unwrap it"
                raise ConfigurationError(message, setting="key_provider", hint="set UNDERCROFT_KEY_PROVIDER")
            self._provider = provider(self._provider_name)
        return self._provider

    def new(self) -> Entry:
        """Make a key and write it down, wrapped where there is a provider."""
        key = Key.new()
        if self._provider_name is None:
            return Entry(is_wrapped=False, content=key.material)
        try:
            wrapped = SecretBytes(self.provider.wrap(key.material.get_secret_value()))
        except ConfigurationError:
            raise
        except Exception as error:
            raise KeysUnavailable from error
        return Entry(is_wrapped=True, content=wrapped)

    def create(self) -> Key:
        """Make the key file with a first key.

        Raises:
            AlreadyExists: there is one.
            ConfigurationError: no file is named.
        """
        path = self._require_file()
        with key_file.changing(path):
            key_file.create(path, written([self.new()]))
            self.reload()
        return self._ring.keys[0]

    def add(self, known: bytes | None) -> Key:
        """Put a new key before the others, unless another process has done so: ``known`` is the primary until now."""
        path = self._require_file()
        with key_file.changing(path):
            self.reload()
            primary = self._ring.primary
            if primary is None or primary.id == known:
                key_file.replace(path, written([self.new(), *self.entries()]))
                self.reload()
        return self._ring.keys[0]

    def remove(self, key_id: bytes) -> None:
        """Take a key out of the file."""
        path = self._require_file()
        with key_file.changing(path):
            kept = [entry for entry in self.entries() if (key := self._key(entry)) is None or key.id != key_id]
            key_file.replace(path, written(kept))
            self.reload()

    def _require_file(self) -> Path:
        if self.path is not None:
            return self.path
        if self._given is not None:
            message = "The keys stand in UNDERCROFT_KEYS, which no command can change"
            hint = "put what `undercroft keys new` prints before the others there, or use UNDERCROFT_KEYS_FILE"
            raise ConfigurationError(message, setting="keys", hint=hint)
        message = "No key file is named"
        raise ConfigurationError(message, setting="keys_file", hint="set UNDERCROFT_KEYS_FILE to where it shall be")


def _path(settings: Settings) -> Path | None:
    beside = None if settings.database.path is None else f"{settings.database.path}.keys"
    path = settings.keys_file or beside
    return None if path is None else Path(path)
