"""Raw SQL tried on one connection, and what came of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from undercroft.core.scope import FLEET, Scope
from undercroft.core.tx import Tx
from undercroft.errors import (
    ConstraintViolation,
    DatabaseFull,
    PermissionDenied,
    QueryTimeout,
    ReadOnly,
    StorageFailure,
    UndercroftError,
)
from undercroft.upkeep.doctor.report import Finding

_TELLS_NOTHING = (ReadOnly, QueryTimeout, DatabaseFull, StorageFailure)


@dataclass(slots=True)
class Proof:
    """What was tried and what came of it."""

    findings: list[Finding] = field(default_factory=list)
    proven: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    def judge(self, code: str, claim: str, title: str, leaks: Iterable[str], *, of: int | None = None) -> None:
        """Write down that a claim holds, or where it does not."""
        leaking = list(leaks)
        if leaking:
            fix = "keep the application stopped until the findings about walls are mended and this one is gone"
            self.findings.append(Finding(f"isolation.{code}", "severe", title, ", ".join(leaking), fix))
        else:
            self.proven.append(claim if of is None else f"{claim} ({of} tables)")


class Attempts:
    """Raw SQL on one connection, in transactions that are begun and rolled back here."""

    def __init__(self, tx: Tx, *, privileged: bool) -> None:
        self._tx = tx
        self._privileged = privileged

    def restart(self) -> None:
        """Forget everything and begin anew, as our calls begin on this login."""
        self._tx.command("ROLLBACK")
        self.begin()

    def begin(self) -> None:
        """Begin a transaction after one that has ended."""
        self._tx.command("BEGIN")
        self.be("undercroft_app")

    def be(self, role: str) -> None:
        """Put on a role where the login would pass the walls without."""
        if self._privileged:
            self._tx.command(f"SET LOCAL ROLE {role}")

    def become(self, tenant: UUID | None, *, through_door: bool = False) -> None:
        """Be inside a tenant, or in none, as raw SQL can by itself; through the door only if the tenant exists."""
        self.claim("" if through_door or tenant is None else str(tenant))
        if through_door:
            self._tx.dialect.enter_scope(self._tx, Scope(tenant))

    def become_fleet(self) -> None:
        """Be in the fleet, in none before."""
        self.claim("")
        self._tx.dialect.enter_scope(self._tx, FLEET)

    def claim(self, scope: str) -> None:
        """Write into the setting what one is inside of; where tenants are sealed it opens nothing."""
        self._tx.sql(f"SELECT set_config('undercroft.tenant', '{scope}', true)")

    @property
    def mode(self) -> str:
        """How tenants are entered: plain, grace or sealed."""
        return str(self._tx.sql("SELECT undercroft.seal_mode()")[0][0])

    @property
    def ticket(self) -> str:
        """What the setting holds."""
        return str(self._tx.sql("SELECT current_setting('undercroft.tenant')")[0][0])

    def rows(self, statement: str, *, keep: bool = False) -> int | UndercroftError:
        """Run a statement; return how many rows it gave or touched, or its error."""
        self._tx.command("SAVEPOINT undercroft_doctor")
        try:
            outcome: int | UndercroftError = self._tx.door.execute(statement, (), None)
        except UndercroftError as error:
            if error.retryable or isinstance(error, _TELLS_NOTHING):
                raise
            outcome = error
        undone = isinstance(outcome, UndercroftError) or not keep
        self._tx.command(f"{'ROLLBACK TO' if undone else 'RELEASE'} SAVEPOINT undercroft_doctor")
        return outcome

    def reaches(self, statement: str) -> bool:
        """Whether a statement gives or touches rows; refusing it is as good as finding none."""
        outcome = self.rows(statement)
        return outcome > 0 if isinstance(outcome, int) else isinstance(outcome, ConstraintViolation)

    def passes(self, statement: str) -> bool:
        """Whether a statement is not refused for lack of a right; walls and grants refuse before anything else does."""
        return not isinstance(self.rows(statement), PermissionDenied)
