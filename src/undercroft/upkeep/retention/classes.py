"""The data classes: everything that grows, when it is old, and how long it is kept where nobody says otherwise.

A slice whose tables grow adds a line here.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, literal_column, or_

from undercroft.archive.models import (
    Attachment,
    Mention,
    Message,
    MessageVersion,
    Quarantine,
    Reaction,
    ReactionUser,
)
from undercroft.core.idempotency_models import IdempotencyKey
from undercroft.errors import InvalidInput
from undercroft.limits.models import ApiRateLimitUsage
from undercroft.meetings.models import MeetingSession
from undercroft.metrics.models import Metric, MetricRollup
from undercroft.queries.models import QueryRun
from undercroft.results.models import CacheDay, CachedResult, ResultLease
from undercroft.sessions.models import UserSession
from undercroft.upkeep.retention.aging import Aging, ById, ByMillisecond, ByMoment, Emptied

_LONGEST = timedelta(days=36525)


@dataclass(frozen=True, slots=True)
class DataClass:
    """One kind of thing that grows.

    ``keep`` is how long it is kept by default, None for ever; ``least`` is the shortest that a policy may say. One
    without rows is kept for ever by upkeep, whatever somebody wishes.
    """

    name: str
    about: str
    keep: timedelta | None
    rows: tuple[Aging, ...]
    least: timedelta = timedelta(hours=1)

    def check(self, keep: timedelta | None) -> timedelta | None:
        """Return a period that a policy may have; raises InvalidInput for any other."""
        if keep is not None and not self.rows:
            message = f"{self.name} is kept for ever."
            raise InvalidInput(message, field="keep", hint="its own slice moves it to where it costs less")
        if keep is not None and not self.least <= keep <= _LONGEST:
            message = f"{self.name} is kept for {self.least} at least, and for {_LONGEST.days:,} days at most."
            raise InvalidInput(message, field="keep", hint="None keeps it for ever")
        return keep


_NO_TIME = timedelta(0)
_NEVER: ColumnElement[int] = literal_column("0")

CLASSES = {
    one.name: one
    for one in (
        DataClass(
            "sessions",
            "sessions that ended, or that nobody has used since",
            timedelta(days=90),
            (
                ByMoment(
                    UserSession,
                    lambda moment: or_(
                        UserSession.ended_at <= moment,
                        and_(UserSession.ended_at.is_(None), UserSession.last_activity_at <= moment),
                    ),
                    order=UserSession.ended_at,
                ),
            ),
        ),
        DataClass(
            "queries",
            "questions and their SQL, but for those that were approved",
            timedelta(days=365),
            (ById(QueryRun, QueryRun.approved_at.is_(None)),),
        ),
        DataClass(
            "approved_queries",
            "questions whose SQL was approved",
            None,
            (ById(QueryRun, QueryRun.approved_at.is_not(None)),),
        ),
        DataClass(
            "cache",
            "cached results, after they expired",
            _NO_TIME,
            (
                ByMoment(CachedResult, lambda moment: CachedResult.expires_at <= moment, order=CachedResult.expires_at),
                ByMoment(ResultLease, lambda moment: ResultLease.expires_at <= moment, order=ResultLease.expires_at),
            ),
            least=_NO_TIME,
        ),
        DataClass(
            "cache_days",
            "what the cache did each day",
            timedelta(days=400),
            (ByMoment(CacheDay, lambda moment: CacheDay.day <= moment, order=CacheDay.day),),
            least=timedelta(days=1),
        ),
        DataClass(
            "idempotency_keys",
            "keys of repeated calls, after they expired",
            _NO_TIME,
            (
                ByMoment(
                    IdempotencyKey, lambda moment: IdempotencyKey.expires_at <= moment, order=IdempotencyKey.expires_at
                ),
            ),
            least=_NO_TIME,
        ),
        DataClass(
            "messages",
            "the archive: messages with versions, reactions, files and mentions",
            None,
            (
                ById(
                    Message,
                    parts=(MessageVersion, Attachment, Reaction, ReactionUser, Mention),
                    searchable=True,
                ),
            ),
        ),
        DataClass(
            "quarantine",
            "records of an import that were not understood",
            None,
            (ByMoment(Quarantine, lambda moment: Quarantine.created_at <= moment, order=Quarantine.created_at),),
        ),
        DataClass(
            "limits",
            "what was used of limits, after the period ended or the bucket was full again",
            timedelta(days=35),
            (
                ByMillisecond(
                    ApiRateLimitUsage,
                    lambda moment: or_(
                        and_(ApiRateLimitUsage.ends > _NEVER, ApiRateLimitUsage.ends <= moment),
                        and_(
                            ApiRateLimitUsage.ends == _NEVER,
                            ApiRateLimitUsage.refill > _NEVER,
                            moment - ApiRateLimitUsage.at > ApiRateLimitUsage.used // ApiRateLimitUsage.refill,
                        ),
                    ),
                    order=ApiRateLimitUsage.ends,
                ),
            ),
            least=_NO_TIME,
        ),
        DataClass(
            "metrics",
            "single measurements, once they are added up",
            timedelta(days=30),
            (ById(Metric, Metric.rolled_up.is_(True)),),
        ),
        DataClass(
            "metric_minutes",
            "metrics by the minute",
            timedelta(days=90),
            (ById(MetricRollup, MetricRollup.resolution == literal_column("60")),),
        ),
        DataClass(
            "metric_hours",
            "metrics by the hour; those by the day stay",
            timedelta(days=1100),
            (ById(MetricRollup, MetricRollup.resolution == literal_column("3600")),),
        ),
        DataClass("config", "configurations and every version of them", None, ()),
        DataClass(
            "meeting_content",
            "transcript, summary, what is to do and the CRM's answer, of meetings that are pushed or cancelled",
            timedelta(days=365),
            (
                Emptied(
                    MeetingSession,
                    lambda moment: and_(
                        MeetingSession.state.in_([literal_column("'pushed'"), literal_column("'cancelled'")]),
                        MeetingSession.updated_at <= moment,
                    ),
                    order=MeetingSession.updated_at,
                    columns=(
                        MeetingSession.transcript,
                        MeetingSession.summary,
                        MeetingSession.action_items,
                        MeetingSession.crm_result,
                    ),
                ),
            ),
        ),
        DataClass("meetings", "meetings and the history of their states: what came into the CRM, once", None, ()),
        DataClass("audit", "the audit trail", None, ()),
    )
}


def data_class(name: str) -> DataClass:
    """Return a data class by its name; raises InvalidInput for another."""
    found = CLASSES.get(name)
    if found is None:
        message = "There is no such data class."
        raise InvalidInput(message, field="data_class", hint=f"one of {', '.join(CLASSES)}")
    return found
