-- Takes UPDATE and DELETE away twice: no right to them, and no policy that would let them see a row.
-- A blank line after a semicolon ends a statement.

DROP POLICY app ON undercroft.{table};

CREATE POLICY app_read ON undercroft.{table} FOR SELECT TO undercroft_app
  USING (tenant_id = (SELECT undercroft.tenant()));

CREATE POLICY app_append ON undercroft.{table} FOR INSERT TO undercroft_app
  WITH CHECK (tenant_id = (SELECT undercroft.tenant()));

REVOKE UPDATE, DELETE ON undercroft.{table} FROM undercroft_app;
