"""The file of a backup: a head, the parts, the manifest, and at the end how long that is and what proves it.

    magic (16) · salt (32) · part · part · … · manifest (JSON) · length of the manifest (8, big-endian) · proof (32)

The proof is the HMAC-SHA256 of magic, salt and manifest, which holds the SHA-256 of every part; without a key it is
their SHA-256, which shows accidents and no intent. The file's length has to be the sum, so nothing can be added.
"""

import hmac
import os
import secrets
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from undercroft.errors import AlreadyExists, BackupRefused, CannotOpen
from undercroft.upkeep.backup.cipher import ChunkCipher
from undercroft.upkeep.backup.keys import SALT, BackupKey
from undercroft.upkeep.backup.records import Backup, BackupPart

MAGIC = b"undercroft-bk\x01\r\n"
PROOF = 32
LENGTH = 8
BLOCK = 256 * 1024
LONGEST_MANIFEST = 16 * 2**20
LEVEL = 3  # of zlib: beyond, it costs much more time than it saves room
_MANIFEST = TypeAdapter(Backup)


class Sink:
    """Takes the bytes of one part."""

    def __init__(self, out: Any, cipher: ChunkCipher | None) -> None:
        self._out = out
        self._cipher = cipher
        self._packer = zlib.compressobj(LEVEL)
        self._raw, self._stored = sha256(), sha256()
        self.raw_bytes = self._stored_bytes = 0

    def write(self, data: bytes) -> None:
        """Add bytes."""
        self._raw.update(data)
        self.raw_bytes += len(data)
        self._store(self._packer.compress(data))

    def close(self, name: str, columns: tuple[str, ...]) -> BackupPart:
        """Add what is left and describe the part."""
        self._store(self._packer.flush())
        if self._cipher is not None:
            self._put(self._cipher.close())
        return BackupPart(
            name=name,
            stored_bytes=self._stored_bytes,
            stored_sha256=self._stored.hexdigest(),
            raw_bytes=self.raw_bytes,
            raw_sha256=self._raw.hexdigest(),
            columns=columns,
        )

    def _store(self, data: bytes) -> None:
        if data:
            self._put(data if self._cipher is None else self._cipher.seal(data))

    def _put(self, data: bytes) -> None:
        self._stored.update(data)
        self._stored_bytes += len(data)
        self._out.write(data)


class Writer:
    """Writes a backup beside its place; `finish` puts it there."""

    def __init__(self, out: Any, key: BackupKey | None, *, encrypt: bool) -> None:
        self._out = out
        self._key = key
        self._encrypt = encrypt
        self._salt = secrets.token_bytes(SALT)
        self._parts: list[BackupPart] = []
        self.finished: Backup | None = None
        out.write(MAGIC + self._salt)

    @contextmanager
    def part(self, name: str, columns: tuple[str, ...] = ()) -> Iterator[Sink]:
        """Write one part in the block."""
        cipher = None
        if self._encrypt and self._key is not None:
            cipher = ChunkCipher(self._key.encryption(self._salt), len(self._parts))
        sink = Sink(self._out, cipher)
        yield sink
        self._parts.append(sink.close(name, columns))

    def finish(self, backup: Backup) -> Backup:
        """Write the manifest and its proof."""
        self.finished = replace(
            backup,
            parts=tuple(self._parts),
            authenticated=self._key is not None,
            encrypted=self._encrypt,
            key=None if self._key is None else self._key.id,
        )
        manifest = _MANIFEST.dump_json(self.finished)
        self._out.write(manifest + len(manifest).to_bytes(LENGTH) + _proof(self._key, self._salt, manifest))
        return self.finished


@contextmanager
def writing(path: Path, key: BackupKey | None, *, encrypt: bool) -> Iterator[Writer]:
    """Write a backup in the block; it is at its place, whole and durable, after it, or nothing is.

    Raises:
        AlreadyExists: there is a file by that name.
        CannotOpen: it cannot be written.
    """
    if path.exists():
        raise AlreadyExists("There is a file by that name", hint="name another one", path=str(path))
    with placed(path) as temporary, temporary.open("r+b", buffering=BLOCK) as out:
        writer = Writer(out, key, encrypt=encrypt)
        yield writer
        assert writer.finished is not None  # noqa: S101 - whoever writes ends with finish()


@contextmanager
def placed(path: Path) -> Iterator[Path]:
    """Lend the path of an empty file, mode 600, that takes the place of ``path`` after the block, at once and durably.

    Raises:
        CannotOpen: it cannot be made there, or cannot be written.
    """
    temporary = path.parent / f".{path.name}.{secrets.token_hex(6)}.tmp"
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        yield temporary
        _sync(temporary)
        temporary.rename(path)
        _sync(path.parent)
    except OSError as error:
        raise CannotOpen(f"The file cannot be written: {error.strerror}", path=str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Reader:
    """An open backup whose manifest has been proven."""

    def __init__(self, file: Any, backup: Backup, key: BackupKey | None, salt: bytes) -> None:
        self._file = file
        self.backup = backup
        self._key = key
        self._salt = salt

    def raw(self, part: BackupPart) -> Iterator[bytes]:
        """Yield the bytes of a part as they went in; they are proven when the last one has come.

        Raises:
            BackupRefused: they are not those that the manifest tells of.
        """
        parts = self.backup.parts
        place = parts.index(part)
        at = len(MAGIC) + SALT + sum(before.stored_bytes for before in parts[:place])
        stored = self._stored(part, at)
        if self.backup.encrypted and self._key is not None:
            stored = ChunkCipher(self._key.encryption(self._salt), place).opened(stored, part.stored_bytes)
        digest, seen, unpacker = sha256(), 0, zlib.decompressobj()
        try:
            for data in stored:
                rest = data
                while rest:
                    raw = unpacker.decompress(rest, BLOCK)
                    rest = unpacker.unconsumed_tail
                    if not raw and unpacker.eof:
                        break
                    seen += len(raw)
                    if seen > part.raw_bytes:
                        raise _damaged(part)
                    digest.update(raw)
                    yield raw
        except zlib.error as error:
            raise _damaged(part) from error
        if not unpacker.eof or unpacker.unused_data or seen != part.raw_bytes or digest.hexdigest() != part.raw_sha256:
            raise _damaged(part)

    def _stored(self, part: BackupPart, at: int) -> Iterator[bytes]:
        digest, left = sha256(), part.stored_bytes
        self._file.seek(at)
        while left:
            data = self._file.read(min(BLOCK, left))
            if not data:
                raise _damaged(part)
            left -= len(data)
            digest.update(data)
            yield data
        if digest.hexdigest() != part.stored_sha256:
            raise _damaged(part)


@contextmanager
def reading(path: Path, key: BackupKey | None) -> Iterator[Reader]:
    """Open a backup and prove its manifest.

    Raises:
        BackupRefused: it is no backup, it was changed, or it was made with another key or with none.
    """
    if path.name.endswith(("-wal", "-shm")) or Path(f"{path}-wal").exists():
        # Closing any descriptor of a SQLite file drops the locks that this process holds on it (POSIX).
        raise BackupRefused("The file is a database in use", reason="foreign")
    try:
        file = path.open("rb")
    except OSError as error:
        raise BackupRefused(f"The file cannot be read: {error.strerror}", reason="unreadable") from error
    with file:
        yield _proven(file, key)


def _proven(file: Any, key: BackupKey | None) -> Reader:
    size = os.fstat(file.fileno()).st_size
    head = file.read(len(MAGIC) + SALT)
    if head[: len(MAGIC)] != MAGIC:
        raise BackupRefused("The file is no backup of Undercroft", reason="foreign")
    salt = head[len(MAGIC) :]
    tail = LENGTH + PROOF
    if size < len(head) + tail:
        raise _cut()
    file.seek(size - tail)
    end = file.read(tail)
    length = int.from_bytes(end[:LENGTH])
    if length > min(LONGEST_MANIFEST, size - len(head) - tail):
        raise _cut()
    file.seek(size - tail - length)
    manifest = file.read(length)
    try:
        backup = _MANIFEST.validate_json(manifest)
    except ValidationError as error:
        raise BackupRefused("The manifest cannot be read", reason="damaged") from error
    _check_key(backup, key)
    if not hmac.compare_digest(_proof(key, salt, manifest), end[LENGTH:]):
        raise BackupRefused("The manifest is not the one that the key has proven", reason="changed")
    if size != len(head) + sum(part.stored_bytes for part in backup.parts) + length + tail:
        raise _cut()
    return Reader(file, backup, key, salt)


def _check_key(backup: Backup, key: BackupKey | None) -> None:
    if key is None:
        if backup.authenticated or backup.encrypted:
            raise BackupRefused("The backup was made with a key", reason="key", hint="name its key file")
    elif not backup.authenticated:
        hint = "only if you know where it comes from: ask for an unauthenticated backup"
        raise BackupRefused("Nothing proves who made the backup", reason="unauthenticated", hint=hint)
    elif backup.key != key.id:
        raise BackupRefused("The backup was made with another key", reason="key", hint="name its key file")


def _proof(key: BackupKey | None, salt: bytes, manifest: bytes) -> bytes:
    message = MAGIC + salt + manifest
    return sha256(message).digest() if key is None else key.authenticate(salt, message)


def _damaged(part: BackupPart) -> BackupRefused:
    return BackupRefused(f"Part {part.name} is not as it was written", reason="damaged")


def _cut() -> BackupRefused:
    return BackupRefused("The file is longer or shorter than it was written", reason="damaged")
