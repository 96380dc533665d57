"""What needs a role, or a secret from elsewhere, and so is more than one transaction."""

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from undercroft.core.operation import operation
from undercroft.core.runtime.base import Ports
from undercroft.crm import accounts, ops
from undercroft.crm.records import AccountMapping, Connection
from undercroft.crm.rules import PUBLIC_MAIL
from undercroft.errors import InvalidInput, NotFound
from undercroft.users import ops as users

Resolver = Callable[[str], Any]
"""Returns the secret that a reference names: a str, or on an AsyncStore something to await one from."""


def read_here(reference: str) -> str:
    """Read ``env:NAME`` from this process's environment, or ``file:/path`` without the white space at its end.

    Raises:
        InvalidInput: it is another kind of reference.
        NotFound: nothing lies there.
    """
    kind, _, name = reference.partition(":")
    if kind not in {"env", "file"}:
        message = f"A reference {kind}: is not read by the library itself."
        raise InvalidInput(message, field="credentials", hint="pass resolve=, a function that asks your secret store")
    try:
        return os.environ[name] if kind == "env" else Path(name).read_text(encoding="utf-8").rstrip()
    except (KeyError, OSError, UnicodeError) as error:
        message = f"Nothing can be read at {reference}."
        raise NotFound(message, hint="put the secret there, or connect again with another reference") from error


def connect(
    ports: Ports,
    provider: str,
    *,
    credentials: str,
    name: str = "",
    settings: Mapping[str, Any] | None = None,
    default: bool = False,
    by: str | None = None,
) -> Connection:
    """Connect a CRM, such as ``hubspot``, ``salesforce`` or ``crono``; written down in the audit trail.

    ``credentials`` names where the secret lies: ``env:NAME``, ``file:/path``, ``aws-sm:arn…``, ``gcp-sm:…``,
    ``vault:…``. ``name`` tells several connections of one provider apart; the same one again is replaced. While
    there is no default the next one is it, later ones where ``default`` says so.

    Raises:
        AccessDenied: ``by`` is neither admin nor owner; None is the program itself.
        InvalidInput: no provider, or credentials that are no reference.
    """
    _allow(ports, by)
    made: Connection = ports.run(
        _CONNECT, provider, credentials=credentials, name=name, settings=settings, default=default, by=by
    )
    return made


def set_default(ports: Ports, connection: UUID, *, by: str | None = None) -> Connection:
    """Make a connection the default in place of another; written down in the audit trail.

    Raises:
        AccessDenied: ``by`` is neither admin nor owner.
        NotFound: it is disconnected, or there is none.
    """
    _allow(ports, by)
    chosen: Connection = ports.run(_SET_DEFAULT, connection, by=by)
    return chosen


def disconnect(ports: Ports, connection: UUID, *, by: str | None = None) -> bool:
    """Forget where a connection's secret lies, and tell whether it was connected; written down in the audit trail.

    Its mappings stay for when it is connected again. If it was the default, there is none until another is chosen or
    connected.

    Raises:
        AccessDenied: ``by`` is neither admin nor owner.
    """
    _allow(ports, by)
    return bool(ports.run(_DISCONNECT, connection, by=by))


def credentials(ports: Ports, connection: UUID | None = None, *, resolve: Resolver | None = None) -> SecretStr:
    """Fetch the secret of a connection, of the default one without, from where it lies; nothing of it is kept.

    ``resolve`` is given the reference and returns the secret; without it ``env:`` and ``file:`` are read here. Whoever
    may connect a CRM chooses what is read: where tenants' admins do, let ``resolve`` refuse what is not theirs.

    Raises:
        NotFound: there is no such connection, or nothing lies there.
        InvalidInput: the reference needs a ``resolve``.
    """
    found: Connection = ports.run(_GET, connection)
    return SecretStr(ports.call(resolve or read_here, found.credentials))


def map_account(
    ports: Ports,
    domain: str,
    account_id: str,
    *,
    account_name: str = "",
    verified: bool = False,
    connection: UUID | None = None,
    public: Collection[str] = PUBLIC_MAIL,
    by: str | None = None,
) -> AccountMapping:
    """Say which account of the CRM those who write from a domain belong to; written down in the audit trail.

    ``domain`` may be one whole address. What is not ``verified`` is a suggestion, which replaces another suggestion
    and never what is verified: then that is returned. ``public`` are domains that are never mapped, beside the
    library's own. ``connection`` is the default one unless another is given.

    Raises:
        AccessDenied: ``by`` is neither admin nor owner.
        NotFound: there is no such connection.
        InvalidInput: no domain, a public one, or no account.
    """
    _allow(ports, by)
    mapped: AccountMapping = ports.run(
        _MAP,
        domain,
        account_id,
        account_name=account_name,
        verified=verified,
        connection=connection,
        public=public,
        by=by,
    )
    return mapped


def unmap_account(ports: Ports, domain: str, *, connection: UUID | None = None, by: str | None = None) -> bool:
    """Take back whose account a domain is, and tell whether it was mapped; written down in the audit trail.

    Raises:
        AccessDenied: ``by`` is neither admin nor owner.
        NotFound: there is no such connection.
        InvalidInput: no domain.
    """
    _allow(ports, by)
    return bool(ports.run(_UNMAP, domain, connection=connection, by=by))


def _allow(ports: Ports, by: str | None) -> None:
    if by is not None:
        users.require(ports, by, "admin")


_CONNECT = operation(ops.connect)
_SET_DEFAULT = operation(ops.set_default)
_DISCONNECT = operation(ops.disconnect)
_GET = operation(ops.get, access="point", fresh=True)
_MAP = operation(accounts.map_account)
_UNMAP = operation(accounts.unmap_account)
