"""The message archive of a workspace."""

from undercroft.core.operation import C, Slice


class Archive(Slice[C]):
    """A tenant's messages."""
