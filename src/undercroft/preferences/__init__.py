"""Preferences: what single users want otherwise than the tenant's settings say."""

from undercroft.core.live import remembered
from undercroft.core.operation import C, Slice, operation
from undercroft.preferences import ops
from undercroft.preferences.records import Preference

__all__ = ["Preference", "Preferences"]


class Preferences(Slice[C]):
    """What the users of a tenant prefer."""

    get = remembered(ops.load, topic=ops.TOPIC, answer=ops.get)
    set = operation(ops.set_)
    delete = operation(ops.delete)
    clear = operation(ops.clear)
    list = operation(ops.list_, access="read")
    effective = remembered(ops.load_all, topic=ops.TOPIC, answer=ops.effective, access="read")
