"""What an import would change in a tenant's config, and doing it."""

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Secret

from undercroft import ConfigEntry, TenantScope
from undercroft.errors import InvalidInput, SourceRefused
from undercroft.importers.env.files import Setting
from undercroft.importers.env.names import looks_secret

_PAGE = 1000
_AT_ONCE = 1000
_TYPES = {str: "text", bool: "boolean", int: "integer", float: "number", list: "list", dict: "object"}


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one setting; ``version`` is the one it is at before, 0 where it is not set."""

    setting: Setting = field(repr=False)
    kind: Literal["added", "changed", "unchanged"]
    type: str
    is_sensitive: bool
    version: int

    @property
    def key(self) -> str:
        """The key that is set."""
        return self.setting.key


@dataclass(frozen=True, slots=True)
class Plan:
    """What an import changes, by key."""

    settings: Sequence[Change]
    category: str | None
    bare: frozenset[str]
    """Keys that are to be stored in clear, whatever they were."""

    @property
    def changes(self) -> list[Change]:
        """Those that are not as the files have them."""
        return [one for one in self.settings if one.kind != "unchanged"]

    def count(self, kind: str) -> int:
        """Count those of a kind."""
        return sum(one.kind == kind for one in self.settings)


class _RehearsedError(Exception):
    """Undoes a rehearsal."""


def draw(
    tenant: TenantScope[Any],
    settings: Sequence[Setting],
    *,
    category: str | None = None,
    sensitive: Collection[str] = (),
    not_sensitive: Collection[str] = (),
) -> Plan:
    """Compare settings with what the tenant has; writes nothing.

    A setting is sensitive where it looks so, where it was, and where its key is among ``sensitive``; never where it is
    among ``not_sensitive``.

    Raises:
        InvalidInput: a key to be sensitive or not is in no file, or is to be both.
        KeyUnknown: a sensitive value that is there was sealed under a key that this process lacks.
    """
    _check_named({one.key for one in settings}, set(sensitive), set(not_sensitive))
    there = {entry.key: entry for entry in _entries(tenant)}
    bare = frozenset(not_sensitive)
    changes = [
        _change(tenant, one, there.get(one.key), category, sealing=_seals(one, there, sensitive, bare))
        for one in sorted(settings, key=lambda one: one.key)
    ]
    return Plan(changes, category, bare)


def apply(tenant: TenantScope[Any], plan: Plan, *, by: str | None = None) -> list[ConfigEntry]:
    """Set what is not as the files have it, all or none; returns the new versions.

    Raises:
        SourceRefused: a value cannot be stored; file, line and reason are named.
        VersionConflict: somebody else has changed one since the plan was drawn.
        KeysMissing: one is sensitive and there is no key to seal it under.
    """
    made: list[ConfigEntry] = []
    if not plan.changes:
        return made
    with tenant.transaction() as tx:
        _write(tx, plan, made, by)
    return made


def rehearse(tenant: TenantScope[Any], plan: Plan) -> None:
    """Do the same and undo it: raises what `apply` would."""
    with suppress(_RehearsedError), tenant.transaction() as tx:
        _write(tx, plan, [], None)
        raise _RehearsedError


def _write(tx: TenantScope[Any], plan: Plan, made: list[ConfigEntry], by: str | None) -> None:
    for is_bare in (False, True):
        some = [one for one in plan.changes if (one.key in plan.bare) is is_bare]
        for start in range(0, len(some), _AT_ONCE):
            part = some[start : start + _AT_ONCE]
            try:
                made += tx.config.set_many(
                    {one.key: _given(one) for one in part},
                    category=plan.category,
                    is_sensitive=False if is_bare else None,
                    expected={one.key: one.version for one in part},
                    by=by,
                )
            except InvalidInput as error:
                raise _placed(error, part) from None


def _given(change: Change) -> Any:
    return change.setting.value if change.is_sensitive else change.setting.value.get_secret_value()


def _placed(error: InvalidInput, part: Sequence[Change]) -> Exception:
    """Return the error with the file and the line of the setting that it is about."""
    key, _, below = (error.field or "").partition(" ")
    found = next((one.setting for one in part if one.key == key), None)
    if found is None:
        return error
    return SourceRefused(f"{found.place}: {key}{below.removeprefix('$')}: {error.message}", hint=error.hint)


def _check_named(keys: set[str], sensitive: set[str], not_sensitive: set[str]) -> None:
    for key in sorted((sensitive | not_sensitive) - keys):
        raise InvalidInput(f"{key} is in no file", field=key, hint="name keys as they are stored, the prefix included")
    for key in sorted(sensitive & not_sensitive):
        raise InvalidInput(f"{key} is to be sensitive and not", field=key, hint="say one of them")


def _entries(tenant: TenantScope[Any]) -> Iterator[ConfigEntry]:
    after: str | None = None
    while True:
        page = tenant.config.list(limit=_PAGE, after=after)
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].key


def _seals(setting: Setting, there: dict[str, ConfigEntry], sensitive: Collection[str], bare: frozenset[str]) -> bool:
    if setting.key in bare:
        return False
    was = setting.key in there and there[setting.key].is_sensitive
    return was or setting.key in sensitive or looks_secret(setting.key, setting.value.get_secret_value())


def _change(
    tenant: TenantScope[Any], setting: Setting, entry: ConfigEntry | None, category: str | None, *, sealing: bool
) -> Change:
    value = setting.value.get_secret_value()
    kind = _TYPES.get(type(value), "null")
    if entry is None:
        return Change(setting, "added", kind, sealing, 0)
    is_same = entry.is_sensitive == sealing and category in {None, entry.category}
    if is_same:
        old = tenant.config.get(setting.key) if entry.is_sensitive else Secret(entry.value)
        is_same = _text(old.get_secret_value()) == _text(value)
    return Change(setting, "unchanged" if is_same else "changed", kind, sealing, entry.version)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)  # 1, 1.0 and true are three values
