"""`store.doctor()`: proves the isolation of tenants on the user's own database, and names what is to be changed."""

from importlib.resources import files
from pathlib import Path

from sqlalchemy import Connection

from undercroft.core.operation import operation
from undercroft.core.runtime.base import Ports
from undercroft.core.tx import Tx
from undercroft.errors import (
    ConfigurationError,
    DatabaseCorrupt,
    DatabaseUnavailable,
    LoginRefused,
    PermissionDenied,
    SchemaMissing,
    SchemaOutdated,
    SchemaTooNew,
)
from undercroft.upkeep import ops
from undercroft.upkeep.doctor import isolation, walls
from undercroft.upkeep.doctor.file import File, file_findings
from undercroft.upkeep.doctor.report import Finding, Report, redis_findings
from undercroft.upkeep.doctor.server import Server, hardening, pooler_findings, replica_findings, server_findings

__all__ = ["Finding", "Report", "doctor"]

_SERVER = (files("undercroft.upkeep.doctor") / "server.sql").read_text(encoding="utf-8").strip().removesuffix(";")


_USELESS = "no call of the library works"
_GRANT = "GRANT undercroft_app TO it, and undercroft_fleet where it makes tenants"


def doctor(ports: Ports, *, harden: bool = False) -> Report:
    """Examine the database as this login sees it; what was tried is rolled back.

    With ``harden`` first run the statements of `Report.hardening`, as the login of ``migrate_url``: they take from
    everybody (PUBLIC) the rights to the database and to schema public that nobody needs.

    Raises:
        DatabaseUnavailable: it does not answer.
        PermissionDenied: ``harden``, and that login does not own the database.
    """
    if refused := _refused(ports):
        return Report(refused, unchecked=["everything else: the database cannot be used as it is"])
    examine, make_hard = _ENGINES[ports.facts.engine]
    if harden:
        make_hard(ports)
    report = examine(ports)
    if (redis := ops.redis(ports)) is not None:
        report.findings.extend(redis_findings(redis))
        if redis.answered:
            report.proven.append("the Redis that limits are counted in answers")
    return _sorted(report)


def _refused(ports: Ports) -> list[Finding]:
    """Tell why a store does not open here; an error of the network or of the password is the caller's to see."""
    try:
        ports.run(_LOOK)
    except (SchemaMissing, SchemaOutdated, SchemaTooNew, ConfigurationError) as error:
        return [Finding(error.code, "severe", error.message.removesuffix("."), _USELESS, error.hint)]
    except LoginRefused:
        raise
    except PermissionDenied:
        return [Finding("login.no-role", "severe", "The login has no right to the tables", _USELESS, _GRANT)]
    except DatabaseUnavailable:
        if ports.facts.relayed and (findings := list(pooler_findings(said=ports.facts.pooled, works=False))):
            return findings
        raise
    return []


def _examine_server(ports: Ports) -> Report:
    server = ports.run(_ASK_SERVER)
    report = Report(hardening=hardening(server))
    report.findings.extend(server_findings(server))
    report.findings.extend(walls.wall_findings(ports.run(_ASK_WALLS)))
    if ports.facts.relayed:
        report.findings.extend(pooler_findings(said=ports.facts.pooled, works=True))
        report.unchecked.append("whether this program's connection to the pooler is encrypted")
    if ports.facts.replica is not None:
        replica = ports.wait(ports.facts.replica.look())
        report.findings.extend(replica_findings(replica))
        if replica.used:
            report.proven.append("the replica is one of this database, and answers reads")
    if server.citus:
        report.unchecked.append("the walls on Citus's workers")
    if server.in_app:
        proof = ports.run(_PROVE, server)
        report.findings.extend(proof.findings)
        report.proven.extend(proof.proven)
        report.unchecked.extend(proof.unchecked)
    else:
        report.unchecked.append("every wall: the login sees no table")
    return report


def _examine_file(ports: Ports) -> Report:
    version, journal = ports.run(_ASK_FILE)
    orphans: list[str] = []
    try:
        damage = ports.run(_CHECK_FILE)
        if not damage:
            orphans = ports.run(_CHECK_KEYS)
    except DatabaseCorrupt as error:
        damage = [str(error.__cause__)]
    path = Path(ports.facts.address.removeprefix("sqlite:///"))
    file = File(str(path), path.stat().st_mode & 0o777, version, journal, damage, orphans)
    report = Report(list(file_findings(file)))
    if file.damage:
        report.unchecked.append("whether every row that is referred to is there: the file is damaged")
    else:
        report.proven.append("the file is whole")
        if not file.orphans:
            report.proven.append("every row that is referred to is there")
    report.unchecked.append("who else opens the file: a file has no walls, only our calls keep tenants apart in it")
    return report


def _sorted(report: Report) -> Report:
    report.findings.sort(key=lambda finding: ("severe", "warning", "note").index(finding.severity))
    return report


def _harden_server(ports: Ports) -> None:
    statements = hardening(ports.run(_ASK_SERVER))
    if not statements:
        return

    def run(connection: Connection) -> None:
        for statement in statements:
            connection.exec_driver_sql(statement)

    ports.administer(run)
    # Whoever does not own the database may get a warning from the server in place of an error.
    if hardening(ports.run(_ASK_SERVER)):
        message = "The login of the migrations does not own the database, so nothing was taken from PUBLIC"
        raise PermissionDenied(message, hint=f"as its owner: {'; '.join(statements)}")


def _harden_file(ports: Ports) -> None:
    """A file has no rights but its mode."""
    del ports


def _look(tx: Tx) -> None:
    tx.sql("SELECT 1")


def _ask_server(tx: Tx) -> Server:
    return Server(*tx.sql(_SERVER)[0])


def _ask_walls(tx: Tx) -> list[tuple[str, str]]:
    return [(rule, object_) for rule, object_ in tx.sql(walls.QUERY)]


def _ask_file(tx: Tx) -> tuple[tuple[int, ...], str]:
    version = tx.sql("SELECT sqlite_version()")[0][0]
    return tuple(map(int, version.split("."))), tx.sql("PRAGMA journal_mode")[0][0]


def _check_file(tx: Tx) -> list[str]:
    return [line for (line,) in tx.sql("PRAGMA quick_check(10)") if line != "ok"]


def _check_keys(tx: Tx) -> list[str]:
    return [table for (table,) in tx.sql('SELECT DISTINCT "table" FROM pragma_foreign_key_check ORDER BY 1')]


_LOOK = operation(_look, access="read")
_ASK_SERVER = operation(_ask_server, access="read")
_ASK_WALLS = operation(_ask_walls, access="read")
_ASK_FILE = operation(_ask_file, access="read")
_CHECK_FILE = operation(_check_file, access="read")
_CHECK_KEYS = operation(_check_keys, access="read")
_PROVE = operation(isolation.prove)
_ENGINES = {"postgresql": (_examine_server, _harden_server), "sqlite": (_examine_file, _harden_file)}
