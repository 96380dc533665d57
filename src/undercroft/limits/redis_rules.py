"""How counters are kept in Redis: their keys, what the script is told of a definition, and what it answers."""

from dataclasses import dataclass
from importlib.resources import files
from struct import Struct
from uuid import UUID

from undercroft.core.canonical import check_text
from undercroft.core.runtime.redis import Script
from undercroft.errors import InvalidInput, NotFound
from undercroft.limits import rules
from undercroft.limits.records import Limit, Usage
from undercroft.limits.rules import Count

COUNTERS = Script((files("undercroft.limits") / "counters.lua").read_text(encoding="utf-8"))
_STATE, _SHOWN, _NUMBER = Struct("<5d"), Struct("<7d"), Struct("<d")
STATE = _STATE.size
"""The bytes of a counter in an answer; what an answer has besides comes after it."""
MOST = 500
"""Counters that one call of the script looks at: while it runs, nobody else is served."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A limit as a process remembers it; its keys share the tenant's slot, and no two limits have one in common."""

    name: str
    each: str
    length: int
    burst: int
    refill: int
    root: str
    index: str

    @property
    def kind(self) -> str:
        """What tells counters apart whose units differ in size, or that end at other times."""
        return f"{'bucket' if self.refill else 'period'}{self.length}"

    def counter(self, user: str | None, resource: str | None) -> "Counter":
        """Return whose counter is asked.

        Raises:
            InvalidInput: it is each user's or each resource's, and none is given.
        """
        named = {"user": user or "", "resource": resource or ""}
        for field, value in named.items():
            if field not in self.each:
                named[field] = ""
            elif not value:
                message = f"This limit is counted for each {self.each}."
                raise InvalidInput(message, field="by" if field == "user" else field)
            else:
                check_text(value, field)
        member = f"{self.kind}:{len(named['user'])}:{named['user']}{named['resource']}"
        return Counter(self, (self.root + member, self.index), (member, self.length, self.burst, self.refill))

    def count(self, told: bytes, first: int = 0) -> Count:
        """Read a counter as the script tells it, at a place of its answer."""
        period, ends, units, rest, at = map(int, _STATE.unpack_from(told, first))
        parts = self.length if self.refill else 1
        return Count(period, ends, units * parts + rest, at, self.burst * parts, self.refill)


@dataclass(frozen=True, slots=True)
class Counter:
    """One counter: its key and that of the limit's index, and what the script is told of it."""

    definition: Definition
    keys: tuple[str, str]
    arguments: tuple[str | int, ...]


def defined(tenant_id: UUID, limit: Limit) -> Definition:
    """Return a definition with its keys."""
    home = f"undercroft:{{{tenant_id}}}:limit:"
    return Definition(
        limit.name,
        limit.each,
        rules.LENGTHS[limit.per],
        limit.burst,
        limit.amount if limit.kind == "bucket" else 0,
        root=f"{home}{len(limit.name)}:{limit.name}:",
        index=f"{home}index:{limit.name}",
    )


def numbers(told: bytes, states: int = 1) -> list[int]:
    """Read what comes after so many counters in an answer."""
    return [int(number) for (number,) in _NUMBER.iter_unpack(told[states * STATE :])]


def known(definition: Definition | None, name: str) -> Definition:
    """Return a definition that is there.

    Raises:
        NotFound: it is not.
    """
    if definition is None:
        message = "No such limit is defined."
        raise NotFound(message, hint="define it first with limits.define(...)", limit=name)
    return definition


@dataclass(frozen=True, slots=True)
class Listed:
    """A counter as the index of its limit names it."""

    user: str
    resource: str
    member: str

    @classmethod
    def read(cls, member: bytes) -> "Listed":
        """Take a name apart."""
        text = member.decode()
        _, length, rest = text.split(":", 2)
        return cls(rest[: int(length)], rest[int(length) :], text)

    @property
    def length(self) -> int:
        """The milliseconds of its period."""
        return int(self.member.partition(":")[0][len("bucket") :])

    def usage(self, name: str, told: bytes) -> Usage:
        """Tell what is used of it, as it was last taken from."""
        period, ends, units, rest, at, burst, refill = map(int, _SHOWN.unpack(told))
        parts = self.length if refill else 1
        count = Count(period, ends, units * parts + rest, at, burst * parts, refill)
        stood = rules.decision(name, count, 1, allowed=True)
        used = units + (rest > 0)
        return Usage(
            name, self.user or None, self.resource or None, used, stood.limit, stood.remaining, stood.resets_at
        )
