"""Questions asked and the SQL run for them: history, approval, statistics."""

from undercroft.core.operation import C, Slice, gathered, operation, resource
from undercroft.queries import ops, recording, reports
from undercroft.queries.records import Activity, Hour, Query, Run

__all__ = ["Activity", "Hour", "Queries", "Query", "Run"]


class Queries(Slice[C]):
    """A tenant's questions and the SQL run for them."""

    record = resource(recording.record)
    log = gathered(ops.new_query, ops.append)
    get = operation(ops.get, access="point")
    update = operation(ops.update)
    history = operation(ops.history, access="read")
    approve = operation(ops.approve)
    abandon = operation(ops.abandon)
    performance = operation(reports.performance, access="read")
    activity = operation(reports.activity, access="read")
