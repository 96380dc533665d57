"""The slow-query log: statements that took longer than they should, with their time, and parameters only when asked."""

import logging
from collections.abc import Sequence
from typing import Any

logger = logging.getLogger("undercroft.sql")


class SlowLog:
    """Decides which statements are worth a line."""

    __slots__ = ("echo", "parameters", "threshold")

    def __init__(self, threshold: float, *, parameters: bool = False, echo: bool = False) -> None:
        self.threshold = threshold
        self.parameters = parameters
        self.echo = echo

    def note(self, sql: str, arguments: Sequence[Any], seconds: float) -> None:
        """Log a statement that took ``seconds``; it is a warning past the threshold."""
        slow = seconds >= self.threshold
        if not slow and not self.echo:
            return
        text = " ".join(sql.split())
        extra = {"statement": text, "milliseconds": round(seconds * 1000, 3)}
        level = logging.WARNING if slow else logging.INFO
        label = "slow query" if slow else "query"
        if self.parameters:
            logger.log(level, "%s (%.1f ms): %s %r", label, seconds * 1000, text, tuple(arguments), extra=extra)
        else:
            logger.log(level, "%s (%.1f ms): %s", label, seconds * 1000, text, extra=extra)
