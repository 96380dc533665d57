"""Verifying a chain, link by link: what is wrong with it, and where that begins."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from undercroft.audit.records import Damage
from undercroft.audit.rules import EVENT_DOMAIN, LINK_DOMAIN, event_hash, link_hash


class Entry(NamedTuple):
    """A link as it is stored, and the bytes of its event, None where there is no such event."""

    sequence: int
    event_id: bytes
    event_hash: bytes
    previous: bytes
    hash: bytes
    event: bytes | None


Row = tuple[int, bytes, bytes, bytes, bytes, bytes | None]


class Chain:
    """The state of a verification between two pages of it.

    It begins behind the link (sequence, hash) that is trusted, (0, 32 zero bytes) for the beginning. ``kept`` are the
    hashes of checkpoints by their sequences.
    """

    def __init__(self, tenant_id: UUID, start: tuple[int, bytes], kept: dict[int, bytes]) -> None:
        self.sequence, self.hash = start
        self.verified = 0
        self.damage: Damage | None = None
        self._tenant = tenant_id.bytes
        self._before = b""
        self._agreed = start[0]
        self._kept = dict(sorted(kept.items()))

    def feed(self, entries: Sequence[Row]) -> bool:
        """Verify the next links, each the fields of an Entry, in their order; returns whether all is well so far."""
        if self.damage is not None:
            return False
        self.damage = self._run(entries)
        return self.damage is None

    def finish(self) -> Damage | None:
        """End the verification: checkpoints of links that are not there tell of an end that was cut off."""
        if self.damage is None and self._kept:
            last = max(self._kept)
            self.damage = Damage("truncated", self.sequence + 1, until=last)
        return self.damage

    def _run(self, entries: Sequence[Row]) -> Damage | None:
        """Take over links as long as they are right, and tell what is wrong with the next one; the hot loop."""
        event_domain, head, kept = EVENT_DOMAIN, LINK_DOMAIN + self._tenant, self._kept
        expected, last, before = self.sequence + 1, self.hash, self._before
        done, damage = 0, None
        for sequence, event_id, hashed, previous, hash_, event in entries:
            if (
                sequence != expected
                or previous != last
                or event is None
                or sha256(event_domain + event).digest() != hashed
                or sha256(head + sequence.to_bytes(8) + event_id + hashed + previous).digest() != hash_
            ):
                break
            before, last = last, hash_
            expected += 1
            done += 1
            if sequence in kept:
                if kept.pop(sequence) != hash_:
                    damage = Damage("rewritten", self._agreed + 1, until=sequence)
                    break
                self._agreed = sequence
        self.sequence, self.hash, self._before = expected - 1, last, before
        self.verified += done
        if damage is None and done < len(entries):
            damage = self._diagnosed([Entry(*entry) for entry in entries[done:]])
        return damage

    def _diagnosed(self, entries: Sequence[Entry]) -> Damage:
        at, entry = self.sequence + 1, entries[0]
        if entry.sequence != at:
            return Damage("deleted", at, until=entry.sequence - 1)
        about = UUID(bytes=entry.event_id)
        if not self._is_own(entry, entry.sequence):
            return self._misplaced(entries, about)
        if entry.previous != self.hash:
            return Damage("broken", at, event_id=about)
        if entry.event is None:
            return Damage("deleted", at, event_id=about)
        hashed = event_hash(entry.event)
        moved = any(other.event_hash == hashed for other in entries[1:])
        return Damage("reordered" if moved else "edited", at, event_id=about)

    def _misplaced(self, entries: Sequence[Entry], about: UUID) -> Damage:
        """Tell of a link whose hash is not that of its fields: was it at another place, or was it changed?"""
        entry, at = entries[0], entries[0].sequence
        if self._is_own(entry, at - 1) and entry.previous == self._before:
            return Damage("inserted", at - 1)  # it and all behind it were moved on to make room
        if self._is_own(entry, at + 1) and all(self._is_own(other, other.sequence + 1) for other in entries[1:2]):
            return Damage("deleted", at)  # all behind it were moved up
        places: Iterable[int] = (other.sequence for other in entries)
        moved = any(self._is_own(entry, place) for place in places)
        return Damage("reordered" if moved else "edited", at, event_id=about)

    def _is_own(self, entry: Entry, sequence: int) -> bool:
        if not 0 < sequence < 1 << 63 or len(entry.event_id) != 16:  # noqa: PLR2004 - a UUID's length
            return False
        return link_hash(self._tenant, sequence, entry.event_id, entry.event_hash, entry.previous) == entry.hash
