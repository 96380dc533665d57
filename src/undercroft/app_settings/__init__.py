"""Settings of a tenant's program, of real types, and feature flags: `tenant.settings`.

The folder is not called settings, as `undercroft.settings` is what configures the library itself.
"""

from undercroft.app_settings import flagging, ops
from undercroft.app_settings.records import Flag, Setting
from undercroft.core.live import remembered
from undercroft.core.operation import C, Slice, operation

__all__ = ["AppSettings", "Flag", "Setting"]


class AppSettings(Slice[C]):
    """A tenant's settings and feature flags."""

    get = remembered(ops.load, topic=ops.TOPIC, answer=ops.get)
    set = operation(ops.set_)
    list = operation(ops.list_, access="read")
    delete = operation(ops.delete)
    flag = remembered(flagging.load, topic=flagging.TOPIC, answer=flagging.flag)
    set_flag = operation(flagging.set_flag)
    flags = operation(flagging.flags, access="read")
    delete_flag = operation(flagging.delete_flag)
