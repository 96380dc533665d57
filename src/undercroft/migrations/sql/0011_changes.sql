-- How a change reaches the processes that remember what it changed. A blank line after a semicolon ends a statement.

-- The owner's alone. Anybody who may connect may LISTEN, and ids of tenants are computed from their names: without this
-- secret nobody can tell whose change a notice is about.
CREATE TABLE undercroft.change_key (
  secret bytea NOT NULL,
  CONSTRAINT pk_change_key PRIMARY KEY (secret)
);

INSERT INTO undercroft.change_key (secret)
SELECT sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));

CREATE FUNCTION undercroft.scope_hash(tenant uuid, topic text) RETURNS text LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF tenant = '00000000-0000-0000-0000-000000000000' THEN
    RETURN '*';
  END IF;
  RETURN (
    SELECT left(encode(sha256(k.secret || sha256(k.secret || uuid_send(tenant) || convert_to(topic, 'UTF8'))), 'hex'), 32)
    FROM undercroft.change_key k
  );
END
$$;

-- What notices call a topic of the entered tenant: of no other one.
CREATE FUNCTION undercroft.change_scope(topic text) RETURNS text LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN undercroft.scope_hash(undercroft.tenant(), topic);
END
$$;

-- Counts a change of the entered tenant, or of the fleet, and has it told to all at the commit; returns how many there
-- were. The row is held until then, so that versions are committed in their order.
CREATE FUNCTION undercroft.announce(what text) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  tenant uuid := coalesce(undercroft.fleet_or_tenant(), '00000000-0000-0000-0000-000000000000');
  counted bigint;
BEGIN
  INSERT INTO undercroft.change_versions AS v (tenant_id, topic, version, changed_in)
  VALUES (tenant, what, 1, pg_current_xact_id()::text::bigint)
  ON CONFLICT (tenant_id, topic) DO UPDATE SET version = v.version + 1, changed_in = excluded.changed_in
  RETURNING v.version INTO counted;
  PERFORM pg_notify('undercroft', undercroft.scope_hash(tenant, what) || ':' || counted);
  RETURN counted;
END
$$;

-- For who cannot LISTEN: what was committed after a snapshot, as notices have it, and the snapshot to ask with next.
-- A number above the newest one comes from another server's dump.
CREATE FUNCTION undercroft.changes(since text) RETURNS TABLE (snapshot text, notices text[])
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  snapshot := pg_current_snapshot()::text;
  notices := ARRAY(
    SELECT undercroft.scope_hash(v.tenant_id, v.topic) || ':' || v.version FROM undercroft.change_versions v
    WHERE since IS NOT NULL
      AND v.changed_in >= pg_snapshot_xmin(since::pg_snapshot)::text::bigint
      AND v.changed_in < pg_snapshot_xmax(pg_current_snapshot())::text::bigint
      AND NOT pg_visible_in_snapshot(v.changed_in::text::xid8, since::pg_snapshot)
  );
  RETURN NEXT;
END
$$;

REVOKE ALL ON FUNCTION undercroft.scope_hash(uuid, text), undercroft.change_scope(text), undercroft.announce(text),
  undercroft.changes(text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION undercroft.change_scope(text), undercroft.changes(text) TO undercroft_app;

GRANT EXECUTE ON FUNCTION undercroft.announce(text) TO undercroft_app, undercroft_fleet;
