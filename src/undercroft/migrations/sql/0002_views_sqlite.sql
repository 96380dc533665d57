-- The same views, with moments in microseconds since 1970. A blank line after a semicolon ends a statement.

CREATE VIEW active_sessions AS
SELECT s.tenant_id, s.id, s.user_native_id, u.name AS user_name, u.display_name, s.channel, s.team, s.current_database,
  s.preferences, s.started_at, s.last_activity_at
FROM user_sessions s
LEFT JOIN users u ON u.tenant_id = s.tenant_id AND u.native_id = s.user_native_id
WHERE s.ended_at IS NULL;

-- Each hour, UTC. A percentile is the nearest rank: the first time with as many at or below it as the share demands.
CREATE VIEW query_performance_metrics AS
SELECT tenant_id, hour, count(*) AS queries,
  sum(status = 'failed') AS errors, sum(status = 'cancelled') AS cancelled, sum(status = 'declined') AS declined,
  min(CASE WHEN place * 100 >= timed * 50 THEN execution_time_ms END) AS p50_ms,
  min(CASE WHEN place * 100 >= timed * 95 THEN execution_time_ms END) AS p95_ms
FROM (
  SELECT tenant_id, hour, status, execution_time_ms,
    row_number() OVER (PARTITION BY tenant_id, hour ORDER BY execution_time_ms NULLS LAST) AS place,
    count(execution_time_ms) OVER (PARTITION BY tenant_id, hour) AS timed
  FROM (
    SELECT tenant_id, started_at / 3600000000 * 3600000000 AS hour, status, execution_time_ms FROM query_history
  ) AS by_hour
) AS ranked
GROUP BY tenant_id, hour;

CREATE VIEW user_activity_summary AS
SELECT tenant_id, user_native_id, sum(queries) AS queries, sum(errors) AS errors, sum(sessions) AS sessions,
  sum(active) AS active_sessions, max(last_activity_at) AS last_activity_at
FROM (
  SELECT tenant_id, user_native_id, 1 AS queries, status = 'failed' AS errors, 0 AS sessions, 0 AS active,
    started_at AS last_activity_at
  FROM query_history WHERE user_native_id IS NOT NULL
  UNION ALL
  SELECT tenant_id, user_native_id, 0, 0, 1, ended_at IS NULL, last_activity_at
  FROM user_sessions
) AS activity
GROUP BY tenant_id, user_native_id;

-- Each day, UTC; the rate is NULL for a day on which nobody asked for what could be cached.
CREATE VIEW cache_efficiency AS
SELECT tenant_id, day, hits, misses, CAST(hits AS REAL) / nullif(hits + misses, 0) AS hit_rate,
  uncacheable, evicted, invalidated
FROM query_cache_days;
