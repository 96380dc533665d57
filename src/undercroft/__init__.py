"""The storage floor beneath chat bots and AI assistants."""

from undercroft.errors import UndercroftError
from undercroft.settings import Settings
from undercroft.store import AsyncStore, Store, TenantScope

__all__ = ["AsyncStore", "Settings", "Store", "TenantScope", "UndercroftError"]
__version__ = "0.1.0"
