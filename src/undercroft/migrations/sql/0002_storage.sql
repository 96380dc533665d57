-- A blank line after a semicolon ends a statement.

-- A result is read and written whole: to compress it costs more than to store it.
ALTER TABLE undercroft.query_cache ALTER COLUMN value SET STORAGE EXTERNAL;

-- Room for the next version of a row on the same page: what touches it changes no index.
ALTER TABLE undercroft.user_sessions SET (fillfactor = 80);

ALTER TABLE undercroft.query_cache SET (fillfactor = 80);

ALTER TABLE undercroft.query_cache_days SET (fillfactor = 50);

DO $$
BEGIN
  PERFORM undercroft.ensure_partitions(now(), now() + interval '1 year');
END
$$;
