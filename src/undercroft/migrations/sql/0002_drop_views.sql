DROP VIEW undercroft.active_sessions;

DROP VIEW undercroft.query_performance_metrics;

DROP VIEW undercroft.user_activity_summary;

DROP VIEW undercroft.cache_efficiency;
