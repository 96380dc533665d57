"""What only a running PostgreSQL can tell about its walls: the catalogue as it is, whoever changed it."""

from dataclasses import dataclass

import sqlalchemy as sa

from undercroft.migrations.history import left_as_found
from undercroft.migrations.scripts import statements


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule that an object of schema undercroft breaks."""

    rule: str
    object: str


def faults(connection: sa.Connection) -> list[Fault]:
    """Return what stands against the isolation of tenants in a PostgreSQL database, sorted; nothing in a healthy one.

    It reads the catalogue, which any login may, and changes nothing. The users' own tables in the schema are held to
    the same rules.
    """
    [query] = statements("catalogue")
    with left_as_found(connection):
        return [Fault(*row) for row in connection.execute(query)]
