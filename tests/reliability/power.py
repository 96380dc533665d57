"""Cuts of the power, simulated: what a disk may hold at any moment of a journal that `power.c` wrote.

Only what was synced is sure. Of the rest each write may be there or not, in any order, and of a write that is there
some sectors may be missing. A file's name is sure once its directory was synced, and so is its removal.
"""

import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).with_name("power.c")
SECTOR = 512
_HEAD = struct.Struct("=4Q")


def compiler() -> str | None:
    """The machine's C compiler."""
    return next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)


def build(folder: Path) -> Path:
    """Compile the journal for `LD_PRELOAD`."""
    made = folder / "power.so"
    program = compiler()
    assert program is not None
    subprocess.run([program, "-shared", "-fPIC", "-O1", "-o", made, SOURCE, "-ldl"], check=True)
    return made


@dataclass(frozen=True)
class Note:
    """One thing the disk was asked for: W and A write, T sets the length, S syncs, U removes the name."""

    kind: str
    path: Path
    offset: int
    data: bytes


def read(journal: Path) -> list[Note]:
    """Return the notes, in order."""
    return list(_notes(journal.read_bytes()))


def _notes(whole: bytes) -> Iterator[Note]:
    at = 0
    while at < len(whole):
        kind, offset, path, data = _HEAD.unpack_from(whole, at)
        at += _HEAD.size
        middle = at + path
        yield Note(chr(kind), Path(whole[at:middle].decode()), offset, whole[middle : middle + data])
        at = middle + data


@dataclass
class File:
    """What is sure of a file's content, and what was asked for since its last sync."""

    sure: bytearray = field(default_factory=bytearray)
    since: list[Note] = field(default_factory=list)


class Disk:
    """A directory whose power may be cut after each note."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        found = {path: File(bytearray(path.read_bytes())) for path in sorted(folder.iterdir()) if _lasts(path)}
        self.names: dict[Path, File] = found
        self._sure_names = dict(found)

    def ask(self, note: Note) -> None:
        """Follow one note."""
        if not _lasts(note.path):
            return
        match note.kind:
            case "S" if note.path == self.folder:
                self._sure_names = dict(self.names)
            case "S":
                file = self._file(note.path)
                for one in file.since:
                    _apply(file.sure, one)
                file.since.clear()
            case "U":
                self.names.pop(note.path, None)
            case _:
                self._file(note.path).since.append(note)

    def _file(self, path: Path) -> File:
        return self.names.setdefault(path, File())

    def whole(self) -> dict[str, bytes]:
        """What there is while the power is on."""
        found = {}
        for path, file in self.names.items():
            content = bytearray(file.sure)
            for one in file.since:
                _apply(content, one)
            found[path.name] = bytes(content)
        return found

    def cut(self, chance: random.Random) -> dict[str, bytes]:
        """What may be there when the power comes back."""
        names = chance.choice([self._sure_names, self.names])
        luck = chance.choice([0.0, 0.0, 0.5, 0.9, 1.0])
        torn = chance.random() < 0.5
        return {path.name: self._left(file, chance, luck, torn=torn) for path, file in names.items()}

    @staticmethod
    def _left(file: File, chance: random.Random, luck: float, *, torn: bool) -> bytes:
        content = bytearray(file.sure)
        for one in file.since:
            if chance.random() >= luck:
                continue
            if one.kind != "W" or not torn:
                _apply(content, one)
                continue
            for start in range(0, len(one.data), SECTOR):
                if chance.random() < luck:
                    _apply(content, Note("W", one.path, one.offset + start, one.data[start : start + SECTOR]))
        return bytes(content)


def _lasts(path: Path) -> bool:
    return not path.name.endswith("-shm")  # shared memory, made anew by whoever comes first


def _apply(content: bytearray, note: Note) -> None:
    if note.kind == "A":
        content += note.data
        return
    end = note.offset + len(note.data)
    if len(content) < end:
        content += bytes(end - len(content))
    if note.kind == "T":
        del content[note.offset :]
    else:
        content[note.offset : end] = note.data
