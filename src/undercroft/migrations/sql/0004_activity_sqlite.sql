-- SQLite renames no column of a view. A blank line after a semicolon ends a statement.

DROP VIEW user_activity_summary;

CREATE VIEW user_activity_summary AS
SELECT tenant_id, user_native_id, sum(queries) AS queries, sum(errors) AS errors, sum(sessions) AS sessions,
  sum(active) AS active_sessions, max(last_activity_at) AS last_activity
FROM (
  SELECT tenant_id, user_native_id, 1 AS queries, status = 'failed' AS errors, 0 AS sessions, 0 AS active,
    started_at AS last_activity_at
  FROM query_history WHERE user_native_id IS NOT NULL
  UNION ALL
  SELECT tenant_id, user_native_id, 0, 0, 1, ended_at IS NULL, last_activity_at
  FROM user_sessions
) AS activity
GROUP BY tenant_id, user_native_id;
