"""The key of a backup: one secret in a file, from which a key for each purpose and each backup is derived."""

import hmac
from hashlib import sha256
from pathlib import Path

from undercroft.errors import ConfigurationError

SHORTEST = 32
SALT = 32


class BackupKey:
    """Derives from a secret; a salt is new for every backup, so no two share a key."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @classmethod
    def read(cls, path: str | Path) -> "BackupKey":
        """Read a key file, without white space at its ends.

        Raises:
            ConfigurationError: it cannot be read or is too short.
        """
        try:
            secret = Path(path).read_bytes().strip()
        except OSError as error:
            raise ConfigurationError(
                f"The key file cannot be read: {error.strerror}", setting="key_file", hint="name another file"
            ) from error
        if len(secret) < SHORTEST:
            raise ConfigurationError(
                f"The key file holds fewer than {SHORTEST} bytes",
                setting="key_file",
                hint="make one: (umask 077; head -c 32 /dev/urandom | base64 > backup.key)",
            )
        return cls(secret)

    @property
    def id(self) -> str:
        """What tells keys apart and gives none away."""
        return sha256(b"id" + self._derive(b"fingerprint", b"")).hexdigest()[:12]

    def authenticate(self, salt: bytes, message: bytes) -> bytes:
        """Return the HMAC-SHA256 of a message under the key of one backup."""
        return hmac.digest(self._derive(b"manifest", salt), message, "sha256")

    def encryption(self, salt: bytes) -> bytes:
        """Return the AES-256 key of one backup."""
        return self._derive(b"encryption", salt)

    def _derive(self, purpose: bytes, salt: bytes) -> bytes:
        return hmac.digest(self._secret, b"undercroft backup 1 " + purpose + b"\0" + salt, "sha256")

    def __repr__(self) -> str:
        return f"<backup key {self.id}>"
