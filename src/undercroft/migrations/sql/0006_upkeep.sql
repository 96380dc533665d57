-- A blank line after a semicolon ends a statement.

-- Removes every row of a tenant that was deleted before. UC001 there is none, UC004 not in the fleet or not deleted,
-- UC030 something of it is under a legal hold.
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
  IF EXISTS (SELECT FROM undercroft.legal_holds WHERE tenant_id = unwanted) THEN
    RAISE 'a legal hold keeps it' USING ERRCODE = 'UC030';
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

-- The moment before which a tenant lets go of a data class: by its own policy, else the fleet's, else the number of seconds
-- given, NULL for ever. A legal hold keeps all.
CREATE FUNCTION undercroft.retention_horizon(of_tenant uuid, of_class text, otherwise bigint) RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  seconds bigint := otherwise;
BEGIN
  IF EXISTS (SELECT FROM undercroft.legal_holds h WHERE h.tenant_id = of_tenant AND h.data_class = of_class) THEN
    RETURN '-infinity';
  END IF;
  SELECT p.keep_seconds INTO seconds FROM undercroft.retention_policies p
  WHERE p.data_class = of_class AND p.tenant_id IN (of_tenant, '00000000-0000-0000-0000-000000000000')
  ORDER BY p.tenant_id = of_tenant DESC LIMIT 1;
  IF NOT FOUND THEN
    seconds := otherwise;
  END IF;
  RETURN coalesce(statement_timestamp() - make_interval(secs => seconds), '-infinity');
END
$$;

-- Waits for a batch that is being removed from a tenant, and for whoever sets a hold.
CREATE FUNCTION undercroft.take_upkeep_turn(of_tenant uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO undercroft.upkeep_runs AS r (tenant_id, job) VALUES (of_tenant, 'retention')
  ON CONFLICT (tenant_id, job) DO UPDATE SET started_at = r.started_at
$$;

-- For pg_cron, which runs nothing but SQL: what comes to its end by itself, of all tenants that are not deleted. What a
-- policy alone removes is not done here: that is put into the audit trail, whose bytes SQL does not write.
--
-- Ends sessions that were idle for so many hours.
CREATE FUNCTION undercroft.cleanup_expired_sessions(hours double precision DEFAULT 24) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  one uuid;
  here bigint;
  total bigint := 0;
BEGIN
  FOR one IN SELECT tenant_id FROM undercroft.tenants WHERE deleted_at IS NULL LOOP
    UPDATE undercroft.user_sessions SET ended_at = statement_timestamp()
    WHERE tenant_id = one AND ended_at IS NULL AND last_activity_at < statement_timestamp() - make_interval(secs => hours * 3600);
    GET DIAGNOSTICS here = ROW_COUNT;
    total := total + here;
  END LOOP;
  RETURN total;
END
$$;

-- Removes at most so many cached results that have expired.
CREATE FUNCTION undercroft.cleanup_expired_cache(most bigint DEFAULT 10000) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  one uuid;
  here bigint;
  total bigint := 0;
BEGIN
  FOR one IN SELECT tenant_id FROM undercroft.tenants WHERE deleted_at IS NULL LOOP
    PERFORM undercroft.take_upkeep_turn(one);
    WITH doomed AS MATERIALIZED (
      SELECT c.key FROM undercroft.query_cache c
      WHERE c.tenant_id = one AND c.expires_at <= undercroft.retention_horizon(one, 'cache', 0)
      ORDER BY c.expires_at LIMIT most - total FOR UPDATE SKIP LOCKED
    )
    DELETE FROM undercroft.query_cache c USING doomed d WHERE c.tenant_id = one AND c.key = d.key;
    GET DIAGNOSTICS here = ROW_COUNT;
    total := total + here;
    EXIT WHEN total >= most;
  END LOOP;
  RETURN total;
END
$$;

-- Removes at most so many idempotency keys that have expired.
CREATE FUNCTION undercroft.cleanup_expired_keys(most bigint DEFAULT 10000) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  one uuid;
  here bigint;
  total bigint := 0;
BEGIN
  FOR one IN SELECT tenant_id FROM undercroft.tenants WHERE deleted_at IS NULL LOOP
    PERFORM undercroft.take_upkeep_turn(one);
    WITH doomed AS MATERIALIZED (
      SELECT k.operation, k.key FROM undercroft.idempotency_keys k
      WHERE k.tenant_id = one AND k.expires_at <= undercroft.retention_horizon(one, 'idempotency_keys', 0)
      ORDER BY k.expires_at LIMIT most - total FOR UPDATE SKIP LOCKED
    )
    DELETE FROM undercroft.idempotency_keys k USING doomed d
    WHERE k.tenant_id = one AND k.operation = d.operation AND k.key = d.key;
    GET DIAGNOSTICS here = ROW_COUNT;
    total := total + here;
    EXIT WHEN total >= most;
  END LOOP;
  RETURN total;
END
$$;

-- Drops the years of a data class that every tenant's policy lets go of, and returns how many rows each tenant lost.
-- A year with something that is kept stays: an approved query, or rows of a deleted tenant, which is purged as a whole.
-- It never waits long for a lock; the rows that stay go in batches. UC004 not in the fleet.
CREATE FUNCTION undercroft.drop_expired_partitions(of_class text, otherwise bigint)
RETURNS TABLE (tenant uuid, removed bigint) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $$
DECLARE
  family text[] := CASE of_class
    WHEN 'messages' THEN ARRAY['messages', 'message_versions', 'attachments', 'reactions', 'reaction_users', 'mentions']
    WHEN 'queries' THEN ARRAY['query_history']
  END;
  spared text := CASE of_class WHEN 'queries' THEN 'approved_at IS NOT NULL' ELSE 'false' END;
  horizon timestamptz;
  year integer;
  name text;
  keeps boolean;
BEGIN
  IF NOT undercroft.in_fleet() THEN
    RAISE 'only the fleet may drop partitions' USING ERRCODE = 'UC004';
  END IF;
  LOCK TABLE undercroft.legal_holds, undercroft.retention_policies IN SHARE MODE; -- nobody is told of a hold meanwhile
  SELECT min(undercroft.retention_horizon(t.tenant_id, of_class, otherwise)) INTO horizon FROM undercroft.tenants t;
  FOR year IN
    SELECT substring(c.relname FROM '_(\d{4})$')::integer FROM pg_class c
    JOIN pg_inherits i ON i.inhrelid = c.oid
    WHERE i.inhparent = to_regclass('undercroft.' || family[1]) AND c.relname ~ '_\d{4}$' ORDER BY 1
  LOOP
    EXIT WHEN make_timestamptz(year + 1, 1, 1, 0, 0, 0, 'UTC') > horizon;
    EXECUTE format('LOCK TABLE undercroft.%I IN SHARE MODE', family[1] || '_' || year);
    -- Through the whole table: a partition has walls and no policy, and shows no row to anybody.
    EXECUTE format('SELECT EXISTS (SELECT FROM undercroft.%I m WHERE m.id >= $1 AND m.id < $2 AND (%s OR EXISTS (
      SELECT FROM undercroft.tenants t WHERE t.tenant_id = m.tenant_id AND t.deleted_at IS NOT NULL)))', family[1], spared)
      INTO keeps USING undercroft.year_floor(year), undercroft.year_floor(year + 1);
    CONTINUE WHEN keeps;
    RETURN QUERY EXECUTE format('SELECT m.tenant_id, count(*) FROM undercroft.%I m
      WHERE m.id >= $1 AND m.id < $2 GROUP BY m.tenant_id', family[1])
      USING undercroft.year_floor(year), undercroft.year_floor(year + 1);
    FOREACH name IN ARRAY family LOOP
      EXECUTE format('DROP TABLE IF EXISTS undercroft.%I', name || '_' || year);
    END LOOP;
  END LOOP;
END
$$;

REVOKE ALL ON FUNCTION undercroft.retention_horizon(uuid, text, bigint), undercroft.take_upkeep_turn(uuid),
  undercroft.cleanup_expired_sessions(double precision), undercroft.cleanup_expired_cache(bigint),
  undercroft.cleanup_expired_keys(bigint), undercroft.drop_expired_partitions(text, bigint) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION undercroft.cleanup_expired_sessions(double precision), undercroft.cleanup_expired_cache(bigint),
  undercroft.cleanup_expired_keys(bigint), undercroft.drop_expired_partitions(text, bigint) TO undercroft_fleet;
