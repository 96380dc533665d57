"""Metrics: measurements, what they add up to by minute, hour and day, and percentiles of either."""

from undercroft.core.operation import C, Slice, gathered, operation, procedure
from undercroft.metrics import ops, rollups
from undercroft.metrics.records import Bucket, Measurement, MetricName, NewMeasurement, Summary

__all__ = ["Bucket", "Measurement", "MetricName", "Metrics", "NewMeasurement", "Summary"]


class Metrics(Slice[C]):
    """A tenant's metrics."""

    log = gathered(ops.measure, ops.append)
    log_many = operation(ops.log_many)
    query = operation(ops.query, access="read")
    summary = operation(ops.summary, access="read")
    list = operation(ops.list_, access="read")
    roll_up = procedure(rollups.roll_up)
    cleanup = procedure(rollups.cleanup)
