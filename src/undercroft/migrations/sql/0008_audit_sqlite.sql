-- A blank line after a semicolon ends a statement.

-- What was written before there was a chain is sealed by the first call that writes or verifies.
INSERT INTO audit_pending (tenant_id, event_id, event_hash) SELECT tenant_id, id, event_hash FROM audit_events;
