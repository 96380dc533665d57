"""The message archive of a workspace: stored from exports and by running bots, read back, searched and counted."""

from undercroft.archive import ops, search as searching
from undercroft.archive.records import (
    AttachmentRecord,
    ChannelRecord,
    MentionRecord,
    MessageRecord,
    ReactionRecord,
    UserRecord,
)
from undercroft.archive.results import (
    Activity,
    Channel,
    DailyCount,
    Hit,
    HourlyCount,
    LastMessage,
    Message,
    Quarantined,
    Saved,
    Version,
)
from undercroft.core.operation import C, Slice, operation, procedure, stream

__all__ = [
    "Activity",
    "Archive",
    "AttachmentRecord",
    "Channel",
    "ChannelRecord",
    "DailyCount",
    "Hit",
    "HourlyCount",
    "LastMessage",
    "MentionRecord",
    "Message",
    "MessageRecord",
    "Quarantined",
    "ReactionRecord",
    "Saved",
    "UserRecord",
    "Version",
]


class Archive(Slice[C]):
    """A tenant's messages, with their channels and what belongs to them."""

    prepare = procedure(ops.room.prepare)
    save_users = operation(ops.users.save_users)
    save_channels = operation(ops.channels.save_channels)
    save_messages = operation(ops.saving.save_messages)
    edit = operation(ops.live.edit)
    delete = operation(ops.live.delete)
    react = operation(ops.live.react)

    get = operation(ops.reading.get, access="read")
    messages = stream(ops.reading.messages)
    thread = operation(ops.reading.thread, access="read")
    history = operation(ops.reading.history, access="read")
    channels = operation(ops.channels.channels, access="read")
    last_messages = operation(ops.channels.last_messages, access="read")
    search = operation(searching.search, access="read")

    daily = operation(ops.statistics.daily, access="read")
    hourly = operation(ops.statistics.hourly, access="read")
    activity = operation(ops.statistics.activity, access="read")

    quarantine = operation(ops.quarantine.quarantine)
    quarantined = operation(ops.quarantine.quarantined, access="read")
