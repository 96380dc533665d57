"""The bytes of a sealed value: frozen, and described in docs/sealing.md so that another program can read them.

The header is `UC`, the format's number, the id of the key (8), what was sealed (1), a salt (24), a commitment (32);
the ciphertext and its tag follow. Each value has a key of its own, derived from the ring's key, the salt and the place
of the value, so no nonce is ever used twice. The commitment comes from the same derivation: AES-GCM alone lets a
ciphertext be made that two keys open (CVE-2020-8897).

What is secret travels in pydantic's SecretStr and SecretBytes, whose repr hides it: a traceback that shows the
variables of every frame shows none of it. No local variable below holds a plaintext or a derived key.
"""

import hmac
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from pydantic import Secret, SecretBytes, SecretStr

from undercroft.errors import InvalidInput, SealBroken

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC: Final = b"UC\x01"
KEY_BYTES: Final = 32
KEY_ID: Final = slice(3, 11)
SALT: Final = slice(12, 36)
COMMITMENT: Final = slice(36, 68)
HEADER: Final = 68
SHORTEST: Final = HEADER + 16

Hidden: TypeAlias = SecretStr | SecretBytes
"""A value whose repr hides it; `get_secret_value()` tells it."""


class Concealed(SecretStr):
    """Text that a call of ours has hidden: who gave it said nothing of its being secret."""


_KINDS: Final[dict[type[Hidden], bytes]] = {SecretBytes: b"\0", SecretStr: b"\1"}
_DOMAIN: Final = b"undercroft/seal/1"
_ID_DOMAIN: Final = b"undercroft/key-id/1"
_NONCE: Final = bytes(12)  # a key encrypts one value


@dataclass(frozen=True, slots=True)
class Key:
    """32 random bytes and the id that is computed from them: a key pasted under a wrong name has no way to be used."""

    id: bytes
    material: SecretBytes

    @classmethod
    def of(cls, material: SecretBytes) -> "Key":
        """Make a key of its bytes; raises InvalidInput where there are not 32 of them."""
        if len(material) != KEY_BYTES:
            message = f"A key has {KEY_BYTES} bytes."
            raise InvalidInput(message, field="key")
        return cls(hmac.digest(material.get_secret_value(), _ID_DOMAIN, "sha256")[:8], material)

    @classmethod
    def new(cls) -> "Key":
        """Make a key that nobody had before."""
        return cls.of(SecretBytes(os.urandom(KEY_BYTES)))


def hidden(value: str | bytes | Hidden) -> Hidden:
    """Hide a value; one that is hidden stays as it is.

    Raises:
        InvalidInput: it is neither text nor bytes.
    """
    if isinstance(value, Concealed):
        return SecretStr(value.get_secret_value())
    if isinstance(value, SecretStr | SecretBytes):
        return value
    if isinstance(value, str):
        return SecretStr(value)
    if isinstance(value, bytes):
        return SecretBytes(value)
    raise InvalidInput("Only text and bytes can be sealed", field="value", hint="write JSON as text")


def concealed(value: object) -> Secret[object] | Hidden:
    """Hide whatever it is; what cannot be sealed is refused later, where nobody sees it."""
    if isinstance(value, str):
        return Concealed(value)
    return hidden(value) if isinstance(value, bytes | SecretStr | SecretBytes) else Secret(value)


def packed(*elements: bytes) -> bytes:
    """Join elements, each behind its length as 32 bits, big-endian: different tuples never give the same bytes."""
    return b"".join(len(element).to_bytes(4) + element for element in elements)


def key_id(sealed: bytes) -> bytes:
    """Return the id of the key that a value is sealed under; raises SealBroken where there is none."""
    if sealed[:3] != MAGIC or len(sealed) < SHORTEST or sealed[11:12] not in _KINDS.values():
        message = "The bytes are no sealed value of this format"
        raise SealBroken(message)
    return sealed[KEY_ID]


def seal(key: Key, context: bytes, value: Hidden) -> bytes:
    """Seal a value to a place: ``context`` is what must be the same when it is opened.

    Raises:
        InvalidInput: the value is text with a lone surrogate.
    """
    return seal_with(key, context, value, os.urandom(SALT.stop - SALT.start))


def seal_with(key: Key, context: bytes, value: Hidden, salt: bytes) -> bytes:
    """Seal with a given salt, for the committed vectors; a salt is never used twice."""
    cipher, commitment = _derived(key, context, salt)
    header = MAGIC + key.id + _KINDS[type(value)] + salt + commitment
    try:
        return header + cipher.encrypt(_NONCE, _plain(value), packed(header, context))
    except UnicodeEncodeError:
        pass  # the error holds the text
    message = "Text with a lone surrogate cannot be sealed"
    raise InvalidInput(message, field="value", hint="pass it as bytes")


def open_(key: Key, context: bytes, sealed: bytes) -> Hidden:
    """Open what was sealed under this key for this place.

    Raises:
        SealBroken: another key, another place, or changed bytes.
    """
    if key_id(sealed) != key.id:
        raise SealBroken
    cipher, commitment = _derived(key, context, sealed[SALT])
    if hmac.compare_digest(commitment, sealed[COMMITMENT]):
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415

        header = sealed[:HEADER]
        try:
            opened = SecretBytes(cipher.decrypt(_NONCE, sealed[HEADER:], packed(header, context)))
        except InvalidTag:
            pass
        else:
            return SecretStr(opened.get_secret_value().decode()) if sealed[11:12] == _KINDS[SecretStr] else opened
    raise SealBroken


def _derived(key: Key, context: bytes, salt: bytes) -> "tuple[AESGCM, bytes]":
    """Derive the cipher of one value and the commitment to its key and place (RFC 5869, 64 bytes)."""
    # OpenSSL takes long to load, and most programs seal nothing.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    derived = HKDF(SHA256(), 2 * KEY_BYTES, salt, packed(_DOMAIN, context)).derive(key.material.get_secret_value())
    return AESGCM(derived[:KEY_BYTES]), derived[KEY_BYTES:]


def _plain(value: Hidden) -> bytes:
    return value.get_secret_value().encode() if isinstance(value, SecretStr) else value.get_secret_value()
