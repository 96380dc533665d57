"""Meetings: taken in, transcribed, summarised and pushed to the CRM once, whatever dies in between."""

from undercroft.core.operation import C, Slice, operation, resource
from undercroft.meetings import ops, pushing, reading
from undercroft.meetings.records import Change, Meeting, Push, State

__all__ = ["Change", "Meeting", "Meetings", "Push", "State"]


class Meetings(Slice[C]):
    """A tenant's meetings."""

    start = operation(ops.start)
    advance = operation(ops.advance)
    claim = operation(ops.claim)
    pushing = resource(pushing.pushing)
    fail = operation(ops.fail)
    retry = operation(ops.retry)
    get = operation(reading.get, access="point")
    history = operation(reading.history, access="read")
    for_user = operation(reading.for_user, access="read")
    list = operation(reading.list_, access="read")
    stats = operation(reading.stats, access="read")
