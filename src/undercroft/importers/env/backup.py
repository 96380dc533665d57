"""What is kept before an import changes anything."""

import json
import os
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from undercroft import Store, TenantScope
from undercroft.errors import AlreadyExists, CannotOpen
from undercroft.importers.env.plan import Plan


def suffix(store: Store) -> str:
    """Return how the file's name ends: a backup of the whole on SQLite, JSON elsewhere."""
    return ".backup" if _is_file(store) else ".json"


def back_up(store: Store, tenant: TenantScope[Any], plan: Plan, path: Path) -> None:
    """Keep a SQLite database as a whole, of a server's the entries that will change, without what is sensitive.

    What is sensitive stays sealed in its history, from where `config.rollback` brings it back.

    Raises:
        AlreadyExists: there is a file at ``path``.
        CannotOpen: it cannot be written.
        BackupRefused: what was written is not what it should be.
    """
    if _is_file(store):
        store.upkeep.backup(path, unauthenticated=True)
        store.upkeep.verify_backup(path, unauthenticated=True)
        return
    entries = [asdict(tenant.config.entry(one.key)) for one in plan.changes if one.version]
    added = [one.key for one in plan.changes if not one.version]
    content = json.dumps({"tenant": tenant.key, "entries": entries, "added": added}, default=_said, indent=1)
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123 - a mode from the beginning
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise AlreadyExists(f"There is a file {path}", hint="name another with --backup") from None
    except OSError as error:
        raise CannotOpen(path=str(path)) from error


def _is_file(store: Store) -> bool:
    return store.info().engine == "sqlite"


def _said(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
