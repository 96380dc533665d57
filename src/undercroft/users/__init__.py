"""The users of a tenant, their roles and preferences."""

from undercroft.core.operation import C, Slice, operation, procedure
from undercroft.users import mappings, ops
from undercroft.users.records import DatabaseMapping, User
from undercroft.users.rules import Role

__all__ = ["DatabaseMapping", "Role", "User", "Users"]


class Users(Slice[C]):
    """Who is in a tenant."""

    ensure = operation(ops.ensure)
    get = operation(ops.get, access="point")
    list = operation(ops.list_, access="read")
    set_role = operation(ops.set_role)
    require = procedure(ops.require)
    map_database = operation(mappings.map_database)
    unmap_database = operation(mappings.unmap_database)
    database_mapping = operation(mappings.database_mapping, access="point", fresh=True)
    authorize_query = procedure(mappings.authorize_query)
