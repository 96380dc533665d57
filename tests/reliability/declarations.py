"""What a tenant's scope offers to callers: every declaration, found by walking the slices and never listed by hand."""

import inspect
from collections.abc import Iterator
from typing import Any

from tests.nouns import nouns
from undercroft.core.live import feed, remembered
from undercroft.core.noun import noun
from undercroft.core.operation import Slice, gathered, operation, procedure, resource, stream
from undercroft.core.runtime.base import Blocking
from undercroft.core.scope import Scope
from undercroft.store import TenantScope

KINDS = (operation, gathered, procedure, resource, stream, remembered, feed)

# What a scope has beside declarations: ways in, which answer no data; a prepared statement does what the door does, a
# lease what its limit does, and repositories are attacked by a test of their own.
WAYS_IN = {
    "db.prepare_statement",
    "id",
    "idempotent",
    "key",
    "limits.lease",
    "repository",
    "session",
    "stale",
    "transaction",
}


class Nobody(Blocking):
    """A runner that runs nothing."""

    run = transaction = session = facts = None  # type: ignore[assignment]


Nobody.__abstractmethods__ = frozenset()


def every() -> dict[str, Any]:
    """Every declaration of a tenant's scope by its path, such as ``users.ensure``."""
    return dict(_walk(TenantScope(Nobody(), Scope()), ""))


def not_declared() -> list[str]:
    """What can be called on a tenant's scope and is no declaration."""
    return sorted(_others(TenantScope(Nobody(), Scope()), ""))


def reached(scope: Any, path: str) -> Any:
    """The bound call of a path."""
    for name in path.split("."):
        scope = getattr(scope, name)
    return scope


def _slices(scope: Slice[Any], path: str) -> Iterator[tuple[str, Slice[Any]]]:
    for name, value in nouns(scope).items():
        yield f"{path}{name}.", value


def _walk(scope: Slice[Any], path: str) -> Iterator[tuple[str, Any]]:
    for name, member in inspect.getmembers_static(type(scope)):
        if isinstance(member, KINDS) and not name.startswith("_"):
            yield path + name, member
    for below, inner in _slices(scope, path):
        yield from _walk(inner, below)


def _others(scope: Slice[Any], path: str) -> Iterator[str]:
    for name, member in inspect.getmembers_static(type(scope)):
        if not name.startswith("_") and not isinstance(member, (*KINDS, noun)) and path + name not in WAYS_IN:
            yield path + name
    for below, inner in _slices(scope, path):
        yield from _others(inner, below)
