-- What a bot's operators look at. A view asks with the rights of whoever reads it, so the walls of its tables hold; each
-- row tells whose it is. A blank line after a semicolon ends a statement.

CREATE VIEW undercroft.active_sessions WITH (security_invoker = true) AS
SELECT s.tenant_id, s.id, s.user_native_id, u.name AS user_name, u.display_name, s.channel, s.team, s.current_database,
  s.preferences, s.started_at, s.last_activity_at
FROM undercroft.user_sessions s
LEFT JOIN undercroft.users u ON u.tenant_id = s.tenant_id AND u.native_id = s.user_native_id
WHERE s.ended_at IS NULL;

-- Each hour, UTC. A percentile is the nearest rank: a time that some query really took.
CREATE VIEW undercroft.query_performance_metrics WITH (security_invoker = true) AS
SELECT tenant_id, date_trunc('hour', started_at, 'UTC') AS hour, count(*) AS queries,
  count(*) FILTER (WHERE status = 'failed') AS errors,
  count(*) FILTER (WHERE status = 'cancelled') AS cancelled,
  count(*) FILTER (WHERE status = 'declined') AS declined,
  percentile_disc(0.5) WITHIN GROUP (ORDER BY execution_time_ms) AS p50_ms,
  percentile_disc(0.95) WITHIN GROUP (ORDER BY execution_time_ms) AS p95_ms
FROM undercroft.query_history
GROUP BY tenant_id, date_trunc('hour', started_at, 'UTC');

CREATE VIEW undercroft.user_activity_summary WITH (security_invoker = true) AS
SELECT tenant_id, user_native_id, sum(queries)::bigint AS queries, sum(errors)::bigint AS errors,
  sum(sessions)::bigint AS sessions, sum(active)::bigint AS active_sessions, max(last_activity_at) AS last_activity_at
FROM (
  SELECT tenant_id, user_native_id, 1 AS queries, (status = 'failed')::int AS errors, 0 AS sessions, 0 AS active,
    started_at AS last_activity_at
  FROM undercroft.query_history WHERE user_native_id IS NOT NULL
  UNION ALL
  SELECT tenant_id, user_native_id, 0, 0, 1, (ended_at IS NULL)::int, last_activity_at
  FROM undercroft.user_sessions
) activity
GROUP BY tenant_id, user_native_id;

-- Each day, UTC; the rate is NULL for a day on which nobody asked for what could be cached.
CREATE VIEW undercroft.cache_efficiency WITH (security_invoker = true) AS
SELECT tenant_id, day, hits, misses, hits::double precision / nullif(hits + misses, 0) AS hit_rate,
  uncacheable, evicted, invalidated
FROM undercroft.query_cache_days;

GRANT SELECT ON undercroft.active_sessions, undercroft.query_performance_metrics, undercroft.user_activity_summary,
  undercroft.cache_efficiency TO undercroft_app;
