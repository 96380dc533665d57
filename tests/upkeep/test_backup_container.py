"""The file of a backup: what its reader does not believe."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from undercroft.errors import BackupRefused
from undercroft.upkeep.backup import container
from undercroft.upkeep.backup.cipher import CHUNK, TAG, ChunkCipher
from undercroft.upkeep.backup.container import Reader, reading, writing
from undercroft.upkeep.backup.keys import BackupKey
from undercroft.upkeep.backup.records import Backup
from undercroft.upkeep.backup.shelf import chosen

KEY = BackupKey(b"k" * 32)
TOLD = Backup(
    kind="rows",
    made_at=datetime(2026, 1, 1, tzinfo=UTC),
    library="0",
    revision="0001",
    engine="sqlite",
    database="d",
    authenticated=True,
    encrypted=False,
)


def written(path: Path, *parts: bytes, encrypt: bool = False) -> Path:
    with writing(path, KEY, encrypt=encrypt) as writer:
        for number, data in enumerate(parts):
            with writer.part(f"part{number}") as sink:
                sink.write(data)
        writer.finish(TOLD)
    return path


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK], ids=str)
@pytest.mark.parametrize("encrypt", [False, True], ids=["plain", "encrypted"])
def test_parts_come_back_as_they_went_in(tmp_path, size, encrypt):
    import random

    data = random.Random(size).randbytes(size)
    with reading(written(tmp_path / "a", data, b"second", encrypt=encrypt), KEY) as reader:
        assert [b"".join(reader.raw(part)) for part in reader.backup.parts] == [data, b"second"]
    assert (data in (tmp_path / "a").read_bytes()) is (size < 2)  # of a byte nothing can be said


def chunks(*sizes: int) -> list[bytes]:
    cipher = ChunkCipher(bytes(32), 0)
    sealed = b"".join(cipher.seal(bytes([number]) * size) for number, size in enumerate(sizes)) + cipher.close()
    return [sealed[at : at + CHUNK + TAG] for at in range(0, len(sealed), CHUNK + TAG)]


def opened(pieces: list[bytes], part: int = 0) -> bytes:
    sealed = b"".join(pieces)
    return b"".join(ChunkCipher(bytes(32), part).opened(iter([sealed]), len(sealed)))


def test_chunks_open_only_all_in_their_order_and_in_their_part():
    first, second, third = whole = chunks(CHUNK, CHUNK, 10)
    assert len(opened(whole)) == 2 * CHUNK + 10
    for wrong in (
        [first, second],
        [second, first, third],
        [first, third],
        [first, first, third],
        [first, second, third, third],
    ):
        with pytest.raises(BackupRefused):
            opened(wrong)
    with pytest.raises(BackupRefused):
        opened(whole, part=1)


def test_no_two_backups_share_a_key():
    assert KEY.encryption(b"a" * 32) != KEY.encryption(b"b" * 32)
    assert len({KEY.encryption(b"a" * 32), KEY.authenticate(b"a" * 32, b""), b"k" * 32}) == 3
    assert b"k" * 32 not in repr(KEY).encode()


def test_no_more_is_unpacked_than_the_manifest_tells(tmp_path, monkeypatch):
    """A part that grows a thousandfold is given up after the first piece beyond its size."""
    path = written(tmp_path / "a", bytes(50_000_000))
    with reading(path, KEY) as reader:
        small = replace(reader.backup.parts[0], raw_bytes=1000)
        lying = Reader(reader._file, replace(reader.backup, parts=(small,)), KEY, b"")
        taken = 0

        def take(pieces: Iterator[bytes]) -> None:
            nonlocal taken
            for piece in pieces:
                taken += len(piece)

        with pytest.raises(BackupRefused):
            take(lying.raw(small))
    assert taken == 0


def test_a_database_in_use_is_not_even_opened(tmp_path, monkeypatch):
    """Closing a descriptor of it would drop this process's locks on it."""
    import sqlite3

    connection = sqlite3.connect(tmp_path / "live.db")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE t (a)")
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("opened"))
    for name in ("live.db", "live.db-wal", "live.db-shm"):
        with pytest.raises(BackupRefused, match="in use"), reading(tmp_path / name, KEY):
            pass
    connection.close()


def test_a_manifest_of_any_length_is_refused_unread(tmp_path):
    path = written(tmp_path / "a", b"x")
    whole = path.read_bytes()
    for length in (0, 1, len(whole), 2**63):
        at = len(whole) - container.PROOF - container.LENGTH
        path.write_bytes(whole[:at] + length.to_bytes(8) + whole[-container.PROOF :])
        with pytest.raises(BackupRefused), reading(path, KEY):
            pass


@pytest.mark.parametrize(
    ("keep", "periods", "wanted"),
    [
        (2, {}, {0, 1}),
        (9, {}, {0, 1, 2, 3, 4}),
        (0, {"daily": 2}, {0, 2}),
        (1, {"weekly": 2}, {0, 3}),
        (0, {"monthly": 2}, {0, 4}),
        (1, {"daily": 2, "monthly": 5}, {0, 2, 4}),
    ],
    ids=["two", "all", "daily", "weekly", "monthly", "mixed"],
)
def test_the_newest_and_the_newest_of_each_period_are_kept(keep: int, periods: dict[str, Any], wanted: set[int]):
    moments = [datetime(2026, 3, day, hour, tzinfo=UTC) for day, hour in ((20, 9), (20, 3), (19, 3), (13, 3))]
    assert chosen([*moments, datetime(2026, 2, 1, tzinfo=UTC)], keep=keep, periods=periods) == wanted
