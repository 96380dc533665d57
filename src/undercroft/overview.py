"""What a database and a tenant tell about themselves; what it takes to find out is imported at the first call."""

from typing import TYPE_CHECKING

from undercroft.core.runtime.base import Ports
from undercroft.core.tx import Tx

if TYPE_CHECKING:
    from undercroft.upkeep.doctor import Report
    from undercroft.upkeep.records import FleetStats, Health, Info, TenantStats


def tenant_stats(tx: Tx) -> "TenantStats":
    """Count what the tenant holds, in one statement, and tell how long it is kept."""
    from undercroft.upkeep import ops  # noqa: PLC0415

    return ops.tenant_stats(tx)


def fleet_stats(ports: Ports) -> "FleetStats":
    """Count tenants and measure tables."""
    from undercroft.upkeep import ops  # noqa: PLC0415

    return ops.fleet_stats(ports)


def info(ports: Ports) -> "Info":
    """Describe the database."""
    from undercroft.upkeep import ops  # noqa: PLC0415

    return ops.info(ports)


def health(ports: Ports, *, deep: bool = False) -> "Health":
    """Tell whether the database answers, and with ``deep`` whether it takes, keeps and gives up a row.

    Never raises for a database that does not. Each statement may take ``query_timeout`` seconds.
    """
    from undercroft.upkeep import ops  # noqa: PLC0415

    return ops.health(ports, deep=deep)


def doctor(ports: Ports, *, harden: bool = False) -> "Report":
    """Examine the database as this login sees it; what was tried is rolled back.

    With ``harden`` first run the statements of `Report.hardening`, as the login of ``migrate_url``: they take from
    everybody (PUBLIC) the rights to the database and to schema public that nobody needs.

    Raises:
        DatabaseUnavailable: it does not answer.
        PermissionDenied: ``harden``, and that login does not own the database.
    """
    from undercroft.upkeep import doctor as examination  # noqa: PLC0415

    return examination.doctor(ports, harden=harden)
