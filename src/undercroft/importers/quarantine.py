"""A record that could not be read, kept for a person to look at."""

from dataclasses import dataclass
from typing import Self

from undercroft.importers.scrub import Scrubber, without_tokens

_EXCERPT = 2_000


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One record that was not understood: where it stands, why, and how it begins."""

    path: str
    """The file inside the source."""
    position: int
    """The byte of that file, unpacked, where the record begins."""
    reason: str
    record_text: str
    """At most 2,000 characters, without tokens."""

    @classmethod
    def of(cls, path: str, position: int, reason: str, record: bytes | str) -> Self:
        """Quarantine a record as it stands in the file."""
        # Cut before it is searched for keys, with room for one that straddles the edge.
        text = record[: 8 * _EXCERPT].decode(errors="replace") if isinstance(record, bytes) else record
        text = text.replace("\\/", "/")  # some writers escape every slash, which hides a link
        return cls(path, position, reason, without_tokens(Scrubber().text(text[: 2 * _EXCERPT]))[:_EXCERPT])
