"""What the driver-level door says of connections."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConnectionHealth:
    """Whether one connection answers, and how fast; ``error`` is the code of what went wrong."""

    healthy: bool
    milliseconds: float
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Validated:
    """How many idle connections were tried, and how many of them had to be replaced."""

    tried: int
    replaced: int
