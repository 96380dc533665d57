"""Operations on the archive, by what they do."""

from undercroft.archive.ops import channels, live, quarantine, reading, room, saving, statistics, users

__all__ = ["channels", "live", "quarantine", "reading", "room", "saving", "statistics", "users"]
