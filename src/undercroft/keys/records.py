"""What the keys slice answers with; a key is named by its id, and never shown."""

from dataclasses import dataclass, field
from uuid import UUID


@dataclass(frozen=True, slots=True)
class KeyUse:
    """One key: whether this process has it, whether it is the one that seals, and how many values are under it."""

    id: str
    is_here: bool
    is_primary: bool
    values: int


@dataclass(frozen=True, slots=True)
class BrokenValue:
    """A value that could not be sealed anew, and the code of the reason."""

    table: str
    tenant_id: UUID
    key: tuple[str, ...]
    code: str


@dataclass(frozen=True, slots=True)
class Resealed:
    """What a change of the key has done: the key that seals now, how many values were sealed anew under it.

    ``left`` is the proof: how many values are under each other key, counted at the end; none where all is done.
    ``broken`` are the first of those that could not be opened.
    """

    key: str
    is_new: bool
    values: int
    left: dict[str, int] = field(default_factory=dict)
    broken: list[BrokenValue] = field(default_factory=list)
