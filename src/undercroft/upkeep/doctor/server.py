"""What the facts about a server mean: pure decisions, one function a matter."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from undercroft.core.runtime.place import ReplicaState
from undercroft.upkeep.doctor.report import Finding


@dataclass(frozen=True, slots=True)
class Server:
    """The row of server.sql, in its order."""

    database: str
    login: str
    superuser: bool
    bypasses_walls: bool
    owner: bool
    in_app: bool
    in_fleet: bool
    version_number: int
    version: str
    remote: bool
    encrypted: bool
    standby: bool
    public_on_database: list[str]
    public_on_schema: list[str]
    public_schema_in_use: bool
    passing_logins: list[str]
    search_without_tenant: bool
    invalid_indexes: list[str]
    without_this_year: list[str]
    writes_safely: bool
    waits_for_disk: bool
    citus: bool

    @property
    def privileged(self) -> bool:
        """Whether this login passes the walls by itself, so that our calls put on a role first."""
        return self.superuser or self.bypasses_walls or self.owner


# The first minor version of each major one without the fault. Of 18, 18.5 was withdrawn.
_WALLS_LEAK = {15: 14, 16: 10, 17: 6}
_CURRENT = {15: 19, 16: 15, 17: 11, 18: 6}
_OLDEST = min(_CURRENT)  # the first whose views keep the walls of their tables


def server_findings(server: Server) -> Iterator[Finding]:
    """Yield what is to be changed on a server."""
    for rule in _SERVER_RULES:
        yield from rule(server)


def pooler_findings(*, said: bool, works: bool) -> Iterator[Finding]:
    """Yield what follows from a pooler that stands before the server; ``said`` tells that the settings name it."""
    if not said:
        yield Finding(
            "pooler.unsaid",
            "warning" if works else "severe",
            "A pooler stands before the server, and the settings do not say so",
            "in transaction mode it loses prepared statements, and so breaks calls now and then"
            if works
            else "it does not take our connections: it may refuse their startup options",
            "UNDERCROFT_POOLER=transaction" + ("; a pooler in session mode needs nothing" if works else ""),
        )


def replica_findings(replica: ReplicaState) -> Iterator[Finding]:
    """Yield what follows from a replica that the settings name."""
    if not replica.used:
        yield Finding(
            "replica.unread",
            "warning",
            "The replica is not read",
            f"{replica.address}: {replica.reason}; the primary answers in its place",
            _REPLICA_FIXES.get(str(replica.reason), "see that it runs, and that UNDERCROFT_REPLICA_URL logs in there"),
        )


_REPLICA_FIXES = {
    "behind": "see pg_stat_replication on the primary, or raise UNDERCROFT_REPLICA_MAX_LAG_SECONDS",
    "no replica": "UNDERCROFT_REPLICA_URL is for a hot standby, not for the primary or for one that was promoted",
    "another database": "UNDERCROFT_REPLICA_URL must name the same database on a streaming replica of this server",
    "its login passes the walls": "log in to the replica as to the primary",
}


def hardening(server: Server) -> list[str]:
    """Return the statements that take everybody's rights to the database away; nothing where there are none.

    Known logins keep what they need: what a role has been given beats what everybody loses.
    """
    statements = []
    database = quoted(server.database)
    if server.public_on_database:
        kept = f"undercroft_owner, undercroft_app, undercroft_fleet, {quoted(server.login)}, CURRENT_USER"
        statements.append(f"GRANT CONNECT ON DATABASE {database} TO {kept}")
        statements.append(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
    if wanted := _needless_on_schema(server):
        statements.append(f"REVOKE {wanted} ON SCHEMA public FROM PUBLIC")
    return statements


def _needless_on_schema(server: Server) -> str:
    """Whoever uses tables of others in schema public needs its USAGE; nobody needs CREATE."""
    if server.public_on_schema and not server.public_schema_in_use:
        return "ALL"
    return "CREATE" if "CREATE" in server.public_on_schema else ""


def _login(server: Server) -> Iterator[Finding]:
    if server.privileged:
        what = (
            "is a superuser"
            if server.superuser
            else "has BYPASSRLS"
            if server.bypasses_walls
            else "is a member of undercroft_owner"
        )
        yield Finding(
            "login.passes-walls",
            "severe",
            "The application's login passes the walls between tenants",
            f"{server.login} {what}: our calls put on the role undercroft_app first, raw SQL is not contained",
            "CREATE ROLE bot LOGIN PASSWORD '...' IN ROLE undercroft_app, undercroft_fleet;"
            " use it in UNDERCROFT_DATABASE_URL, and this one in UNDERCROFT_MIGRATE_URL",
        )
    if not server.in_app:
        yield Finding(
            "login.no-role",
            "severe",
            "The login has no right to the tables",
            f"{server.login} is no member of undercroft_app",
            f"GRANT undercroft_app TO {quoted(server.login)}",
        )
    elif not server.in_fleet:
        yield Finding(
            "login.no-fleet",
            "note",
            "The login cannot make or list tenants",
            f"{server.login} is no member of undercroft_fleet, as may be intended",
            f"GRANT undercroft_fleet TO {quoted(server.login)}, where this program calls store.tenants",
        )
    others = [login for login in server.passing_logins if login != server.login]
    if others:
        yield Finding(
            "login.others-pass",
            "note",
            "These logins pass the walls",
            ", ".join(others),
            "see that no application logs in as one of them",
        )


def _version(server: Server) -> Iterator[Finding]:
    major, minor = divmod(server.version_number, 10_000)
    detail = f"the server is PostgreSQL {server.version}"
    if major < _OLDEST:
        title = "The server is too old"
        yield Finding("server.outdated", "severe", title, detail, f"move to PostgreSQL {max(_CURRENT)}")
    elif minor < _WALLS_LEAK.get(major, 0):
        yield Finding(
            "server.outdated",
            "severe",
            "The server leaks rows through its walls",
            f"{detail}; statistics of hidden rows can be read (CVE-2025-8713)",
            f"update to {major}.{_CURRENT[major]} or newer",
        )
    elif minor < _CURRENT.get(major, 0):
        yield Finding(
            "server.outdated",
            "warning",
            "The server lacks corrections",
            f"{detail}; restoring a dump may run what it carries (CVE-2026-18408)",
            f"update to {major}.{_CURRENT[major]} or newer",
        )


def _durability(server: Server) -> Iterator[Finding]:
    if not server.writes_safely:
        detail = "fsync or full_page_writes is off: a crash of the machine may destroy the database"
        yield Finding("server.unsafe", "severe", "The server does not protect its files", detail, "set both to on")
    if not server.waits_for_disk:
        detail = "synchronous_commit is off: what was answered may be lost in a crash"
        yield Finding(
            "server.async-commit", "warning", "A commit is not durable", detail, "set synchronous_commit to on"
        )


def _network(server: Server) -> Iterator[Finding]:
    if server.remote and not server.encrypted:
        yield Finding(
            "network.plain",
            "warning",
            "The connection is not encrypted",
            "passwords' hashes and every row cross the network in the clear",
            "UNDERCROFT_SSL_MODE=verify-full and UNDERCROFT_SSL_CA=/path/of/the/authority.pem",
        )


def _public(server: Server) -> Iterator[Finding]:
    if server.public_on_database:
        yield Finding(
            "public.database",
            "warning",
            "Every login of the server has rights to the database",
            f"PUBLIC has {', '.join(server.public_on_database)} on {server.database}",
            "undercroft doctor --harden",
        )
    if wanted := _needless_on_schema(server):
        yield Finding(
            "public.schema",
            "warning",
            "Every login has rights to schema public",
            f"PUBLIC has {', '.join(server.public_on_schema) if wanted == 'ALL' else wanted} on it",
            "undercroft doctor --harden",
        )


def _indexes(server: Server) -> Iterator[Finding]:
    if server.invalid_indexes:
        yield Finding(
            "index.invalid",
            "warning",
            "Indexes are not used",
            f"INVALID: {', '.join(server.invalid_indexes)}; building them was broken off",
            "store.upkeep.maintain_indexes()",
        )
    if server.search_without_tenant:
        yield Finding(
            "index.search",
            "warning",
            "Searching reads other tenants' entries of the index, and drops them",
            "btree_gin was missing when the tables were made; results are right, only slower",
            "CREATE EXTENSION btree_gin; then as undercroft_owner: DROP INDEX undercroft.ix_messages_search;"
            " CREATE INDEX ix_messages_search ON undercroft.messages USING gin (tenant_id, search)",
        )


def _partitions(server: Server) -> Iterator[Finding]:
    if server.without_this_year:
        yield Finding(
            "partition.missing",
            "warning",
            "This year has no partition",
            f"new rows of {', '.join(server.without_this_year)} lie in DEFAULT, which cannot be dropped by year",
            "SELECT undercroft.ensure_partitions(now(), now() + interval '1 year')",
        )


_SERVER_RULES: tuple[Callable[[Server], Iterator[Finding]], ...] = (
    _login,
    _version,
    _durability,
    _network,
    _public,
    _indexes,
    _partitions,
)


def quoted(name: str) -> str:
    """Write a name as SQL does."""
    return '"{}"'.format(name.replace('"', '""'))
