"""Results of queries, kept for a while: for those who have the same rights, and nobody else."""

from undercroft.core.operation import C, Slice, operation, procedure
from undercroft.results import asking, ops
from undercroft.results.records import Answer, CacheStats, Day, Kept, Reason

__all__ = ["Answer", "CacheStats", "Day", "Kept", "Reason", "Results"]


class Results(Slice[C]):
    """A tenant's cached results."""

    get = procedure(asking.get)
    put = procedure(asking.put)
    get_or_run = procedure(asking.get_or_run)
    invalidate = operation(ops.invalidate)
    cleanup = operation(ops.cleanup)
    stats = procedure(asking.stats)
    efficiency = procedure(asking.efficiency)
