-- What may hold a tenant's rows: (name, whether a table, INSERT for a made-up row). {tenant} stands for a tenant's id.
--
-- Every column that must have a value and has no default gets one of its type. A text is the first of those that a CHECK
-- lists, else 'success'; a UUID is the tenant's id, so that rows that refer to each other match. Where that makes no row,
-- none is planted.
SELECT c.relname::text, c.relkind IN ('r', 'p'), format(
  'INSERT INTO undercroft.%I (%s) VALUES (%s)', c.relname,
  string_agg(format('%I', a.attname), ', ' ORDER BY a.attnum),
  string_agg(CASE pg_catalog.format_type(a.atttypid, NULL)
    WHEN 'uuid' THEN '''{tenant}'''
    WHEN 'text' THEN listed.value WHEN 'character varying' THEN listed.value
    WHEN 'bigint' THEN '1' WHEN 'integer' THEN '1' WHEN 'smallint' THEN '1' WHEN 'numeric' THEN '1'
    WHEN 'double precision' THEN '1' WHEN 'real' THEN '1'
    WHEN 'boolean' THEN 'false'
    WHEN 'timestamp with time zone' THEN 'now()' WHEN 'date' THEN 'current_date'
    WHEN 'bytea' THEN 'sha256('''')'
    WHEN 'jsonb' THEN '''{}''' WHEN 'json' THEN '''{}'''
    ELSE 'NULL' END, ', ' ORDER BY a.attnum))
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
CROSS JOIN LATERAL (
  SELECT coalesce(min((pg_catalog.regexp_match(
    pg_catalog.pg_get_constraintdef(k.oid), format('\m%s\M\)?(?:::text)? = ANY \(+ARRAY\[(''[^'']*'')', a.attname)))[1]),
    '''success''') AS value
  FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c'
) AS listed
WHERE c.relnamespace = 'undercroft'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
  AND (a.attname = 'tenant_id' OR a.attnotnull AND NOT a.atthasdef AND a.attidentity = '')
GROUP BY c.oid, c.relname, c.relkind
HAVING bool_or(a.attname = 'tenant_id')
ORDER BY c.relname;
