-- A blank line after a semicolon ends a statement.

-- Makes sure that the years from one moment to another have partitions of their own, in every partitioned table, and
-- returns how many it made. Call it in a transaction of its own before an import: it waits for whoever reads the DEFAULT
-- partition. A year whose rows already lie in DEFAULT stays there, and so do ids before 2000 and after next year.
--
-- The new table is attached, not made as PARTITION OF, which would lock its parent against every reader.
CREATE FUNCTION undercroft.ensure_partitions(from_ts timestamptz, to_ts timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
  first integer := greatest(2000, extract(year FROM from_ts AT TIME ZONE 'UTC'));
  last integer := least(extract(year FROM now() AT TIME ZONE 'UTC') + 1, extract(year FROM to_ts AT TIME ZONE 'UTC'));
  missing record;
  taken boolean;
  made integer := 0;
BEGIN
  FOR missing IN
    SELECT c.relname AS parent, a.attname AS key, format('%s_%s', c.relname, y) AS child,
      undercroft.year_floor(y) AS lower, undercroft.year_floor(y + 1) AS upper
    FROM pg_class c
    JOIN pg_partitioned_table p ON p.partrelid = c.oid
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = p.partattrs[0]
    CROSS JOIN generate_series(first, last) AS y
    WHERE c.relnamespace = 'undercroft'::regnamespace AND NOT c.relispartition AND a.atttypid = 'uuid'::regtype
      AND NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = c.relnamespace AND relname = format('%s_%s', c.relname, y))
    ORDER BY c.relname, y
  LOOP
    PERFORM pg_advisory_xact_lock(hashtextextended('undercroft.ensure_partitions', 0));
    -- Made while this one waited? Not to_regclass(), which answers from a cache that a wait for this lock leaves stale.
    CONTINUE WHEN EXISTS (
      SELECT FROM pg_class WHERE relnamespace = 'undercroft'::regnamespace AND relname = missing.child
    );
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM undercroft.%I WHERE %I >= $1 AND %2$I < $2)', missing.parent, missing.key)
      INTO taken USING missing.lower, missing.upper;
    CONTINUE WHEN taken;
    BEGIN
      EXECUTE format('CREATE TABLE undercroft.%I (LIKE undercroft.%I INCLUDING ALL)', missing.child, missing.parent);
      EXECUTE format('ALTER TABLE undercroft.%I ENABLE ROW LEVEL SECURITY', missing.child);
      EXECUTE format('ALTER TABLE undercroft.%I FORCE ROW LEVEL SECURITY', missing.child);
      EXECUTE format('ALTER TABLE undercroft.%I ATTACH PARTITION undercroft.%I FOR VALUES FROM (%L) TO (%L)',
        missing.parent, missing.child, missing.lower, missing.upper);
      made := made + 1;
    EXCEPTION
      WHEN check_violation THEN NULL; -- a row of that year came into DEFAULT meanwhile
      WHEN duplicate_table THEN NULL; -- this transaction's snapshot is older than somebody's partition
    END;
  END LOOP;
  RETURN made;
END
$$;

-- The lowest time-ordered id of a year: 48 bits of milliseconds, then zeros.
CREATE FUNCTION undercroft.year_floor(y integer) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
  lpad(to_hex((extract(epoch FROM make_timestamptz(y, 1, 1, 0, 0, 0, 'UTC')) * 1000)::bigint), 12, '0')
  || repeat('0', 20)
)::uuid;

REVOKE ALL ON FUNCTION undercroft.ensure_partitions(timestamptz, timestamptz), undercroft.year_floor(integer) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION undercroft.ensure_partitions(timestamptz, timestamptz) TO undercroft_app, undercroft_fleet;

DO $$
BEGIN
  PERFORM undercroft.ensure_partitions(now(), now() + interval '1 year');
END
$$;
