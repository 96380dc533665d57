-- Who is inside: the tenant that this transaction has entered, in the setting undercroft.tenant.
-- A blank line after a semicolon ends a statement.

-- Bodies after RETURN or BEGIN ATOMIC are bound when they are made, so no search_path can redirect them, and the planner
-- writes them into the statement: a policy calls no function. The others pin their search_path.
--
-- What was entered is handed over, and NULL returned for it: Citus calls this by itself, before coalesce() is computed.
CREATE FUNCTION undercroft.refuse_nobody(entered text) RETURNS uuid LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF entered <> '' THEN
    RETURN NULL;
  END IF;
  RAISE 'no tenant is entered' USING ERRCODE = '42501';
END
$$;

CREATE FUNCTION undercroft.tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(
  nullif(nullif(current_setting('undercroft.tenant', true), ''), 'fleet')::uuid,
  undercroft.refuse_nobody(nullif(current_setting('undercroft.tenant', true), 'fleet'))
);

-- The same for tables that the fleet sees as well: NULL where it is entered.
CREATE FUNCTION undercroft.fleet_or_tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(
  nullif(nullif(current_setting('undercroft.tenant', true), ''), 'fleet')::uuid,
  undercroft.refuse_nobody(current_setting('undercroft.tenant', true))
);

CREATE FUNCTION undercroft.in_fleet() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(current_setting('undercroft.tenant', true) = 'fleet', false);

-- Enters a tenant until the transaction ends. UC001 there is none, UC002 it is deleted, UC003 another one is entered.
CREATE FUNCTION undercroft.enter(wanted uuid) RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  entered text := current_setting('undercroft.tenant', true);
  deleted boolean;
BEGIN
  IF entered = wanted::text THEN
    RETURN wanted;
  ELSIF entered <> '' THEN
    RAISE 'another tenant is entered' USING ERRCODE = 'UC003';
  END IF;
  SELECT deleted_at IS NOT NULL INTO deleted FROM undercroft.tenants WHERE tenant_id = wanted;
  IF deleted IS NULL THEN
    RAISE 'no such tenant' USING ERRCODE = 'UC001';
  ELSIF deleted THEN
    RAISE 'the tenant is deleted' USING ERRCODE = 'UC002';
  END IF;
  PERFORM set_config('undercroft.tenant', wanted::text, true);
  RETURN wanted;
END
$$;

-- Enters the fleet until the transaction ends: the rows of undercroft.tenants, and nothing else. UC003, UC004 not allowed.
-- The setting alone opens nothing: the policy that it opens is for undercroft_fleet only.
CREATE FUNCTION undercroft.enter_fleet() RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  entered text := current_setting('undercroft.tenant', true);
BEGIN
  IF NOT pg_has_role('undercroft_fleet', 'USAGE') THEN
    RAISE 'not a member of undercroft_fleet' USING ERRCODE = 'UC004';
  ELSIF entered NOT IN ('', 'fleet') THEN
    RAISE 'a tenant is entered' USING ERRCODE = 'UC003';
  END IF;
  PERFORM set_config('undercroft.tenant', 'fleet', true);
END
$$;

-- Removes every row of a tenant that was deleted before. UC001 there is none, UC004 not in the fleet or not deleted.
CREATE FUNCTION undercroft.purge(unwanted uuid) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
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

REVOKE ALL ON FUNCTION undercroft.refuse_nobody(text), undercroft.tenant(), undercroft.fleet_or_tenant(),
  undercroft.in_fleet(), undercroft.enter(uuid), undercroft.enter_fleet(), undercroft.purge(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION undercroft.refuse_nobody(text), undercroft.tenant(), undercroft.fleet_or_tenant(),
  undercroft.in_fleet(), undercroft.enter(uuid), undercroft.enter_fleet() TO undercroft_app, undercroft_fleet;

GRANT EXECUTE ON FUNCTION undercroft.purge(uuid) TO undercroft_fleet;

GRANT USAGE ON SCHEMA undercroft TO undercroft_app, undercroft_fleet;

GRANT SELECT ON undercroft.alembic_version TO undercroft_app, undercroft_fleet;
