"""What the doctor answers with."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from undercroft.upkeep.records import RedisState

Severity = Literal["severe", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to change: `severe` breaks the isolation or the data, a `warning` weakens them, a `note` informs.

    `code` is stable; `fix` is what to do, often a statement to copy.
    """

    code: str
    severity: Severity
    title: str
    detail: str
    fix: str


def redis_findings(redis: RedisState) -> Iterator[Finding]:
    """Yield what follows from the Redis that limits are counted in."""
    if not redis.answered:
        yield Finding(
            "redis.unavailable",
            "warning",
            "The Redis that limits are counted in does not answer",
            f"{redis.address}{f': {redis.reason}' if redis.reason else ''}; nothing that is limited is allowed",
            "see that it runs, and that UNDERCROFT_REDIS_URL logs in there; or UNDERCROFT_LIMITS_BACKEND=database",
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What is to be changed, what was proven, and what this login could not check.

    `hardening` are the statements that `doctor(harden=True)` runs as the migrations' login.
    """

    findings: list[Finding] = field(default_factory=list)
    proven: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    hardening: list[str] = field(default_factory=list)

    @property
    def severe(self) -> bool:
        """Whether something breaks the isolation or the data."""
        return any(finding.severity == "severe" for finding in self.findings)
