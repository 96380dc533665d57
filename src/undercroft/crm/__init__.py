"""Connections to CRMs, and whose account there an e-mail address belongs to."""

from undercroft.core.operation import C, Slice, operation, procedure
from undercroft.crm import accounts, connecting, ops
from undercroft.crm.connecting import Resolver, read_here
from undercroft.crm.records import AccountMapping, Connection
from undercroft.crm.rules import PUBLIC_MAIL

__all__ = ["CRM", "PUBLIC_MAIL", "AccountMapping", "Connection", "Resolver", "read_here"]


class CRM(Slice[C]):
    """A tenant's CRMs."""

    connect = procedure(connecting.connect)
    default = operation(ops.default, access="point")
    list = operation(ops.list_, access="read")
    set_default = procedure(connecting.set_default)
    disconnect = procedure(connecting.disconnect)
    credentials = procedure(connecting.credentials)
    map_account = procedure(connecting.map_account)
    unmap_account = procedure(connecting.unmap_account)
    find_account = operation(accounts.find_account, access="point")
    accounts = operation(accounts.accounts, access="read")
