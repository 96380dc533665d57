"""AES-256-GCM in chunks, so that a reader trusts each before the next is there.

The construction is STREAM (Hoang, Reyhanitabar, Rogaway, Vizár 2015): the nonce of a chunk is the number of its part (4
bytes), its own number (7 bytes) and whether it is the last (1 byte). A chunk that is missing, twice there, at another
place or in another part does not open; nor does a part whose last chunk was cut off.
"""

from collections.abc import Iterable, Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from undercroft.errors import BackupRefused

CHUNK = 64 * 1024
TAG = 16


class ChunkCipher:
    """Seals and opens the chunks of one part under the key of its backup."""

    def __init__(self, key: bytes, part: int) -> None:
        self._aes = AESGCM(key)
        self._part = part.to_bytes(4)
        self._number = 0
        self._buffer = bytearray()

    def seal(self, data: bytes) -> bytes:
        """Take more of the part and return the chunks that are full; one is kept back, which may be the last."""
        self._buffer += data
        sealed = bytearray()
        while len(self._buffer) > CHUNK:
            sealed += self._sealed(bytes(self._buffer[:CHUNK]), last=False)
            del self._buffer[:CHUNK]
        return bytes(sealed)

    def close(self) -> bytes:
        """Return the last chunk."""
        return self._sealed(bytes(self._buffer), last=True)

    def opened(self, stored: Iterable[bytes], total: int) -> Iterator[bytes]:
        """Yield what the chunks hold; ``total`` are the stored bytes of the part.

        Raises:
            BackupRefused: a chunk does not open.
        """
        left, buffer = total, bytearray()
        for data in stored:
            buffer += data
            while len(buffer) >= min(CHUNK + TAG, left) and left > 0:
                size = min(CHUNK + TAG, left)
                left -= size
                try:
                    yield self._aes.decrypt(self._nonce(last=left == 0), bytes(buffer[:size]), None)
                except InvalidTag as error:
                    raise BackupRefused("A chunk of the backup does not open", reason="damaged") from error
                del buffer[:size]

    def _sealed(self, chunk: bytes, *, last: bool) -> bytes:
        sealed: bytes = self._aes.encrypt(self._nonce(last=last), chunk, None)
        return sealed

    def _nonce(self, *, last: bool) -> bytes:
        nonce = self._part + self._number.to_bytes(7) + bytes([last])
        self._number += 1
        return nonce
