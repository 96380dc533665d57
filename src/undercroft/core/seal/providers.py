"""Keys that are wrapped by another key, which a key management service never gives away."""

import importlib
from typing import Protocol, runtime_checkable

from pydantic import SecretBytes

from undercroft.core.seal.envelope import KEY_BYTES
from undercroft.errors import ConfigurationError, KeysUnavailable


@runtime_checkable
class KeyProvider(Protocol):
    """A key management service: it wraps a new key, and unwraps those that are written down, when a store starts.

    Both are called blocking, once for each key and process; what they raise becomes KeysUnavailable.
    """

    def wrap(self, key: bytes) -> bytes:
        """Encrypt a key of 32 bytes."""
        ...

    def unwrap(self, wrapped: bytes) -> bytes:
        """Decrypt what `wrap` returned."""
        ...


class LocalKeyProvider:
    """Wraps under a key of 32 bytes that the program has from elsewhere (RFC 3394): the reference for others."""

    def __init__(self, key: bytes | SecretBytes) -> None:
        self._key = SecretBytes(key) if isinstance(key, bytes) else key
        if len(self._key) != KEY_BYTES:
            message = f"The key that wraps others has {KEY_BYTES} bytes"
            raise ConfigurationError(message, setting="key_provider", hint="make it with os.urandom(32)")

    def wrap(self, key: bytes) -> bytes:
        """Encrypt a key."""
        from cryptography.hazmat.primitives.keywrap import aes_key_wrap  # noqa: PLC0415 - as in the envelope

        return aes_key_wrap(self._key.get_secret_value(), key)

    def unwrap(self, wrapped: bytes) -> bytes:
        """Decrypt a key; raises KeysUnavailable for one that is wrapped otherwise."""
        from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap  # noqa: PLC0415

        try:
            return aes_key_unwrap(self._key.get_secret_value(), wrapped)
        except (InvalidUnwrap, ValueError):
            pass
        message = "The key was wrapped under another key"
        raise KeysUnavailable(message)


def provider(name: str) -> KeyProvider:
    """Find a provider by ``module:name``; what is there is a provider, or is called to make one.

    Raises:
        ConfigurationError: there is none.
    """
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
        made = found if isinstance(found, KeyProvider) and not isinstance(found, type) else found()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        cause: Exception | None = error
    else:
        if isinstance(made, KeyProvider):
            return made
        cause = None
    raise ConfigurationError(
        f"There is no key provider {name}",
        setting="key_provider",
        hint="write module:name of an object with wrap() and unwrap(), or of what makes one",
    ) from cause
