-- Every index of schema undercroft: (name, is one of a partitioned table, is valid, is left over from a rebuild that was
-- broken off, bytes, bytes that its rows need). The last is known of B-trees only: the planner's statistics are hidden
-- behind the walls, so a value of variable length is taken as 64 bytes.
SELECT
  i.indexrelid::regclass::text,
  c.relkind = 'I',
  i.indisvalid,
  NOT i.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$',
  pg_catalog.pg_relation_size(c.oid),
  CASE WHEN a.amname = 'btree' THEN (greatest(c.reltuples, 0) * (12 + w.bytes) / 0.9)::bigint + 16384 END
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_am a ON a.oid = c.relam
CROSS JOIN LATERAL (
  SELECT sum(CASE WHEN k.attlen > 0 THEN (k.attlen + 7) / 8 * 8 ELSE 64 END) AS bytes
  FROM pg_catalog.pg_attribute k WHERE k.attrelid = c.oid
) w
WHERE c.relnamespace = 'undercroft'::regnamespace
ORDER BY 1;
