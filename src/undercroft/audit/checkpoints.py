"""Signed statements of how far a chain had come, for somebody else to keep.

Whoever holds a checkpoint can tell a chain that was rewritten, cut off or put back from the one it was, and needs
nothing of us for it: docs/audit-format.md. A checkpoint is a JSON object, signed with Ed25519 over its canonical form
(RFC 8785) without the signature.
"""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import orjson

from undercroft.audit.rules import moment
from undercroft.core.canonical import canonical
from undercroft.errors import ConfigurationError, InvalidInput

if TYPE_CHECKING:  # cryptography is loaded where something is signed or verified
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

FORMAT: Final = "undercroft/audit-checkpoint/1"
_HASH = re.compile("[0-9a-f]{64}")
_SIGNATURE = re.compile("[0-9a-f]{128}")
_FIELDS = {"format", "tenant", "sequence", "hash", "at", "key", "signature"}
_BEYOND = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A chain's end at a moment, signed; ``str()`` is the document to keep.

    ``sequence`` is the number of events in the chain, archived ones included, and ``hash`` that of the last link.
    """

    tenant: UUID
    sequence: int
    hash: bytes
    at: datetime
    key: str
    signature: bytes

    def __str__(self) -> str:
        return canonical({**self.stated(), "signature": self.signature.hex()}).decode()

    def stated(self) -> dict[str, Any]:
        """Return what is signed."""
        return {
            "format": FORMAT,
            "tenant": str(self.tenant),
            "sequence": self.sequence,
            "hash": self.hash.hex(),
            "at": moment(self.at),
            "key": self.key,
        }


def parse(document: "Checkpoint | str | bytes") -> Checkpoint:
    """Read a checkpoint's document; its signature is not looked at.

    Raises:
        InvalidInput: it is none.
    """
    if isinstance(document, Checkpoint):
        return document
    try:
        read = _parsed(orjson.loads(document))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        message = "This is no checkpoint of an audit trail"
        raise InvalidInput(message, field="checkpoint", hint="pass the document that `checkpoint` gave") from error
    return read


def _parsed(told: Any) -> Checkpoint:
    if set(told) != _FIELDS or told["format"] != FORMAT:
        raise ValueError
    sequence = told["sequence"]
    if type(sequence) is not int or not 0 < sequence < _BEYOND:
        raise ValueError
    if not _HASH.fullmatch(told["hash"]) or not _SIGNATURE.fullmatch(told["signature"]):
        raise ValueError
    return Checkpoint(
        tenant=UUID(told["tenant"]),
        sequence=sequence,
        hash=bytes.fromhex(told["hash"]),
        at=datetime.fromisoformat(told["at"]),
        key=str(told["key"]),
        signature=bytes.fromhex(told["signature"]),
    )


def read_checkpoints(
    documents: Sequence[Checkpoint | str | bytes], public_keys: Iterable[str | bytes]
) -> list[Checkpoint]:
    """Read checkpoints, and where there are keys (PEM) verify that they are signed with one of them.

    Raises:
        InvalidInput: a document or key is none, or the signature is of none of the keys.
    """
    keys = [read_public(pem) for pem in public_keys]
    read = [parse(document) for document in documents]
    if keys and not all(is_signed(one, keys) for one in read):
        message = "A checkpoint is not signed with any of the keys"
        raise InvalidInput(message, field="checkpoint", hint="pass the public key of whoever gave it")
    return read


def sign(key: "Ed25519PrivateKey", *, tenant: UUID, sequence: int, hash_: bytes, at: datetime) -> Checkpoint:
    """State how far a chain has come."""
    public = key_id(key.public_key())
    unsigned = Checkpoint(tenant=tenant, sequence=sequence, hash=hash_, at=at, key=public, signature=b"")
    signature = key.sign(canonical(unsigned.stated()))
    return Checkpoint(tenant=tenant, sequence=sequence, hash=hash_, at=at, key=public, signature=signature)


def is_signed(checkpoint: Checkpoint, keys: Iterable["Ed25519PublicKey"]) -> bool:
    """Tell whether one of these keys has signed it."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - a heavy import, for this alone

    for key in keys:
        if key_id(key) == checkpoint.key:
            try:
                key.verify(checkpoint.signature, canonical(checkpoint.stated()))
            except InvalidSignature:
                return False
            return True
    return False


def key_id(key: "Ed25519PublicKey") -> str:
    """Return the name of a key: the first 16 hexadecimal digits of the SHA-256 of its 32 bytes."""
    return sha256(key.public_bytes_raw()).hexdigest()[:16]


def generate_audit_key(path: str | Path) -> str:
    """Write a new private key, readable by its owner alone, and its public key beside it, ``.pub``; returns its name.

    Raises:
        InvalidInput: there is a file already, or none can be written.
    """
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    path = Path(path)
    for place, content, mode in ((path, private, 0o600), (public_path(path), public, 0o644)):
        try:
            with os.fdopen(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as file:
                file.write(content)
        except OSError as error:
            message = f"The key cannot be written to {place}"
            raise InvalidInput(message, field="path", hint="name a file that is not there yet") from error
    return key_id(key.public_key())


def public_path(path: Path) -> Path:
    """Return where `generate` writes the public key."""
    return path.with_name(path.name + ".pub")


def read_private(path: str | None) -> "Ed25519PrivateKey":
    """Read the key that signs.

    Raises:
        ConfigurationError: there is none, or no Ed25519 key in PEM.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    hint = "make one with `undercroft audit keygen FILE` and name it in UNDERCROFT_AUDIT_KEY_FILE"
    if not path:
        raise ConfigurationError("There is no key to sign with", setting="audit_key_file", hint=hint)
    try:
        key = load_pem_private_key(Path(path).read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        message = "The key to sign with cannot be read"
        raise ConfigurationError(message, setting="audit_key_file", hint=hint) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError("The key to sign with is no Ed25519 key", setting="audit_key_file", hint=hint)
    return key


def read_public(pem: str | bytes) -> "Ed25519PublicKey":
    """Read a public key in PEM.

    Raises:
        InvalidInput: it is none of Ed25519.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    try:
        key = load_pem_public_key(pem.encode() if isinstance(pem, str) else pem)
    except (ValueError, TypeError) as error:
        raise InvalidInput("This is no public key", field="public_key", hint="pass its PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidInput("This is no Ed25519 key", field="public_key", hint="pass the .pub file of `keygen`")
    return key
