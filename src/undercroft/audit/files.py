"""Trails in files: written page by page, and verified from the files alone. docs/audit-format.md describes the format.

A file has one JSON object a line. The first tells of which tenant it is and which link stands before it; each of the
others is a link with the canonical bytes of its event, as text.
"""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final
from uuid import UUID

import orjson

from undercroft.audit.chain import Chain, Entry
from undercroft.audit.checkpoints import Checkpoint
from undercroft.audit.records import AuditExport, AuditReport, Damage
from undercroft.errors import InvalidInput

FORMAT: Final = "undercroft/audit-export/1"
_PAGE = 2000


@dataclass(frozen=True, slots=True)
class Part:
    """A file's first line: its tenant, its first sequence, and the hash of the link before that."""

    tenant: UUID
    first: int
    previous: bytes

    def line(self) -> bytes:
        """Return it as it is written."""
        told = {"format": FORMAT, "tenant": str(self.tenant), "first": self.first, "previous": self.previous.hex()}
        return orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)


def write(path: Path, part: Part, pages: Iterable[Sequence[Entry]]) -> AuditExport:
    """Write a new file, its owner's alone, and return once it is on the disk; nothing is left of one that failed.

    Raises:
        InvalidInput: there is such a file already, or none can be written there.
    """
    hashed, events, last = sha256(), 0, part.first - 1
    try:
        file = os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")
    except OSError as error:
        message = f"The file cannot be written: {path}"
        raise InvalidInput(message, field="path", hint="name one that is not there, in a directory that is") from error
    try:
        with file:
            _put(file, hashed, part.line())
            for page in pages:
                _put(file, hashed, b"".join(map(_line, page)))
                events += len(page)
                last = page[-1].sequence if page else last
            file.flush()
            os.fsync(file.fileno())
        _sync(path.parent)
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise
    return AuditExport(str(path), part.first, last, events, hashed.digest())


def _put(file: IO[bytes], hashed: Any, content: bytes) -> None:
    file.write(content)
    hashed.update(content)


def _line(entry: Entry) -> bytes:
    told = {
        "sequence": entry.sequence,
        "id": str(UUID(bytes=entry.event_id)),
        "event_hash": entry.event_hash.hex(),
        "previous": entry.previous.hex(),
        "hash": entry.hash.hex(),
        "event": None if entry.event is None else entry.event.decode(errors="replace"),
    }
    return orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)


def _sync(directory: Path) -> None:
    """Make the name durable as well."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def verify_audit_files(paths: Iterable[str | Path], checkpoints: Iterable[Checkpoint] = ()) -> AuditReport:
    """Verify exported files, which follow one another in any order given, by themselves and against checkpoints.

    Where the first file does not begin with the first event, what is before it is taken on trust, and where checkpoints
    begin earlier they are not compared: the report's ``anchor`` says up to where. Signatures are for the caller to
    verify.

    Raises:
        InvalidInput: a file cannot be read, or is no export.
    """
    parts = sorted(((read_part(Path(path)), Path(path)) for path in paths), key=lambda part: part[0].first)
    if not parts:
        raise InvalidInput("No file is named", field="files", hint="pass what `export` or `archive` wrote")
    start = parts[0][0]
    kept = list(checkpoints)
    compared = {one.sequence: one.hash for one in kept if one.sequence >= start.first}
    chain = Chain(start.tenant, (start.first - 1, start.previous), compared)
    before = [one for one in kept if one.sequence == start.first - 1]
    if any(one.hash != start.previous for one in before):
        chain.damage = Damage("rewritten", 1, until=start.first - 1)
    if any(one.tenant != start.tenant for one in kept):
        chain.damage = Damage("foreign", start.first)
    for part, path in parts:
        if part.tenant != start.tenant:
            chain.damage = chain.damage or Damage("foreign", part.first)
        if part.first != chain.sequence + 1 and chain.damage is None:
            chain.damage = Damage("deleted", chain.sequence + 1, until=part.first - 1)
        if part.previous != chain.hash and chain.damage is None:
            chain.damage = Damage("broken", part.first)
        with path.open("rb") as file:
            next(file)
            lines = enumerate(file, 2)
            while chain.damage is None and (page := list(islice(lines, _PAGE))):
                chain.feed([_entry(line, path, number) for number, line in page])
    damage = chain.finish()
    return AuditReport(
        verified=chain.verified,
        first=start.first,
        last=chain.sequence,
        head=chain.hash,
        anchor=start.first - 1,
        checkpoints=len(compared) + len(before),
        damage=damage,
    )


def read_part(path: Path) -> Part:
    """Read the first line of a file.

    Raises:
        InvalidInput: it cannot be read, or is no export.
    """
    try:
        with path.open("rb") as file:
            part = _part(orjson.loads(file.readline()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"This is no exported audit trail: {path}"
        raise InvalidInput(message, field="files", hint="pass what `export` or `archive` wrote") from error
    return part


def _part(told: Any) -> Part:
    if told["format"] != FORMAT or type(told["first"]) is not int:
        raise ValueError
    return Part(UUID(told["tenant"]), told["first"], bytes.fromhex(told["previous"]))


def _entry(line: bytes, path: Path, number: int) -> Entry:
    try:
        told = orjson.loads(line)
        event = told["event"]
        return Entry(
            int(told["sequence"]),
            UUID(told["id"]).bytes,
            bytes.fromhex(told["event_hash"]),
            bytes.fromhex(told["previous"]),
            bytes.fromhex(told["hash"]),
            None if event is None else event.encode(),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"Line {number} cannot be read: {path}"
        raise InvalidInput(message, field="files", hint="take the file from where it was kept unchanged") from error
