"""What a search asks of a database."""

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from undercroft.core.searchtext import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """A query and its filters: all of them hold for a hit, None asks for nothing.

    ``from_id`` is included and ``to_id`` not; ``before`` is the last hit of the page before.
    """

    query: "Query"
    ranked: bool
    limit: int
    before: UUID | None = None
    author: UUID | None = None
    channel: UUID | None = None
    from_id: UUID | None = None
    to_id: UUID | None = None
    has_file: bool | None = None
    has_link: bool | None = None
    has_reaction: bool | None = None
