-- A blank line after a semicolon ends a statement.

REVOKE UPDATE ON undercroft.audit_pending FROM undercroft_app;

REVOKE INSERT ON undercroft.audit_archives FROM undercroft_app;

DROP POLICY app_append ON undercroft.audit_archives;

-- What was written before there was a chain is sealed by the first call that writes or verifies.
INSERT INTO undercroft.audit_pending (tenant_id, event_id, event_hash)
SELECT tenant_id, id, event_hash FROM undercroft.audit_events;

-- Removes what an archive file holds and a person has verified, and keeps its end as the anchor of what remains: the
-- owner's alone, nobody is granted it. UC020 the chain is not as the file says, or something is not sealed yet.
CREATE FUNCTION undercroft.archive_audit(
  tenant uuid, upto bigint, anchor bytea, removed bigint, file_name text, file_sha256 bytea, signed text
) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  last_event uuid;
  gone bigint;
BEGIN
  SELECT event_id INTO last_event FROM undercroft.audit_links
  WHERE tenant_id = tenant AND sequence = upto AND hash = anchor;
  IF last_event IS NULL OR EXISTS (
    SELECT FROM undercroft.audit_pending WHERE tenant_id = tenant AND event_id <= last_event
  ) THEN
    RAISE 'the chain is not as the archive says' USING ERRCODE = 'UC020';
  END IF;
  DELETE FROM undercroft.audit_events e USING undercroft.audit_links l
  WHERE l.tenant_id = tenant AND l.sequence <= upto AND e.tenant_id = tenant AND e.id = l.event_id;
  DELETE FROM undercroft.audit_links WHERE tenant_id = tenant AND sequence <= upto;
  GET DIAGNOSTICS gone = ROW_COUNT;
  IF gone <> removed THEN
    RAISE 'the chain is not as the archive says' USING ERRCODE = 'UC020';
  END IF;
  INSERT INTO undercroft.audit_archives (tenant_id, sequence, hash, events, file, file_hash, checkpoint, archived_at)
  VALUES (tenant, upto, anchor, removed, file_name, file_sha256, signed, now());
  RETURN gone;
END
$$;

REVOKE ALL ON FUNCTION undercroft.archive_audit(uuid, bigint, bytea, bigint, text, bytea, text) FROM PUBLIC;
