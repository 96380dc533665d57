-- As it was before. A blank line after a semicolon ends a statement.

-- Removes every row of a tenant that was deleted before. UC001 there is none, UC004 not in the fleet or not deleted.
CREATE OR REPLACE FUNCTION undercroft.purge(unwanted uuid) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  deleted boolean := (SELECT deleted_at IS NOT NULL FROM undercroft.tenants WHERE tenant_id = unwanted FOR UPDATE);
  target name;
  removed bigint;
  total bigint := 0;
BEGIN
  IF deleted IS NULL THEN
    RAISE 'no such tenant' USING ERRCODE = 'UC001';
  ELSIF NOT deleted OR NOT undercroft.in_fleet() THEN
    RAISE 'only the fleet may purge, and only a deleted tenant' USING ERRCODE = 'UC004';
  END IF;
  FOR target IN -- what refers to tenants goes first, tenants last; everything else has CASCADE or no key at all
    SELECT c.relname
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
    WHERE c.relnamespace = 'undercroft'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    ORDER BY c.relname = 'tenants', c.relname
  LOOP
    EXECUTE format('DELETE FROM undercroft.%I WHERE tenant_id = $1', target) USING unwanted;
    GET DIAGNOSTICS removed = ROW_COUNT;
    total := total + removed;
  END LOOP;
  RETURN total;
END
$$;

DROP FUNCTION undercroft.drop_expired_partitions(text, bigint), undercroft.cleanup_expired_keys(bigint),
  undercroft.cleanup_expired_cache(bigint), undercroft.cleanup_expired_sessions(double precision),
  undercroft.take_upkeep_turn(uuid), undercroft.retention_horizon(uuid, text, bigint);
