"""Config: what a bot is set to, every version of it, and who changed it."""

from undercroft.config import ops, reading, versions
from undercroft.config.records import ConfigDiff, ConfigDifference, ConfigEntry, ConfigVersion
from undercroft.config.writing import TOPIC
from undercroft.core.live import feed, remembered
from undercroft.core.operation import C, Slice, operation

__all__ = ["Config", "ConfigDiff", "ConfigDifference", "ConfigEntry", "ConfigVersion"]


class Config(Slice[C]):
    """The configuration of a tenant."""

    get = remembered(reading.load, topic=TOPIC, answer=reading.get)
    by_category = remembered(reading.load_category, topic=TOPIC, answer=reading.by_category, access="read")
    entry = operation(reading.entry, access="point")
    list = operation(reading.list_, access="read")
    set = operation(ops.set_, hides=("value",))
    set_many = operation(ops.set_many, hides=("values",))
    delete = operation(ops.delete)
    history = operation(versions.history, access="read")
    diff = operation(versions.diff, access="read")
    rollback = operation(ops.rollback)
    watch = feed(versions.changes, topic=TOPIC)
