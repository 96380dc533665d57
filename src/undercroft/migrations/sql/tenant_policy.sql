-- The walls of one table, {table} in its place. A blank line after a semicolon ends a statement.

ALTER TABLE undercroft.{table} ENABLE ROW LEVEL SECURITY;

ALTER TABLE undercroft.{table} FORCE ROW LEVEL SECURITY;

-- The sub-select is read once a statement, not once a row.
CREATE POLICY app ON undercroft.{table} TO undercroft_app
  USING (tenant_id = (SELECT undercroft.tenant())) WITH CHECK (tenant_id = (SELECT undercroft.tenant()));

-- Permissive policies add up: a careless USING (true) beside the one above must not open the table.
CREATE POLICY wall ON undercroft.{table} AS RESTRICTIVE TO undercroft_app
  USING (tenant_id = (SELECT undercroft.tenant())) WITH CHECK (tenant_id = (SELECT undercroft.tenant()));

-- Our own SECURITY DEFINER functions pass, and migrations do.
CREATE POLICY owner ON undercroft.{table} TO undercroft_owner USING (true) WITH CHECK (true);

GRANT SELECT, INSERT, UPDATE, DELETE ON undercroft.{table} TO undercroft_app;
