-- The walls of a table that holds the fleet's rows beside the tenants': those of tenant_id zero, which every tenant reads
-- and the fleet alone writes. {table} in its place. A blank line after a semicolon ends a statement.

ALTER TABLE undercroft.{table} ENABLE ROW LEVEL SECURITY;

ALTER TABLE undercroft.{table} FORCE ROW LEVEL SECURITY;

-- NULL where the fleet is entered, which is no tenant's row.
CREATE POLICY app ON undercroft.{table} TO undercroft_app
  USING (tenant_id = (SELECT undercroft.fleet_or_tenant())) WITH CHECK (tenant_id = (SELECT undercroft.fleet_or_tenant()));

CREATE POLICY app_shared ON undercroft.{table} FOR SELECT TO undercroft_app
  USING (tenant_id = '00000000-0000-0000-0000-000000000000');

CREATE POLICY wall ON undercroft.{table} AS RESTRICTIVE TO undercroft_app
  USING (tenant_id = (SELECT undercroft.fleet_or_tenant()) OR tenant_id = '00000000-0000-0000-0000-000000000000')
  WITH CHECK (tenant_id = (SELECT undercroft.fleet_or_tenant())
    OR (tenant_id = '00000000-0000-0000-0000-000000000000' AND (SELECT undercroft.in_fleet())));

CREATE POLICY fleet ON undercroft.{table} TO undercroft_fleet
  USING (tenant_id = '00000000-0000-0000-0000-000000000000' AND (SELECT undercroft.in_fleet()))
  WITH CHECK (tenant_id = '00000000-0000-0000-0000-000000000000' AND (SELECT undercroft.in_fleet()));

CREATE POLICY owner ON undercroft.{table} TO undercroft_owner USING (true) WITH CHECK (true);

GRANT SELECT, INSERT, UPDATE, DELETE ON undercroft.{table} TO undercroft_app, undercroft_fleet;
