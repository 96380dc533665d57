"""Conversations: what was said under a key such as ``C123:1700000000.000100``, in order, at a cost that stays."""

from undercroft.core.operation import C, Slice, operation, procedure
from undercroft.threads import changes, ops
from undercroft.threads.records import NewMessage, Thread, ThreadMessage
from undercroft.threads.rules import estimate_tokens

__all__ = ["NewMessage", "Thread", "ThreadMessage", "Threads", "estimate_tokens"]


class Threads(Slice[C]):
    """A tenant's conversations."""

    append = operation(ops.append, access="append")
    turn = operation(ops.turn, access="append")
    messages = operation(ops.messages, access="read")
    get = operation(ops.get, access="point")
    list = operation(ops.list_, access="read")
    describe = operation(changes.describe, access="append")
    save = operation(changes.save)
    fork = operation(changes.fork)
    delete = operation(ops.delete)
    cleanup = procedure(changes.cleanup)
